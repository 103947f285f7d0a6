"""How well vectors rank: the measure that training watches on dev."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ragwheel.evaluate.dcg import DEPTH, discount, ideal_dcg

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float32]
    Ints = NDArray[np.int64]

__all__ = ["K", "per_query", "top"]

K = DEPTH
_DISCOUNT = discount(np.arange(1, K + 1))


def top(queries: Floats, documents: Floats, k: int = K) -> Ints:
    """The k nearest documents (n, k) by inner product, best first; equal scores in document order."""
    scores = queries @ documents.T
    k = min(k, len(documents))
    near = np.sort(np.argpartition(-scores, k - 1, axis=1)[:, :k], axis=1)
    order = np.argsort(-np.take_along_axis(scores, near, axis=1), axis=1, kind="stable")
    found: Ints = np.take_along_axis(near, order, axis=1)
    return found


def per_query(metric: str, ranked: Ints, relevant: Sequence[Ints]) -> NDArray[np.float64]:
    """nDCG@10 with binary gains, or MRR@10 (n,), of rankings (n, k) given each query's relevant documents."""
    measure = _MEASURES[metric]
    return np.array(
        [measure(np.isin(ranks, wanted), len(wanted)) for ranks, wanted in zip(ranked, relevant, strict=True)]
    )


def _ndcg(hits: NDArray[np.bool_], n_relevant: int) -> float:
    return float(_DISCOUNT[: len(hits)][hits].sum() / ideal_dcg(n_relevant))


def _mrr(hits: NDArray[np.bool_], _: int) -> float:
    return float(1 / (hits.argmax() + 1)) if hits.any() else 0.0


_MEASURES: dict[str, Callable[[NDArray[np.bool_], int], float]] = {"ndcg@10": _ndcg, "mrr@10": _mrr}
