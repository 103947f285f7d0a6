"""Scores that a retriever hides in its chunks' metadata.

LangChain's ``Document`` has no field for a score, so integrations put it into the metadata. There it
would make every impression's metadata different from the chunk's; it belongs to the retrieval.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from operator import itemgetter
from typing import Any, Final

__all__ = ["SCORE_KEYS", "lift_scores"]

SCORE_KEYS: Final = ("score", "_score", "relevance_score", "similarity_score", "similarity", "distance")


def lift_scores(metadata: Sequence[Any]) -> tuple[str, list[float | None]] | None:
    """The key that carries a finite number in at least one of the chunks' metadata, and the numbers.

    Args:
        metadata: one mapping (or None) per chunk, in rank order; not changed.

    Returns:
        ``(key, scores)``, scores None where a chunk has none; or None when no key does.
    """
    first = next((m for m in metadata if m), None)
    if type(first) is not dict:
        return None
    for key in SCORE_KEYS:
        if key in first:
            scores = _all_floats(metadata, key) or [
                _number(m.get(key)) if type(m) is dict else None for m in metadata
            ]
            if any(score is not None for score in scores):
                return key, scores
    return None


def _all_floats(metadata: Sequence[Any], key: str) -> list[float | None] | None:
    """The values when every chunk has a finite float, without Python work per chunk."""
    try:
        found = list(map(itemgetter(key), metadata))
    except (TypeError, KeyError, IndexError):  # some have none, or no metadata
        return None
    return found if set(map(type, found)) == {float} and all(map(isfinite, found)) else None


def _number(value: Any) -> float | None:
    if type(value) is float:
        return value if isfinite(value) else None
    return float(value) if type(value) is int else None
