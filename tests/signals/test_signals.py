"""Signals: every kind, what is refused and why, and those that come late."""

from __future__ import annotations

import math
import subprocess
import sys
import time
from datetime import datetime, timezone

import pytest

import ragwheel
from ragwheel.errors import ConfigurationError
from ragwheel.kinds import BUILT_IN, signal_kind

CHUNKS = [{"id": 1, "text": "one"}, {"id": "b", "text": "two"}]
KEY = "k1:" + "ab" * 32


@ragwheel.retriever(source="kb")
def search(query: str) -> list[dict[str, object]]:
    return list(CHUNKS)


@pytest.fixture
def turn(store):
    with ragwheel.turn("q", user_id="u") as turn:
        search("q")
        turn.answer("so [1]")
    return turn


#   the kind's arguments, and what of them is stored
KINDS: dict = {
    "impression": ({"chunk": "b"}, {"chunk_id": "b"}),
    "click": ({"rank": 2}, {"chunk_id": "b", "rank": 2}),
    "copy": ({"chunk": 1}, {"chunk_id": "1", "rank": 1}),
    "expand": ({"chunk": CHUNKS[1]}, {"chunk_id": "b"}),
    "bookmark": ({"chunk": "b", "rank": 2}, {"chunk_id": "b"}),
    "dwell": ({"chunk": "b", "value": 3.5}, {"value": 3.5}),
    "thumbs_up": ({}, {"chunk_id": None}),
    "thumbs_down": ({"chunk": "b"}, {"chunk_id": "b"}),
    "rating": ({"value": 5}, {"value": 5.0}),
    "delete": ({"chunk": "1"}, {"chunk_id": "1"}),
    "more_like_this": ({"rank": 1}, {"chunk_id": "1"}),
    "prefer": ({"chunk": "b", "other": CHUNKS[0]}, {"chunk_id": "b", "other": "1"}),
    "reformulate": ({"query": "better"}, {"query": "better", "chunk_id": None}),
    "follow_up": ({}, {"value": None}),
    "abandon": ({}, {"value": None}),
    "convert": ({"value": -12.5}, {"value": -12.5}),
}


def test_every_kind_of_the_table_has_a_case():
    assert KINDS.keys() == {kind.name for kind in BUILT_IN} - {"retract"}, "retract: test_retraction.py"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("of", ["turn", "retrieval"])
def test_kind(store, turn, kind, of):
    arguments, stored = KINDS[kind]
    handle = turn.handle if of == "turn" else turn.retrievals[0].handle
    assert ragwheel.signal(handle, kind, **arguments) is True
    (row,) = store.signals()
    assert {name: row[name] for name in stored} == stored
    assert (row["kind"], row["subject"]) == (kind, "u")
    assert row["turn_id"] == turn.span_id.hex()
    assert ragwheel.stats().refused == {}


@pytest.mark.parametrize(
    ("kind", "arguments", "reason"),
    [
        ("clicked", {"rank": 1}, "unknown kind"),
        (None, {"rank": 1}, "unknown kind"),
        ("click", {}, "chunk missing"),
        ("click", {"rank": 3}, "rank out of range"),
        ("click", {"rank": 0}, "rank out of range"),
        ("click", {"rank": 1.0}, "rank out of range"),
        ("click", {"rank": True}, "rank out of range"),
        ("click", {"rank": 10**30}, "rank out of range"),
        ("click", {"chunk": "nobody"}, "unknown chunk"),
        ("click", {"chunk": {"id": "nobody", "text": ""}}, "unknown chunk"),
        ("click", {"chunk": ""}, "unknown chunk"),
        ("click", {"chunk": object()}, "unknown chunk"),
        ("click", {"chunk": 10**5000}, "unknown chunk"),
        ("click", {"chunk": "b", "rank": 1}, "another chunk at that rank"),
        ("click", {"chunk": "b", "value": 1}, "value out of range"),
        ("click", {"chunk": "b", "query": "x"}, "takes no query"),
        ("click", {"chunk": "b", "other": "1"}, "takes no other"),
        ("dwell", {"chunk": "b"}, "value missing"),
        ("dwell", {"chunk": "b", "value": -1}, "value out of range"),
        ("dwell", {"chunk": "b", "value": math.nan}, "value out of range"),
        ("dwell", {"chunk": "b", "value": "3"}, "value out of range"),
        ("dwell", {"chunk": "b", "value": True}, "value out of range"),
        ("rating", {"value": 5.5}, "value out of range"),
        ("rating", {"value": math.inf}, "value out of range"),
        ("convert", {"value": math.inf}, "value out of range"),
        ("prefer", {"chunk": "b"}, "other missing"),
        ("prefer", {"chunk": "b", "other": "b"}, "a chunk over itself"),
        ("prefer", {"chunk": "b", "other": "nobody"}, "unknown chunk"),
        ("prefer", {"other": "b"}, "chunk missing"),
        ("reformulate", {}, "query missing"),
        ("reformulate", {"query": " "}, "query missing"),
        ("reformulate", {"query": "x", "chunk": "b"}, "takes no chunk"),
        ("reformulate", {"query": "x", "other": "not a handle"}, "handle: malformed"),
        ("follow_up", {"chunk": "b"}, "takes no chunk"),
        ("thumbs_up", {"at": datetime(2026, 1, 1)}, "time without a zone"),  # noqa: DTZ001
        ("thumbs_up", {"at": -1}, "time out of range"),
        ("thumbs_up", {"at": 1e300}, "time out of range"),
        ("thumbs_up", {"at": "yesterday"}, "time out of range"),
    ],
)
def test_refused_and_counted(store, turn, kind, arguments, reason):
    assert ragwheel.signal(turn.handle, kind, **arguments) is False
    assert ragwheel.stats().refused == {reason: 1}
    assert store.signals() == store.signals("unmatched_signals") == []


@pytest.mark.parametrize("handle", ["", "nonsense", None, 7, object(), "u1.AAAA.AAAA"])
def test_a_bad_handle(store, handle):
    assert ragwheel.signal(handle, "thumbs_up") is False
    assert ragwheel.stats().refused == {"handle: malformed": 1}


def test_objects_in_place_of_handles_and_ids(store):
    class Row:
        def __init__(self, key):
            self.key = key

    rows = [Row("x"), Row("y")]
    found = ragwheel.retriever(source="kb", adapter=lambda row: {"id": row.key, "text": row.key})(
        lambda query: rows
    )
    with ragwheel.turn() as turn:
        found("q")
        assert ragwheel.signal(ragwheel.last_retrieval(), "click", chunk=rows[0])
    assert ragwheel.signal(turn, "click", chunk=rows[1])
    assert not ragwheel.signal(turn, "click", chunk=Row("x"))
    assert [row["chunk_id"] for row in store.signals()] == ["x", "y"]


def test_a_text_is_known_by_itself(store):
    ragwheel.retriever(lambda query: ["one", "two"])("q")
    assert ragwheel.signal(ragwheel.last_retrieval().handle, "click", chunk="two")
    assert [row["rank"] for row in store.signals()] == [2]


def test_reformulate_to_a_turn(store, turn):
    with ragwheel.turn("better") as new:
        pass
    assert ragwheel.signal(turn, "reformulate", query="better", other=new.handle)
    (row,) = store.signals()
    assert (row["other"], row["query"]) == (new.span_id.hex(), "better")


def test_times_subjects_and_event_ids(store, turn):
    at = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc)
    assert ragwheel.signal(turn, "follow_up", at=at, subject="who", event_id="e1")
    assert ragwheel.signal(turn, "abandon", at=1_700_000_000.5, event_id=2)
    assert ragwheel.signal(turn, "convert")
    first, second, third = store.signals()
    assert (first["at_ns"], first["subject"], first["event_id"]) == (int(at.timestamp() * 1e9), "who", "e1")
    assert (second["at_ns"], second["subject"], second["event_id"]) == (1_700_000_000_500_000_000, "u", "2")
    assert third["at_ns"] == third["received_ns"]
    assert abs(third["at_ns"] / 1e9 - time.time()) < 600


def test_an_event_sent_twice_is_stored_once(store, turn):
    assert ragwheel.signal(turn, "thumbs_up", event_id="e1")
    assert ragwheel.signal(turn, "thumbs_down", event_id="e1")
    assert [row["kind"] for row in store.signals()] == ["thumbs_up"]
    assert ragwheel.signal(turn, "thumbs_down")
    assert ragwheel.signal(turn, "thumbs_down")
    assert len(store.signals()) == 3
    stats = ragwheel.stats()
    assert stats.emitted == stats.stored + stats.journalled


def test_from_another_process_weeks_later(store, turn):
    assert ragwheel.flush(30)
    code = (
        "import sys, ragwheel; ragwheel.configure(sys.argv[1])\n"
        "for said in {'chunk': 'b'}, {'rank': 2}, {'chunk': 'nobody'}, {'rank': 9}:\n"
        "    print(ragwheel.signal(sys.argv[2], 'click', **said))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, store.db, turn.handle], capture_output=True, text=True, check=True
    )
    assert (
        done.stdout.split() == ["True"] * 4
    )  # it cannot tell: what does not match waits and is never evidence
    assert [(row["chunk_id"], row["rank"]) for row in store.signals()] == [("b", 2), ("b", 2)]
    parked = store.signals("unmatched_signals")
    assert [(row["chunk_id"], row["rank"]) for row in parked] == [("nobody", None), (None, 9)]
    assert {row["reason"] for row in parked} == {"chunk not in the retrieval"}


def test_a_signal_that_comes_before_its_retrieval_waits(store, tmp_path):
    with ragwheel.turn("q") as turn:
        search("q")
        retrieval = turn.retrievals[0]
    before = ragwheel.configure(tmp_path / "other.db", merge_interval_s=60)  # knows nothing of it
    assert ragwheel.signal(retrieval.handle, "click", chunk="b")
    assert ragwheel.signal(turn.handle, "thumbs_up")
    other = type(store)(before.settings.db)
    assert [row["kind"] for row in other.signals("unmatched_signals")] == ["click", "thumbs_up"]
    assert other.signals() == []


def test_a_parked_signal_joins_when_its_retrieval_arrives(store):
    rec = ragwheel.start_retrieval("q", source="kb")
    assert ragwheel.signal(rec.handle, "click", chunk="b")
    assert ragwheel.signal(rec.handle, "thumbs_up")
    assert [row["reason"] for row in store.signals("unmatched_signals")] == [
        "retrieval not stored yet",
        "retrieval or turn not stored yet",
    ]
    rec.finish(CHUNKS)
    assert [(row["kind"], row["rank"]) for row in store.signals()] == [("click", 2), ("thumbs_up", None)]
    assert store.signals("unmatched_signals") == []


def test_signed_handles_carry_the_subject(store):
    ragwheel.configure(store.db, merge_interval_s=60, app="shop", signing_keys=[KEY])
    with ragwheel.turn("q", user_id="u") as turn:
        search("q")
    assert turn.handle.startswith("s1.k1.")
    assert ragwheel.signal(turn.handle, "click", rank=1, subject="somebody else")
    assert [row["subject"] for row in store.signals()] == ["u"]


def test_an_unsigned_handle_is_refused_once_keys_are_configured(store, turn):
    unsigned = turn.handle
    ragwheel.configure(store.db, merge_interval_s=60, signing_keys=[KEY])
    assert not ragwheel.signal(unsigned, "thumbs_up")
    assert ragwheel.stats().refused == {"handle: not signed": 1}


# kinds of one's own


def test_own_kind(store, turn):
    share = signal_kind("own_share", about="chunk", low=0, high=10, unit="people")
    assert signal_kind("own_share", about="chunk", low=0, high=10, unit="people") == share
    assert ragwheel.signal(turn, "own_share", chunk="b", value=3)
    assert ragwheel.signal(turn, "own_share", chunk="b")
    assert not ragwheel.signal(turn, "own_share", chunk="b", value=11)
    assert [row["value"] for row in store.signals()] == [3.0, None]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"name": "click", "about": "chunk"}, "'click' is a built-in kind"),
        ({"name": "two words", "about": "chunk"}, "allowed: up to 100 letters, digits and _"),
        ({"name": 7, "about": "chunk"}, "got the name 7"),
        ({"name": "own_a", "about": "answer"}, "got about='answer', allowed: 'chunk', 'chunk or answer'"),
        ({"name": "own_b", "about": "turn", "low": 1}, "allowed: both bounds with low <= high"),
        ({"name": "own_c", "about": "turn", "low": 2, "high": 1}, "allowed: both bounds"),
        ({"name": "own_d", "about": "turn", "low": math.nan, "high": 1}, "allowed: both bounds"),
        ({"name": "own_e", "about": "turn", "required": True}, "or neither for a kind without a value"),
    ],
)
def test_a_kind_that_cannot_be(arguments, says):
    with pytest.raises(ConfigurationError, match=says):
        signal_kind(**arguments)


def test_a_kind_cannot_be_registered_as_something_else():
    signal_kind("own_once", about="turn")
    with pytest.raises(ConfigurationError, match="registered already"):
        signal_kind("own_once", about="chunk")
