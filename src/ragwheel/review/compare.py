"""The room of comparisons: two systems' rankings of a question side by side, blind and shuffled."""

from __future__ import annotations

import math
import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import combinations
from typing import Any, Final

from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import Response

from ragwheel.errors import JudgmentError
from ragwheel.labels.traces.text import query_key
from ragwheel.review.desk import ReviewDesk, rater_of
from ragwheel.review.markdown import question_words, render
from ragwheel.review.pages import page
from ragwheel.review.run_files import run_rankings
from ragwheel.store.reviews import (
    ReviewRow,
    chunk_versions,
    rankings_by_version,
    reading_rows,
    review_rows,
    writing_reviews,
)

__all__ = ["RankedSide", "RankingTally", "compare_page", "prefer", "tally_of"]

_DEPTH: Final = 10
_PREVIEW: Final = 600
_VALUES: Final = ("first", "second", "tie")
_Z: Final = 1.959964

Rankings = Mapping[str, Mapping[str, Sequence[int]]]
"""Question -> system -> chunk versions, best first."""


@dataclass(frozen=True)
class RankedItem:
    """A chunk on one side; ``move`` says where the other side has it."""

    rank: int
    chunk_id: str
    source: str
    html: Markup
    move: str


@dataclass(frozen=True)
class RankedSide:
    """One ranking on screen; ``value`` is what a preference for it is written as."""

    letter: str
    value: str
    items: tuple[RankedItem, ...]


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


def compare_page(desk: ReviewDesk, request: Request) -> Response:
    """Return the next question on which the two systems differ and the rater has said nothing."""
    rater = rater_of(desk, request)
    rankings = desk.remembered("rankings") or desk.remember("rankings", _rankings(desk))
    systems = _systems(rankings, request)
    if systems is None:
        return page(
            "compare.html", room="compare", rater=rater, systems=None, question=None, names=_names(rankings)
        )
    first, second = systems
    with reading_rows(desk.options.db) as connection:
        said = [row for row in review_rows(connection, "prefer") if (row.source, row.other_source) == systems]
    mine = {row.query for row in said if row.rater == rater} | set(request.query_params.getlist("skip")[:500])
    differing = [query for query, sides in rankings.items() if first in sides and second in sides
                 and list(sides[first][:_DEPTH]) != list(sides[second][:_DEPTH])]  # fmt: skip
    open_ = sorted((query for query in differing if query not in mine), key=lambda query: _seed(rater, query))
    sides = _sides(desk, open_[0], rankings[open_[0]], systems, rater) if open_ else ()
    return page(
        "compare.html",
        room="compare",
        rater=rater,
        systems=systems,
        names=_names(rankings),
        question=open_[0] if open_ else None,
        sides=sides,
        left=len(open_),
        whole=len(differing),
        tally=tally_of(said),
        skipped=request.query_params.getlist("skip")[:500],
    )


def prefer(desk: ReviewDesk, body: dict[str, Any]) -> dict[str, Any]:
    """Write which of two systems a rater prefers for a question, or take it back (value null)."""
    names = ("rater", "query", "first", "second")
    texts = {name: body.get(name) for name in names}
    if not all(isinstance(text, str) and text.strip() and len(text) < 100_000 for text in texts.values()):
        raise JudgmentError(f"expected texts: {', '.join(names)}")
    value = body.get("value")
    if value is not None and value not in _VALUES:
        raise JudgmentError(f"value: got {value!r}, allowed: {', '.join(_VALUES)}, or null to take it back")
    row = ReviewRow(
        "prefer", str(texts["rater"]).strip()[:100], time.time_ns(), query=str(texts["query"]),
        source=str(texts["first"]), other_source=str(texts["second"]), value=value,
    )  # fmt: skip
    with writing_reviews(desk.options.db) as writer:
        kept = writer.remove(row) if value is None else writer.note(row)
    return {"kept": kept}


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
    spread = _Z * math.sqrt(share * (1 - share) / decided + _Z**2 / (4 * decided**2))
    middle, scale = share + _Z**2 / (2 * decided), 1 + _Z**2 / decided
    low, high = (middle - spread) / scale, (middle + spread) / scale
    return RankingTally(wins["first"], wins["second"], wins["tie"], share, low, high)


def _rankings(desk: ReviewDesk) -> Rankings:
    if desk.options.runs:
        return run_rankings(desk.options.db, desk.options.runs)
    found: defaultdict[str, dict[str, Sequence[int]]] = defaultdict(dict)
    with reading_rows(desk.options.db) as connection:
        for query, system, versions in rankings_by_version(connection):
            found[query][system.strip()] = versions
    return {query: sides for query, sides in found.items() if len(sides) > 1}


def _names(rankings: Rankings) -> list[tuple[str, str, int]]:
    """Return the pairs of systems with the questions that both have ranked for, most first."""
    pairs: Counter[tuple[str, str]] = Counter()
    for sides in rankings.values():
        pairs.update(combinations(sorted(sides), 2))
    return [(first, second, n) for (first, second), n in pairs.most_common(20)]


def _systems(rankings: Rankings, request: Request) -> tuple[str, str] | None:
    pairs = [(first, second) for first, second, _n in _names(rankings)]
    asked = (request.query_params.get("first", ""), request.query_params.get("second", ""))
    return asked if asked in pairs else pairs[0] if pairs else None


def _seed(*parts: str) -> bytes:
    return blake2b("\x1f".join(parts).encode("utf-8", "surrogatepass"), digest_size=8).digest()


def _sides(
    desk: ReviewDesk, query: str, rankings: Mapping[str, Sequence[int]], systems: tuple[str, str], rater: str
) -> tuple[RankedSide, ...]:
    """Return both sides; which is A changes from question to question and from rater to rater."""
    values = ["first", "second"]
    tops = [list(rankings[system][:_DEPTH]) for system in systems]
    if _seed(rater, query, "side")[0] % 2:
        values.reverse()
        tops.reverse()
    with reading_rows(desk.options.db) as connection:
        chunks = chunk_versions(connection, {n for top in tops for n in top}, most=_PREVIEW)
    words = question_words(query)
    sides = []
    for letter, value, top, other in zip("AB", values, tops, reversed(tops)):
        items = [
            RankedItem(
                rank,
                chunks[number].chunk_id,
                chunks[number].source,
                render(chunks[number].text, words),
                _move(
                    rank, other.index(number) + 1 if number in other else None, "B" if letter == "A" else "A"
                ),
            )
            for rank, number in enumerate(top, 1)
            if number in chunks
        ]
        sides.append(RankedSide(letter, value, tuple(items)))
    return tuple(sides)


def _move(rank: int, other: int | None, letter: str) -> str:
    if other is None:
        return f"not in {letter}"
    if other == rank:
        return ""
    return f"{'↑' if rank < other else '↓'} {letter} has it at {other}"
