"""What traces say about chunks, one small rule per kind of evidence; ``collect`` runs them all."""

from __future__ import annotations

__all__: list[str] = []
