"""From what a function returns to what is stored, counted and said of it."""

from __future__ import annotations

import logging
import uuid
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pydantic
import pytest

import ragwheel
from ragwheel import datasets, offline
from ragwheel.errors import ConfigurationError, DatasetError
from ragwheel.host import clients

TEXTS = [
    "Keys are rotated every ninety days.",
    "Invoices are kept for ten years.",
    "Answer STOP to leave the list.",
]
CHUNKS = [{"id": f"kb-{n}", "text": text} for n, text in enumerate(TEXTS)]
UNREADABLE = {"error": "the index is being built"}


def stored(store: Any) -> tuple[list[str], list[str], list[Any]]:
    row = store.retrieval()
    return row["ids"], row["texts"], row["scores"]


# what cannot be read is loud


def test_an_unreadable_result_is_kept_without_chunks_and_flagged(store):
    assert ragwheel.retriever(name="kb")(lambda query: UNREADABLE)("q") is UNREADABLE
    row = store.retrieval()
    assert (row["ids"], row["n_returned"], row["flags"]) == ([], 0, ["unreadable: no chunks"])
    assert store.rows("SELECT * FROM chunks") == []


def test_one_warning_per_source_names_the_type_and_both_ways_out(store, caplog):
    search = ragwheel.retriever(source="handbook")(lambda query: UNREADABLE)
    other = ragwheel.retriever(source="tickets")(lambda query: 7)
    with caplog.at_level(logging.WARNING, "ragwheel"):
        for _ in range(3):
            search("q")
        other("q")
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == 2
    assert all(word in told[0] for word in ("handbook", "builtins.dict", "ragwheel probe", "adapter="))
    assert "builtins.int" in told[1]


def test_doctor_fails_on_what_could_not_be_read_and_status_does_not_count_it(store):
    search = ragwheel.retriever(name="kb")(lambda query: UNREADABLE if query == "bad" else CHUNKS)
    for query in ("bad", "good", "bad", "bad"):
        search(query)
    assert ragwheel.flush(30)
    (finding,) = [each for each in offline.doctor(store.db) if each.check == "results"]
    assert (finding.severity, "3 of 4 results of kb" in finding.text) == ("error", True)
    assert "ragwheel probe" in finding.next
    status = offline.status(store.db)
    assert (status.retrievals, status.unreadable, status.examples) == (1, 3, 0)
    assert "could not be read" in status.milestones[0].advice[0]


def test_a_build_names_what_could_not_be_read(store, tmp_path):
    with ragwheel.turn("q") as turn:
        ragwheel.retriever(name="kb")(lambda query: UNREADABLE)("q")
        turn.answer("So [1].")
    assert ragwheel.flush(30)
    with pytest.raises(DatasetError, match=r"1 of 1 of kb \(no chunks\).*ragwheel probe"):
        datasets.build(store.db, tmp_path / "out")


# ids and objects


@pytest.mark.parametrize("key", [5, uuid.UUID(int=7), b"\x01\x02", b"\xff\xfe", "a b"])
def test_an_id_means_the_same_chunk_everywhere(store, key):
    search = ragwheel.retriever(lambda query: [{"id": key, "text": "one"}, {"id": "other", "text": "two"}])
    with ragwheel.turn("q") as turn:
        search("q")
        turn.prompted([key])
        turn.answer("yes", citations=[key])
    assert ragwheel.signal(turn.handle, "click", chunk=key)
    ids = store.retrieval()["ids"]
    (citation,) = store.rows("SELECT * FROM citations")
    (signal,) = store.rows("SELECT * FROM signals")
    assert citation["chunk_id"] == signal["chunk_id"] == ids[0]
    assert store.turn()["flags"] == []


# queries


@dataclass
class QueryBundle:
    query_str: str
    embedding: list[float] | None = None


class Body(pydantic.BaseModel):
    question: str
    top_k: int = 5


def message(role: str, content: Any) -> dict[str, Any]:
    return {"role": role, "content": content}


QUERIES: dict[str, Any] = {
    "a bundle": QueryBundle("how?"),
    "a dict of a query": {"query": "how?"},
    "a dict of a question": {"question": "how?", "chat_history": [("human", "before")]},
    "a chain's input": {"input": "how?", "k": 3},
    "a pydantic body": Body(question="how?"),
    "a nested body": {"body": {"user_query": "how?"}},
    "a message": SimpleNamespace(type="human", content="how?"),
    "a message in parts": message("user", [{"type": "text", "text": "how?"}]),
    "messages": [message("system", "Be kind."), message("user", "how?"), message("assistant", "So.")],
    "messages as objects": [
        SimpleNamespace(type="human", content="how?"),
        SimpleNamespace(type="ai", content="So."),
    ],
    "messages as pairs": [("system", "Be kind."), ("human", "how?")],
    "a state with messages": {"messages": [message("user", "how?"), message("tool", "result")]},
    "a list of one": ["how?"],
}


@pytest.mark.parametrize("name", QUERIES)
def test_a_query_is_read_in_the_form_that_frameworks_pass(store, name):
    ragwheel.retriever(lambda query: CHUNKS)(QUERIES[name])
    row = store.retrieval()
    assert (row["query"], row["flags"]) == ("how?", [])


def test_a_query_that_cannot_be_read_is_the_turns(store):
    with ragwheel.turn("how?"):
        ragwheel.retriever(lambda query: CHUNKS)([0.1, 0.2])
    row = store.retrieval()
    assert (row["query"], row["flags"]) == ("how?", ["not_text", "query_of_turn"])


# re-rankers that name positions

RANKINGS: dict[str, Any] = {
    "Cohere": SimpleNamespace(
        results=[SimpleNamespace(index=n, relevance_score=score) for n, score in ((2, 0.9), (0, 0.1))]
    ),
    "Jina with texts": {"results": [{"index": 2, "relevance_score": 0.9, "document": {"text": TEXTS[2]}},
                                    {"index": 0, "relevance_score": 0.1, "document": {"text": TEXTS[0]}}]},
    "CrossEncoder.rank": [{"corpus_id": 2, "score": 0.9}, {"corpus_id": 0, "score": 0.1}],
    "Bedrock": {"results": [{"index": 2, "relevanceScore": 0.9}, {"index": 0, "relevanceScore": 0.1}]},
    "pairs": [(2, 0.9), (0, 0.1)],
    "pairs, the score first": [(0.9, 2), (0.1, 0)],
}  # fmt: skip


@pytest.mark.parametrize("name", RANKINGS)
@pytest.mark.parametrize("chunks", [CHUNKS, tuple(CHUNKS), {"documents": CHUNKS}])
def test_positions_are_resolved_against_the_list_that_was_given(store, name, chunks):
    rerank = ragwheel.reranker(source="kb")(lambda query, documents, top_n=2: RANKINGS[name])
    with ragwheel.turn("q") as turn:
        assert rerank("q", chunks) is RANKINGS[name]
        turn.answer("So [1].")
    assert stored(store) == (["kb-2", "kb-0"], [TEXTS[2], TEXTS[0]], [0.9, 0.1])
    assert [row["chunk_id"] for row in store.rows("SELECT * FROM citations")] == ["kb-2"]


def test_positions_alone_are_resolved_by_name_and_by_keyword(store):
    rerank = ragwheel.reranker(source="kb")(lambda query, documents: [2, 0])
    rerank(documents=CHUNKS, query="q")
    assert store.retrieval()["ids"] == ["kb-2", "kb-0"]


@pytest.mark.parametrize("ranking", [[(9, 0.9)], [(-1, 0.9)], [(0, 0.9), (0, 0.1)]])
def test_positions_outside_of_the_list_are_not_resolved(store, ranking):
    ragwheel.reranker(source="kb")(lambda query, documents: ranking)("q", CHUNKS)
    assert not set(store.retrieval()["ids"]) & {"kb-0", "kb-1", "kb-2"}


def test_numbers_that_are_ids_of_the_list_are_ids(store):
    chunks = [{"id": n, "text": text} for n, text in zip((2, 0, 1), TEXTS, strict=True)]
    ragwheel.reranker(source="kb")(lambda query, documents: [(2, 0.9), (0, 0.1)])("q", chunks)
    assert store.retrieval()["ids"] == ["2", "0"]


# types of the app's own


class Opaque:
    def __init__(self, key: str, words: str) -> None:
        self._data = (key, words)


@pytest.fixture
def registry(monkeypatch):
    """What a test registers is forgotten."""
    before = dict(clients._registered)
    yield
    clients._registered.clear()
    clients._registered.update(before)
    clients._by_type.clear()


@pytest.mark.parametrize("named", [True, False])
def test_reads_says_how_a_type_is_read(store, registry, named):
    kind: Any = f"{Opaque.__module__}.Opaque" if named else Opaque
    ragwheel.reads(kind, lambda item: {"id": item._data[0], "text": item._data[1]})
    items = [Opaque("a", "one"), Opaque("b", "two")]
    with ragwheel.turn("q") as turn:
        assert ragwheel.retriever(lambda query: items)("q") is items
        turn.prompted(items[1:])
    assert stored(store) == (["a", "b"], ["one", "two"], [None, None])
    assert store.turn()["flags"] == []


def test_an_entry_that_raises_is_read_without(store, registry):
    ragwheel.reads(Opaque, lambda item: item.nothing)
    ragwheel.retriever(lambda query: [Opaque("a", "one")])("q")
    assert store.retrieval()["flags"] == ["unreadable: no text and no id"]


@pytest.mark.parametrize(("kind", "adapter"), [(7, len), ("", len), (Opaque, "no function")])
def test_reads_refuses_what_is_no_type_and_no_function(kind, adapter):
    with pytest.raises(ConfigurationError, match="reads"):
        ragwheel.reads(kind, adapter)
