"""What is Haystack's own: embeddings and their questions, joiners, direct calls, over-fetch, deployment."""

import json
import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from haystack import Document, Pipeline, component
from haystack.components.joiners import DocumentJoiner
from haystack.components.retrievers.in_memory import InMemoryBM25Retriever, InMemoryEmbeddingRetriever
from integrations.haystack.tests.parts import store

import ragwheel
import ragwheel_haystack
from ragwheel.deploy import Adapter, Fusion
from ragwheel.store import open_store
from ragwheel.testing import QUESTION
from ragwheel_haystack import RagwheelJoiner, RagwheelRanker, RagwheelTextEmbedder, wrap_retriever


@component
class Embedder:
    """Embeds a text by its length."""

    @component.output_types(embedding=list[float])
    def run(self, text: str) -> dict[str, Any]:
        """Return the vector."""
        return {"embedding": [1.0, float(len(text))]}


@component
class Fixed:
    """Finds the same documents for every question."""

    def __init__(self, names: list[str]) -> None:
        self.names = names

    @component.output_types(documents=list[Document])
    def run(self, query: str) -> dict[str, Any]:
        """Return them."""
        return {"documents": [Document(id=name, content=f"text of {name}") for name in self.names]}


@pytest.fixture
def rows(tmp_path: Path) -> Any:
    """A configured and instrumented process; called with SQL, the rows that are in the store by then."""
    db = tmp_path / "ragwheel.db"
    ragwheel.configure(db=str(db))
    ragwheel_haystack.instrument()

    def read(sql: str) -> list[dict[str, Any]]:
        assert ragwheel.flush(timeout_s=30)
        connection = open_store(db)
        connection.row_factory = sqlite3.Row
        try:
            return [dict(row) for row in connection.execute(sql)]
        finally:
            connection.close()

    yield read
    ragwheel_haystack.uninstrument()


def semantic(embedder: Any) -> Pipeline:
    pipeline = Pipeline()
    pipeline.add_component("embedder", embedder)
    pipeline.add_component("semantic", InMemoryEmbeddingRetriever(store(embedded=True), top_k=3))
    pipeline.connect("embedder.embedding", "semantic.query_embedding")
    return pipeline


def test_the_question_behind_an_embedding_is_recorded(rows: Any) -> None:
    semantic(Embedder()).run({"embedder": {"text": QUESTION}})
    [row] = rows("SELECT query, source, retriever, n_chunks FROM retrievals")
    assert tuple(row.values()) == (QUESTION, "semantic", "InMemoryEmbeddingRetriever", 3)


def test_a_joiner_is_a_reranking_of_what_it_joins(rows: Any) -> None:
    pipeline = semantic(Embedder())
    pipeline.add_component("words", InMemoryBM25Retriever(store(), top_k=3))
    pipeline.add_component("joiner", DocumentJoiner(join_mode="reciprocal_rank_fusion", top_k=4))
    pipeline.connect("semantic", "joiner")
    pipeline.connect("words", "joiner")
    result = pipeline.run({"embedder": {"text": QUESTION}, "words": {"query": QUESTION}})
    kinds = rows("SELECT kind, retriever, n_chunks FROM retrievals ORDER BY kind")
    assert [row["kind"] for row in kinds] == ["rerank", "retrieval", "retrieval"]
    assert kinds[0]["n_chunks"] == len(result["joiner"]["documents"])


def test_a_pipeline_without_retrieval_leaves_no_turn(rows: Any) -> None:
    pipeline = Pipeline()
    pipeline.add_component("embedder", Embedder())
    pipeline.run({"embedder": {"text": "hi"}})
    assert rows("SELECT count(*) AS n FROM turns") == [{"n": 0}]


def test_a_component_that_is_called_directly_is_recorded_when_wrapped(rows: Any) -> None:
    own = InMemoryBM25Retriever(store(), top_k=3)
    wrapped = wrap_retriever(own, 8, source="kb", version="v1")
    assert wrapped.run(query="keys rotated") == own.run(query="keys rotated")
    assert wrapped.run(query="keys rotated", top_k=2) == own.run(query="keys rotated", top_k=2)
    found = rows("SELECT source, version, n_chunks, n_returned FROM retrievals ORDER BY start_ns")
    assert [tuple(row.values()) for row in found] == [("kb", "v1", 8, 3), ("kb", "v1", 8, 2)]


def test_what_is_no_plain_top_k_search_is_not_asked_for_more(rows: Any) -> None:
    class OwnRetriever(InMemoryBM25Retriever):
        pass

    wrap_retriever(OwnRetriever(store(), top_k=3)).run(query="keys rotated")
    [row] = rows("SELECT flags, n_chunks FROM retrievals")
    assert row["n_chunks"] == 3
    assert json.loads(row["flags"])[0].startswith("overfetch_refused: OwnRetriever is not known")


def test_wrap_retriever_says_what_it_takes() -> None:
    with pytest.raises(ragwheel.ConfigurationError, match="output documents"):
        wrap_retriever(Embedder())
    with pytest.raises(ragwheel.ConfigurationError, match="whole number"):
        wrap_retriever(InMemoryBM25Retriever(store()), 0)


def test_a_ranker_gives_the_best_and_records_all(rows: Any) -> None:
    pipeline = Pipeline()
    pipeline.add_component("retriever", InMemoryBM25Retriever(store(), top_k=10))
    pipeline.add_component("ranker", RagwheelRanker(lambda q, texts: [-len(t) for t in texts], top_k=2))
    pipeline.connect("retriever", "ranker")
    question = "keys rotated"
    best = pipeline.run({"retriever": {"query": question}, "ranker": {"query": question}})["ranker"][
        "documents"
    ]
    assert [type(document) for document in best] == [Document, Document]
    [row] = rows("SELECT n_chunks, n_returned, query FROM retrievals WHERE kind = 'rerank'")
    assert row["n_returned"] == 2
    assert row["n_chunks"] > 2
    assert row["query"] == question


def test_adapted_questions_go_through_the_pipeline(rows: Any) -> None:
    swap = np.eye(2, dtype=np.float32)[::-1] - np.eye(2, dtype=np.float32)
    embedder = RagwheelTextEmbedder(Embedder(), Adapter(maps=swap[None]))
    assert embedder.run(text="abc")["embedding"] == pytest.approx([3.0, 1.0])
    semantic(embedder).run({"embedder": {"text": QUESTION}})
    assert [row["query"] for row in rows("SELECT query FROM retrievals")] == [QUESTION]


def joined(joiner: RagwheelJoiner) -> Pipeline:
    """Two retrievers that give what stands in their names, and a joiner."""
    pipeline = Pipeline()
    pipeline.add_component("second", Fixed(["b", "c"]))
    pipeline.add_component("first", Fixed(["a", "b"]))
    pipeline.add_component("joiner", joiner)
    pipeline.connect("second.documents", "joiner.second")
    pipeline.connect("first.documents", "joiner.first")
    return pipeline


def fused_by(joiner: RagwheelJoiner) -> list[Document]:
    return joined(joiner).run({"first": {"query": QUESTION}, "second": {"query": QUESTION}})["joiner"][
        "documents"
    ]


def test_a_joiner_fuses_and_is_recorded_as_a_reranking(rows: Any) -> None:
    documents = fused_by(RagwheelJoiner(["first", "second"], top_k=2))
    assert [document.id for document in documents] == ["b", "a"]
    assert documents[0].score == pytest.approx(1 / 61 + 1 / 62)
    kinds = [row["kind"] for row in rows("SELECT kind FROM retrievals ORDER BY start_ns")]
    assert kinds == ["retrieval", "retrieval", "rerank"]


def test_weights_belong_to_the_names_of_the_inputs_whatever_was_connected_first() -> None:
    by_first = RagwheelJoiner(["first", "second"], Fusion("rrf", (9.0, 1.0)))
    by_second = RagwheelJoiner(["second", "first"], Fusion("rrf", (9.0, 1.0)))
    assert [document.id for document in fused_by(by_first)] == ["b", "a", "c"]
    assert [document.id for document in fused_by(by_second)] == ["b", "c", "a"]


def test_a_pipeline_with_a_joiner_can_be_stored(tmp_path: Path) -> None:
    Fusion("convex", (0.2, 0.8), retrievers=("bm25", "base")).save(tmp_path)
    joiner = RagwheelJoiner(["first", "second"], str(tmp_path), top_k=3)
    again = RagwheelJoiner.from_dict(json.loads(json.dumps(joiner.to_dict())))
    assert (again.fusion, again.top_k, again.retrievers) == (joiner.fusion, 3, ["first", "second"])


@pytest.mark.parametrize(
    ("retrievers", "fusion", "top_k", "message"),
    [
        ("words", None, 5, "different names"),
        ([], None, 5, "different names"),
        (["a", "a"], None, 5, "different names"),
        (["a b"], None, 5, "different names"),
        (["a", "b", "c"], Fusion(), 5, "3 retrievers and 2 weights"),
        (["a"], None, 0, "whole number from 1"),
    ],
)
def test_what_a_joiner_refuses(retrievers: Any, fusion: Any, top_k: Any, message: str) -> None:
    with pytest.raises(ragwheel.ConfigurationError, match=message):
        RagwheelJoiner(retrievers, fusion, top_k)
