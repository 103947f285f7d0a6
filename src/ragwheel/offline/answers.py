"""The answers of turns and how they were received, for the selection of examples."""

from __future__ import annotations

import json
import re
import sqlite3
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from ragwheel.kinds import DISLIKED_ANSWER, LIKED_ANSWER
from ragwheel.offline.reading import reading, rows
from ragwheel.offline.words import key, overlap, words

__all__ = ["AnsweredTurn", "read_turns", "why_not"]

ABOUT_ANSWERS: Final = (*LIKED_ANSWER, *DISLIKED_ANSWER, "rating")
LEAST_RATING: Final = 4.0
MOST_BAD_RATING: Final = 2.0
AGAIN_WITHIN_NS: Final = 600 * 1_000_000_000
AGAIN_OVERLAP: Final = 0.4
"""The least word overlap with the next question, within ten minutes, that counts as asking again."""

TURNS = """
SELECT turn_id, query, answer, reasoning, session_id, user_id, start_ns FROM turns
 WHERE query IS NOT NULL AND error IS NULL ORDER BY start_ns, turn_id
"""
CITED = "SELECT turn_id, count(*) AS n FROM citations WHERE matched GROUP BY turn_id"
SIGNALS = """
SELECT turn_id, kind, value FROM signals
 WHERE turn_id IS NOT NULL AND chunk_id IS NULL
   AND kind IN (SELECT value FROM json_each(?))
"""
LABELS = """
SELECT c.turn_id, json_extract(h.metadata, '$."' || ? || '"') AS label
  FROM citations c JOIN chunks h ON h.chunk_id = c.chunk_id AND h.source = coalesce(c.source, h.source)
 WHERE c.matched AND h.metadata IS NOT NULL ORDER BY c.turn_id, c.position DESC, h.first_seen_ns
"""
#: Text that only names a source: ``[1]``, ``【1†source】``, ``Sources: 1, 2``. A bare number is an answer.
_ONLY_CITING: Final = re.compile(
    r"(?i)\[[^\[\]]{1,200}\]|【[^【】]{1,200}】|[¹²³⁰⁴-⁹]+"
    r"|\b(?:see|sources?|refs?|references?|citations?|footnotes?|docs?|documents?)\b"
    r"(?:[\s:#.(]*\d{1,3}\b\)?(?:\s*(?:,|and|&)\s*\d{1,3}\b)*)?"
)
_THOUGHT: Final = re.compile(r"(?is)<(think|thinking|reasoning)>(.*?)</\1>\s*")


@dataclass(frozen=True, slots=True)
class AnsweredTurn:
    """A question, its answer, and how it was received.

    ``reasoning`` is that of ``turn.answer``, else the text between ``<think>`` tags in the answer. ``liked``
    and ``disliked`` count signals about the answer. ``again`` is true if the next question of the session was
    the same in other words. ``label`` is the app's own type of question, if it was asked for.
    """

    turn_id: str
    question: str
    answer: str
    reasoning: str | None
    person: str
    asked_ns: int
    cited: int
    liked: int
    disliked: int
    again: bool
    label: str | None = None


def read_turns(
    db: str | Path,
    *,
    label_key: str | None = None,
    label_of: Callable[[str], str | None] | None = None,
) -> list[AnsweredTurn]:
    """Return every turn with a question, oldest first.

    Args:
        db: the database.
        label_key: a metadata key of chunks, whose value in the first cited chunk is the turn's label.
        label_of: a function of the app that returns the label of a question; it overrides ``label_key``.

    Raises:
        StoreError: the database cannot be read.
    """
    with reading(db) as connection:
        cited = {row["turn_id"]: row["n"] for row in rows(connection, CITED)}
        liked, disliked = _received(rows(connection, SIGNALS, json.dumps(ABOUT_ANSWERS)))
        labels = _labels(connection, label_key) if label_key else {}
        turn_rows = rows(connection, TURNS)
    again = _asked_again(turn_rows)
    turns = []
    for row in turn_rows:
        answer, thought = _split(row["answer"] or "")
        turns.append(
            AnsweredTurn(
                turn_id=row["turn_id"],
                question=" ".join(row["query"].split()),
                answer=answer,
                reasoning=(row["reasoning"] or "").strip() or thought,
                person=row["user_id"] or row["session_id"] or row["turn_id"],
                asked_ns=row["start_ns"],
                cited=cited.get(row["turn_id"], 0),
                liked=liked.get(row["turn_id"], 0),
                disliked=disliked.get(row["turn_id"], 0),
                again=row["turn_id"] in again,
                label=labels.get(row["turn_id"]),
            )
        )
    if label_of is not None:
        turns = [replace(turn, label=label_of(turn.question)) for turn in turns]
    return turns


def why_not(turn: AnsweredTurn) -> str | None:
    """Return the first reason why a turn cannot be an example, or None."""
    if not turn.answer.strip():
        return "no answer"
    if not words(_ONLY_CITING.sub(" ", turn.answer)):
        return "empty answer"
    if turn.disliked:
        return "disliked"
    if not turn.liked:
        return "not liked"
    if not turn.cited:
        return "nothing cited"
    if turn.again:
        return "asked again"
    return None


def _received(signals: Iterable[sqlite3.Row]) -> tuple[dict[str, int], dict[str, int]]:
    liked: dict[str, int] = defaultdict(int)
    disliked: dict[str, int] = defaultdict(int)
    for row in signals:
        kind, value = row["kind"], row["value"]
        rated = kind == "rating" and value is not None
        if kind in LIKED_ANSWER or (rated and value >= LEAST_RATING):
            liked[row["turn_id"]] += 1
        elif kind in DISLIKED_ANSWER or (rated and value <= MOST_BAD_RATING):
            disliked[row["turn_id"]] += 1
    return liked, disliked


def _labels(connection: sqlite3.Connection, label_key: str) -> dict[str, str]:
    labels = rows(connection, LABELS, label_key.replace('"', ""))
    return {row["turn_id"]: str(row["label"]) for row in labels if row["label"] not in (None, "")}


def _asked_again(turns: Iterable[Any]) -> set[str]:
    """Return the turns whose question was rephrased right after."""
    keys: set[str] = set()
    last: dict[str, Any] = {}
    for row in turns:
        session = row["session_id"]
        if session is None:
            continue
        before = last.get(session)
        if (
            before is not None
            and row["start_ns"] - before["start_ns"] <= AGAIN_WITHIN_NS
            and key(before["query"]) != key(row["query"])
            and overlap(before["query"], row["query"]) >= AGAIN_OVERLAP
        ):
            keys.add(before["turn_id"])
        last[session] = row
    return keys


def _split(answer: str) -> tuple[str, str | None]:
    """Split an answer into the answer and the reasoning between ``<think>`` tags."""
    thoughts = [match[2].strip() for match in _THOUGHT.finditer(answer)]
    rest = _THOUGHT.sub("", answer).strip()
    return rest, "\n".join(filter(None, thoughts)) or None
