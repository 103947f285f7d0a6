"""A linear model by pairwise logistic regression with signs: RankNet's loss, convex, in a second."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from ragwheel.deploy.features.scoring import LinearScorer

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ragwheel.train.features.matrix import Lesson

    Floats = NDArray[np.float64]

__all__ = ["fit_linear"]

_ITERATIONS: Final = 300
_LEAST: Final = 0.05  # a pair whose beliefs differ by less says nothing


def fit_linear(lesson: Lesson, *, l2: float) -> LinearScorer:
    """Minimise the logistic loss over pairs of candidates of one list, weighted by how far they differ.

    Args:
        lesson: what to learn from; a pair counts by the product of its candidates' weights.
        l2: penalty on the squared weights, where the loss of all pairs is a mean.
    """
    from scipy.optimize import minimize

    matrix, rows = lesson.matrix, lesson.rows
    mean = matrix.rows[rows].mean(axis=0)
    deviation = matrix.rows[rows].std(axis=0)
    varies = deviation > 1e-9
    scale = np.where(varies, deviation, 1.0)
    pairs = [
        _pairs(matrix.rows[entry] / scale, lesson.gains[entry], lesson.weights[entry])
        for entry in lesson.slices
    ]
    differences = np.vstack([entry for entry, _ in pairs])
    pair_weights = np.concatenate([entry for _, entry in pairs])
    columns = differences.shape[1]
    if not len(pair_weights):
        return LinearScorer(np.zeros(columns), mean, scale)
    pair_weights = pair_weights / pair_weights.sum()

    def loss(beta: Floats) -> tuple[float, Floats]:
        margins = differences @ beta
        value = float(pair_weights @ np.logaddexp(0, -margins)) + l2 * float(beta @ beta)
        slope = -pair_weights / (1 + np.exp(np.clip(margins, -30, 30)))
        return value, differences.T @ slope + 2 * l2 * beta

    bounds = [_bound(float(sign)) if varies[n] else (0.0, 0.0) for n, sign in enumerate(lesson.signs)]
    fit = minimize(
        loss, np.zeros(columns), jac=True, bounds=bounds, method="L-BFGS-B", options={"maxiter": _ITERATIONS}
    )
    return LinearScorer(np.asarray(fit.x, dtype=np.float64), mean, scale)


def _bound(sign: float) -> tuple[float | None, float | None]:
    """The lowest and the highest weight that a sign allows."""
    return (0.0 if sign > 0 else None, 0.0 if sign < 0 else None)


def _pairs(rows: Floats, gains: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """Differences of features, the better candidate first, and weights; each list counts about as much."""
    better, worse = np.nonzero(gains[:, None] - gains[None, :] > _LEAST)
    pair_weights = (gains[better] - gains[worse]) * weights[better] * weights[worse]
    total = float(pair_weights.sum())
    return rows[better] - rows[worse], pair_weights / np.sqrt(total) if total > 0 else pair_weights
