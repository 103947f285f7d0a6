"""Beliefs brought into line with people's judgments: two numbers, held to changing nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import ibis
import numpy as np
import numpy.typing as npt

__all__ = ["Recalibration", "fit_recalibration"]

Floats = npt.NDArray[np.float64]

_ROUNDS: Final = 30
_SHIFT_SD: Final = 1.0  # prior standard deviation of the intercept, around 0
_SLOPE_SD: Final = 0.3  # of the slope, around 1
_LEAST_SLOPE: Final = 0.2  # more belief never becomes less
_EDGE: Final = 1e-6


@dataclass(frozen=True)
class Recalibration:
    """The log-odds of a belief become ``intercept + slope × log-odds``.

    The slope is positive, so that no two chunks change their order.

    Attributes:
        slope, intercept: 1 and 0 change nothing.
        judged: how many pairs people had judged.
    """

    slope: float = 1.0
    intercept: float = 0.0
    judged: int = 0

    def of(self, belief: Floats) -> Floats:
        """Return (pairs,) the recalibrated beliefs."""
        return _logistic(self.intercept + self.slope * _log_odds(belief))

    def log_odds(self, value: float) -> float:
        """Return the recalibrated log-odds."""
        return self.intercept + self.slope * value

    def column(self, belief: Any, bound: float) -> Any:
        """Return a column of recalibrated beliefs.

        Args:
            belief: a column of beliefs, 0-1.
            bound: the log-odds that no result goes beyond, in either direction.
        """
        inside = ibis.least(ibis.greatest(belief, _EDGE), 1 - _EDGE)
        log_odds = self.intercept + self.slope * (inside / (1 - inside)).log()
        bounded = ibis.least(ibis.greatest(log_odds, -bound), bound)
        return (1 / (1 + (-bounded).exp())).round(6)


def fit_recalibration(belief: Floats, relevant: Floats) -> Recalibration:
    """Fit slope and intercept to judged pairs: the most probable ones under normal priors.

    Logistic calibration (Platt, Probabilistic outputs for support vector machines, 1999) with priors around
    slope 1 and intercept 0, because fifty judgments do not tell two numbers apart well.

    Args:
        belief: (pairs,) from a model that has not seen these judgments.
        relevant: (pairs,) 1 where people say that the chunk is relevant, else 0.
    """
    x = np.stack([np.ones(len(belief)), _log_odds(belief)], axis=1)
    start = np.array([0.0, 1.0])
    hold = np.array([1 / _SHIFT_SD**2, 1 / _SLOPE_SD**2])
    theta = start.copy()
    for _ in range(_ROUNDS):
        share = _logistic(x @ theta)
        gradient = x.T @ (relevant - share) - hold * (theta - start)
        curvature = (x * (share * (1 - share))[:, None]).T @ x + np.diag(hold)
        step = np.linalg.solve(curvature, gradient)
        theta = theta + np.clip(step, -1.0, 1.0)
        if float(np.abs(step).max()) < 1e-9:
            break
    slope = max(float(theta[1]), _LEAST_SLOPE)
    return Recalibration(round(slope, 6), round(float(theta[0]), 6), len(belief))


def _log_odds(belief: Floats) -> Floats:
    inside = np.clip(belief, _EDGE, 1 - _EDGE)
    return np.asarray(np.log(inside / (1 - inside)))


def _logistic(log_odds: Floats) -> Floats:
    return np.asarray(1 / (1 + np.exp(-np.clip(log_odds, -40, 40))))
