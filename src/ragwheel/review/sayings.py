"""What raters say of chunks, as the page sends it: checked, written in one transaction, each answered."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

from ragwheel.errors import JudgmentError
from ragwheel.review.ordering import PairKey
from ragwheel.store.judging import JudgmentRow
from ragwheel.store.reviews import ReviewRow, ReviewWriter, writing_reviews
from ragwheel.words import query_key

__all__ = [
    "ACTIONS", "MOST_EVENTS", "RaterEvent", "read_events", "readable_events", "text_field", "time_field",
    "write_events",
]  # fmt: skip

T = TypeVar("T")

ACTIONS: Final = ("grade", "cannot_tell", "skip", "undo")
MOST_EVENTS: Final = 200
_MOST: Final = {
    "query": 100_000,
    "source": 10_000,
    "chunk": 10_000,
    "note": 10_000,
    "reason": 100,
    "rater": 100,
}


@dataclass(frozen=True)
class RaterEvent:
    """One key press: what a rater said of a chunk, and when."""

    id: str
    rater: str
    action: str
    query: str
    source: str
    chunk: str
    at_ns: int
    content_hash: bytes | None = None
    grade: float | None = None
    note: str | None = None
    reason: str | None = None

    @property
    def key(self) -> PairKey:
        """The pair it is about."""
        return (query_key(self.query), self.source, self.chunk)


def read_events(body: Mapping[str, Any]) -> tuple[list[RaterEvent], dict[str, str]]:
    """Return the readable events of a request, oldest first, and why the others are refused, by id.

    Raises:
        JudgmentError: the request has no list of events.
    """
    events, refused = readable_events(body, _event)
    return sorted(events, key=lambda event: event.at_ns), refused


def readable_events(
    body: Mapping[str, Any], read: Callable[[Mapping[str, Any]], T]
) -> tuple[list[T], dict[str, str]]:
    """Return what ``read`` makes of each event of a request, and by id why it refused the others.

    Raises:
        JudgmentError: the request has no list of events, or one without an id.
    """
    rows = body.get("events")
    if not isinstance(rows, list) or len(rows) > MOST_EVENTS:
        raise JudgmentError(f"events: expected a list of at most {MOST_EVENTS}")
    events: list[T] = []
    refused: dict[str, str] = {}
    for row in rows:
        if not isinstance(row, dict) or not isinstance(row.get("id"), str) or len(row["id"]) > 100:
            raise JudgmentError("event without an id: expected a text of at most 100 characters")
        try:
            events.append(read(row))
        except JudgmentError as exc:
            refused[row["id"]] = str(exc)
    return events, refused


def _event(row: Mapping[str, Any]) -> RaterEvent:
    texts = {name: text_field(row, name, most) for name, most in _MOST.items()}
    if row.get("action") not in ACTIONS:
        raise JudgmentError(f"action: got {row.get('action')!r}, allowed: {', '.join(ACTIONS)}")
    for name in ("rater", "query", "chunk"):
        if not texts[name].strip():
            raise JudgmentError(f"{name}: expected a text that is not blank")
    grade = row.get("grade")
    if row["action"] == "grade" and (
        isinstance(grade, bool) or not isinstance(grade, (int, float)) or not 0 <= grade <= 5
    ):
        raise JudgmentError(f"grade: got {grade!r}, allowed: a number from 0 to 5")
    at_ns = time_field(row)
    try:
        digest = bytes.fromhex(row.get("hash") or "") or None
    except (ValueError, TypeError):
        raise JudgmentError("hash: expected hexadecimal digits") from None
    return RaterEvent(
        id=row["id"],
        rater=texts["rater"].strip(),
        action=row["action"],
        query=texts["query"],
        source=texts["source"],
        chunk=texts["chunk"],
        at_ns=at_ns,
        content_hash=digest,
        grade=float(grade) if row["action"] == "grade" and grade is not None else None,
        note=texts["note"].strip() or None,
        reason=texts["reason"].strip() or None,
    )


def text_field(row: Mapping[str, Any], name: str, most: int) -> str:
    """Return a text of an event, empty where it has none, without what a database or a page cannot hold.

    Raises:
        JudgmentError: it is no text, or longer than ``most`` characters.
    """
    value = row.get(name)
    if value is None:
        return ""
    if not isinstance(value, str) or len(value) > most:
        raise JudgmentError(f"{name}: expected a text of at most {most:,} characters")
    return value.encode("utf-8", "replace").decode("utf-8").replace("\x00", " ")


def time_field(row: Mapping[str, Any]) -> int:
    """Return when an event happened, in nanoseconds; a clock that is ahead counts as now.

    Raises:
        JudgmentError: it is no time.
    """
    at_ms = row.get("at")
    if isinstance(at_ms, bool) or not isinstance(at_ms, (int, float)) or not 0 < at_ms < 1e15:
        raise JudgmentError(f"at: got {at_ms!r}, expected milliseconds since 1970")
    return min(int(at_ms) * 1_000_000, time.time_ns())


def write_events(db: Path, events: Sequence[RaterEvent], *, timeout_s: float = 5.0) -> None:
    """Write events in one transaction; the same event twice changes nothing.

    Raises:
        StoreError: the database cannot be written now; nothing was.
    """
    if not events:
        return
    with writing_reviews(db, timeout_s=timeout_s) as writer:
        for event in _in_order(events):
            _write(writer, event)


def _in_order(events: Sequence[RaterEvent]) -> Iterator[RaterEvent]:
    return iter(sorted(events, key=lambda event: event.at_ns))


def _write(writer: ReviewWriter, event: RaterEvent) -> None:
    if event.action == "undo":
        writer.undo(event.rater, event.query, event.source, event.chunk, event.at_ns)
    elif event.action == "grade" and event.grade is not None:
        writer.grade(
            JudgmentRow(
                query=event.query,
                source=event.source,
                chunk_id=event.chunk,
                grade=event.grade,
                judge=event.rater,
                note=event.note,
                at_ns=event.at_ns,
                text_hash=event.content_hash,
                reason=event.reason,
            )
        )
    else:
        writer.note(
            ReviewRow(
                "skip" if event.action == "skip" else "cannot_tell",
                event.rater,
                event.at_ns,
                query=event.query,
                source=event.source,
                chunk=event.chunk,
                note=event.note,
            )
        )
