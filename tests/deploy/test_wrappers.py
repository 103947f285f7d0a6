"""Framework-free: an adapted embedding function, a re-ranked search, and what the store sees of them."""

from __future__ import annotations

import asyncio
from contextlib import closing

import numpy as np
import pytest

import ragwheel
from ragwheel.deploy import Adapter, Reranked, adapted
from ragwheel.errors import ConfigurationError, ModelError
from ragwheel.guard import guard
from ragwheel.store import open_store

ADAPTER = Adapter((0.3 * np.random.default_rng(0).normal(size=(1, 3, 3))).astype(np.float32))


@pytest.fixture
def rows(tmp_path):
    db = tmp_path / "ragwheel.db"
    ragwheel.configure(db=str(db))

    def read(sql):
        assert ragwheel.flush()
        with closing(open_store(db)) as connection:
            return connection.execute(sql).fetchall()

    return read


def embed(text):
    """A vector."""
    return [float(len(text)), 1.0, 2.0]


async def embed_async(text):
    return np.array(embed(text))


def test_sync_and_async_functions_keep_their_kind():
    expected = ADAPTER.query(embed("query"))
    one = adapted(embed, ADAPTER)("query")
    assert isinstance(one, list)
    assert one == pytest.approx(expected.tolist())
    assert asyncio.run(adapted(embed_async, ADAPTER)("query")) == pytest.approx(expected)
    many = adapted(lambda texts: [embed(text) for text in texts], ADAPTER)
    assert np.array(many(["query", "other"]))[0] == pytest.approx(expected)
    assert many([]) == []
    assert adapted(embed, ADAPTER).__doc__ == "A vector."


def test_a_model_of_another_dimension_is_an_error_and_so_is_no_function():
    with pytest.raises(ModelError, match="shape"):
        adapted(lambda text: [1.0, 2.0], ADAPTER)("query")
    with pytest.raises(ConfigurationError, match="allowed: a function"):
        adapted("minilm", ADAPTER)  # type: ignore[type-var]


def test_the_retrieval_says_which_adapter_it_used(rows):
    to_vector = adapted(embed, ADAPTER)

    @ragwheel.retriever(version="dense-1")
    def search(query):
        to_vector(query)
        to_vector(query)
        return ["a", "b"]

    @ragwheel.retriever
    def unversioned(query):
        to_vector(query)
        return ["a"]

    to_vector("outside of any retriever")
    search("q")
    unversioned("q")
    assert rows("SELECT version FROM retrievals ORDER BY start_ns") == [
        (f"dense-1+{ADAPTER.version}",), (ADAPTER.version,),
    ]  # fmt: skip


@ragwheel.retriever(source="kb")
def numbers(query, k=5):
    return [{"id": str(n), "text": f"text {n}"} for n in range(k)]


def by_number(query, texts):
    return [float(text.split()[1]) for text in texts]


class Model:
    """As a CrossEncoder."""

    def predict(self, pairs):
        return np.array([-float(text.split()[1]) for _, text in pairs])


def test_many_are_reranked_and_the_best_are_given(rows):
    search = Reranked(numbers, by_number, fetch_k=8, k=3, version="ce-1")
    assert [chunk["id"] for chunk in search("q")] == ["7", "6", "5"]
    assert [chunk["id"] for chunk in Reranked(numbers, Model(), fetch_k=4, k=1)("q")] == ["0"]
    found = rows(
        "SELECT kind, source, retriever, version, n_chunks, n_returned FROM retrievals ORDER BY start_ns"
    )
    assert found[:2] == [
        ("retrieval", "kb", "numbers", "", 8, 8), ("rerank", "kb", "reranker", "ce-1", 8, 3),
    ]  # fmt: skip
    assert rows("SELECT in_ranks FROM _retrieval WHERE kind = 1")[0] == ("[8,7,6,5,4,3,2,1]",)


def test_equal_scores_keep_the_order_and_nothing_found_is_nothing():
    assert Reranked(numbers, lambda query, texts: [0.0] * len(texts), k=2)("q") == numbers("q", 2)
    assert Reranked(lambda query, k: [], by_number)("q") == []


@pytest.mark.parametrize(
    "broken", [lambda q, t: 1 / 0, lambda q, t: [1.0], lambda q, t: [float("nan")] * len(t)]
)
def test_a_reranker_that_fails_costs_the_app_nothing(broken, rows):
    before = guard.counts().get("re-ranking", 0)
    found = Reranked(numbers, broken, k=2)("q")
    assert [chunk["id"] for chunk in found] == ["0", "1"]
    assert "rerank_failed" in rows("SELECT flags FROM retrievals WHERE kind = 'rerank'")[0][0]
    assert guard.counts()["re-ranking"] == before + 1


@pytest.mark.parametrize(
    "make",
    [
        lambda: Reranked("index", by_number),
        lambda: Reranked(numbers, "model"),
        lambda: Reranked(numbers, by_number, k=0),
        lambda: Reranked(numbers, by_number, fetch_k=4, k=5),
    ],
)
def test_what_cannot_work_is_refused_at_once(make):
    with pytest.raises(ConfigurationError, match="allowed: "):
        make()
