"""Retrievers that DSPy calls without callbacks: its embeddings index, and the retrieval model."""

from __future__ import annotations

import copy
from typing import Any, Final

import dspy

import ragwheel
from ragwheel import ConfigurationError, overfetch
from ragwheel.integration import Wrapping

__all__ = ["RecordedEmbeddings", "wrap_retriever"]

_RESULT: Final = ("text", "id", "score")


class RecordedEmbeddings:
    """Made by :func:`wrap_retriever`: a ``dspy.retrievers.Embeddings`` whose searches are recorded.

    Attributes:
        retriever: the app's own.
    """

    def __init__(self, retriever: Any, wrapping: Wrapping) -> None:
        self.retriever = retriever

        @wrapping.overfetching("k")
        def search(query: str, k: int) -> list[dict[str, Any]]:
            return _hits(
                retriever if k == retriever.k else _asking_for(retriever, k), query, own=k == retriever.k
            )

        @ragwheel.retriever(**wrapping.labels)
        def plain_search(query: str) -> Any:
            return retriever(query)

        self._search, self._plain_search = search, plain_search

    def __call__(self, query: str) -> Any:
        """Return the ``dspy.Prediction`` that the app's retriever returns."""
        return self.forward(query)

    def forward(self, query: str) -> Any:
        """Return the ``dspy.Prediction`` that the app's retriever returns."""
        if not _is_plain(self.retriever):
            return self._plain_search(query)
        hits = self._search(query, self.retriever.k)
        return dspy.Prediction(passages=[hit["text"] for hit in hits], indices=[hit["id"] for hit in hits])

    def __getattr__(self, name: str) -> Any:
        """Look up in the app's retriever what this one has not."""
        if name == "retriever":
            raise AttributeError(name)
        return getattr(self.retriever, name)


def _is_plain(retriever: Any) -> bool:
    """Whether a search for more gives the same first ones: with FAISS, the candidates depend on k."""
    return type(retriever) is dspy.retrievers.Embeddings and getattr(retriever, "index", None) is None


def _asking_for(retriever: Any, k: int) -> Any:
    larger = copy.copy(retriever)
    larger.k = k
    return larger


def _hits(retriever: Any, query: str, *, own: bool) -> list[dict[str, Any]]:
    """Search as the app's retriever does; a larger search is not put into the batches of the app's."""
    result = retriever.search_fn(query) if own else retriever._batch_forward([query])[0]
    passages, indices, *scores = result
    if not scores:  # before DSPy gave them
        return [{"text": text, "id": index} for text, index in zip(passages, indices, strict=True)]
    return [dict(zip(_RESULT, hit, strict=True)) for hit in zip(passages, indices, scores[0], strict=True)]


def wrap_retriever(
    retriever: Any,
    capture_k: int = 40,
    *,
    source: str | None = None,
    name: str | None = None,
    version: str | None = None,
    check_overfetch: int = overfetch.CHECKED_CALLS,
) -> Any:
    """Record what `retriever` gives; use the result in its place.

    A ``dspy.retrievers.Embeddings`` is asked for `capture_k` passages, of which the app gets its ``k``. With
    a FAISS index, and of any other callable (``ColBERTv2``, a function for ``dspy.configure(rm=...)``), what
    the app gets is recorded.

    Args:
        retriever: a callable whose first argument is the query.
        capture_k: how many passages to record, at least 1. ``ragwheel.configure(capture_k=...)`` caps it.
        source: the index or data source; by default the class or function.
        name: of the retriever; by default its class or function.
        version: of the retriever, such as the index's date.
        check_overfetch: so many over-fetched calls (default 3) are preceded by the app's own search, whose
            passages the app gets; when the two differ, no more is asked for again. 0 checks none.

    Raises:
        ragwheel.ConfigurationError: `retriever` cannot be called, or a number is out of range.
    """
    if isinstance(retriever, RecordedEmbeddings):
        retriever = retriever.retriever
    if not callable(retriever):
        raise ConfigurationError(
            f"wrap_retriever: got a {type(retriever).__name__}; allowed is a callable of a query, such as "
            "dspy.retrievers.Embeddings(corpus, embedder)"
        )
    label = name or getattr(retriever, "__name__", None) or type(retriever).__name__
    wrapping = Wrapping(source or label, label, version, capture_k, check_overfetch)
    if isinstance(retriever, dspy.retrievers.Embeddings):
        return RecordedEmbeddings(retriever, wrapping)
    return ragwheel.retriever(retriever, **wrapping.labels)
