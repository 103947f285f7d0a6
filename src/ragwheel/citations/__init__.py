"""Citations: which of the chunks that a model saw its answer refers to."""

from __future__ import annotations

from ragwheel.citations.resolve import CitableChunk, Citation, Extracted, extract

__all__ = ["CitableChunk", "Citation", "Extracted", "extract"]
