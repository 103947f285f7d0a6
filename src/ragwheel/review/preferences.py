"""Which of two systems raters prefer, question by question: as the page sends it, and counted."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ragwheel.errors import JudgmentError
from ragwheel.review.intervals import wilson
from ragwheel.review.sayings import readable_events, text_field, time_field
from ragwheel.store.reviews import ReviewRow, writing_reviews
from ragwheel.words import query_key

__all__ = ["RankingTally", "keep_preferences", "read_preferences", "tally_of"]

_VALUES: Final = ("first", "second", "tie")
_MOST: Final = {"query": 100_000, "first": 10_000, "second": 10_000, "rater": 100}


@dataclass(frozen=True)
class RankingTally:
    """What raters preferred so far, a question at a time.

    Attributes:
        first, second, tie: questions whose raters mostly say so; even ones count as ties.
        share, low, high: share of wins of the first among decided questions, with Wilson's 95 % interval.
    """

    first: int
    second: int
    tie: int
    share: float | None
    low: float | None
    high: float | None


def tally_of(rows: Sequence[ReviewRow]) -> RankingTally:
    """Count preferences by question, each question once whatever the number of its raters."""
    by_question: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for row in rows:
        by_question[query_key(row.query)][row.value or "tie"] += 1
    wins: Counter[str] = Counter()
    for votes in by_question.values():
        gap = votes["first"] - votes["second"]
        wins["first" if gap > 0 else "second" if gap < 0 else "tie"] += 1
    decided = wins["first"] + wins["second"]
    if not decided:
        return RankingTally(wins["first"], wins["second"], wins["tie"], None, None, None)
    share = wins["first"] / decided
    return RankingTally(wins["first"], wins["second"], wins["tie"], share, *wilson(share, decided))


def read_preferences(body: Mapping[str, Any]) -> tuple[list[ReviewRow], dict[str, str], list[str]]:
    """Return the preferences of a request, by id why others are refused, and the ids of the readable ones.

    A row without a value takes the rater's preference back.

    Raises:
        JudgmentError: the request has no list of events.
    """
    events, refused = readable_events(body, _preference)
    rows = sorted((row for _id, row in events), key=lambda row: row.at_ns)
    return rows, refused, [id for id, _row in events]


def _preference(event: Mapping[str, Any]) -> tuple[str, ReviewRow]:
    texts = {name: text_field(event, name, most) for name, most in _MOST.items()}
    for name, text in texts.items():
        if not text.strip():
            raise JudgmentError(f"{name}: expected a text that is not blank")
    value = event.get("value")
    if value is not None and value not in _VALUES:
        raise JudgmentError(f"value: got {value!r}, allowed: {', '.join(_VALUES)}, or null to take it back")
    row = ReviewRow(
        "prefer", texts["rater"].strip(), time_field(event), query=texts["query"], source=texts["first"],
        other_source=texts["second"], value=value,
    )  # fmt: skip
    return str(event["id"]), row


def keep_preferences(db: Path, rows: Sequence[ReviewRow]) -> None:
    """Write preferences in one transaction; of one rater on one question the latest counts.

    Raises:
        StoreError: the database cannot be written now; nothing was.
    """
    if not rows:
        return
    with writing_reviews(db) as writer:
        for row in rows:
            if row.value is None:
                writer.remove(row)
            else:
                writer.note(row)
