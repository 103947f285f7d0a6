"""Vectors of questions without a model: hashed words with TF-IDF weights.

The build and the app use the same implementation, which needs numpy only and is the same on every machine.
Words of more than five letters also count by their first five, so that *rotate* and *rotating* match. Feature
hashing is by Weinberger et al., ICML 2009.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final
from zlib import crc32

import numpy as np

from ragwheel.offline.words import words

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

__all__ = ["DIMENSION", "Lexical", "unit"]

DIMENSION: Final = 512
_STEM: Final = 5
_STEM_WEIGHT: Final = 0.5


class Lexical:
    """Turns texts into unit vectors of shape (texts, 512), float32; a text without words is all zeros.

    Args:
        idf: the weights of the 512 dimensions, as :meth:`fit` learns them.
    """

    def __init__(self, idf: Sequence[float]) -> None:
        self.idf = np.asarray(idf, dtype=np.float32)

    @classmethod
    def fit(cls, texts: Sequence[str]) -> Lexical:
        """Learn smoothed inverse document frequencies from the questions that people ask."""
        seen = np.zeros(DIMENSION)
        for text in texts:
            seen[[*_counts(text)]] += 1
        return cls(np.round(np.log((1 + len(texts)) / (1 + seen)) + 1, 4).tolist())

    def __call__(self, texts: Sequence[str]) -> Floats:
        """Return vectors of shape (texts, 512)."""
        vectors = np.zeros((len(texts), DIMENSION), dtype=np.float32)
        for row, text in enumerate(texts):
            counted = _counts(text)
            places = [*counted]
            vectors[row, places] = np.log1p(np.fromiter(counted.values(), np.float32, len(places)))
        return unit(vectors * self.idf)


def unit(vectors: Floats) -> Floats:
    """Scale rows to length 1; zero rows stay zero."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / np.where(lengths > 0, lengths, 1)).astype(np.float32, copy=False)


def _counts(text: str) -> dict[int, float]:
    weights: dict[int, float] = {}
    for word in words(text):
        column = crc32(word.encode("utf-8", "replace")) % DIMENSION
        weights[column] = weights.get(column, 0.0) + 1
        if len(word) > _STEM:
            column = crc32(b"~" + word[:_STEM].encode("utf-8", "replace")) % DIMENSION
            weights[column] = weights.get(column, 0.0) + _STEM_WEIGHT
    return weights
