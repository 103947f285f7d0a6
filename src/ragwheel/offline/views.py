"""The results of :func:`~ragwheel.offline.show` and :func:`~ragwheel.offline.latest`."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["CitationView", "RankedChunk", "RetrievalView", "SignalView", "TurnLine", "TurnView"]


@dataclass(frozen=True, slots=True)
class RankedChunk:
    """A chunk in a ranking; ``exposure`` is ``logged``, ``returned``, ``prompted`` or ``shown``."""

    rank: int
    source: str
    chunk_id: str
    score: float | None
    exposure: str
    assumed: bool
    """Whether ``prompted`` was assumed, because an answer followed without ``turn.prompted``."""
    text: str


@dataclass(frozen=True, slots=True)
class RetrievalView:
    """One call of a retriever or a re-ranker."""

    retrieval_id: str
    kind: str
    source: str
    retriever: str
    version: str
    query: str
    start_ns: int
    duration_ms: float
    top_k: int | None
    capture_k: int | None
    n_returned: int
    outer_id: str | None
    """The retrieval that this one ran inside."""
    error: str | None
    chunks: tuple[RankedChunk, ...]


@dataclass(frozen=True, slots=True)
class CitationView:
    """A citation of the answer; ``matched`` is False if it refers to no retrieved chunk."""

    position: int
    marker: str | None
    retrieval_id: str | None
    rank: int | None
    chunk_id: str | None
    method: str | None
    matched: bool


@dataclass(frozen=True, slots=True)
class SignalView:
    """A signal; ``reason`` says why an unmatched signal is no evidence, and is None for a matched one."""

    kind: str
    retrieval_id: str | None
    rank: int | None
    chunk_id: str | None
    value: float | None
    query: str | None
    other: str | None
    subject: str | None
    at_ns: int
    reason: str | None = None
    comment: str | None = None
    """In the person's own words."""
    signal_reason: str | None = None
    """The short code that came with the signal."""
    retracted: bool = False
    """Whether the same person retracted the signal, so that it is no evidence."""
    bot: bool = False
    """Whether a known robot sent the signal, so that it is no evidence, unless the label policy allows it."""


@dataclass(frozen=True, slots=True)
class TurnView:
    """A question with all records about it; ``turn_id`` is None for a retrieval outside any turn."""

    turn_id: str | None
    query: str | None
    answer: str | None
    reasoning: str | None
    session_id: str | None
    user_id: str | None
    start_ns: int
    error: str | None
    retrievals: tuple[RetrievalView, ...]
    citations: tuple[CitationView, ...]
    signals: tuple[SignalView, ...]


@dataclass(frozen=True, slots=True)
class TurnLine:
    """A line for a turn, or for a retrieval outside any turn."""

    id: str
    kind: str
    """``turn`` or ``retrieval``."""
    query: str
    start_ns: int
    retrievals: int
    citations: int
    signals: int
