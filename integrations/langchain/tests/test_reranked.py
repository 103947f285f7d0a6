"""A re-ranked retriever: the best few of many, both rankings in the store, one run in the app's traces."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever

import ragwheel
from ragwheel import ConfigurationError
from ragwheel_langchain import RerankedRetriever, instrument, wrap_retriever
from ragwheel_langchain.runs import OPEN

WITH_AND_WITHOUT = pytest.mark.parametrize("instrumented", [False, True])


def by_number(query: str, texts: list[str]) -> list[float]:
    return [float(text.split()[1]) for text in texts]


class Runs(BaseCallbackHandler):
    """Counts what the app's traces show."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def on_retriever_start(self, serialized: Any, query: str, **kwargs: Any) -> None:
        self.names.append(kwargs["name"])


@WITH_AND_WITHOUT
def test_both_rankings_are_recorded_and_one_run_is_traced(
    instrumented: bool, vector_store: Any, rows: Any
) -> None:
    if instrumented:
        instrument()
    base = wrap_retriever(vector_store.as_retriever(), source="kb", version="v1")
    retriever = RerankedRetriever(base, by_number, k=3, version="ce-1")
    forty = vector_store.similarity_search("q", k=40)
    best = sorted(forty, key=lambda document: -int(document.id[1:]))[:3]
    runs = Runs()
    ways = (
        lambda: retriever.invoke("q", {"callbacks": [runs]}),
        lambda: asyncio.run(retriever.ainvoke("q", {"callbacks": [runs]})),
        lambda: retriever.batch(["q"], {"callbacks": [runs]})[0],
    )
    for way in ways:
        assert way() == best
    assert runs.names == ["VectorStoreRetriever"] * 3
    found = rows(
        "SELECT kind, source, version, n_chunks, n_returned, outer_id FROM retrievals ORDER BY start_ns"
    )
    assert [tuple(row.values()) for row in found] == [
        ("retrieval", "kb", "v1", 40, 40, None),
        ("rerank", "kb", "ce-1", 40, 3, None),
    ] * 3
    before = rows("SELECT in_ranks FROM _retrieval WHERE kind = 1")
    assert all(sorted(map(int, row["in_ranks"].strip("[]").split(","))) == [*range(1, 41)] for row in before)
    assert len(OPEN) == 0


def test_in_a_turn_the_llm_is_assumed_to_have_seen_the_reranked_ones(vector_store: Any, rows: Any) -> None:
    retriever = RerankedRetriever(vector_store.as_retriever(), by_number, fetch_k=10, k=2)
    with ragwheel.turn() as turn:
        found = retriever.invoke("q")
        turn.answer("so [1]")
    prompted = rows("SELECT chunk_id FROM impressions WHERE was_prompted ORDER BY rank")
    assert [row["chunk_id"] for row in prompted] == [document.id for document in found]


def test_a_field_for_k_is_raised_on_a_copy(shelf: Any, rows: Any) -> None:
    before = shelf.k
    retriever = RerankedRetriever(shelf, lambda query, texts: range(len(texts)), fetch_k=10, k=2)
    assert len(retriever.invoke("q")) == 2
    assert shelf.k == before
    assert [row["n_chunks"] for row in rows("SELECT n_chunks FROM retrievals")] == [10, 10]


def test_k_for_once(vector_store: Any, rows: Any) -> None:
    retriever = RerankedRetriever(vector_store.as_retriever(), by_number, fetch_k=10, k=2)
    best = retriever.invoke("q", k=3)
    assert best == asyncio.run(retriever.ainvoke("q", k=3))
    assert best[:2] == retriever.invoke("q")
    assert [row["n_returned"] for row in rows("SELECT n_returned FROM retrievals WHERE kind = 'rerank'")] == [
        3, 3, 2,
    ]  # fmt: skip
    with pytest.raises(ConfigurationError, match="allowed: 1 <= k <= fetch_k"):
        retriever.invoke("q", k=11)


class Fixed(BaseRetriever):
    """Without any k."""

    def _get_relevant_documents(self, query: str, *, run_manager: Any) -> list[Document]:
        return [Document(id=str(n), page_content=f"page {n}") for n in range(6)]


class CrossEncoder:
    def predict(self, pairs: list[tuple[str, str]]) -> list[float]:
        return [float(text.split()[1]) for _, text in pairs]


def test_what_cannot_give_more_is_reranked_as_it_is(rows: Any) -> None:
    retriever = RerankedRetriever(Fixed(), CrossEncoder(), k=2)
    assert [document.id for document in retriever.invoke("q")] == ["5", "4"]
    outer = (retriever | (lambda documents: documents)).invoke("q")
    assert [document.id for document in outer] == ["5", "4"]


def test_a_reranker_that_fails_costs_the_app_nothing(rows: Any) -> None:
    retriever = RerankedRetriever(Fixed(), lambda query, texts: 1 / 0, k=2)
    assert [document.id for document in retriever.invoke("q")] == ["0", "1"]
    assert rows("SELECT flags FROM retrievals WHERE kind = 'rerank'") == [
        {"flags": '["rerank_failed: ZeroDivisionError"]'}
    ]


@pytest.mark.parametrize(
    "make",
    [
        lambda: RerankedRetriever(Fixed(), "model"),
        lambda: RerankedRetriever("index", by_number),
        lambda: RerankedRetriever(Fixed(), by_number, k=0),
        lambda: RerankedRetriever(Fixed(), by_number, fetch_k=3, k=4),
    ],
)
def test_what_cannot_work_is_refused_at_once(make: Any) -> None:
    with pytest.raises(ConfigurationError, match="allowed"):
        make()
