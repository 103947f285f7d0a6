"""How good beliefs are: recall of relevant chunks at a precision, and expected calibration error."""

from __future__ import annotations

import numpy as np

from labels.crowds.turns import Bools, Floats

__all__ = ["calibration_error", "recall_at_precision"]


def recall_at_precision(beliefs: Floats, relevant: Bools, precision: float = 0.9) -> float:
    """The largest share of relevant pairs that a threshold on the beliefs keeps at this precision."""
    order = np.argsort(-beliefs, kind="stable")
    hits = np.cumsum(relevant[order])
    ends = np.append(np.diff(beliefs[order]) != 0, True)  # a threshold cannot part equal beliefs
    good = ends & (hits / np.arange(1, len(order) + 1) >= precision)
    return float(hits[good].max() / max(relevant.sum(), 1)) if good.any() else 0.0


def calibration_error(beliefs: Floats, relevant: Bools, bins: int = 10) -> float:
    """Expected calibration error over bins of equal width (Naeini, Cooper and Hauskrecht, AAAI 2015)."""
    number = np.minimum((beliefs * bins).astype(int), bins - 1)
    n = np.bincount(number, minlength=bins)
    gap = np.abs(np.bincount(number, beliefs, bins) - np.bincount(number, relevant, bins))
    return float(gap.sum() / n.sum())
