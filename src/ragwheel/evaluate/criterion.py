"""Which candidate gains, by what the traces let us believe: the measure that training and the guard go by.

Labels from traces know only what some retriever has shown. Measured plainly, every other ranking loses:
relevant chunks that nobody has seen count as irrelevant, and those that are known stand high in the base's
ranking for that very reason. :func:`expected_gain` corrects for both:

* every exposed chunk counts with its belief, P(relevant), instead of yes or no;
* relevant chunks that were never exposed are a share of the known ones, spread over what was not exposed.
  They are expected to move as the other chunks of their rank do, plus the advantage that relevant chunks have
  over irrelevant ones of the same rank among those that were exposed.

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
]

Beliefs = Mapping[str, Mapping[str, float]]
"""P(relevant), 0-1, of every exposed chunk, by query and chunk."""

_RESAMPLES: Final = 1000
_ADVANTAGES: Final = np.linspace(-3.0, 3.0, 61)
_RIDGE: Final = 1e-6
_SMOOTH: Final = 5.0  # a step at the top of a ranking is worth about what one is at rank 5
_K: Final = 10


@dataclass(frozen=True)
class CriterionOptions:
    """How the expected gain is estimated.

    Args:
        depth: how many ranks are looked at, up to 100; a chunk that is not ranked counts as just below.
        unseen: how many relevant chunks were never exposed, as a share of the known ones.
        level: of the interval.
        seed: of the bootstrap.
    """

    depth: int = 100
    unseen: float = 1 / 3
    level: float = 0.95
    seed: int = 0


@dataclass(frozen=True)
class Gain:
    """An expected gain in nDCG@10.

    Attributes:
        mean: the estimate.
        low, high: its interval, by bootstrap over clusters of queries.
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

    Taken from the spread of the estimate over queries, to two digits; people's grades spread about as much.
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
    unseen = unseen_relevant(moves, options)
    sums = _sums_by_query(moves, unseen)
    clusters = np.zeros((int(moves.cluster.max()) + 1, sums.shape[1]))
    np.add.at(clusters, moves.cluster, sums)
    m = len(clusters)
    draws = np.random.default_rng(options.seed).multinomial(m, np.full(m, 1 / m), size=_RESAMPLES)
    of_unseen = np.array([_gained_by(unseen, moves.drift, advantage) for advantage in _ADVANTAGES])
    samples = _estimates(draws.astype(np.float64) @ clusters, of_unseen)
    tail = (1 - options.level) / 2
    low, high = np.quantile(samples, [tail, 1 - tail])
    mean = _estimates(clusters.sum(axis=0)[None], of_unseen)[0]
    gain = clusters[:, 1].sum() / clusters[:, 0].sum()
    rise = _rise(moves, unseen, float(_advantages(clusters.sum(axis=0)[None])[0]))
    return Gain(float(mean), float(low), float(high), float((samples <= 0).mean()), float(gain), rise, n)


def rise_of(moves: Moves, options: CriterionOptions) -> float:
    """:attr:`Gain.rise` alone: what training chooses by, without an interval."""
    if not moves.queries or not len(moves.query):
        return 0.0
    unseen = unseen_relevant(moves, options)
    return _rise(moves, unseen, float(_advantages(_sums_by_query(moves, unseen).sum(axis=0)[None])[0]))


def unseen_relevant(moves: Moves, options: CriterionOptions) -> Floats:
    """(depth,) the expected number of relevant chunks per query at each rank that were never exposed.

    In all they are a share of the known ones, spread over what was not exposed, thinner as one over the rank.
    """
    ranks = np.arange(1, len(moves.exposed) + 1)
    spread = (1 - np.minimum(moves.exposed, 1.0)) / ranks
    gain = moves.belief.sum() / max(moves.queries, 1)
    total = options.unseen * gain
    shares: Floats = total * spread / spread.sum() if spread.sum() > 0 else np.zeros(len(ranks))
    return shares


def _sums_by_query(moves: Moves, unseen: Floats) -> Floats:
    """(queries, 12): count, gain of the exposed chunks, 1 / ideal DCG, and nine sums of a regression.

    The regression is of the log of the new rank on a constant, the log of the old one, and the belief.
    """
    n = moves.queries
    relevant = np.bincount(moves.query, moves.belief, n) + unseen.sum()
    ideal = np.interp(np.maximum(relevant, 1.0), np.arange(_K + 1), np.cumsum([0.0, *_discount(_TOP)]))
    gained = moves.belief * (_discount(moves.after) - _discount(moves.before))
    columns = [np.ones(n), np.bincount(moves.query, gained, n) / ideal, 1 / ideal]
    x, b, y = np.log(moves.before), moves.belief, np.log(moves.after)
    products = (np.ones_like(x), x, b, x * x, x * b, b * b, y, x * y, b * y)
    columns += [np.bincount(moves.query, product, n) for product in products]
    return np.stack(columns, axis=1)


def _estimates(sums: Floats, of_unseen: Floats) -> Floats:
    """(samples,) expected gains from (samples, columns) of sums over queries.

    Args:
        sums: see :func:`_sums_by_query`.
        of_unseen: DCG per query that unseen relevant chunks gain, at each of the advantages.
    """
    n, gained, ideal = sums.T[:3]
    unknown = np.interp(_advantages(sums), _ADVANTAGES, of_unseen) if of_unseen.any() else 0.0
    gains: Floats = (gained + ideal * unknown) / n
    return gains


def _advantages(sums: Floats) -> Floats:
    """(samples,) how much higher, in logs, relevant chunks end up than others of the same old rank."""
    ones, x, b, xx, xb, bb, y, xy, by = sums.T[3:]
    square = np.stack([ones, x, b, x, xx, xb, b, xb, bb], axis=1).reshape(-1, 3, 3)
    square = square + _RIDGE * np.eye(3)
    slopes = np.linalg.solve(square, np.stack([y, xy, by], axis=1)[..., None])[..., 0]
    lean: Floats = -slopes[:, 2]
    return lean


def _rise(moves: Moves, unseen: Floats, advantage: float) -> float:
    """How much higher relevant chunks come per query, known ones and unseen ones."""
    gain = moves.belief @ np.log((moves.before + _SMOOTH) / (moves.after + _SMOOTH)) / moves.queries
    ranks = np.maximum(moves.drift * np.exp(-advantage), 1.0)
    old = np.arange(1, len(unseen) + 1)
    return float(gain + unseen @ np.log((old + _SMOOTH) / (ranks + _SMOOTH)).mean(axis=0))


def _gained_by(unseen: Floats, drift: Ints, advantage: float) -> float:
    """DCG per query that unseen relevant chunks gain when they end up so much higher than others, in logs."""
    ranks = np.maximum(drift * np.exp(-advantage), 1.0)
    worth = np.where(ranks < _K + 0.5, 1 / np.log2(1.0 + ranks), 0.0).mean(axis=0)
    return float(unseen @ (worth - _discount(np.arange(1, len(unseen) + 1))))


_TOP: Final = np.arange(1, _K + 1)


def _discount(ranks: Ints) -> Floats:
    """What a relevant chunk at a rank is worth in DCG@10."""
    discount: Floats = np.where(ranks <= _K, 1 / np.log2(1.0 + ranks), 0.0)
    return discount
