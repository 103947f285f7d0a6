"""A re-ranker as a LangChain document compressor."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from langchain_core.documents import BaseDocumentCompressor, Document
from pydantic import PrivateAttr
from typing_extensions import override

import ragwheel
from ragwheel import ConfigurationError
from ragwheel.deploy import Scorer, checked_scorer, recorded_best, rerank
from ragwheel_langchain.calls import enclosing

if TYPE_CHECKING:
    from langchain_core.callbacks import Callbacks

__all__ = ["RerankingCompressor"]


class RerankingCompressor(BaseDocumentCompressor):
    """Re-ranks a retriever's documents and returns the best `k`.

    For ``ContextualCompressionRetriever(base_compressor=..., base_retriever=...)`` and everything else that
    takes a ``BaseDocumentCompressor``. :class:`RerankedRetriever` also asks the retriever for more documents;
    a compressor only gets the documents of its chain.

    Args:
        reranker: a re-ranker on features (``FeatureReranker.load("reranker")``), a function
            ``(query, texts) -> scores``, or an object with ``predict(pairs)``.
        k: the number of documents to return; None: all of them.
        reranker_name, version: the name and version of the re-ranker, on its span.

    The documents themselves are unchanged. If the re-ranker raises, they are returned in the retriever's
    order, the span is flagged ``rerank_failed`` and the failure is counted.

    Raises:
        ragwheel.ConfigurationError: `reranker` is something else, or `k` is below 1.
    """

    reranker: Any
    k: int | None = None
    reranker_name: str = "reranker"
    version: str | None = None
    _scorer: Scorer = PrivateAttr()

    def __init__(self, reranker: Any, *, k: int | None = None, **options: Any) -> None:
        if k is not None and k < 1:
            raise ConfigurationError(f"RerankingCompressor(k={k}): allowed: a number from 1, or None for all")
        scorer = checked_scorer(reranker)
        fields: dict[str, Any] = {"reranker": reranker, "k": k}
        super().__init__(**fields, **options)
        self._scorer = scorer

    @override
    def compress_documents(
        self, documents: Sequence[Document], query: str, callbacks: Callbacks | None = None
    ) -> Sequence[Document]:
        before = list(documents)
        count = len(before) if self.k is None else min(self.k, len(before))
        span = ragwheel.start_retrieval(
            query,
            source="",  # that of the documents
            name=self.reranker_name,
            version=self.version,
            top_k=count,
            outer=enclosing(),
            kind="rerank",
        )
        return recorded_best(span, before, partial(rerank, query, before, self._scorer), count)
