"""Citations: which of the chunks that a model saw its answer refers to."""

from __future__ import annotations

from ragwheel.citations.resolve import Candidate, Citation, Extracted, extract

__all__ = ["Candidate", "Citation", "Extracted", "extract"]
