"""Values that break naive code: handed through untouched, recorded as well as can be, flagged."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections import UserDict, deque
from types import SimpleNamespace
from typing import Any

import pytest

import ragwheel
from ragwheel.guard import guard

CHUNK = {"id": "a", "text": "one"}


class Hostile:
    """Every question about it is an error."""

    def _refuse(self, *args: object, **kwargs: object) -> Any:
        raise RuntimeError("leave me alone")

    __str__ = __repr__ = __eq__ = __ne__ = __bool__ = __len__ = __iter__ = __getitem__ = __contains__ = (
        _refuse
    )
    __hash__ = __lt__ = __int__ = __float__ = __format__ = __dir__ = _refuse
    __getattr__ = _refuse

    @property
    def __class__(self):
        raise RuntimeError("not even that")


class HostileList(list):
    """A list that answers nothing."""

    __len__ = __iter__ = __getitem__ = __eq__ = __bool__ = __contains__ = Hostile._refuse


class HostileStr(str):
    """A text that answers nothing."""

    __slots__ = ()
    __str__ = __repr__ = __eq__ = __len__ = __iter__ = encode = __contains__ = Hostile._refuse
    __hash__ = str.__hash__


class Response:
    """A response object, one of whose properties fails."""

    @property
    def documents(self) -> Any:
        raise RuntimeError("not loaded")


@dataclasses.dataclass
class Hit:
    id: str
    text: object
    score: object = None
    metadata: object = None


def cyclic() -> dict[str, Any]:
    found: dict[str, Any] = {"id": "a", "text": "one"}
    found["metadata"] = {"self": found}
    return found


def deep(levels: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for _ in range(levels):
        found = {"down": found}
    return {"id": "a", "text": "one", "metadata": found}


# what a retriever returns, its texts as recorded, and a word among the flags
CASES = {
    "str() raises, in a list": ([Hostile(), CHUNK], ["", "one"], None),
    "str() raises, alone": (Hostile(), None, None),
    "str() raises, as metadata": ([{**CHUNK, "metadata": {"x": Hostile()}}], ["one"], "opaque"),
    "str() raises, as text": ([Hit("a", Hostile())], [""], "not_text"),
    "str() raises, as id": ([Hit(Hostile(), "one")], ["one"], "bad_id"),
    "str() raises, as score": ([Hit("a", "one", Hostile())], ["one"], "bad_score"),
    "a text that answers nothing": ([HostileStr("one")], ["one"], None),
    "a list that answers nothing": (HostileList([CHUNK]), ["one"], None),
    "a property that raises": (Response(), [], "unreadable: no chunks"),
    "a cycle": ([cyclic()], ["one"], "cycle"),
    "a deep nesting": ([deep(100_000)], ["one"], "deep"),
    "NaN as score": ([Hit("a", "one", math.nan)], ["one"], "bad_score"),
    "infinity as score": ([("one", math.inf)], ["one"], "bad_score"),
    "NaN in metadata": ([{**CHUNK, "metadata": {"x": math.nan}}], ["one"], None),
    "a lone surrogate": (["a\ud800b"], ["a\ufffdb"], "surrogate"),
    "a lone surrogate as id": ([{"id": "\udfff", "text": "one"}], ["one"], "surrogate"),
    "a lone surrogate in metadata": ([{**CHUNK, "metadata": {"\ud800": "\ud800"}}], ["one"], "surrogate"),
    "NUL": (["a\0b"], ["a\ufffdb"], "nul"),
    "10 MB": (["x" * 10_000_000], ["x" * 1_000_000], "truncated"),
    "a huge int in metadata": ([{**CHUNK, "metadata": {"n": 10**5000}}], ["one"], "bigint"),
    "a huge int as id": ([{"id": 10**5000, "text": "one"}], ["one"], None),
    "bytes": ([b"one"], ["one"], "bytes"),
    "no text": ([{"id": "a"}], [""], "no_text"),
    "None": (None, [], None),
    "None in a list": ([None, "one"], ["", "one"], "no_text"),
    "a single text": ("one", ["one"], None),
    "a number": (7, None, None),
    "an empty list": ([], [], None),
    "an iterator": (iter([CHUNK]), [], "unreadable: iterator"),
    "a map": (map(str, [1]), [], "unreadable: iterator"),
    "mixed": (["one", {"text": "two"}, ("three", 0.5), SimpleNamespace(text="four")],
              ["one", "two", "three", "four"], None),
    "one id, two texts": ([CHUNK, {"id": "a", "text": "two"}], ["one", "two"], "repeated_id"),
    "answers to two queries": ([["one"], ["two"]], [], "unreadable: several answers"),
}  # fmt: skip


@pytest.fixture(params=[True, False], ids=["strict", "lenient"])
def strict(request, monkeypatch):
    monkeypatch.setattr(guard, "strict", request.param)


@pytest.mark.parametrize("name", CASES)
def test_result(store, strict, name):
    result, texts, flag = CASES[name]
    with ragwheel.turn():
        assert ragwheel.retriever(lambda query: result)("q") is result
    row = store.retrieval()
    assert texts is None or row["texts"] == texts
    assert flag is None or flag in row["flags"]
    assert row["query"] == "q"
    stats = ragwheel.stats()
    assert (stats.dropped, stats.errors) == ({}, {})
    assert stats.emitted == stats.stored == 2


QUERIES = {
    "str() raises": (Hostile(), "", "not_text"),
    "a text that answers nothing": (HostileStr("one"), "one", None),
    "a lone surrogate": ("\ud800", "\ufffd", "surrogate"),
    "NUL": ("a\0", "a\ufffd", "nul"),
    "10 MB": ("x" * 10_000_000, "x" * 1_000_000, "truncated"),
    "None": (None, "", "no_text"),
    "a number": (7, "", "not_text"),
    "a message": (SimpleNamespace(content="one", role="user"), "one", None),
    "a dict": ({"text": "one"}, "one", None),
    "a vector": ([0.1, 0.2], "", "not_text"),
    "an iterator": (iter("abc"), "", "not_text"),
}


@pytest.mark.parametrize("name", QUERIES)
def test_query(store, strict, name):
    query, text, flag = QUERIES[name]
    received = []

    def search(query):
        received.append(query)
        return [CHUNK]

    ragwheel.retriever(search)(query)
    assert received[0] is query
    row = store.retrieval()
    assert row["query"] == text
    assert row["flags"] == ([flag] if flag else [])
    assert row["texts"] == ["one"]


def test_one_shot_iterators_are_not_consumed(store):
    found = iter([CHUNK])
    result = {"documents": found, "id": "r", "text": "one"}
    assert ragwheel.retriever(lambda query: result)("q") is result
    with ragwheel.turn() as turn:
        turn.prompted(found)
        turn.shown(itertools.chain([CHUNK]))
    assert next(found) is CHUNK
    assert store.turn()["flags"] == ["iterator_not_read"]


def test_a_list_changed_after_the_call(store):
    chunks = [{"id": "a", "text": "one"}, {"id": "b", "text": "two"}]
    with ragwheel.turn() as turn:
        ragwheel.retriever(lambda query: chunks)("q")
        chunks[0]["text"] = "changed"
        del chunks[1]
        turn.answer("[2]")
    assert store.retrieval()["texts"] == ["one", "two"]
    assert [row["chunk_id"] for row in store.rows("SELECT * FROM citations")] == ["b"]


def test_ten_thousand_chunks(store):
    chunks = [{"id": n, "text": str(n)} for n in range(10_000)]
    assert ragwheel.retriever(lambda query: chunks)("q") is chunks
    row = store.retrieval()
    assert (row["n_chunks"], row["n_returned"]) == (40, 10_000)
    assert row["ids"] == [str(n) for n in range(40)]


# the forms in which a result may hold its chunks

TWO = [{"id": "a", "text": "one"}, {"id": "b", "text": "two"}]
FORMS: dict[str, Any] = {
    "a list": TWO,
    "a tuple": tuple(TWO),
    "a deque": deque(TWO),
    "values of a dict": {1: TWO[0], 2: TWO[1]}.values(),
    "a list of one list": [TWO],
    "documents in a dict": {"documents": TWO, "took_ms": 3},
    "matches of a response": SimpleNamespace(matches=TWO, namespace=""),
    "a mapping of another type": UserDict(results=TWO),
    "Elasticsearch": {
        "hits": {"total": 2, "hits": [{"_id": c["id"], "_source": {"text": c["text"]}} for c in TWO]},
    },
    "Chroma": {
        "ids": [["a", "b"]], "documents": [["one", "two"]], "metadatas": [[{"p": 1}, None]],
        "distances": [[0.1, 0.2]],
        "embeddings": None,
    },
    "columns": {"ids": ["a", "b"], "documents": ["one", "two"], "scores": [2.0, 1.0]},
    "chunks and scores": (TWO, [2.0, 1.0]),
    "chunks and something": (TWO, {"took_ms": 3}),
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_form(store, form):
    assert ragwheel.retriever(lambda query: FORMS[form])("q") is FORMS[form]
    row = store.retrieval()
    assert (row["ids"], row["texts"], row["flags"]) == (["a", "b"], ["one", "two"], [])
    assert row["n_returned"] == 2


def test_a_data_frame(store):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(TWO)
    assert ragwheel.retriever(lambda query: frame)("q") is frame
    assert store.retrieval()["texts"] == ["one", "two"]


# adapters


def test_an_adapter_of_an_item(store):
    rows = [SimpleNamespace(key=1, body="one"), SimpleNamespace(key=2, body="two"), SimpleNamespace()]
    search = ragwheel.retriever(adapter=lambda row: {"id": row.key, "text": row.body})(lambda query: rows)
    assert search("q") is rows
    row = store.retrieval()
    assert (row["ids"][:2], row["texts"]) == (["1", "2"], ["one", "two", ""])
    assert "broken_item" in row["flags"]


@pytest.mark.parametrize("form", ["an object", "a list"])
def test_an_adapter_of_the_whole_result(store, form):
    result = (
        SimpleNamespace(answer=TWO)
        if form == "an object"
        else [("ids", ["a", "b"]), ("texts", ["one", "two"])]
    )

    def adapter(result):
        if form == "an object":
            return result.answer
        columns = dict(result)
        return [{"id": i, "text": t} for i, t in zip(columns["ids"], columns["texts"])]

    assert ragwheel.retriever(adapter=adapter)(lambda query: result)("q") is result
    row = store.retrieval()
    assert (row["ids"], row["texts"], row["flags"]) == (["a", "b"], ["one", "two"], [])


def test_an_adapter_that_fails_costs_nothing_else(store, strict):
    def adapter(item):
        raise RuntimeError("adapter")

    assert ragwheel.retriever(adapter=adapter)(lambda query: TWO)("q") is TWO
    row = store.retrieval()
    assert (row["texts"], row["flags"]) == (["one", "two"], ["adapter_failed"])


def test_an_adapted_chunk_is_known_by_its_object(store):
    rows = [SimpleNamespace(key="a", body="one"), SimpleNamespace(key="b", body="two")]
    search = ragwheel.retriever(adapter=lambda row: {"id": row.key, "text": row.body})(lambda query: rows)
    with ragwheel.turn() as turn:
        search("q")
        turn.prompted(rows[1:])
        turn.answer("yes [1]")
        assert ragwheel.signal(turn, "click", chunk=rows[1])
    assert [row["chunk_id"] for row in store.rows("SELECT * FROM citations")] == ["b"]
    assert [row["chunk_id"] for row in store.rows("SELECT * FROM signals")] == ["b"]
    assert store.retrieval()["exposures"] == ["returned", "shown"]
