"""Discounted cumulative gain (Järvelin & Kekäläinen 2002), where gains are beliefs or grades in memory.

:mod:`ragwheel.evaluate.measures` measures rankings against judgments, by ir-measures. Training needs the same
measure over arrays, for gains that need not be whole numbers; a test holds the two equal.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]

__all__ = ["DEPTH", "discount", "ideal_dcg", "ndcg"]

#: The measure is nDCG@10 unless something else is asked for.
DEPTH: Final = 10


def discount(ranks: ArrayLike, depth: int = DEPTH) -> Floats:
    """What one unit of gain at each rank (from 1) adds: ``1 / log2(1 + rank)``, and 0 below the depth."""
    at = np.asarray(ranks, dtype=np.float64)
    worth: Floats = np.where(at < depth + 0.5, 1 / np.log2(1.0 + at), 0.0)
    return worth


def ideal_dcg(relevant: ArrayLike, depth: int = DEPTH) -> Floats:
    """The DCG of a perfect ranking of that many relevant documents of gain 1, also of a share of one."""
    best = np.cumsum([0.0, *discount(np.arange(1, depth + 1), depth)])
    ideal: Floats = np.interp(np.asarray(relevant, dtype=np.float64), np.arange(depth + 1), best)
    return ideal


def ndcg(gains: ArrayLike, judged: ArrayLike | None = None, depth: int = DEPTH) -> float:
    """The nDCG of one ranking.

    Args:
        gains: (n,) the gain of each ranked document, best rank first.
        judged: the gains of all documents that count for the query; None: those of the ranking.
        depth: ranks below it count nothing.

    Returns:
        A number in [0, 1]; NaN where nothing has a gain.
    """
    first = np.asarray(gains, dtype=np.float64)[:depth]
    best = np.sort(np.asarray(gains if judged is None else judged, dtype=np.float64))[::-1][:depth]
    ideal = best @ discount(np.arange(1, len(best) + 1), depth)
    return float(first @ discount(np.arange(1, len(first) + 1), depth) / ideal) if ideal else float("nan")
