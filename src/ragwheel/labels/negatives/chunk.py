"""A chunk with its grade, as the stages after grading pass it on."""

from __future__ import annotations

from dataclasses import dataclass

from ragwheel.labels.reasons import Reason

__all__ = ["GradedChunk"]


@dataclass(frozen=True)
class GradedChunk:
    """A chunk version and its grade for one query group; see :func:`~ragwheel.labels.model.beliefs.grade`."""

    chunk_version: int
    source: str
    chunk_id: str
    text_id: int
    text: str
    status: str
    grade: float
    confidence: float
    strategy: str | None
    closeness: int | None
    reasons: tuple[Reason, ...]

    @property
    def key(self) -> tuple[str, str]:
        """The chunk whatever its version."""
        return self.source, self.chunk_id
