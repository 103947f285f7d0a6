"""Relevance from clicks once examination is known: inverse propensity weights, clipped and normalised.

Inverse propensity scoring: Joachims, Swaminathan and Schnabel, Unbiased learning-to-rank with biased
feedback, WSDM 2017. Clipping bounds what one click under a small propensity can do, at the price of some
bias. Self-normalisation (Swaminathan and Joachims, The self-normalized estimator for counterfactual learning,
NeurIPS 2015) divides by the sum of the weights instead of the number of rows: never outside the range of
what was observed, and steadier.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from ragwheel.errors import ConfigurationError
from ragwheel.labels.position.cells import Floats, Ints

__all__ = ["Weighed", "affine", "ips"]

_Z: Final = 1.959964


@dataclass(frozen=True)
class Weighed:
    """A mean under inverse propensity weights: value, 95 % interval, and the share of rows clipped."""

    value: float
    low: float
    high: float
    clipped: float


def ips(
    values: Floats,
    propensities: Floats,
    *,
    clip: float = 0.1,
    self_normalise: bool = True,
    clusters: Ints | None = None,
) -> Weighed:
    """The mean of ``values`` had every row been observed for certain.

    Args:
        values: (n,) what was observed.
        propensities: (n,) how likely that was, above 0 to 1.
        clip: a smaller propensity counts as this much.
        self_normalise: divide by the sum of the weights.
        clusters: (n,) rows that may depend on each other share a number; None: none do.

    Raises:
        ConfigurationError: no rows, different lengths, or a propensity outside of its range.
    """
    if not len(values) or len(values) != len(propensities):
        raise ConfigurationError(
            f"ips: got {len(values)} values and {len(propensities)} propensities, allowed: as many, from 1"
        )
    if not 0 < clip <= 1 or propensities.min() <= 0 or propensities.max() > 1:
        raise ConfigurationError("ips: propensities and clip must be above 0 and at most 1")
    weights = 1 / np.maximum(propensities, clip)
    total = float(weights.sum()) if self_normalise else float(len(values))
    value = float((weights * values).sum()) / total
    off = weights * (values - value) if self_normalise else weights * values - value
    if clusters is not None:
        number = np.unique(clusters, return_inverse=True)[1].reshape(-1)
        off = np.bincount(number, off).astype(np.float64)
    n = len(off)
    error = float(np.sqrt((off**2).sum() * n / max(n - 1, 1))) / total if n > 1 else float("inf")
    return Weighed(value, value - _Z * error, value + _Z * error, float((propensities < clip).mean()))


def affine(clicks: Floats, alpha: Floats, beta: Floats, *, clip: float = 0.1) -> Floats:
    """Relevance of each impression from whether it was clicked, (n,): ``(click - beta) / alpha``.

    The correction of Vardasbi et al. (CIKM 2020) where people trust the ranking: its mean over impressions
    is right, a single value may be negative or above 1. ``alpha`` and ``beta`` are per row; a smaller alpha
    counts as ``clip``.
    """
    return np.asarray((clicks - beta) / np.maximum(alpha, clip))
