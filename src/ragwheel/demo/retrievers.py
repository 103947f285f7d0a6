"""Two real LangChain retrievers over a demo corpus: BM25 (bm25s) and any embedding model.

This module imports LangChain: :func:`build_retriever` is called only after :func:`require_demo`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import bm25s
import numpy as np
from langchain_core.callbacks import CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever

from ragwheel.demo.corpus import Corpus, Passage
from ragwheel.deploy import Adapter
from ragwheel.errors import ModelError
from ragwheel.models.encoding import encode
from ragwheel.models.loading import MINILM, load_embedder

__all__ = ["Bm25Retriever", "EmbedderRetriever", "build_retriever", "load_model"]

MINILM_ON_THE_HUB: Final = "sentence-transformers/all-MiniLM-L6-v2"


class Bm25Retriever(BaseRetriever):
    """The ``k`` passages with the highest BM25 score; the score is in the metadata as ``score``."""

    passages: tuple[Any, ...]
    index: Any
    k: int = 5

    @classmethod
    def over(cls, corpus: Corpus, k: int) -> Bm25Retriever:
        """Index the corpus (a fraction of a second for some thousand passages)."""
        index = bm25s.BM25()
        tokens = bm25s.tokenize(
            [_searched(passage) for passage in corpus.passages], stopwords="en", show_progress=False
        )
        index.index(tokens, show_progress=False)
        return cls(passages=corpus.passages, index=index, k=k)

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun
    ) -> list[Document]:
        tokens = bm25s.tokenize(query, stopwords="en", return_ids=False, show_progress=False)
        if not tokens[0]:
            return []
        k = min(self.k, len(self.passages))
        numbers, scores = self.index.retrieve(tokens, k=k, show_progress=False)
        return [
            _document(self.passages[int(number)], float(score))
            for number, score in zip(numbers[0], scores[0], strict=True)
            if score > 0
        ]


class EmbedderRetriever(BaseRetriever):
    """The ``k`` passages whose embeddings have the highest cosine with the query's, adapted or not."""

    passages: tuple[Any, ...]
    encoder: Any
    vectors: Any
    adapter: Any = None
    k: int = 5

    @classmethod
    def over(
        cls, corpus: Corpus, k: int, model: str, on_progress: Callable[[int, int], None] | None = None
    ) -> EmbedderRetriever:
        """Encode the corpus (minutes on a CPU); ``on_progress(done, total)`` counts passages.

        ``model`` may be the folder of an adapter: then its base encodes, and it moves the queries.
        """
        adapter = Adapter.load(model) if (Path(model) / "adapter.json").is_file() else None
        encoder = load_model(adapter.base if adapter else model)
        texts = [_searched(passage) for passage in corpus.passages]

        tell = None if on_progress is None else lambda _, *counts: on_progress(*counts)
        vectors = encode(encoder, texts, role="document", progress=tell)
        return cls(passages=corpus.passages, encoder=encoder, vectors=vectors, adapter=adapter, k=k)

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun
    ) -> list[Document]:
        vector = encode(self.encoder, [query], role="query")[0]
        cosines = self.vectors @ (self.adapter.query(vector) if self.adapter else vector)
        best = np.argsort(-cosines, kind="stable")[: self.k]
        return [_document(self.passages[int(number)], float(cosines[number])) for number in best]


def build_retriever(
    name: str, corpus: Corpus, k: int, on_progress: Callable[[int, int], None] | None = None
) -> BaseRetriever:
    """A retriever of ``k`` passages over the corpus: ``bm25``, or by an embedding model or an adapter of one.

    Raises:
        MissingExtra: sentence-transformers is not installed.
        ModelError: there is no such model, neither here nor on the hub.
    """
    if name == "bm25":
        return Bm25Retriever.over(corpus, k)
    return EmbedderRetriever.over(corpus, k, name, on_progress)


def load_model(model: str) -> Any:
    """An embedding model; ``minilm`` comes from the hub where its package is not installed.

    Raises:
        MissingExtra: sentence-transformers is not installed.
        ModelError: there is no such model, neither here nor on the hub.
    """
    try:
        return load_embedder(model)
    except ModelError:
        if model != MINILM:
            raise
        with contextlib.suppress(ModelError):
            return load_embedder(MINILM_ON_THE_HUB)
        raise


def _searched(passage: Passage) -> str:
    return f"{passage.title}\n{passage.text}" if passage.title not in passage.text else passage.text


def _document(passage: Passage, score: float) -> Document:
    return Document(
        id=passage.id, page_content=passage.text, metadata={**passage.metadata, "score": round(score, 4)}
    )
