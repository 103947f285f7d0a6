"""Is a difference between two systems more than luck?

Differences are taken query by query. Queries of one cluster (a session, a family of near-identical questions)
are not independent, so clusters are what is flipped and what is drawn.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Final

import numpy as np
import numpy.typing as npt

__all__ = ["LEAST_QUERIES", "Difference", "StatisticsOptions", "holm", "paired_difference", "queries_needed"]

_EXACT_UP_TO: Final = 12
LEAST_QUERIES: Final = 10  # with fewer, no sign test of any kind can be sure
_CELLS: Final = 4_000_000  # of one matrix of draws x clusters

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class StatisticsOptions:
    """How to test.

    Args:
        level: of the interval, and one less the risk of calling no difference one.
        draws: of the test and of the bootstrap, for each seed.
        seeds: everything random is drawn once with each, and the least favourable outcome is what counts.
        smallest: a difference below this is not worth finding.
        power: with which a difference should be found when queries are asked for.
    """

    level: float = 0.95
    draws: int = 5_000
    seeds: tuple[int, ...] = (0, 1, 2)
    smallest: float = 0.01
    power: float = 0.8


@dataclass(frozen=True)
class Difference:
    """A paired difference over queries.

    Attributes:
        mean: of the differences; positive: the first system is ahead.
        low, high: the interval by cluster bootstrap; NaN with fewer than two clusters.
        p: two-sided, by the paired randomisation test; 1 with fewer than two clusters.
        effect: Cohen's d_z, the mean over the standard deviation of the differences.
        queries, clusters: how many there were.
        wins, losses: queries on which the first system was ahead, and behind.
        needed: queries more until a difference like this could be told, see :func:`queries_needed`.
    """

    mean: float
    low: float
    high: float
    p: float
    effect: float
    queries: int
    clusters: int
    wins: int
    losses: int
    needed: int | None


def paired_difference(
    a: Sequence[float], b: Sequence[float], clusters: Sequence[str], options: StatisticsOptions | None = None
) -> Difference:
    """The difference ``a - b`` with everything that is known about it.

    Args:
        a, b: values of two systems for the same queries in the same order.
        clusters: the cluster of each query.
        options: see :class:`StatisticsOptions`.

    Returns:
        See :class:`Difference`. The test is that of Smucker, Allan & Carterette (CIKM 2007), exact up to 12
        clusters; the interval a percentile bootstrap over clusters, its percentiles moved out for small
        numbers (Hesterberg 2015, "What teachers should know about the bootstrap").
    """
    options = options or StatisticsOptions()
    gaps = np.asarray(a, dtype=np.float64) - np.asarray(b, dtype=np.float64)
    n = len(gaps)
    mean = float(gaps.mean()) if n else float("nan")
    spread = float(gaps.std(ddof=1)) if n > 1 else float("nan")
    _, group = np.unique(np.asarray(clusters, dtype=str), return_inverse=True)
    sums: Floats = np.bincount(group, gaps).astype(np.float64)
    sizes: Floats = np.bincount(group).astype(np.float64)
    low = high = float("nan")
    p = 1.0
    if len(sums) > 1:
        ends = [_interval(sums, sizes, options, seed) for seed in options.seeds]
        low, high = min(bound for bound, _ in ends), max(bound for _, bound in ends)
        p = _p_value(sums, options)
    return Difference(
        mean=mean,
        low=low,
        high=high,
        p=p,
        effect=mean / spread if n > 1 and spread > 0 else 0.0 if mean == 0 else float("nan"),
        queries=n,
        clusters=len(sums),
        wins=int((gaps > 0).sum()),
        losses=int((gaps < 0).sum()),
        needed=queries_needed(mean, _standard_error(sums, sizes), n, options),
    )


def queries_needed(mean: float, error: float, queries: int, options: StatisticsOptions) -> int | None:
    """How many more queries would tell a difference of the size seen, or the smallest worth finding.

    By the usual normal approximation, with clusters as large and as alike as those at hand.

    Args:
        mean: the difference seen.
        error: its standard error over clusters.
        queries: how many it was seen on.
        options: power, level and the smallest difference.

    Returns:
        None where the queries at hand say nothing about the spread.
    """
    if not error > 0:
        return None
    normal = NormalDist()
    reach = normal.inv_cdf((1 + options.level) / 2) + normal.inv_cdf(options.power)
    total = (reach * error / max(abs(mean), options.smallest)) ** 2 * queries
    return max(math.ceil(total) - queries, LEAST_QUERIES - queries, 0)


def holm(p_values: Sequence[float]) -> list[float]:
    """P values adjusted for their number by Holm's step-down method (1979), in the same order."""
    adjusted = [0.0] * len(p_values)
    highest = 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = highest
    return adjusted


def _standard_error(sums: Floats, sizes: Floats) -> float:
    """Of a mean over clusters of unequal size (the ratio estimator's)."""
    m, total = len(sums), float(sizes.sum())
    if m < 2:
        return float("nan")
    left = sums - sums.sum() / total * sizes
    return math.sqrt(m / (m - 1) * float((left**2).sum())) / total


def _interval(sums: Floats, sizes: Floats, options: StatisticsOptions, seed: int) -> tuple[float, float]:
    from scipy.stats import t

    m, rng = len(sums), np.random.default_rng(seed)
    means = []
    for some in _parts(options.draws, m):
        taken = rng.integers(0, m, size=(some, m))
        means.append(sums[taken].sum(axis=1) / sizes[taken].sum(axis=1))
    reach = math.sqrt(m / (m - 1)) * float(t.ppf((1 + options.level) / 2, m - 1))
    tail = NormalDist().cdf(-reach)
    low, high = np.quantile(np.concatenate(means), [tail, 1 - tail])
    return float(low), float(high)


def _p_value(sums: Floats, options: StatisticsOptions) -> float:
    seen = abs(float(sums.sum())) * (1 - 1e-12)
    m = len(sums)
    if not np.any(sums):
        return 1.0
    if m <= _EXACT_UP_TO:
        signs = 1.0 - 2.0 * ((np.arange(2**m)[:, None] >> np.arange(m)) & 1)
        return float((np.abs(signs @ sums) >= seen).mean())
    rejected = []
    for seed in options.seeds:
        rng, as_far = np.random.default_rng(seed), 0
        for some in _parts(options.draws, m):
            signs = 1.0 - 2.0 * rng.integers(0, 2, size=(some, m))
            as_far += int((np.abs(signs @ sums) >= seen).sum())
        rejected.append((as_far + 1) / (options.draws + 1))
    return max(rejected)


def _parts(draws: int, clusters: int) -> list[int]:
    """The draws in portions whose matrix fits the memory."""
    most = max(1, min(draws, _CELLS // clusters))
    return [most] * (draws // most) + ([draws % most] if draws % most else [])
