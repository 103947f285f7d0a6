"""Quadratically weighted kappa of two raters with an interval (Cohen, Weighted kappa, 1968).

The interval is a percentile bootstrap over questions, since the chunks of one question are graded together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

__all__ = ["KappaEstimate", "weighted_kappa"]

_GRADES: Final = 6
_DRAWS: Final = 1_000
_LEAST_QUESTIONS: Final = 5

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class KappaEstimate:
    """How two raters agree beyond chance.

    Attributes:
        pairs, questions: that both graded.
        exact: share of equal grades.
        kappa: 1 is full agreement, 0 what chance gives; None where a side gave one grade only.
        low, high: the 95 % interval; None with fewer than five questions.
    """

    pairs: int
    questions: int
    exact: float
    kappa: float | None
    low: float | None
    high: float | None


def weighted_kappa(
    first: Sequence[float], second: Sequence[float], questions: Sequence[str]
) -> KappaEstimate:
    """Compare the grades of the same pairs, in the same order; deterministic."""
    a, b = (
        np.clip(np.floor(np.asarray(side, float) + 0.5), 0, _GRADES - 1).astype(int)
        for side in (first, second)
    )
    _names, cluster = np.unique(np.asarray(questions, dtype=str), return_inverse=True)
    n = int(cluster.max()) + 1 if len(cluster) else 0
    tables: Floats = np.zeros((n, _GRADES * _GRADES))
    np.add.at(tables, (cluster, a * _GRADES + b), 1.0)
    kappas = _kappas(tables.sum(axis=0)[None, :])
    low = high = None
    if n >= _LEAST_QUESTIONS:
        draws = np.random.default_rng(0).multinomial(n, np.full(n, 1 / n), size=_DRAWS)
        drawn = _kappas(draws @ tables)
        drawn = drawn[np.isfinite(drawn)]
        if len(drawn) > _DRAWS // 2:
            low, high = (round(float(value), 3) for value in np.percentile(drawn, [2.5, 97.5]))
    point = float(kappas[0]) if len(a) else float("nan")
    return KappaEstimate(
        pairs=len(a),
        questions=n,
        exact=float((a == b).mean()) if len(a) else 0.0,
        kappa=round(point, 3) if np.isfinite(point) else None,
        low=low,
        high=high,
    )


def _kappas(tables: Floats) -> Floats:
    """Return the kappa of each row of flattened tables; NaN where chance alone agrees fully."""
    cells = tables.reshape(-1, _GRADES, _GRADES)
    grades = np.arange(_GRADES)
    weights = np.subtract.outer(grades, grades) ** 2
    totals = cells.sum(axis=(1, 2))
    expected = cells.sum(axis=2)[:, :, None] * cells.sum(axis=1)[:, None, :]
    by_chance = (weights * expected).sum(axis=(1, 2)) / np.maximum(totals, 1)
    seen = (weights * cells).sum(axis=(1, 2))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(by_chance > 0, 1 - seen / by_chance, np.nan)
