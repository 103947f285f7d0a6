"""A LlamaIndex retriever that asks several others and fuses what they find, by tuned weights."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.schema import NodeWithScore, QueryBundle

from ragwheel import ConfigurationError, overfetch
from ragwheel.deploy import Fusion, fuse_results, fusion_of
from ragwheel.integration import check_whole

__all__ = ["RagwheelFusionRetriever"]


class RagwheelFusionRetriever(BaseRetriever):
    """Gives the best nodes of several retrievers, with their fused scores.

    Its searches are spans under its own; with ``instrument()`` they are recorded under it, and count as
    `logged`. A retriever that raises is left out and counted; when all of them raise, the app gets the first
    one's exception. Nodes of equal ids are one node.

    Args:
        retrievers: any ``BaseRetriever``; how many nodes each gives is its own setting.
        fusion: with a weight for each, such as ``Fusion.load("fusion")``, or the folder that ``ragwheel
            train fusion`` wrote; None: reciprocal rank fusion, all alike.
        similarity_top_k: how many nodes to give.

    Raises:
        ragwheel.ConfigurationError: `retrievers` are none of LlamaIndex, there is not one weight for each,
            or `similarity_top_k` is below 1.
        ragwheel.errors.ModelError: the folder has no fusion.
    """

    def __init__(
        self,
        retrievers: Sequence[BaseRetriever],
        fusion: Fusion | str | Path | None = None,
        *,
        similarity_top_k: int = 5,
        **options: Any,
    ) -> None:
        if not retrievers or not all(isinstance(retriever, BaseRetriever) for retriever in retrievers):
            raise ConfigurationError(
                "RagwheelFusionRetriever: got no retrievers; allowed are LlamaIndex BaseRetrievers, "
                "such as [index.as_retriever(), BM25Retriever.from_defaults(nodes=nodes)]"
            )
        check_whole("RagwheelFusionRetriever", "similarity_top_k", similarity_top_k)
        self.fusion = fusion_of(fusion, len(retrievers), "RagwheelFusionRetriever")
        self.retrievers = list(retrievers)
        self.similarity_top_k = similarity_top_k
        super().__init__(**options)

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        results: list[Sequence[Any] | Exception] = []
        for retriever in self.retrievers:
            try:
                results.append(retriever.retrieve(query_bundle))
            except Exception as error:  # noqa: BLE001 - the app's own retriever; the others still serve
                overfetch.let_interrupts_through(error)
                results.append(error)
        return self._fused(results)

    async def _aretrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        searches = (retriever.aretrieve(query_bundle) for retriever in self.retrievers)
        gathered = await asyncio.gather(*searches, return_exceptions=True)
        results: list[Sequence[Any] | Exception] = []
        for result in gathered:
            if isinstance(result, BaseException) and not isinstance(result, Exception):
                raise result  # a cancellation or an interrupt is the app's
            results.append(result)
        return self._fused(results)

    def _fused(self, results: Sequence[Sequence[Any] | Exception]) -> list[NodeWithScore]:
        best = fuse_results(results, self.fusion)[: self.similarity_top_k]
        return [NodeWithScore(node=chunk.node, score=score) for chunk, score in best]
