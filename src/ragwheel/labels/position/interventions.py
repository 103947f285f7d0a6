"""Interventions: the same chunk at two ranks for a reason that has nothing to do with how relevant it is.

Each gives rows in which an *item* is a set of chunks that is equally relevant at all of its ranks by design,
for :func:`~ragwheel.labels.position.ratios.by_ratios`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from ragwheel.labels.position.cells import Cells, Floats, Ints
from ragwheel.labels.position.ratios import by_ratios
from ragwheel.labels.position.result import Examination, not_identifiable

__all__ = ["Served", "Swapped", "harvested", "randomised"]

_SETTLED: Final = 0.9  # share of a version's impressions of an item that one rank has


@dataclass(frozen=True)
class Served:
    """:class:`Cells` with the number of the retriever version that served each row."""

    cells: Cells
    version: Ints


@dataclass(frozen=True)
class Swapped:
    """Impressions of explored rankings, one row each or counted; arrays of the same length.

    Attributes:
        query: number of the query group.
        base: the rank that the retriever gave the chunk.
        rank: the rank at which it was served.
        propensity: probability, as logged, that a chunk of this base rank is served at this rank.
        impressions, clicks: counts.
    """

    query: Ints
    base: Ints
    rank: Ints
    propensity: Floats
    impressions: Floats
    clicks: Floats


def randomised(swapped: Swapped) -> Examination:
    """Examination from rankings that the app randomised with logged probabilities.

    Chunks of one base rank are as relevant wherever chance put them, so that their clicks at two ranks, each
    weighted by its inverse probability, differ by examination alone. Adjacent swaps after Radlinski and
    Joachims (Minimally invasive randomization for collecting unbiased preferences from clickthrough logs,
    AAAI 2006); clicks on swapped results as estimates of examination: Joachims et al. (Unbiased
    learning-to-rank with biased feedback, WSDM 2017). Queries need not repeat.
    """
    if not len(swapped.query):
        return not_identifiable("randomised", "nothing was randomised (ragwheel.explore)")
    weight = 1 / swapped.propensity
    cells = Cells(
        swapped.query, swapped.base - 1, swapped.rank, swapped.impressions * weight, swapped.clicks * weight
    )
    estimate = by_ratios("randomised", cells)
    seen, clicks = round(float(swapped.impressions.sum())), round(float(swapped.clicks.sum()))
    return replace(estimate, impressions=seen, clicks=clicks) if estimate.identifiable else estimate


def harvested(served: Served) -> Examination:
    """Examination from retriever versions that put the same chunk at different ranks for the same query.

    AllPairs of Agarwal et al. (Estimating position bias without intrusive interventions, WSDM 2019): for
    every pair of ranks the chunks that one version served at the one and another version at the other.
    Differences within a version do not count, for they may have reasons that clicks have too: only chunks
    that each version served at one rank, nine times out of ten, are used. A chunk weighs as much as its
    rarer rank allows (the inverse variance of a difference), the same at both.
    """
    if len(np.unique(served.version)) < 2:
        return not_identifiable("harvested", "only one retriever version was in use")
    served = _settled(served)
    rows, pairs = served.cells, _pairs(served)
    if not len(pairs):
        return not_identifiable("harvested", "no two retriever versions ranked a chunk differently")
    ranks = int(rows.rank.max())
    impressions, clicks = rows.table(ranks)
    item, one, other = pairs[:, 0], pairs[:, 1], pairs[:, 2]
    n_one, n_other = impressions[item, one - 1], impressions[item, other - 1]
    weight = n_one * n_other / (n_one + n_other)
    of_query = np.zeros(int(rows.item.max()) + 1, np.int64)
    of_query[rows.item] = rows.query
    number = (one - 1) * ranks + other - 1
    sides = [
        (of_query[item], number, rank, weight, weight * clicks[item, rank - 1] / impressions[item, rank - 1])
        for rank in (one, other)
    ]
    _, names = np.unique(np.concatenate([side[1] for side in sides]), return_inverse=True)
    columns = [np.concatenate(column) for column in zip(*sides)]
    return by_ratios(
        "harvested", Cells(columns[0], names.reshape(-1).astype(np.int64), columns[2], columns[3], columns[4])
    )


def _settled(served: Served) -> Served:
    """The rows of a version's usual rank for an item, where it has one."""
    rows = served.cells
    _, group = np.unique(np.stack([rows.item, served.version], 1), axis=0, return_inverse=True)
    share = rows.impressions / np.bincount(group.reshape(-1), rows.impressions)[group.reshape(-1)]
    usual = share >= _SETTLED
    return Served(rows.where(usual), served.version[usual])


def _pairs(served: Served) -> Ints:
    """(item, rank, lower rank), each once, where different versions served the item at the two ranks."""
    rows = served.cells
    order = np.lexsort((served.version, rows.rank, rows.item))
    item, rank, version = rows.item[order], rows.rank[order], served.version[order]
    pairs = []
    for gap in range(1, len(item)):
        same = item[gap:] == item[:-gap]
        if not same.any():
            break
        crossed = same & (rank[gap:] > rank[:-gap]) & (version[gap:] != version[:-gap])
        pairs.append(np.stack([item[:-gap], rank[:-gap], rank[gap:]], 1)[crossed])
    if not pairs:
        return np.zeros((0, 3), np.int64)
    return np.asarray(np.unique(np.concatenate(pairs), axis=0), np.int64)
