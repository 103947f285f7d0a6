"""A pair of the queue, in a module that loads neither Ibis nor Arrow: the review page shows pairs at once."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["OpenPair"]


@dataclass(frozen=True, slots=True)
class OpenPair:
    """A pair of the queue without its text, so that a hundred thousand fit in memory.

    Attributes:
        query_key, query: the query group and its most frequent wording.
        chunk_version: the number of the chunk version.
        source, chunk_id: the chunk.
        rank: the best rank of the chunk for the group.
        why: as for :class:`~ragwheel.judgments.Candidate`; *newest* where nothing is computed yet.
        belief: P(relevant) by traces and judgments; None without evidence.
    """

    query_key: str
    query: str
    chunk_version: int
    source: str
    chunk_id: str
    rank: int
    why: str
    belief: float | None
