"""Each field of a record arrives in its own column, and what was merged is counted as what it was."""

from __future__ import annotations

import json

import msgspec
import pytest

from ragwheel.journal.records import DROPS, REVISION, SIGNAL, TURN, Drops, TurnRecord
from ragwheel.store import merge_journal

A, B, C, D = (bytes([n]) * 8 for n in (1, 2, 3, 4))
TRACE = bytes(range(16))


def test_each_field_of_a_retrieval(write, db, rows):
    write.retrieval(
        {"x": "text x", "y": "text y"}, span_id=A, trace_id=TRACE, parent_id=B, turn_id=C, outer_id=D, kind=1,
        source="kb", name="of the app", version="v2", app="shop", query="why", session_id="s", user_id="u",
        start_ns=11, duration_ns=12, top_k=13, capture_k=14, n_returned=1, scores=[0.5, None],
        in_ranks=[2, None], error="E", flags=("f", "g"),
    )  # fmt: skip
    merge_journal(db)
    assert rows("SELECT * FROM retrievals") == [
        (
            A.hex(), TRACE.hex(), C.hex(), D.hex(), "rerank", "kb", "of the app", "v2", "shop", "why", "s",
            "u", 11, 12, 13, 14, 2, 1, "E", '["f","g"]',
        )
    ]  # fmt: skip
    raw = "SELECT lower(hex(parent_id)), scores, in_ranks, extras FROM _retrieval"
    assert rows(raw) == [(B.hex(), "[0.5,null]", "[2,null]", None)]
    assert rows("SELECT source, chunk_id, text, metadata, first_seen_ns FROM chunks") == [
        ("kb", "x", "text x", None, 11),
        ("kb", "y", "text y", None, 11),
    ]


def test_each_field_of_a_turn(write, db, rows):
    write.turn(
        "so", span_id=A, trace_id=TRACE, parent_id=B, revision=3, app="shop", query="why", session_id="s",
        user_id="u", start_ns=11, duration_ns=12, prompted=[(B.hex(), 1)], shown=[(C.hex(), 2)],
        citations=[{"marker": "[1]", "retrieval": B.hex(), "rank": 1}], error="E", flags=("f",),
        reasoning="because",
    )  # fmt: skip
    merge_journal(db)
    assert rows("SELECT * FROM turns") == [
        (A.hex(), TRACE.hex(), "shop", "why", "so", "because", "s", "u", 11, 12, 1, 1, 1, "E", '["f"]')
    ]
    raw = "SELECT lower(hex(parent_id)), revision, prompted, shown FROM _turn"
    assert rows(raw) == [(B.hex(), 3, f'[["{B.hex()}",1]]', f'[["{C.hex()}",2]]')]
    assert rows("SELECT turn_id, marker, retrieval_id, rank FROM citations") == [(A.hex(), "[1]", B.hex(), 1)]


def test_a_newer_revision_replaces_every_field(write, db, rows):
    write.turn("old", span_id=A, revision=1, query="old", session_id="old", flags=("old",), reasoning="old")
    write.turn(
        "new", span_id=A, trace_id=TRACE, revision=2, query="new", session_id="new", user_id="new",
        start_ns=21, duration_ns=22, prompted=[], shown=[], citations=[], error="new", flags=("new",),
        reasoning="new",
    )  # fmt: skip
    merge_journal(db)
    assert rows(
        "SELECT query, answer, session_id, user_id, start_ns, duration_ns, prompted, shown, citations, error,"
        " flags, reasoning FROM _turn"
    ) == [("new", "new", "new", "new", 21, 22, "[]", "[]", "[]", "new", '["new"]', "new")]


def test_each_field_of_a_signal(write, db, rows):
    write.retrieval({"x": "text"}, span_id=B)
    write.signal(
        B.hex(), span_id=A, trace_id=TRACE, event_id="e", kind="rating", chunk="x", rank=None,
        value=4.5, query="q", other="o", subject="u", at_ns=21, received_ns=22, flags=("f",), comment="c",
        reason="r",
    )  # fmt: skip
    merge_journal(db)
    assert rows(
        "SELECT signal_id, event_id, kind, retrieval_id, chunk_id, other, value, query, subject, at_ns,"
        " received_ns, flags, comment, reason FROM signals"
    ) == [(A.hex(), "e", "rating", B.hex(), "x", "o", 4.5, "q", "u", 21, 22, '["f"]', "c", "r")]
    assert rows("SELECT lower(hex(trace_id)), target, rank FROM _signal") == [(TRACE.hex(), 0, None)]


def test_a_chunk_was_first_seen_when_any_process_first_saw_it(write, db, rows):
    write.retrieval({"a": "text"}, start_ns=20)
    write.leave()
    merge_journal(db)
    for at_ns in (10, 30):
        write.retrieval({"a": "text"}, start_ns=at_ns)
        write.leave()
    merge_journal(db)
    assert rows("SELECT first_seen_ns FROM chunks") == [(10,)]


def test_records_repeated_and_revised_are_counted_as_that(write, db, rows):
    write.retrieval({"a": "x"}, span_id=A)
    write.retrieval({"a": "x"}, span_id=A)
    write.signal(A.hex(), span_id=B, event_id="e")
    write.signal(A.hex(), span_id=C, event_id="e")
    write.turn("one", span_id=D)
    write.turn("one", span_id=D)
    segment = write.journal.segment
    for span_id, revision in ((D, 2), (b"another.", 1)):
        segment.append(REVISION, msgspec.msgpack.encode(revised(span_id, revision)))
    report = merge_journal(db)
    assert rows("SELECT records, repeated, unreadable FROM _segment") == [(6, 2, 0)]
    assert report.records == 8  # both revisions of the turn are moved, too, but are no records of their own
    assert rows("SELECT count(*) FROM _turn") == [(2,)]
    assert rows("SELECT answer FROM _turn WHERE span_id = ?", D) == [("revised",)]


def revised(span_id, revision):
    return TurnRecord(
        span_id=span_id, trace_id=bytes(16), parent_id=None, revision=revision, app="shop", query="q",
        answer="revised", session_id=None, user_id=None, start_ns=1, duration_ns=1, prompted=None, shown=None,
        citations=None, error=None, flags=(),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("metadata", "extras"),
    [
        ({"page": 1, "lang": "en"}, None),
        ({"page": 2, "lang": "en"}, {"page": 2}),
        ({"page": 1}, {"lang": None}),
        ({"page": 1, "lang": "en", "new": [1]}, {"new": [1]}),
        ({}, {"page": None, "lang": None}),
        (None, {"page": None, "lang": None}),
        ({"lang": "en", "page": 1}, None),
        ({"page": 1.0, "lang": "en"}, None),
    ],
    ids=repr,
)
def test_an_impression_keeps_what_differs_from_the_metadata_of_its_version(write, db, rows, metadata, extras):
    write.retrieval({"z": "other", "a": "text"}, metadata=[None, {"page": 1, "lang": "en"}])
    last = write.retrieval({"z": "other", "a": "text"}, metadata=[None, metadata])
    merge_journal(db)
    ((stored,),) = rows("SELECT extras FROM _retrieval WHERE lower(hex(span_id)) = ?", last)
    assert (stored and json.loads(stored)) == (extras and {"2": extras})


def test_scores_among_the_metadata_become_those_of_the_retrieval(write, db, rows):
    write.retrieval(
        {"a": "x", "b": "y"}, metadata=[{"score": 0.9, "page": 1}, {"score": 0.5, "page": 2}], scores=None
    )
    merge_journal(db)
    assert rows("SELECT scores FROM _retrieval") == [("[0.9,0.5]",)]
    assert rows("SELECT metadata FROM chunks ORDER BY chunk_id") == [('{"page":1}',), ('{"page":2}',)]


def test_drops_of_several_processes_are_added_by_reason(write, db, rows):
    for reasons in ({"disk full": 2, "limit": 1}, {"disk full": 3}):
        write.retrieval({"a": "x"})
        write.journal.segment.append(DROPS, msgspec.msgpack.encode(Drops(reasons)))
        write.leave()
    assert merge_journal(db).records == 2
    assert rows("SELECT reason, n FROM _drop ORDER BY reason") == [("disk full", 5), ("limit", 1)]


@pytest.mark.parametrize("kind", [TURN, SIGNAL])
def test_a_record_that_is_none_is_counted_and_nothing_of_it_is_stored(write, db, rows, kind):
    write.retrieval({"a": "x"})
    write.journal.segment.append(kind, b"\x90")
    assert merge_journal(db).unreadable == 1
    assert rows("SELECT count(*) FROM _turn") == rows("SELECT count(*) FROM _signal") == [(0,)]
