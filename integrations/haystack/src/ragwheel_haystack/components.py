"""Components for what was trained: a ranker, and a text embedder whose vectors are adapted."""

import dataclasses
from functools import partial
from pathlib import Path
from typing import Any

from haystack import Document, component

import ragwheel
from ragwheel import ConfigurationError
from ragwheel.deploy import (
    Adapter,
    QueryEncoder,
    checked_scorer,
    load_query_model,
    query_embedder,
    recorded_best,
)
from ragwheel.deploy import rerank as ranked
from ragwheel.integration import check_whole

__all__ = ["RagwheelRanker", "RagwheelTextEmbedder"]


@component
class RagwheelRanker:
    """Scores all documents and gives the best `top_k`; the records have the ranks before and after.

    Args:
        reranker: ``(query, texts) -> scores``, or an object with ``predict(pairs)`` such as a
            sentence-transformers ``CrossEncoder``.
        top_k: how many documents to give; have the retriever give more (``top_k=40``).
        name, version: of the re-ranker, in the records.

    A re-ranker that fails costs the app nothing: it gets the first `top_k` as they came, the record is
    flagged ``rerank_failed`` and the failure counted.

    Raises:
        ragwheel.ConfigurationError: `reranker` is something else, or `top_k` is below 1.
    """

    def __init__(
        self, reranker: Any, top_k: int = 5, name: str = "reranker", version: str | None = None
    ) -> None:
        self.scorer = checked_scorer(reranker)
        self.top_k, self.name, self.version = _checked(top_k), name, version

    @component.output_types(documents=list[Document])
    def run(self, query: str, documents: list[Document], top_k: int | None = None) -> dict[str, Any]:
        """Return the best documents with the re-ranker's scores."""
        k = self.top_k if top_k is None else _checked(top_k)
        span = ragwheel.start_retrieval(
            query, source="", name=self.name, version=self.version, top_k=k, kind="rerank"
        )
        ranking = partial(ranked, query, documents, self.scorer)
        best = recorded_best(span, documents, ranking, k, with_score=_with_score)
        return {"documents": best}


@component
class RagwheelTextEmbedder:
    """Embeds questions as they were trained: put it where the pipeline has `base`; the index stays.

    Args:
        base: the text embedder that belongs to the index.
        model: what ``ragwheel train adapter`` made for its vectors, or ``ragwheel train embedder`` (which
            then embeds questions in place of `base`), loaded or as a folder.

    Raises:
        ragwheel.ConfigurationError: `base` has no ``run``.
        ragwheel.errors.ModelError: there is no model in that folder; or, when a question comes, it is an
            adapter for vectors of another dimension.
    """

    def __init__(self, base: Any, model: Adapter | QueryEncoder | str | Path) -> None:
        if not callable(getattr(base, "run", None)):
            raise ConfigurationError(
                f"RagwheelTextEmbedder: got a {type(base).__name__}, allowed: a text embedder of Haystack"
            )
        self.base = base
        self.model = load_query_model(model)
        self._embed = query_embedder(lambda text: list(base.run(text=text)["embedding"]), self.model)

    def warm_up(self) -> None:
        """Warm up the text embedder."""
        warm_up = getattr(self.base, "warm_up", None)
        if callable(warm_up):
            warm_up()

    @component.output_types(embedding=list[float])
    def run(self, text: str) -> dict[str, Any]:
        """Return the vector of a question."""
        return {"embedding": list(self._embed(text))}


def _with_score(document: Document, score: float) -> Document:
    return dataclasses.replace(document, score=score)


def _checked(top_k: int) -> int:
    check_whole("RagwheelRanker", "top_k", top_k)
    return top_k
