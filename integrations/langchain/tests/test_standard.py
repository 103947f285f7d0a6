"""LangChain's own standard tests: what we wrap stands wherever its retrievers and embeddings do."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from langchain_core.documents import Document
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_core.retrievers import BaseRetriever
from langchain_core.vectorstores import InMemoryVectorStore

import ragwheel
from ragwheel.deploy import Adapter
from ragwheel_langchain import AdaptedEmbeddings, RerankedRetriever, instrument, wrap_retriever

pytest.importorskip("langchain_tests", reason="needs langchain-tests, which is not installed")

from langchain_tests.integration_tests import EmbeddingsIntegrationTests, RetrieversIntegrationTests
from langchain_tests.unit_tests import EmbeddingsUnitTests

BASE = DeterministicFakeEmbedding(size=12)


def by_length(query: str, texts: list[str]) -> list[float]:
    return [float(len(text)) for text in texts]


def stored(k: int = 4) -> BaseRetriever:
    """An app's retriever over sixty pages."""
    store = InMemoryVectorStore(BASE)
    store.add_documents([Document(id=f"d{n}", page_content=f"page {n}") for n in range(60)])
    return store.as_retriever(search_kwargs={"k": k})


class Recorded(RetrieversIntegrationTests):
    """Every retrieval of these tests is recorded; what the subclass makes is what the app holds."""

    @pytest.fixture(autouse=True)
    def _recording(self, tmp_path: Path) -> None:
        ragwheel.configure(db=tmp_path / "ragwheel.db")

    @property
    def retriever_query_example(self) -> str:
        return "page 7"

    @property
    def retriever_constructor_params(self) -> dict[str, Any]:
        return {}


class TestWrappedRetriever(Recorded):
    @property
    def retriever_constructor(self) -> Any:
        return lambda k=4: wrap_retriever(stored(k))


class TestInstrumentedRetriever(Recorded):
    @pytest.fixture(autouse=True)
    def _instrumented(self, _recording: None) -> None:
        instrument()

    @property
    def retriever_constructor(self) -> Any:
        return stored


class TestRerankedRetriever(Recorded):
    @property
    def retriever_constructor(self) -> Any:
        return partial(RerankedRetriever, stored(), by_length)


class Adapted:
    """Embeddings with an adapter on the queries."""

    @property
    def embeddings_class(self) -> type[AdaptedEmbeddings]:
        return AdaptedEmbeddings

    @property
    def embedding_model_params(self) -> dict[str, Any]:
        weights = 0.3 * np.random.default_rng(0).normal(size=(1, 12, 12))
        return {"base": BASE, "adapter": Adapter(weights.astype(np.float32))}


class TestAdaptedEmbeddings(Adapted, EmbeddingsUnitTests):
    pass


class TestAdaptedEmbeddingsInUse(Adapted, EmbeddingsIntegrationTests):
    pass
