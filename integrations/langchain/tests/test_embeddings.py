"""Adapted embeddings: queries moved, documents untouched, and the retrieval says by what."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest
from langchain_core.embeddings import DeterministicFakeEmbedding, Embeddings
from langchain_core.vectorstores import InMemoryVectorStore

from ragwheel import ConfigurationError
from ragwheel.deploy import Adapter
from ragwheel.errors import ModelError
from ragwheel_langchain import AdaptedEmbeddings, wrap_retriever

BASE = DeterministicFakeEmbedding(size=12)
ADAPTER = Adapter((0.3 * np.random.default_rng(0).normal(size=(1, 12, 12))).astype(np.float32))


def test_queries_are_adapted_and_documents_are_not() -> None:
    adapted = AdaptedEmbeddings(BASE, ADAPTER)
    assert isinstance(adapted, Embeddings)
    expected = ADAPTER.query(BASE.embed_query("q"))
    for found in (adapted.embed_query("q"), asyncio.run(adapted.aembed_query("q"))):
        assert isinstance(found, list)
        assert {type(value) for value in found} == {float}
        assert found == pytest.approx(expected)
    for documents in (adapted.embed_documents(["q"]), asyncio.run(adapted.aembed_documents(["q"]))):
        assert documents == BASE.embed_documents(["q"])
    assert adapted.size == 12  # whatever else the base has


def test_it_loads_a_folder(tmp_path: Any) -> None:
    ADAPTER.save(tmp_path)
    assert AdaptedEmbeddings(BASE, str(tmp_path)).version == ADAPTER.version
    with pytest.raises(ModelError, match=r"no adapter\.json"):
        AdaptedEmbeddings(BASE, str(tmp_path / "none"))


def test_what_does_not_fit_is_an_error() -> None:
    with pytest.raises(ConfigurationError, match="got a str, allowed: a LangChain Embeddings"):
        AdaptedEmbeddings("minilm", ADAPTER)
    with pytest.raises(ModelError, match="shape"):
        AdaptedEmbeddings(DeterministicFakeEmbedding(size=5), ADAPTER).embed_query("q")


@pytest.mark.parametrize("instrumented", [False, True])
def test_the_retrieval_says_which_adapter_it_used(instrumented: bool, rows: Any) -> None:
    from ragwheel_langchain import instrument

    if instrumented:
        instrument()
    store = InMemoryVectorStore(AdaptedEmbeddings(BASE, ADAPTER))
    store.add_texts(["one", "two"])
    retriever = wrap_retriever(store.as_retriever(), version="index-3")
    retriever.invoke("q")
    asyncio.run(retriever.ainvoke("q"))
    assert rows("SELECT version FROM retrievals") == [{"version": f"index-3+{ADAPTER.version}"}] * 2
