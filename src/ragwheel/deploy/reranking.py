"""A retriever with a re-ranker: fetch many chunks, score all of them, return the best."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from ragwheel.capture.context import last_retrieval
from ragwheel.capture.recorder import start_retrieval
from ragwheel.errors import ConfigurationError
from ragwheel.guard import guard, let_interrupts_through
from ragwheel.host.columns import read, row

if TYPE_CHECKING:
    from ragwheel.capture.recorder import NotRecorded, Retrieval

__all__ = ["Reranked", "Scorer", "checked_scorer", "recorded_best", "rerank"]

T = TypeVar("T")
Scorer = Callable[[str, list[str]], Sequence[float]]
"""A function that returns the scores of texts for a query; higher is better.

A scorer with a method ``score_chunks(query, columns, version)``, such as
:class:`~ragwheel.deploy.features.FeatureReranker`, also gets ids, the retriever's scores and metadata.
"""


def checked_scorer(reranker: Any) -> Scorer:
    """Return a scoring function for a function, a re-ranker on features, or a ``predict(pairs)``.

    Raises:
        ConfigurationError: `reranker` is none of these.
    """
    if callable(getattr(reranker, "score_chunks", None)) and callable(reranker):
        by_features: Scorer = reranker
        return by_features
    predict = getattr(reranker, "predict", None)
    if callable(predict):

        def score(query: str, texts: list[str]) -> Sequence[float]:
            scores: Sequence[float] = predict([(query, text) for text in texts])
            return scores

        return score
    if callable(reranker):
        scorer: Scorer = reranker
        return scorer
    raise ConfigurationError(
        f"a re-ranker: got a {type(reranker).__name__}, allowed: a function (query, texts) -> scores, or an "
        "object with predict(pairs), such as sentence_transformers.CrossEncoder"
    )


def rerank(
    query: str, chunks: Sequence[T], scorer: Scorer, *, version: str | None = None
) -> list[tuple[T, float]]:
    """Return all `chunks` with their scores, best first; ties keep the retriever's order.

    Args:
        query: the question.
        chunks: the chunks in the retriever's order.
        scorer: see :func:`checked_scorer`.
        version: name and version of the retriever, if known; a re-ranker on features compares it with that of
            its training.

    Exceptions of the scorer propagate. ValueError is raised if it returns another number of scores, or a
    score that cannot be ordered (NaN).
    """
    if not chunks:
        return []
    by_chunk = getattr(scorer, "score_chunks", None)
    if callable(by_chunk):
        judge = by_chunk(query, read(list(chunks)), version)
    else:
        judge = scorer(query, [_text(chunk) for chunk in chunks])
    scores = [float(score) for score in judge]
    if len(scores) != len(chunks):
        raise ValueError(f"the re-ranker gave {len(scores)} scores for {len(chunks)} texts")
    if any(score != score for score in scores):  # noqa: PLR0124 - NaN is unlike itself
        raise ValueError("the re-ranker gave a score that is not a number")
    return sorted(zip(chunks, scores, strict=True), key=lambda scored: -scored[1])


def recorded_best(
    span: Retrieval | NotRecorded,
    chunks: list[T],
    ranking: Callable[[], list[tuple[T, float]]],
    k: int,
    *,
    with_score: Callable[[T, float], T] | None = None,
) -> list[T]:
    """Re-rank chunks, record the new ranking, and return the best `k` chunks.

    If the re-ranker raises, the first `k` chunks are returned in the retriever's order, the span is flagged
    ``rerank_failed`` and the failure is counted.

    Args:
        span: the re-ranking, as ``ragwheel.start_retrieval(..., source="", kind="rerank")`` began it.
        chunks: the chunks in the retriever's order.
        ranking: calls :func:`rerank` with them.
        k: how many chunks to return.
        with_score: returns a chunk with its new score, for frameworks that keep scores in their chunks.
    """
    try:
        scored = ranking()
    except Exception as error:  # noqa: BLE001 - the app's own re-ranker; the retriever's order stands
        span.flag(fell_back(error))
        span.finish(chunks, returned=k)
        return chunks[:k]
    if with_score is None:
        span.finish(scored, returned=k)
        return [chunk for chunk, _ in scored[:k]]
    best = [with_score(chunk, score) for chunk, score in scored]
    span.finish(best, returned=k)
    return best[:k]


class Reranked:
    """A function ``search(query)`` that fetches `fetch_k` chunks, re-ranks them and returns the best `k`.

    Args:
        retriever: function ``(query, k=...)`` that returns a list of chunks, best first. Record it with
            ``@ragwheel.retriever`` and the store sees both rankings.
        reranker: function ``(query, texts) -> scores``, an object with ``predict(pairs)``, or a
            :class:`~ragwheel.deploy.features.FeatureReranker`.
        fetch_k: the number of chunks to re-rank.
        k: the number of chunks to return.
        name, version: the name and version of the re-ranker, on its span.

    All re-ranked chunks are recorded with their former ranks; the app gets the best `k`. If the re-ranker
    raises, the app gets the retriever's first `k` chunks, the span is flagged ``rerank_failed`` and the
    failure is counted.

    Raises:
        ConfigurationError: `k` is not between 1 and `fetch_k`, or something is not a function.
    """

    def __init__(
        self,
        retriever: Callable[..., Sequence[Any]],
        reranker: Any,
        *,
        fetch_k: int = 40,
        k: int = 5,
        name: str = "reranker",
        version: str | None = None,
    ) -> None:
        if not callable(retriever):
            raise ConfigurationError(
                f"Reranked: got a {type(retriever).__name__} as retriever, allowed: a function"
            )
        if not 1 <= k <= fetch_k:
            raise ConfigurationError(f"Reranked(k={k}, fetch_k={fetch_k}): allowed: 1 <= k <= fetch_k")
        self.retriever, self.scorer = retriever, checked_scorer(reranker)
        self.fetch_k, self.k, self.name, self.version = fetch_k, k, name, version

    def __call__(self, query: str, **options: Any) -> list[Any]:
        """Return the best `k` chunks; `options` are passed to the retriever."""
        before = last_retrieval()
        chunks = list(self.retriever(query, k=self.fetch_k, **options))
        version = _version_of(last_retrieval(), before)
        span = start_retrieval(
            query, source="", name=self.name, version=self.version, top_k=self.k, kind="rerank"
        )
        return recorded_best(
            span, chunks, partial(rerank, query, chunks, self.scorer, version=version), self.k
        )


def fell_back(error: Exception) -> str:
    """Count and log a re-ranker's failure; return the flag for its span."""
    let_interrupts_through(error)
    where = "re-ranking"
    guard.count(where)
    guard.warn_once(where, f"the re-ranker raised {type(error).__name__}; the retriever's own order was used")
    return f"rerank_failed: {type(error).__name__}"


def _version_of(retrieval: Retrieval | None, before: Retrieval | None) -> str | None:
    """Return the name and version of a retriever if its call has just been recorded, else None."""
    if retrieval is None or retrieval is before:
        return None
    return f"{retrieval.name} {retrieval.version}"


def _text(chunk: object) -> str:
    """Return the text of a chunk of any kind that ragwheel reads."""
    text = row(chunk, {}).text
    return text if isinstance(text, str) else ""
