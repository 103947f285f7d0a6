"""Picking few that stand for many: facility location, and maximal marginal relevance.

Facility location: the value of a set S is, summed over all questions, the similarity to its nearest member.
Where similarities are not negative it is monotone and submodular, so the greedy choice reaches at least
(1 - 1/e) of the best value (Nemhauser, Wolsey & Fisher 1978). A gain can only shrink as S grows: looking
again only at the candidate whose old gain is highest makes the same choice (lazy evaluation, Minoux 1978).
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

__all__ = ["facility_location", "mmr", "products", "quotas", "similarities"]


def similarities(population: Floats, candidates: Floats) -> Floats:
    """Cosines of unit vectors, negative ones 0; shape (population, candidates)."""
    similarities: Floats = population @ candidates.T
    np.maximum(similarities, 0, out=similarities)
    return similarities


def facility_location(sim: Floats, n: int, *, kept: Sequence[int] = ()) -> list[int]:
    """Columns that stand for the rows, best first; equal gains by the lower number.

    Args:
        sim: similarities from 0, shape (population, candidates).
        n: how many to pick.
        kept: columns that are in already: what they stand for needs nobody else.

    Returns:
        Up to ``n`` columns, ``kept`` not among them.
    """
    covered = sim[:, list(kept)].max(axis=1) if len(kept) else np.zeros(len(sim), dtype=np.float32)
    gains = np.maximum(sim - covered[:, None], 0).sum(axis=0, dtype=np.float64)
    taken = set(kept)
    heap = [(-gain, column) for column, gain in enumerate(gains.tolist()) if column not in taken]
    heapq.heapify(heap)
    picked: list[int] = []
    while heap and len(picked) < n:
        _, column = heapq.heappop(heap)
        gain = float(np.maximum(sim[:, column] - covered, 0).sum(dtype=np.float64))
        if heap and (-gain, column) > heap[0]:
            heapq.heappush(heap, (-gain, column))
            continue
        picked.append(column)
        covered = np.maximum(covered, sim[:, column])
    return picked


def products(vectors: Floats, vector: Floats) -> Floats:
    """The dot product of each row with ``vector``, computed in the calling thread.

    BLAS would start its threads for this: with busy cores, waiting for them takes milliseconds, many times as
    long as the products of a few hundred examples.
    """
    result: Floats = np.einsum("ij,j->i", vectors, vector)
    return result


def mmr(relevance: Floats, vectors: Floats, k: int, weight: float) -> list[int]:
    """Rows that are relevant and unlike each other (Carbonell & Goldstein, SIGIR 1998), best first.

    Args:
        relevance: of each row to the query.
        vectors: unit vectors, shape (rows, dimension).
        k: how many.
        weight: 1 looks at relevance alone, 0 at difference alone. Equal scores go to the lower row.
    """
    open_ = np.ones(len(relevance), dtype=bool)
    nearest = np.full(len(relevance), -np.inf, dtype=np.float32)
    picked: list[int] = []
    while len(picked) < min(k, len(relevance)):
        score = weight * relevance - (1 - weight) * nearest if picked else relevance
        best = int(np.argmax(np.where(open_, score, -np.inf)))
        picked.append(best)
        open_[best] = False
        nearest = np.maximum(nearest, products(vectors, vectors[best]))
    return picked


def quotas(shares: Sequence[float], available: Sequence[int], n: int, *, each: bool = False) -> list[int]:
    """How many each group gets of ``n``: by its share, one at least, never more than it has.

    Largest remainders; what a group cannot give goes to the others. With ``each``, ``n`` for every group.
    """
    if each:
        return [min(n, has) for has in available]
    counts = [0] * len(shares)
    for group in sorted(range(len(shares)), key=lambda g: (-shares[g], g))[:n]:
        counts[group] = min(1, available[group])
    while sum(counts) < n:
        behind: list[tuple[Any, ...]] = [
            (shares[g] * n - counts[g], -g) for g in range(len(shares)) if counts[g] < available[g]
        ]
        if not behind:
            break
        counts[-max(behind)[1]] += 1
    return counts
