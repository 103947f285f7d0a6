"""The agreement of a judge with people, and the mapping of its grades to people's grades.

Cohen's kappa measures agreement beyond chance (A coefficient of agreement for nominal scales, 1960); the
quadratic kappa also weights by the distance of the grades (Cohen, Weighted kappa, 1968). The mapping takes
each grade of the judge to the mean grade of people for the same pairs, shrunk towards the grade itself and
made monotone (isotonic regression).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

__all__ = ["GRADES", "MIN_PEOPLE", "Agreement", "GradeMapping", "agreement", "fit_mapping", "kappa"]

GRADES: Final = 6
#: Least number of pairs, graded by a person and the judge, for grades to be mapped.
MIN_PEOPLE: Final = 30
USEFUL: Final = 3
_SHRINK: Final = 5.0


@dataclass(frozen=True)
class Agreement:
    """The agreement of a judge with people.

    Args:
        pairs: number of (query, chunk) pairs that both graded.
        kappa, kappa_quadratic: over the six grades, rounded; None if one side gave only a single grade.
        kappa_useful: over two classes, grades of 3 or more against lower ones.
        confusion: ``confusion[person][judge]`` is the number of pairs with these grades.
    """

    pairs: int
    kappa: float | None
    kappa_quadratic: float | None
    kappa_useful: float | None
    confusion: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class GradeMapping:
    """The mapping of a judge's grades to people's: ``values[grade]``, interpolated between grades."""

    values: tuple[float, ...] = tuple(map(float, range(GRADES)))
    pairs: int = 0

    def __call__(self, grade: float) -> float:
        """Return the grade that people would give, 0-5."""
        return round(float(np.interp(grade, range(GRADES), self.values)), 3)


def agreement(people: Sequence[float], judge: Sequence[float]) -> Agreement:
    """Compare the grades, 0-5, of people and a judge for the same pairs, in the same order."""
    first, second = _levels(people), _levels(judge)
    table = np.zeros((GRADES, GRADES), dtype=np.int64)
    np.add.at(table, (first, second), 1)
    two = np.zeros((2, 2), dtype=np.int64)
    np.add.at(two, ((first >= USEFUL).astype(int), (second >= USEFUL).astype(int)), 1)
    rows = tuple(tuple(int(n) for n in row) for row in table)
    return Agreement(len(first), kappa(table), kappa(table, quadratic=True), kappa(two), rows)


def kappa(table: npt.NDArray[np.int64], *, quadratic: bool = False) -> float | None:
    """Return Cohen's kappa of a square table of counts, to three digits; None if chance agreement is 1."""
    n = table.sum()
    if not n:
        return None
    grades = np.arange(len(table))
    apart = np.subtract.outer(grades, grades)
    weights = apart**2 if quadratic else (apart != 0).astype(int)
    expected = np.outer(table.sum(axis=1), table.sum(axis=0)) / n
    by_chance = float((weights * expected).sum())
    return round(1 - float((weights * table).sum()) / by_chance, 3) if by_chance else None


def fit_mapping(people: Sequence[float], judge: Sequence[float]) -> GradeMapping:
    """Fit the mapping to these pairs; with fewer than :data:`MIN_PEOPLE` it is the identity."""
    if len(people) < MIN_PEOPLE:
        return GradeMapping(pairs=len(people))
    from scipy.optimize import isotonic_regression

    level = _levels(judge)
    seen = np.bincount(level, minlength=GRADES).astype(float)
    total = np.bincount(level, np.asarray(people, float), minlength=GRADES)
    means = (total + _SHRINK * np.arange(GRADES)) / (seen + _SHRINK)
    fitted = isotonic_regression(means, weights=seen + _SHRINK).x
    return GradeMapping(tuple(round(float(value), 3) for value in fitted), len(people))


def _levels(grades: Sequence[float]) -> npt.NDArray[np.int64]:
    return np.clip(np.floor(np.asarray(grades, float) + 0.5), 0, GRADES - 1).astype(np.int64)
