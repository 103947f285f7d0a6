"""Which candidate gains, by what the traces let us believe: the measure that training and the guard go by.

Labels from traces know only what some retriever has shown. Measured plainly, every other ranking loses:
relevant chunks that nobody has seen count as irrelevant, and those that are known stand high in the base's
ranking for that very reason. :func:`expected_gain` corrects for both:

* every exposed chunk counts by the square of its belief, P(relevant): chunks in doubt hardly count, for it
  was the base that showed them, and where a belief is wrong it is mostly about one of those;
* relevant chunks that were never exposed are expected where none is known, and a few beside those that are.
  They are spread over what was not exposed, and expected to move as the other chunks of their rank do, plus
  the advantage that relevant chunks have over irrelevant ones of the same rank among those exposed.

:attr:`Gain.mean` is the expected gain in nDCG@10. To choose among candidates, :attr:`Gain.rise` is better:
how much higher relevant chunks come, in logs of the rank. It also sees what happens below rank 10, so chance
has less of a say. Both are estimates from a model of the traces, no proof; ``docs/evaluation.md`` says more.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING, Final

import numpy as np

from ragwheel.evaluate.dcg import discount, ideal_dcg
from ragwheel.evaluate.statistics import LEAST_QUERIES, StatisticsOptions

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

__all__ = [
    "Beliefs",
    "CriterionOptions",
    "Gain",
    "Moves",
    "expected_gain",
    "gain_of",
    "judgments_needed",
    "moves_of",
    "rise_of",
    "rises_of",
]

Beliefs = Mapping[str, Mapping[str, float]]
"""P(relevant), 0-1, of every exposed chunk, by query and chunk."""

_RESAMPLES: Final = 1000
_ADVANTAGES: Final = np.linspace(-3.0, 3.0, 61)
_RIDGE: Final = 1e-6
_SMOOTH: Final = 5.0  # a step at the top of a ranking is worth about what one is at rank 5
_SHARPNESS: Final = 2.0
_SHARPNESSES: Final = (1.5, _SHARPNESS, 3.0)
_CERTAIN: Final = 0.999


@dataclass(frozen=True)
class CriterionOptions:
    """How the expected gain is estimated.

    Args:
        depth: how many ranks are looked at, up to 100; a chunk that is not ranked counts as just below.
        answerable: how many of the questions without a known relevant chunk have one that was not exposed.
        unseen: how many relevant chunks were not exposed, as a share of the known ones.
        level: of the interval.
        seed: of the bootstrap.
    """

    depth: int = 100
    answerable: float = 0.85
    unseen: float = 0.1
    level: float = 0.95
    seed: int = 0


@dataclass(frozen=True)
class Gain:
    """An expected gain in nDCG@10.

    Attributes:
        mean: the estimate.
        low, high: its interval, by bootstrap over clusters of queries. How far chunks in doubt count is not
            known either: the samples take the powers 1.5, 2 and 3 of the belief in turn. Of few clusters the
            interval is stretched by Student's t.
        p: the share of bootstrap samples in which there is no gain.
        known: what the exposed chunks alone contribute, without those that nobody has seen.
        rise: what to choose by: how much higher relevant chunks come per query, as the log of rank + 5.
        queries: how many queries it comes from.
    """

    mean: float
    low: float
    high: float
    p: float
    known: float
    rise: float
    queries: int


@dataclass(frozen=True)
class Moves:
    """Every exposed chunk with its ranks before and after.

    Attributes:
        query: (chunks,) numbers of the queries, 0 to ``queries`` - 1.
        belief: (chunks,) P(relevant).
        before, after: (chunks,) ranks by the base and the candidate, from 1; ``depth`` + 1 where not ranked.
        exposed: (depth,) the share of queries whose chunk at this rank of the base was exposed.
        drift: (queries, depth) where the candidate ranks the chunk at each rank of the base, exposed or not.
        cluster: (queries,) number of each query's cluster.
    """

    query: Ints
    belief: Floats
    before: Ints
    after: Ints
    exposed: Floats
    drift: Ints
    cluster: Ints

    @property
    def queries(self) -> int:
        """The number of queries."""
        return len(self.cluster)


def expected_gain(
    beliefs: Beliefs,
    base: Mapping[str, Sequence[str]],
    candidate: Mapping[str, Sequence[str]],
    *,
    clusters: Mapping[str, str] | None = None,
    options: CriterionOptions | None = None,
) -> Gain:
    """The expected gain in nDCG@10 of a candidate's rankings over the base's.

    Args:
        beliefs: of the queries to go by; none of them may have trained the candidate.
        base, candidate: chunk ids by query, best first, 100 where there are as many.
        clusters: what a query shares with others (a family of near-identical ones); by default each stands
            for itself.
        options: see :class:`CriterionOptions`.
    """
    options = options or CriterionOptions()
    queries = [query for query in beliefs if beliefs[query]]
    moves = moves_of({query: beliefs[query] for query in queries}, base, candidate, clusters, options.depth)
    return gain_of(moves, options)


def judgments_needed(gain: Gain, statistics: StatisticsOptions) -> int:
    """How many questions people would have to judge to prove a gain of this size, four times in five.

    Taken from the interval of the estimate, to two digits; people's grades spread a little less.
    """
    normal = NormalDist()
    error = (gain.high - gain.low) / (2 * normal.inv_cdf((1 + statistics.level) / 2))
    reach = normal.inv_cdf((1 + statistics.level) / 2) + normal.inv_cdf(statistics.power)
    needed = math.ceil((reach * error / max(abs(gain.mean), statistics.smallest)) ** 2 * gain.queries)
    unit: int = 10 ** max(len(str(needed)) - 2, 0)
    return max(-(-needed // unit) * unit, LEAST_QUERIES)


def moves_of(
    beliefs: Beliefs,
    base: Mapping[str, Sequence[str]],
    candidate: Mapping[str, Sequence[str]],
    clusters: Mapping[str, str] | None = None,
    depth: int = 100,
) -> Moves:
    """The ranks of every exposed chunk, before and after."""
    query: list[int] = []
    belief: list[float] = []
    ranks: list[tuple[int, int]] = []
    exposed = np.zeros(depth)
    drift = np.full((len(beliefs), depth), depth + 1)
    for number, (name, graded) in enumerate(beliefs.items()):
        old, new = (
            {chunk: rank for rank, chunk in enumerate(ranking.get(name, ())[:depth], 1)}
            for ranking in (base, candidate)
        )
        for chunk, rank in old.items():
            drift[number, rank - 1] = new.get(chunk, depth + 1)
        for chunk, value in graded.items():
            query.append(number)
            belief.append(value)
            ranks.append((old.get(chunk, depth + 1), new.get(chunk, depth + 1)))
            if chunk in old:
                exposed[old[chunk] - 1] += 1
    names = [(clusters or {}).get(name, name) for name in beliefs]
    before, after = np.array(ranks, dtype=np.int64).reshape(-1, 2).T
    return Moves(
        np.array(query, dtype=np.int64), np.array(belief), before, after,
        exposed / max(len(beliefs), 1), drift, np.unique(np.array(names, dtype=str), return_inverse=True)[1],
    )  # fmt: skip


def gain_of(moves: Moves, options: CriterionOptions) -> Gain:
    """The expected gain of moves, with its interval."""
    n = moves.queries
    if not n or not len(moves.query):
        return Gain(0.0, 0.0, 0.0, 1.0, 0.0, 0.0, n)
    m = int(moves.cluster.max()) + 1
    total = _sums_by_cluster(moves, options, _SHARPNESS).sum(axis=0)[None]
    mean, known = float(_estimates(total)[0]), float(total[0, 1] / total[0, 0])
    draws = np.random.default_rng(options.seed).multinomial(m, np.full(m, 1 / m), size=_RESAMPLES)
    samples = np.concatenate(
        [
            _estimates(part.astype(np.float64) @ _sums_by_cluster(moves, options, sharpness))
            for sharpness, part in zip(_SHARPNESSES, np.array_split(draws, len(_SHARPNESSES)))
        ]
    )
    samples = mean + (samples - mean) * _stretch(m, options.level)
    tail = (1 - options.level) / 2
    low, high = np.quantile(samples, [tail, 1 - tail])
    rise = float(rises_of(moves, options).mean())
    return Gain(mean, float(low), float(high), float((samples <= 0).mean()), known, rise, n)


def _sums_by_cluster(moves: Moves, options: CriterionOptions, sharpness: float) -> Floats:
    """(clusters, columns) what :func:`_estimates` reads, where chunks count by a power of their belief."""
    weight, unseen = moves.belief**sharpness, unseen_relevant(moves, options, sharpness)
    parts = _sums_by_query(moves, weight, unseen), _gained_by_unseen(moves, weight, unseen)
    columns = np.concatenate(parts, axis=1)
    clusters = np.zeros((int(moves.cluster.max()) + 1, columns.shape[1]))
    np.add.at(clusters, moves.cluster, columns)
    return clusters


def _stretch(clusters: int, level: float) -> float:
    """How much wider the interval of a few clusters is than a bootstrap makes it, by Student's t."""
    from scipy.stats import t

    if clusters < 2:
        return 1.0
    tail = (1 + level) / 2
    freedom = clusters - 1
    return float(t.ppf(tail, freedom) / NormalDist().inv_cdf(tail) * math.sqrt(clusters / freedom))


def rise_of(moves: Moves, options: CriterionOptions) -> float:
    """:attr:`Gain.rise` alone: what training chooses by, without an interval."""
    return float(rises_of(moves, options).mean()) if moves.queries else 0.0


def rises_of(moves: Moves, options: CriterionOptions) -> Floats:
    """(queries,) of which :attr:`Gain.rise` is the mean."""
    if not len(moves.query):
        return np.zeros(moves.queries)
    weight, unseen = moves.belief**_SHARPNESS, unseen_relevant(moves, options)
    advantage = float(_advantages(_sums_by_query(moves, weight, unseen).sum(axis=0)[None])[0])
    return _rises(moves, weight, unseen, advantage)


def unseen_relevant(moves: Moves, options: CriterionOptions, sharpness: float = _SHARPNESS) -> Floats:
    """(queries, depth) the expected number of relevant chunks at each rank of the base that were not exposed.

    Where no relevant chunk is known there is probably one that was not exposed, and a few stand beside those
    that are known. They are spread over what was not exposed, thinner as one over the rank.
    """
    weight = np.minimum(moves.belief**sharpness, _CERTAIN)
    none = np.exp(np.bincount(moves.query, np.log1p(-weight), moves.queries))
    known = np.bincount(moves.query, weight, moves.queries)
    spread = (1 - np.minimum(moves.exposed, 1.0)) / np.arange(1, len(moves.exposed) + 1)
    total = spread.sum()
    number = options.answerable * none + options.unseen * known
    shares: Floats = np.outer(number, spread / total if total > 0 else spread)
    return shares


def _sums_by_query(moves: Moves, weight: Floats, unseen: Floats) -> Floats:
    """(queries, 11): count, gain of the exposed chunks, and nine sums of a regression.

    The regression is of the log of the new rank on a constant, the log of the old one, and the weight.
    """
    n = moves.queries
    gained = weight * (discount(moves.after) - discount(moves.before))
    columns: list[Floats] = [
        np.ones(n),
        np.bincount(moves.query, gained, n) / _ideal(moves, weight, unseen),
    ]
    x, b, y = np.log(moves.before), weight, np.log(moves.after)
    products = (np.ones_like(x), x, b, x * x, x * b, b * b, y, x * y, b * y)
    columns += [np.bincount(moves.query, product, n).astype(np.float64) for product in products]
    return np.stack(columns, axis=1)


def _ideal(moves: Moves, weight: Floats, unseen: Floats) -> Floats:
    """(queries,) the DCG@10 of a perfect ranking, by the expected number of relevant chunks."""
    relevant = np.bincount(moves.query, weight, moves.queries) + unseen.sum(axis=1)
    return ideal_dcg(np.maximum(relevant, 1.0))


def _gained_by_unseen(moves: Moves, weight: Floats, unseen: Floats) -> Floats:
    """(queries, advantages) the nDCG@10 that relevant chunks gain that were not exposed.

    Their advantage: how much higher they end up than others of the same old rank, in logs.
    """
    before = discount(np.arange(1, unseen.shape[1] + 1))
    per_chunk = unseen / _ideal(moves, weight, unseen)[:, None]
    columns = []
    for advantage in _ADVANTAGES:
        ranks = np.maximum(moves.drift * np.exp(-advantage), 1.0)
        columns.append(((discount(ranks) - before) * per_chunk).sum(axis=1))
    return np.stack(columns, axis=1)


def _estimates(sums: Floats) -> Floats:
    """(samples,) expected gains from sums over queries.

    Args:
        sums: (samples, columns) see :func:`_sums_by_query`, then what unseen relevant chunks gain at each of
            the advantages.
    """
    of_unseen = sums[:, -len(_ADVANTAGES) :]
    advantages = _advantages(sums).tolist()
    unknown = np.array([np.interp(at, _ADVANTAGES, row) for at, row in zip(advantages, of_unseen)])
    gains: Floats = (sums[:, 1] + unknown) / sums[:, 0]
    return gains


def _advantages(sums: Floats) -> Floats:
    """(samples,) how much higher, in logs, relevant chunks end up than others of the same old rank."""
    ones, x, b, xx, xb, bb, y, xy, by = sums.T[2:11]
    square = np.stack([ones, x, b, x, xx, xb, b, xb, bb], axis=1).reshape(-1, 3, 3)
    square = square + _RIDGE * np.eye(3)
    slopes = np.linalg.solve(square, np.stack([y, xy, by], axis=1)[..., None])[..., 0]
    lean: Floats = -slopes[:, 2]
    return lean


def _rises(moves: Moves, weight: Floats, unseen: Floats, advantage: float) -> Floats:
    """(queries,) how much higher relevant chunks come, known ones and unseen ones."""
    gain = weight * np.log((moves.before + _SMOOTH) / (moves.after + _SMOOTH))
    ranks = np.maximum(moves.drift * np.exp(-advantage), 1.0)
    old = np.arange(1, unseen.shape[1] + 1)
    known: Floats = np.bincount(moves.query, gain, moves.queries).astype(np.float64)
    rises: Floats = known + (np.log((old + _SMOOTH) / (ranks + _SMOOTH)) * unseen).sum(axis=1)
    return rises
