"""A node post-processor for what ``ragwheel train reranker`` made, recorded with both rankings."""

from __future__ import annotations

from functools import partial
from typing import Any, ClassVar

from llama_index.core.bridge.pydantic import PrivateAttr
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.schema import NodeWithScore, QueryBundle

import ragwheel
from ragwheel import ConfigurationError
from ragwheel.deploy import checked_scorer, recorded_best, rerank
from ragwheel.integration import check_whole

__all__ = ["RagwheelRerank"]


class RagwheelRerank(BaseNodePostprocessor):
    """Scores all nodes and gives the best `top_n`.

    Args:
        reranker: ``(query, texts) -> scores``, or an object with ``predict(pairs)`` such as a
            sentence-transformers ``CrossEncoder``.
        top_n: how many nodes the engine gets; retrieve more (``similarity_top_k=40``).
        name, version: of the re-ranker, in the records.

    A re-ranker that fails costs the app nothing: it gets the first `top_n` as they came, the record is
    flagged ``rerank_failed`` and the failure counted.

    Raises:
        ragwheel.ConfigurationError: `reranker` is something else, or `top_n` is below 1.
    """

    _ragwheel_recorded: ClassVar[bool] = True
    top_n: int = 5
    name: str = "reranker"
    version: str | None = None
    _scorer: Any = PrivateAttr()

    def __init__(
        self, reranker: Any, *, top_n: int = 5, name: str = "reranker", version: str | None = None
    ) -> None:
        check_whole("RagwheelRerank", "top_n", top_n)
        scorer = checked_scorer(reranker)
        super().__init__(top_n=top_n, name=name, version=version)
        self._scorer = scorer

    @classmethod
    def class_name(cls) -> str:
        """Return the name that LlamaIndex stores it by."""
        return "RagwheelRerank"

    def _postprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        if query_bundle is None:
            raise ConfigurationError(
                "RagwheelRerank: got no query; call postprocess_nodes(nodes, query_str=…)"
            )
        query = query_bundle.query_str
        span = ragwheel.start_retrieval(
            query, source="", name=self.name, version=self.version, top_k=self.top_n, kind="rerank"
        )
        ranking = partial(rerank, query, nodes, self._scorer)
        return recorded_best(span, nodes, ranking, self.top_n, with_score=_with_score)


def _with_score(node: NodeWithScore, score: float) -> NodeWithScore:
    return NodeWithScore(node=node.node, score=score)
