"""Scores that a retriever puts into its chunks' metadata.

LangChain's ``Document`` has no field for a score, so integrations put it into the metadata. A score belongs
to the retrieval: left in the metadata, it would make the same chunk look different in every retrieval.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from operator import itemgetter
from typing import Any, Final

__all__ = ["SCORE_KEYS", "lift_scores"]

SCORE_KEYS: Final = ("score", "_score", "relevance_score", "similarity_score", "similarity", "distance")


def lift_scores(metadata: Sequence[Any]) -> tuple[str, list[float | None]] | None:
    """Find the metadata key that holds the chunks' scores.

    Args:
        metadata: one mapping (or None) per chunk, in rank order; not changed.

    Returns:
        ``(key, scores)`` with None for a chunk without a score; or None if there is no such key.
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
    """Return the values if every chunk has a finite float, without Python code per chunk; else None."""
    try:
        scores = list(map(itemgetter(key), metadata))
    except (TypeError, KeyError, IndexError):  # a chunk has no score, or no metadata
        return None
    return scores if set(map(type, scores)) == {float} and all(map(isfinite, scores)) else None


def _number(value: Any) -> float | None:
    if type(value) is float:
        return value if isfinite(value) else None
    return float(value) if type(value) is int else None
