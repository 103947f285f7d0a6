"""One turn as it was."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

import ragwheel
from ragwheel import offline
from ragwheel.cli import app
from ragwheel.errors import StoreEmpty, StoreError
from ragwheel.testing import TraceStore
from ragwheel.testing.traces import TraceSpec, write_traces


@ragwheel.retriever(name="kb", k="k", capture_k=4, version="v7")
def search(query: str, k: int = 2):
    return [{"id": f"c{n}", "text": f"text {n}", "score": 1 / n} for n in range(1, 6)][:k]


@pytest.fixture
def db(tmp_path):
    path = tmp_path / "app.db"
    ragwheel.configure(db=path)
    yield path
    ragwheel.shutdown()


def ask(query: str) -> ragwheel.Turn:
    with ragwheel.turn(query, session_id="s1", user_id="u1") as turn:
        chunks = search(query)
        turn.prompted(chunks[:1])
        turn.answer("It is so [1], see also [7].")
    return turn


def test_everything_about_a_turn(db):
    turn = ask("what is tea?")
    retrieval = turn.retrievals[-1].handle
    ragwheel.signal(retrieval, "click", chunk="c2", subject="u1")
    ragwheel.signal(retrieval, "dwell", rank=2, value=3.5)
    ragwheel.signal(turn.handle, "thumbs_down")
    ragwheel.flush()

    view = offline.show(db)
    assert (view.query, view.session_id, view.user_id) == ("what is tea?", "s1", "u1")
    assert view.answer == "It is so [1], see also [7]."
    (shown,) = view.retrievals
    assert (shown.retriever, shown.version, shown.n_returned, shown.kind) == ("kb", "v7", 2, "retrieval")
    assert [(chunk.rank, chunk.chunk_id, chunk.text) for chunk in shown.chunks] == [
        (n, f"c{n}", f"text {n}") for n in range(1, 5)
    ]
    assert [chunk.exposure for chunk in shown.chunks] == ["prompted", "shown", "logged", "logged"]
    assert not any(chunk.assumed for chunk in shown.chunks)
    assert shown.chunks[1].score == 0.5
    first = view.citations[0]
    assert (first.rank, first.chunk_id, first.matched) == (1, "c1", True)
    assert [c.matched for c in view.citations] == [True, False]
    assert {(s.kind, s.rank, s.value) for s in view.signals} == {
        ("click", 2, None),
        ("dwell", 2, 3.5),
        ("thumbs_down", None, None),
    }


def test_found_by_every_name(db):
    turn = ask("tea?")
    other = ask("coffee?")
    ragwheel.flush()
    wanted = offline.show(db, turn.handle)
    assert wanted.query == "tea?"
    assert offline.show(db).query == "coffee?"
    for name in (
        turn.retrievals[0].handle,
        wanted.turn_id,
        wanted.retrievals[0].retrieval_id,
        wanted.turn_id[:12].upper(),
    ):
        assert offline.show(db, name) == wanted
    assert offline.show(db, other.handle).turn_id != wanted.turn_id


def test_signed_handles_need_no_key_to_be_looked_up(tmp_path):
    db = tmp_path / "app.db"
    ragwheel.configure(db=db, signing_keys=("k1:" + "ab" * 32,))
    turn = ask("tea?")
    ragwheel.shutdown()
    assert turn.handle.startswith("s1.")
    assert offline.show(db, turn.handle).query == "tea?"


def test_retrieval_outside_a_turn(db):
    search("alone")
    handle = ragwheel.last_retrieval().handle
    ragwheel.signal(handle, "bookmark", chunk="c1")
    ragwheel.flush()
    for view in (offline.show(db), offline.show(db, handle)):
        assert view.turn_id is None
        assert view.query == "alone"
        assert view.answer is None
        assert [signal.kind for signal in view.signals] == ["bookmark"]


def test_turn_that_has_not_ended_yet(db):
    with ragwheel.turn("still asking") as turn:
        search("still asking")
        ragwheel.flush()
        view = offline.show(db)
        assert view.query == "still asking"
        assert view.answer is None
        assert offline.show(db, turn.handle) == view
        assert [line.kind for line in offline.latest(db)] == ["turn"]


def test_unmatched_signal_says_why(db):
    search("tea?")
    handle = ragwheel.last_retrieval().handle
    ragwheel.shutdown()
    ragwheel.configure(db=db)  # a process that cannot tell what was served
    ragwheel.signal(handle, "click", chunk="never served")
    ragwheel.flush()
    (signal,) = offline.show(db).signals
    assert (signal.kind, signal.chunk_id) == ("click", "never served")
    assert signal.reason


def test_latest_newest_first(db):
    for n in range(5):
        ask(f"question {n}")
    search("alone")
    ragwheel.flush()
    lines = offline.latest(db, 3)
    assert [(line.kind, line.query, line.citations) for line in lines] == [
        ("retrieval", "alone", 0),
        ("turn", "question 4", 2),
        ("turn", "question 3", 2),
    ]
    assert offline.show(db, lines[-1].id).query == "question 3"


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("0123456789abcdef", "holds no turn, retrieval or signal"),
        ("no such thing", "neither a handle nor an id"),
        ("u1.!!!!.x", "neither a handle nor an id"),
        ("u1.AAAA.x", "neither a handle nor an id"),
        ("", "neither a handle nor an id"),
    ],
)
def test_names_of_nothing(db, name, says):
    ask("tea?")
    ragwheel.flush()
    with pytest.raises(StoreError, match=says) as caught:
        offline.show(db, name)
    assert "--list" in str(caught.value)


def test_prefix_of_several(tmp_path):
    db = tmp_path / "app.db"
    write_traces(db, TraceSpec(turns=50))
    ids = [line.id for line in offline.latest(db, 50)]
    assert len({id[:12] for id in ids}) == 1  # numbered ids: all begin alike
    with pytest.raises(StoreError, match="give more digits"):
        offline.show(db, ids[0][:12])


def test_database_without_traces(tmp_path):
    db = tmp_path / "app.db"
    write_traces(db, TraceSpec(turns=0))
    for read in (offline.show, offline.latest):
        with pytest.raises(StoreEmpty, match="ragwheel demo"):
            read(db)


def test_signals_of_a_robot_are_marked(tmp_path):
    with TraceStore(tmp_path / "traces.db") as store:
        asked = store.ask("what is tea?", ["a", "b"])
        store.signal(asked, "click", "a", flags='["bot"]')
        store.signal(asked, "copy", "b")
    view = offline.show(store.path)
    assert {signal.kind: signal.bot for signal in view.signals} == {"click": True, "copy": False}
    printed = CliRunner().invoke(app, ["show", "--db", str(store.path)]).stdout
    assert "click (by a robot, no evidence)" in printed
    assert printed.count("robot") == 1
