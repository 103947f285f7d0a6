"""The position-based model by expectation-maximisation.

A click needs examination (theta_k, of the rank) and attractiveness (g, of the item); neither is observed.
EM as in Chapelle and Zhang (A dynamic Bayesian network click model for web search ranking, WWW 2009) and,
without the regression, Wang et al. (Position bias estimation for unbiased learning to rank in personal
search, WSDM 2018), on counts instead of single impressions.

Only theta relative to rank 1 is identified: theta * c and g / c give the same clicks. With a parameter per
item the estimate is off where each item is seen a few times only;
:func:`~ragwheel.labels.position.ratios.pbm` fits the same model without them and is what
``method = "auto"`` uses.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np

from ragwheel.labels.position.cells import Cells, Floats
from ragwheel.labels.position.ratios import Z, by_ratios, informative
from ragwheel.labels.position.result import Examination

__all__ = ["expectation_maximisation", "pbm_em"]

_ROUNDS: Final = 500
_CONVERGED: Final = 1e-6
_PRIOR_CLICKS: Final = 1.0  # imagined impressions of an average item that each item starts with


def pbm_em(cells: Cells) -> Examination:
    """Examination by EM, or why it cannot be told.

    Intervals come from the conditional likelihood, see :mod:`~ragwheel.labels.position.ratios`.
    """
    start = by_ratios("pbm_em", cells)
    if not start.identifiable:
        return start
    used, _ = informative(cells)
    theta, _ = expectation_maximisation(used, np.array(start.theta))
    error = np.log(np.array(start.high) / np.array(start.low)) / (2 * Z)
    return replace(
        start,
        theta=tuple(theta.tolist()),
        low=tuple((theta * np.exp(-Z * error)).tolist()),
        high=tuple((theta * np.exp(Z * error)).tolist()),
    )


def expectation_maximisation(cells: Cells, theta: Floats | None = None) -> tuple[Floats, Floats]:
    """(theta relative to rank 1, attractiveness per item), from ``theta`` (None: all ones) to convergence.

    Every item starts as if it had been seen once and clicked as often as the average one.
    """
    ranks = int(cells.rank.max())
    impressions, clicks = cells.table(ranks)
    theta = np.ones(ranks) if theta is None else theta / theta.max()
    total, mean = impressions.sum(1), clicks.sum() / max(impressions.sum(), 1e-300)
    expected = impressions @ theta
    attraction = np.clip((clicks.sum(1) + mean) / (expected + 1), 1e-9, 1 - 1e-9)
    skipped = impressions - clicks
    for _ in range(_ROUNDS):
        neither = skipped / np.maximum(1 - theta * attraction[:, None], 1e-12)
        examined = clicks + neither * theta * (1 - attraction)[:, None]
        attracted = clicks + neither * (1 - theta) * attraction[:, None]
        attraction = (attracted.sum(1) + _PRIOR_CLICKS * mean) / (total + _PRIOR_CLICKS)
        attraction = np.clip(attraction, 1e-9, 1 - 1e-9)
        before = theta / theta[0]
        theta = np.clip(examined.sum(0) / np.maximum(impressions.sum(0), 1e-300), 1e-9, 1 - 1e-9)
        if float(np.abs(theta / theta[0] - before).max()) < _CONVERGED:
            break
    return theta / theta[0], np.asarray(attraction * theta[0])
