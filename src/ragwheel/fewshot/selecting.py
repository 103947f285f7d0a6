"""Selection of representative examples: facility location, and maximal marginal relevance.

Facility location: the value of a set S is the sum, over all questions, of the similarity to its nearest
member. For similarities of at least 0 this is monotone and submodular, so the greedy selection reaches at
least (1 - 1/e) of the best value (Nemhauser, Wolsey & Fisher 1978). Gains can only shrink as S grows, so it
is enough to update the candidate with the highest old gain (lazy evaluation, Minoux 1978).
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
    """Return the cosines of unit vectors, at least 0, of shape (population, candidates)."""
    similarities: Floats = population @ candidates.T
    np.maximum(similarities, 0, out=similarities)
    return similarities


def facility_location(sim: Floats, n: int, *, kept: Sequence[int] = ()) -> list[int]:
    """Select the columns that represent the rows best, best first; ties go to the lower index.

    Args:
        sim: similarities of at least 0, of shape (population, candidates).
        n: the number of columns to select.
        kept: columns that are selected already, whose rows need no other representative.

    Returns:
        Up to ``n`` columns, without ``kept``.
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
    """Return the dot product of each row with ``vector``, computed in the calling thread.

    BLAS would use its thread pool; on busy cores, waiting for it takes milliseconds, far longer than the
    products of a few hundred examples.
    """
    result: Floats = np.einsum("ij,j->i", vectors, vector)
    return result


def mmr(relevance: Floats, vectors: Floats, k: int, weight: float) -> list[int]:
    """Select rows by maximal marginal relevance (Carbonell & Goldstein, SIGIR 1998), best first.

    Args:
        relevance: the relevance of each row to the query.
        vectors: unit vectors of shape (rows, dimension).
        k: the number of rows to select.
        weight: 1 uses relevance only, 0 diversity only. Ties go to the lower row.
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
    """Divide ``n`` among groups by their shares: at least one each, and never more than a group has.

    By largest remainders; what a group lacks goes to the others. With ``each``, every group gets ``n``.
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
