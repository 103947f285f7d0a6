"""A LangChain retriever with a re-ranker behind it, recorded with the ranks before and after.

As with :func:`ragwheel_langchain.wrap_retriever`, the one run in the app's traces is that of the app's own
retriever; the re-ranking stands in the store as a ``rerank`` of what that run found.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import run_in_executor
from pydantic import PrivateAttr
from typing_extensions import override

import ragwheel
from ragwheel import ConfigurationError, overfetch
from ragwheel.deploy import Scorer, checked_scorer, recorded_best, rerank
from ragwheel_langchain.calls import enclosing
from ragwheel_langchain.larger import with_attributes
from ragwheel_langchain.searches import plan_search
from ragwheel_langchain.wrapper import OverfetchRetriever, wrap_retriever

if TYPE_CHECKING:
    from langchain_core.callbacks import AsyncCallbackManagerForRetrieverRun, CallbackManagerForRetrieverRun
    from langchain_core.documents import Document
    from langchain_core.runnables import RunnableConfig

__all__ = ["RerankedRetriever"]


class RerankedRetriever(BaseRetriever):
    """Fetches `fetch_k` documents from `base`, re-ranks them and returns the best `k`.

    Args:
        base: any ``BaseRetriever``; one that :func:`wrap_retriever` made keeps its source and version. It is
            asked for `fetch_k` where a larger k is safe (see :func:`wrap_retriever`); else what it gives is
            re-ranked.
        reranker: ``(query, texts) -> scores``, or an object with ``predict(pairs)`` such as a
            sentence-transformers ``CrossEncoder``.
        fetch_k, k: the numbers of documents to re-rank and to return; ``invoke(query, k=3)`` returns three.
        reranker_name, version: the name and version of the re-ranker, on its span.

    If the re-ranker raises, the first `k` documents of `base` are returned, the span is flagged
    ``rerank_failed`` and the failure is counted.

    Raises:
        ragwheel.ConfigurationError: `base` or `reranker` is something else, or not 1 <= k <= fetch_k.
    """

    base: OverfetchRetriever
    reranker: Any
    fetch_k: int = 40
    k: int = 5
    reranker_name: str = "reranker"
    version: str | None = None
    _scorer: Scorer = PrivateAttr()

    def __init__(
        self, base: BaseRetriever, reranker: Any, *, fetch_k: int = 40, k: int = 5, **options: Any
    ) -> None:
        _checked_k(k, fetch_k)
        scorer = checked_scorer(reranker)
        wrapped = base if isinstance(base, OverfetchRetriever) else wrap_retriever(base, capture_k=fetch_k)
        fields = {"base": wrapped, "reranker": reranker, "fetch_k": fetch_k, "k": k}
        super().__init__(**fields, **options)
        self._scorer = scorer

    @override
    def get_name(self, suffix: str | None = None, *, name: str | None = None) -> str:
        return self.base.get_name(suffix, name=name)

    @override
    def invoke(self, input: str, config: RunnableConfig | None = None, **kwargs: Any) -> list[Document]:
        k = _checked_k(kwargs.pop("k", self.k), self.fetch_k)
        retriever, options = self._asking(input, kwargs, is_async=False)
        return self._reranked(input, retriever.invoke(input, config, **options), k)

    @override
    async def ainvoke(
        self, input: str, config: RunnableConfig | None = None, **kwargs: Any
    ) -> list[Document]:
        k = _checked_k(kwargs.pop("k", self.k), self.fetch_k)
        retriever, options = self._asking(input, kwargs, is_async=True)
        documents = await retriever.ainvoke(input, config, **options)
        return await run_in_executor(None, self._reranked, input, documents, k)

    @override
    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun, **kwargs: Any
    ) -> list[Document]:
        return self.invoke(query, {"callbacks": run_manager.get_child()}, **kwargs)

    @override
    async def _aget_relevant_documents(
        self, query: str, *, run_manager: AsyncCallbackManagerForRetrieverRun, **kwargs: Any
    ) -> list[Document]:
        return await self.ainvoke(query, {"callbacks": run_manager.get_child()}, **kwargs)

    def _asking(
        self, query: str, kwargs: dict[str, Any], *, is_async: bool
    ) -> tuple[OverfetchRetriever, dict[str, Any]]:
        """Return a retriever and call options for `fetch_k` documents, where a larger k is safe."""
        inner = self.base.retriever
        try:
            search = plan_search(inner, query, kwargs, self.fetch_k, is_async=is_async)
        except Exception as error:  # noqa: BLE001 - whatever a foreign retriever's attributes do
            overfetch.let_interrupts_through(error)
            return self.base, kwargs
        if search.asked is None:
            return self.base, kwargs
        if search.is_field:
            larger = with_attributes(inner, {search.parameter: search.asked})
            return self.base.model_copy(update={"retriever": larger}), kwargs
        return self.base, {**kwargs, search.parameter: search.asked}

    def _reranked(self, query: str, documents: list[Document], k: int) -> list[Document]:
        span = ragwheel.start_retrieval(
            query,
            source="",  # that of the documents
            name=self.reranker_name,
            version=self.version,
            top_k=k,
            outer=enclosing(),
            kind="rerank",
        )
        return recorded_best(span, documents, partial(rerank, query, documents, self._scorer), k)


def _checked_k(k: int, fetch_k: int) -> int:
    if not 1 <= k <= fetch_k:
        raise ConfigurationError(f"RerankedRetriever(k={k}, fetch_k={fetch_k}): allowed: 1 <= k <= fetch_k")
    return k
