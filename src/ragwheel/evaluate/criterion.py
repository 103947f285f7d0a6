"""Which candidate gains, by what the traces let us believe: the measure that training and the guard go by.

Labels from traces know only what some retriever has shown. Measured plainly, every other ranking loses:
relevant chunks that nobody has seen count as irrelevant, and those that are known stand high in the base's
ranking for that very reason. :func:`expected_gain` corrects for both:

* every exposed chunk counts with its belief, P(relevant), instead of yes or no;
* a chunk at base rank *r* is weighted by the inverse of how often chunks at rank *r* were exposed at all;
* beyond the ranks that are exposed, relevant chunks are expected to become rarer as a power of the rank, and
  to move as the known ones do: the log of the new rank is a linear function of the log of the old one. The
  known ones were selected by their old rank, which does not bias that regression.

The result is the expected gain in nDCG@10. It is an estimate from a model of the traces, not a proof.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

__all__ = ["Beliefs", "CriterionOptions", "Gain", "Moves", "expected_gain", "gain_of", "moves_of"]

Beliefs = Mapping[str, Mapping[str, float]]
"""P(relevant), 0-1, of every exposed chunk, by query and chunk."""

_RESAMPLES: Final = 1000
_EDGES: Final = (1, 2, 3, 4, 6, 9, 13, 19, 28, 42, 65, 101)
"""Ranks are taken together where they are deep: from one edge to below the next."""
_STEEPNESS: Final = (0.5, 3.0)
_K: Final = 10


@dataclass(frozen=True)
class CriterionOptions:
    """How the expected gain is estimated.

    Args:
        depth: how many ranks are looked at, up to 100; a chunk that is not ranked counts as just below.
        exposed: the share of chunks at a rank that must have been exposed for the rank to speak for itself;
            below, relevant chunks are extrapolated.
        level: of the interval.
        seed: of the bootstrap.
    """

    depth: int = 100
    exposed: float = 0.1
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
        queries: how many queries it comes from.
    """

    mean: float
    low: float
    high: float
    p: float
    known: float
    queries: int


@dataclass(frozen=True)
class Moves:
    """Every exposed chunk with its ranks before and after.

    Attributes:
        query: (chunks,) numbers of the queries, 0 to ``queries`` - 1.
        belief: (chunks,) P(relevant).
        before, after: (chunks,) ranks by the base and the candidate, from 1; ``depth`` + 1 where not ranked.
        exposed: (ranks,) the share of queries whose chunk at this rank of the base was exposed.
        cluster: (queries,) number of each query's cluster.
    """

    query: Ints
    belief: Floats
    before: Ints
    after: Ints
    exposed: Floats
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
    for number, (name, graded) in enumerate(beliefs.items()):
        old, new = (
            {chunk: rank for rank, chunk in enumerate(ranking.get(name, ())[:depth], 1)}
            for ranking in (base, candidate)
        )
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
        exposed / max(len(beliefs), 1), np.unique(np.array(names, dtype=str), return_inverse=True)[1],
    )  # fmt: skip


def gain_of(moves: Moves, options: CriterionOptions) -> Gain:
    """The expected gain of moves, with its interval."""
    n = moves.queries
    if not n or not len(moves.query):
        return Gain(0.0, 0.0, 0.0, 1.0, 0.0, n)
    unseen = unseen_relevant(moves, options)
    sums = _sums_by_query(moves, unseen)
    clusters = np.zeros((int(moves.cluster.max()) + 1, sums.shape[1]))
    np.add.at(clusters, moves.cluster, sums)
    m = len(clusters)
    draws = np.random.default_rng(options.seed).multinomial(m, np.full(m, 1 / m), size=_RESAMPLES)
    samples = _estimates(draws.astype(np.float64) @ clusters, unseen)
    tail = (1 - options.level) / 2
    low, high = np.quantile(samples, [tail, 1 - tail])
    mean = _estimates(clusters.sum(axis=0)[None], unseen)[0]
    known = clusters[:, 1].sum() / clusters[:, 0].sum()
    return Gain(float(mean), float(low), float(high), float((samples <= 0).mean()), float(known), n)


def unseen_relevant(moves: Moves, options: CriterionOptions) -> Floats:
    """(depth,) the expected number of relevant chunks per query at each rank that were never exposed.

    Where enough chunks of a rank were exposed, their mean belief holds for the others of that rank. Deeper,
    it falls as a power of the rank, fitted to the ranks that were exposed.
    """
    depth, n = len(moves.exposed), moves.queries
    ranks = np.arange(1, depth + 1)
    group = np.searchsorted(_EDGES, ranks, side="right") - 1
    ranked = moves.before <= depth
    relevant = np.bincount(group[moves.before[ranked] - 1], moves.belief[ranked], group.max() + 1)
    exposed = np.bincount(group, moves.exposed * n, group.max() + 1)
    width = np.bincount(group)
    share = exposed / (width * n)
    mean = relevant / np.maximum(exposed, 1e-9)
    enough = (share >= options.exposed) & (relevant > 0)
    if not enough.any():
        return np.zeros(depth)
    centre = np.log(np.bincount(group, ranks) / width)
    steepness = _STEEPNESS[0]
    if enough.sum() > 1:
        slope = np.polyfit(centre[enough], np.log(mean[enough]), 1, w=np.sqrt(relevant[enough]))[0]
        steepness = float(np.clip(-slope, *_STEEPNESS))
    level = np.average(np.log(mean[enough]) + steepness * centre[enough], weights=relevant[enough])
    believed = np.where(enough, mean, np.exp(level - steepness * centre))
    found: Floats = believed[group] * (1 - np.minimum(moves.exposed, 1.0))
    return found


def _sums_by_query(moves: Moves, unseen: Floats) -> Floats:
    """(queries, 9): count, gain of the exposed chunks, 1 / ideal DCG, six sums of a weighted regression."""
    n = moves.queries
    relevant = np.bincount(moves.query, moves.belief, n) + unseen.sum()
    ideal = np.interp(np.maximum(relevant, 1.0), np.arange(_K + 1), np.cumsum([0.0, *_discount(_TOP)]))
    gained = moves.belief * (_discount(moves.after) - _discount(moves.before))
    x, y, weight = np.log(moves.before), np.log(moves.after), moves.belief
    columns = [np.ones(n), np.bincount(moves.query, gained, n) / ideal, 1 / ideal]
    powers = (np.ones_like(x), x, y, x * x, x * y, y * y)
    columns += [np.bincount(moves.query, weight * power, n) for power in powers]
    return np.stack(columns, axis=1)


def _estimates(sums: Floats, unseen: Floats) -> Floats:
    """(samples,) expected gains from (samples, columns) of sums over queries."""
    from scipy.special import ndtr

    n, gained, ideal, w, x, y, xx, xy, yy = sums.T
    w = np.maximum(w, 1e-12)
    spread_x, covariance = xx / w - (x / w) ** 2, xy / w - x * y / w**2
    slope = np.where(spread_x > 1e-9, covariance / np.maximum(spread_x, 1e-9), 1.0)
    start = (y - slope * x) / w
    spread = np.sqrt(np.maximum(yy / w - (y / w) ** 2 - slope * covariance, 1e-8))
    ranks = np.flatnonzero(unseen) + 1
    expected = start[:, None] + slope[:, None] * np.log(ranks)  # of the log of the new rank
    moved = np.zeros_like(expected)
    below = np.zeros_like(expected)
    for rank, worth in zip(_TOP, _discount(_TOP)):
        reached = ndtr((np.log(rank + 0.5) - expected) / spread[:, None])
        moved += worth * (reached - below)
        below = reached
    unknown = (moved - _discount(ranks)) @ unseen[ranks - 1]
    found: Floats = (gained + unknown * ideal) / n
    return found


_TOP: Final = np.arange(1, _K + 1)


def _discount(ranks: Ints) -> Floats:
    """What a relevant chunk at a rank is worth in DCG@10."""
    found: Floats = np.where(ranks <= _K, 1 / np.log2(1.0 + ranks), 0.0)
    return found
