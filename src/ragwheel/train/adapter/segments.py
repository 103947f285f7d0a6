"""Segments of queries, and the router that tells which one a query belongs to.

Segments are given (a column of the dataset) or found: clusters of the query vectors. Either way the router
holds a few centroids per segment, fitted on the same training queries.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np

from ragwheel.deploy import Router
from ragwheel.errors import MissingExtra, ModelError
from ragwheel.train.adapter.examples import unit
from ragwheel.train.adapter.options import MIN_QUERIES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ragwheel.train.adapter.examples import AdapterExamples
    from ragwheel.train.adapter.options import AdapterOptions

    Floats = NDArray[np.float32]
    Ints = NDArray[np.int64]

__all__ = ["ALL", "route"]

ALL = "all"
_QUERIES_PER_CLUSTER = 100
_CENTROIDS_PER_SEGMENT = 4


def route(examples: AdapterExamples, options: AdapterOptions) -> tuple[tuple[str, ...], Router] | None:
    """Names of the segments and a router between them; None: one adapter for every query.

    Raises:
        ModelError: ``segments="column"`` without names, or fewer than two segments that are large enough.
        MissingExtra: scikit-learn, which finds the clusters, is not installed.
    """
    if options.segments is None and not options.gate:
        return None
    if options.segments is None:
        names, labels, per_segment = [ALL], np.zeros(len(examples.queries), dtype=np.int64), 32
    elif options.segments == "column":
        names, labels = _given(examples)
        per_segment = _CENTROIDS_PER_SEGMENT
    else:
        wanted = options.segments
        n = len(examples.queries)
        count = min(6, max(2, n // _QUERIES_PER_CLUSTER)) if wanted == "auto" else int(wanted)
        if n < count * MIN_QUERIES:
            raise ModelError(
                f"segments={wanted!r}: {n} training queries make no {count} clusters of {MIN_QUERIES}. "
                f"Allowed: up to {n // MIN_QUERIES}; or train one adapter for all queries."
            )
        labels = _clusters(examples.queries, count, options.seed)[1]
        names, per_segment = [f"cluster-{number}" for number in range(1, count + 1)], 1
    return tuple(names), _router(examples.queries, labels, per_segment, options)


def _given(examples: AdapterExamples) -> tuple[list[str], Ints]:
    if examples.segment is None:
        raise ModelError('segments="column": the rows came without names of segments; give segments=[...]')
    names, counts = np.unique(examples.segment, return_counts=True)
    kept = [str(name) for name, count in zip(names, counts, strict=True) if count >= MIN_QUERIES]
    if len(kept) < 2:
        text = ", ".join(f"{name} ({count})" for name, count in zip(names, counts, strict=True))
        raise ModelError(
            f"segments: {text}; allowed: two or more of at least {MIN_QUERIES} training queries each. "
            "Train one adapter for all queries instead."
        )
    return kept, np.array([kept.index(name) if name in kept else -1 for name in examples.segment])


def _router(queries: Floats, labels: Ints, per_segment: int, options: AdapterOptions) -> Router:
    centroids, owner, floor = [], [], []
    for segment in range(int(labels.max()) + 1):
        own = queries[labels == segment]
        count = max(1, min(per_segment, len(own) // MIN_QUERIES))
        centres, nearest = _clusters(own, count, options.seed)
        for number, centre in enumerate(centres):
            cosines = own[nearest == number] @ centre
            centroids.append(centre)
            owner.append(segment)
            floor.append(float(np.quantile(cosines, options.gate)) if options.gate else -2.0)
    return Router(np.stack(centroids), np.array(owner), np.array(floor, dtype=np.float32))


def _clusters(vectors: Floats, count: int, seed: int) -> tuple[Floats, Ints]:
    """Unit centroids (count, d) and the number of each vector's."""
    if count > 1:
        try:
            from sklearn.cluster import KMeans
        except ModuleNotFoundError as error:
            raise MissingExtra(
                "clusters of queries need scikit-learn. Next: pip install 'ragwheel[train]'"
            ) from error
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # fewer distinct points than clusters: then some stay empty
            cluster_centers = KMeans(count, n_init=4, random_state=seed).fit(vectors).cluster_centers_
        centres = unit(cluster_centers)
        nearest = (vectors @ centres.T).argmax(axis=1)
        used = np.unique(nearest)
        return centres[used], np.searchsorted(used, nearest)
    return unit(vectors.mean(axis=0, keepdims=True)), np.zeros(len(vectors), dtype=np.int64)
