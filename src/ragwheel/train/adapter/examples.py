"""Training rows as arrays: distinct query and document vectors, and who is relevant to whom."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ragwheel.errors import ModelError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float32]
    Ints = NDArray[np.int64]

__all__ = ["AdapterExamples", "Exposed", "Exposures", "collect", "unit"]

Exposures = tuple["ArrayLike", "ArrayLike", "ArrayLike"]
"""Vectors of queries and of chunks exposed for them, row by row, and P(relevant) of each."""


@dataclass(frozen=True, eq=False)
class Exposed:
    """Chunks that were exposed for queries: indices of both, and P(relevant), 0-1."""

    query: Ints
    document: Ints
    belief: NDArray[np.float64]


def _nothing() -> Exposed:
    return Exposed(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0))


@dataclass(frozen=True, eq=False)
class AdapterExamples:
    """n distinct queries, m distinct documents, r rows.

    Attributes:
        queries, documents: (n, d) and (m, d), of unit length. A query may have no row, only exposed chunks.
        query, positive: (r,) indices of a row's query and relevant document.
        negatives: (r, h) indices of documents, -1 where a row has fewer.
        weight: (r,) of each row, 1 on average.
        segment: (n,) names of the queries' segments, or None.
        exposed: what was exposed for the queries, if that is known.
    """

    queries: Floats
    documents: Floats
    query: Ints
    positive: Ints
    negatives: Ints
    weight: Floats
    segment: NDArray[np.str_] | None = None
    exposed: Exposed = field(default_factory=_nothing)

    def only(self, queries: Ints) -> AdapterExamples:
        """These queries (indices), with their rows and what was exposed; documents keep their numbers."""
        left = np.unique(queries)
        return self._part(left, np.flatnonzero(np.isin(self.query, left)))

    def rows(self, rows: Ints) -> AdapterExamples:
        """Only these rows (indices), and the queries that they leave."""
        return self._part(np.unique(self.query[rows]), rows)

    @property
    def taught(self) -> AdapterExamples:
        """Only the queries that have a row."""
        return self.only(np.unique(self.query))

    def _part(self, left: Ints, rows: Ints) -> AdapterExamples:
        found, seen = self.exposed, np.isin(self.exposed.query, left)
        exposed = Exposed(np.searchsorted(left, found.query[seen]), found.document[seen], found.belief[seen])
        segment = None if self.segment is None else self.segment[left]
        return AdapterExamples(
            self.queries[left], self.documents, np.searchsorted(left, self.query[rows]), self.positive[rows],
            self.negatives[rows], self.weight[rows], segment, exposed,
        )  # fmt: skip

    def relevant(self) -> list[Ints]:
        """For each query its distinct relevant documents."""
        pairs = np.unique(np.stack([self.query, self.positive], axis=1), axis=0)
        return np.split(pairs[:, 1], np.searchsorted(pairs[:, 0], np.arange(1, len(self.queries))))


def unit(vectors: Floats) -> Floats:
    """Rows of length 1; a row of zeros stays one."""
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    scaled: Floats = (vectors / np.maximum(length, 1e-12)).astype(np.float32)
    return scaled


def collect(
    query_vectors: ArrayLike,
    positive_vectors: ArrayLike,
    negative_vectors: ArrayLike | None = None,
    *,
    weights: ArrayLike | None = None,
    segments: Sequence[str] | None = None,
    exposures: Exposures | None = None,
) -> AdapterExamples:
    """Check the vectors of r rows and find the distinct ones among them.

    Args:
        query_vectors, positive_vectors: (r, d).
        negative_vectors: (r, d) or (r, h, d); a vector of NaN stands for no negative.
        weights: (r,) confidence of each row, from 0.
        segments: (r,) name of the segment of each row's query.
        exposures: (e, d) vectors of queries, (e, d) of chunks that were exposed for them, (e,) P(relevant).

    Raises:
        ModelError: shapes that do not match, no rows, or values that are not finite.
    """
    queries, positives = (
        _matrix("query_vectors", query_vectors),
        _matrix("positive_vectors", positive_vectors),
    )
    rows, dimension = queries.shape
    _same("positive_vectors", positives.shape, (rows, dimension))
    negatives = np.empty((rows, 0, dimension), np.float32)
    if negative_vectors is not None:
        negatives = np.asarray(negative_vectors, dtype=np.float32)
        negatives = negatives[:, None] if negatives.ndim == 2 else negatives
        _same("negative_vectors", negatives.shape, (rows, *negatives.shape[1:2], dimension))
    missing = np.isnan(negatives).all(axis=2)
    for name, vectors in (
        ("query_vectors", queries),
        ("positive_vectors", positives),
        ("negative_vectors", negatives[~missing]),
    ):
        if not np.isfinite(vectors).all():
            bad = int((~np.isfinite(vectors).all(axis=-1)).sum())
            raise ModelError(
                f"{name}: {bad} of {len(vectors)} vectors hold NaN or infinity; look at what the embedding "
                "model got and gave there, and leave those rows out"
            )
    weight = np.ones(rows) if weights is None else np.asarray(weights, dtype=np.float64)
    _same("weights", weight.shape, (rows,))
    if not (np.isfinite(weight).all() and (weight >= 0).all() and weight.sum() > 0):
        raise ModelError("weights: allowed: numbers from 0, not all 0")
    asked, shown, belief = _exposures(exposures, dimension)
    distinct, query = _distinct(unit(np.concatenate([queries, asked])))
    n_documents = rows + int((~missing).sum())
    documents, number = _distinct(unit(np.concatenate([positives, negatives[~missing], shown])))
    hard = np.full(missing.shape, -1)
    hard[~missing] = number[rows:n_documents]
    named = None
    if segments is not None:
        _same("segments", (len(segments),), (rows,))
        named = np.empty(len(distinct), dtype=object)
        named[:] = ""
        named[query[:rows]] = list(map(str, segments))
        named = named.astype(str)
    scaled = (weight / weight.mean()).astype(np.float32)
    exposed = Exposed(query[rows:], number[n_documents:], belief)
    return AdapterExamples(distinct, documents, query[:rows], number[:rows], hard, scaled, named, exposed)


def _exposures(exposures: Exposures | None, dimension: int) -> tuple[Floats, Floats, NDArray[np.float64]]:
    """Checked vectors and beliefs; none of them where nothing was exposed."""
    if exposures is None:
        none = np.empty((0, dimension), np.float32)
        return none, none, np.empty(0)
    queries, chunks = _matrix("exposures: queries", exposures[0]), _matrix("exposures: chunks", exposures[1])
    belief = np.asarray(exposures[2], dtype=np.float64)
    for name, vectors in (("queries", queries), ("chunks", chunks)):
        if vectors.shape != (len(belief), dimension) or not np.isfinite(vectors).all():
            raise ModelError(
                f"exposures: {name}: got shape {vectors.shape} or values that are not finite, allowed: "
                f"{(len(belief), dimension)}, finite"
            )
    if not ((belief >= 0) & (belief <= 1)).all():
        raise ModelError("exposures: beliefs: allowed: numbers from 0 to 1")
    return queries, chunks, belief


def _matrix(name: str, vectors: Any) -> Floats:
    try:
        found = np.asarray(vectors, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise ModelError(f"{name}: allowed: an array (rows, dimension) of numbers; {error}") from error
    if found.ndim != 2 or 0 in found.shape:
        raise ModelError(f"{name}: got shape {found.shape}, allowed: (rows, dimension), at least one row")
    return found


def _same(name: str, got: tuple[int, ...], allowed: tuple[int, ...]) -> None:
    if got != allowed:
        raise ModelError(f"{name}: got shape {got}, allowed: {allowed}, as query_vectors has")


def _distinct(vectors: Floats) -> tuple[Floats, Ints]:
    """Distinct rows in order of first appearance, and the number of each row's."""
    number: dict[bytes, int] = {}
    index = np.array([number.setdefault(row.tobytes(), len(number)) for row in vectors], dtype=np.int64)
    first = np.full(len(number), len(vectors))
    np.minimum.at(first, index, np.arange(len(vectors)))
    return vectors[first], index
