"""What the journal holds: one record per span, encoded as a MessagePack array.

Fields are only ever appended, with a default, so that a newer ragwheel reads the segments that an
older one left behind. Times are Unix nanoseconds, ids raw bytes.
"""

from __future__ import annotations

from typing import Any

import msgspec

__all__ = [
    "COUNTED", "DROPS", "OPEN", "RETRIEVAL", "REVISION", "SIGNAL", "TURN",
    "Drops", "Opened", "RetrievalRecord", "SignalRecord", "TurnRecord", "event_key",
]  # fmt: skip

OPEN, RETRIEVAL, TURN, SIGNAL, DROPS, REVISION = 1, 2, 3, 4, 5, 6
"""Kinds of records. REVISION is a TURN whose turn this process has written before: it makes no new row."""

COUNTED = frozenset({RETRIEVAL, TURN, SIGNAL})
"""Kinds that a process counts as emitted, each of which makes a row."""


class Opened(msgspec.Struct, array_like=True, frozen=True):
    """First record of every segment: who writes it."""

    pid: int
    created_ns: int
    version: str
    app: str


class RetrievalRecord(msgspec.Struct, array_like=True):
    """A call of a retriever or re-ranker.

    ``refs`` name chunk versions by the number that this segment gave them; ``new`` defines numbers:
    ``(number, app id, text)``, in the same frame as their first use at the latest.
    """

    span_id: bytes
    trace_id: bytes
    parent_id: bytes | None
    turn_id: bytes | None
    outer_id: bytes | None
    kind: int
    source: str
    name: str
    version: str
    app: str
    query: str
    session_id: str | None
    user_id: str | None
    start_ns: int
    duration_ns: int
    top_k: int | None
    capture_k: int
    n_returned: int
    scores: list[float | None] | None
    metadata: list[Any] | None
    in_ranks: list[int | None] | None
    error: str | None
    flags: tuple[str, ...]
    refs: list[int] = []
    new: list[tuple[int, str, str]] = []


class TurnRecord(msgspec.Struct, array_like=True):
    """A question and its answer. The one with the highest ``revision`` of a span id counts."""

    span_id: bytes
    trace_id: bytes
    parent_id: bytes | None
    revision: int
    app: str
    query: str | None
    answer: str | None
    session_id: str | None
    user_id: str | None
    start_ns: int
    duration_ns: int
    prompted: list[tuple[str, int]] | None
    shown: list[tuple[str, int]] | None
    citations: list[dict[str, Any]] | None
    error: str | None
    flags: tuple[str, ...]
    reasoning: str | None = None


class SignalRecord(msgspec.Struct, array_like=True):
    """Something a person (or the app) did."""

    span_id: bytes
    trace_id: bytes
    event_id: str | None
    kind: str
    target: int
    target_id: bytes
    chunk: str | None
    rank: int | None
    value: float | None
    query: str | None
    other: str | None
    subject: str | None
    at_ns: int
    received_ns: int
    flags: tuple[str, ...]
    comment: str | None = None
    reason: str | None = None


def event_key(signal: SignalRecord) -> tuple[str, int, bytes, str] | None:
    """Return what tells the event of a signal from any other: its id, target and subject; None without an id.

    An event id is the sender's word: it is unique within one person's answer, and nowhere else.
    """
    if signal.event_id is None:
        return None
    return signal.event_id, signal.target, signal.target_id, signal.subject or ""


class Drops(msgspec.Struct, array_like=True):
    """What the process could not write since it last said so, by reason."""

    reasons: dict[str, int]
