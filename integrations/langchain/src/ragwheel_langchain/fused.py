"""A LangChain retriever that fuses the results of several retrievers by tuned weights."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from pydantic import PrivateAttr
from typing_extensions import override

from ragwheel.deploy import FusedSearch, Fusion, fuse_results

if TYPE_CHECKING:
    from pathlib import Path

    from langchain_core.callbacks import (
        AsyncCallbackManagerForRetrieverRun,
        CallbackManagerForRetrieverRun,
    )

__all__ = ["FusedRetriever"]


class FusedRetriever(BaseRetriever):
    """Returns the best `k` documents of several retrievers.

    Args:
        retrievers: any ``BaseRetriever``; the number of documents of each is its own setting.
        fusion: a fusion with a weight for each, or the folder that ``ragwheel train fusion`` wrote; None:
            reciprocal rank fusion.
        k: the number of documents to return.

    Their runs are children of this retriever's run in the app's traces. A retriever that raises is skipped
    and counted; if all of them raise, the first exception is raised. Documents with equal ids, or equal texts
    if they have no ids, are merged.

    Raises:
        ragwheel.ConfigurationError: there is not one weight for each retriever.
    """

    retrievers: list[BaseRetriever]
    fusion: Any = None
    k: int = 5
    _fusion: Fusion = PrivateAttr()

    def __init__(
        self, retrievers: list[BaseRetriever], fusion: Fusion | str | Path | None = None, **options: Any
    ) -> None:
        fields: dict[str, Any] = {"retrievers": retrievers, "fusion": fusion}
        super().__init__(**fields, **options)
        checked = FusedSearch(
            [retriever.invoke for retriever in retrievers], fusion, fetch_k=self.k, k=self.k
        )
        self._fusion = checked.fusion

    @override
    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun
    ) -> list[Document]:
        config: Any = {"callbacks": run_manager.get_child()}
        searches = [_search_of(retriever, config) for retriever in self.retrievers]
        return FusedSearch(searches, self._fusion, fetch_k=self.k, k=self.k)(query)

    @override
    async def _aget_relevant_documents(
        self, query: str, *, run_manager: AsyncCallbackManagerForRetrieverRun
    ) -> list[Document]:
        config: Any = {"callbacks": run_manager.get_child()}
        searches = (retriever.ainvoke(query, config) for retriever in self.retrievers)
        results: list[Any] = await asyncio.gather(*searches, return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException) and not isinstance(result, Exception):
                raise result  # a cancellation or an interrupt is the app's
        return [document for document, _ in fuse_results(results, self._fusion)][: self.k]


def _search_of(retriever: BaseRetriever, config: Any) -> Any:
    def search(query: str, k: int) -> list[Document]:  # noqa: ARG001 - k is the retriever's own
        return retriever.invoke(query, config)

    return search
