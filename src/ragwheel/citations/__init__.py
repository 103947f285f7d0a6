"""Citations: finding out which of the chunks in a prompt an answer refers to."""

from __future__ import annotations

from ragwheel.citations.resolve import CitableChunk, Citation, Extracted, extract

__all__ = ["CitableChunk", "Citation", "Extracted", "extract"]
