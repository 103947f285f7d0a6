"""Two real LangChain retrievers over a demo corpus: BM25 (bm25s) and MiniLM (sentence-transformers).

This module imports LangChain: :func:`build_retriever` is called only after :func:`require_demo`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import bm25s
import numpy as np
from langchain_core.callbacks import CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever

from ragwheel.demo.corpus import Corpus, Passage
from ragwheel.errors import ConfigurationError, MissingExtra

__all__ = ["Bm25Retriever", "MiniLmRetriever", "RetrieverName", "build_retriever"]

RetrieverName = Literal["bm25", "minilm"]
MINILM = "sentence-transformers/all-MiniLM-L6-v2"


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
        found, scores = self.index.retrieve(tokens, k=k, show_progress=False)
        return [
            _document(self.passages[int(number)], float(score))
            for number, score in zip(found[0], scores[0], strict=True)
            if score > 0
        ]


class MiniLmRetriever(BaseRetriever):
    """The ``k`` passages whose MiniLM embeddings have the highest cosine with the query's."""

    passages: tuple[Any, ...]
    encoder: Any
    vectors: Any
    k: int = 5

    @classmethod
    def over(
        cls, corpus: Corpus, k: int, on_progress: Callable[[int, int], None] | None = None
    ) -> MiniLmRetriever:
        """Encode the corpus (minutes on a CPU); ``on_progress(done, total)`` counts passages."""
        encoder = _load_minilm()
        texts = [_searched(passage) for passage in corpus.passages]
        rows: list[Any] = []
        for start in range(0, len(texts), 128):
            rows.append(encoder.encode(texts[start : start + 128], normalize_embeddings=True))
            if on_progress is not None:
                on_progress(min(start + 128, len(texts)), len(texts))
        return cls(passages=corpus.passages, encoder=encoder, vectors=np.concatenate(rows), k=k)

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun
    ) -> list[Document]:
        cosines = self.vectors @ self.encoder.encode([query], normalize_embeddings=True)[0]
        best = np.argsort(-cosines, kind="stable")[: self.k]
        return [_document(self.passages[int(number)], float(cosines[number])) for number in best]


def build_retriever(
    name: RetrieverName, corpus: Corpus, k: int, on_progress: Callable[[int, int], None] | None = None
) -> BaseRetriever:
    """A retriever of ``k`` passages over the corpus; raises when MiniLM or its weights are not there."""
    if name == "minilm":
        return MiniLmRetriever.over(corpus, k, on_progress)
    return Bm25Retriever.over(corpus, k)


def _load_minilm() -> Any:
    try:
        from sentence_transformers import SentenceTransformer
    except ImportError:
        raise MissingExtra(
            "--retriever minilm needs sentence-transformers, which is not installed. "
            "Next: pip install sentence-transformers, or ragwheel demo --retriever bm25"
        ) from None
    try:
        return SentenceTransformer(MINILM, device="cpu")
    except (OSError, ValueError) as error:
        first_line = (str(error).splitlines() or [""])[0]
        raise ConfigurationError(
            f"--retriever minilm found no weights of {MINILM} on this machine and could not fetch them "
            f"({first_line[:120]}). Next: ragwheel demo --retriever bm25"
        ) from None


def _searched(passage: Passage) -> str:
    return f"{passage.title}\n{passage.text}" if passage.title not in passage.text else passage.text


def _document(passage: Passage, score: float) -> Document:
    return Document(
        id=passage.id, page_content=passage.text, metadata={**passage.metadata, "score": round(score, 4)}
    )
