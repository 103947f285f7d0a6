"""A signal can be taken back by the same person, and carries a comment and a reason."""

from __future__ import annotations

import time
from contextlib import closing

import pytest

import ragwheel
from ragwheel import offline
from ragwheel.errors import ConfigurationError
from ragwheel.kinds import signal_kind
from ragwheel.store import open_store


@ragwheel.retriever(source="kb")
def search(query: str) -> list[dict[str, str]]:
    return [{"id": "a", "text": "one"}, {"id": "b", "text": "two"}]


@pytest.fixture
def turn(store):
    return asked()


def asked(user="u"):
    with ragwheel.turn("q", user_id=user) as turn:
        search("q")
        turn.answer("so [1]")
    return turn


def standing(store):
    """Kind and chunk of what counts, the same in the view and in what the labels read."""
    shown = [(row["kind"], row["chunk_id"]) for row in store.signals()]
    with closing(open_store(store.db)) as connection:
        read = connection.execute("SELECT kind, coalesce(chunk, '') FROM _standing_signal").fetchall()
    assert sorted(read) == sorted((kind, chunk or "") for kind, chunk in shown)
    return shown


@pytest.mark.parametrize("about", [{}, {"chunk": "b"}])
@pytest.mark.parametrize("by", ["event", "kind"])
@pytest.mark.parametrize("vote_of", ["turn", "retrieval"])
@pytest.mark.parametrize("undo_of", ["turn", "retrieval"])
def test_a_vote_is_taken_back(store, turn, about, by, vote_of, undo_of):
    handles = {"turn": turn.handle, "retrieval": turn.retrievals[0].handle}
    assert ragwheel.signal(handles[vote_of], "thumbs_up", event_id="e", **about)
    assert standing(store) == [("thumbs_up", about.get("chunk"))]
    undo = {"other": "e"} if by == "event" else {"other": "thumbs_up", **about}
    assert ragwheel.signal(handles[undo_of], "retract", **undo)
    assert standing(store) == []
    (row,) = store.signals("retracted_signals")
    assert (row["event_id"], row["kind"]) == ("e", "thumbs_up")
    assert row["retracted_ns"] >= row["at_ns"]
    assert store.signals("unmatched_signals") == []


def test_voting_again_after_taking_back_counts(store, turn):
    for event in ("first", "second"):
        assert ragwheel.signal(turn.handle, "thumbs_up", event_id=event)
        if event == "first":
            assert ragwheel.signal(turn.handle, "retract", other="thumbs_up")
    assert [row["event_id"] for row in store.signals()] == ["second"]


def test_a_retraction_that_arrives_first_still_counts(store, turn):
    now = time.time()
    assert ragwheel.signal(turn.handle, "retract", other="e", at=now)
    assert store.signals("unmatched_signals")[0]["reason"] == "nothing to take back"
    assert ragwheel.signal(turn.handle, "thumbs_up", event_id="e", at=now - 2)
    assert standing(store) == []
    assert store.signals("unmatched_signals") == []


def test_by_kind_only_what_is_about_the_same_chunk_goes(store, turn):
    for about in ({}, {"chunk": "a"}, {"chunk": "b"}):
        assert ragwheel.signal(turn.handle, "thumbs_up", **about)
    assert ragwheel.signal(turn.handle, "bookmark", chunk="a")
    assert ragwheel.signal(turn.handle, "retract", other="thumbs_up", chunk="a")
    assert standing(store) == [("thumbs_up", None), ("thumbs_up", "b"), ("bookmark", "a")]
    assert ragwheel.signal(turn.handle, "retract", other="thumbs_up")
    assert standing(store) == [("thumbs_up", "b"), ("bookmark", "a")]


@pytest.mark.parametrize("undo", [{"other": "e"}, {"other": "thumbs_up"}])
def test_another_turns_vote_stays(store, turn, undo):
    assert ragwheel.signal(turn.handle, "thumbs_up", event_id="e")
    assert ragwheel.signal(asked().handle, "retract", **undo)
    assert standing(store) == [("thumbs_up", None)]


@pytest.mark.parametrize("undo", [{"other": "e"}, {"other": "thumbs_up"}])
def test_another_persons_vote_stays(store, undo):
    with ragwheel.turn("q") as turn:
        search("q")
        turn.answer("so [1]")
    assert ragwheel.signal(turn.handle, "thumbs_up", event_id="e", subject="ann")
    assert ragwheel.signal(turn.handle, "retract", subject="bob", **undo)
    assert standing(store) == [("thumbs_up", None)]
    assert ragwheel.signal(turn.handle, "retract", subject="ann", **undo)
    assert standing(store) == []


@pytest.mark.parametrize("other", [None, "", "retract"])
def test_a_retraction_of_nothing_is_refused(store, turn, other):
    assert ragwheel.signal(turn.handle, "retract", other=other) is False
    assert sum(ragwheel.stats().refused.values()) == 1


def test_no_kind_of_an_apps_own_is_about_a_signal():
    with pytest.raises(ConfigurationError, match="allowed: 'chunk'"):
        signal_kind("unshare", about="signal")


def test_comment_and_reason_are_stored_and_shown(store, turn):
    assert ragwheel.signal(turn.handle, "thumbs_down", chunk="b", comment=" Not\nthis. ", reason="outdated")
    (row,) = store.signals()
    assert (row["comment"], row["reason"]) == ("Not\nthis.", "outdated")
    (shown,) = offline.show(store.db).signals
    assert (shown.comment, shown.signal_reason, shown.reason, shown.retracted) == (
        "Not\nthis.",
        "outdated",
        None,
        False,
    )


def test_show_marks_what_was_taken_back(store, turn):
    assert ragwheel.signal(turn.handle, "thumbs_up", chunk="b", event_id="e")
    assert ragwheel.signal(turn.handle, "retract", other="e")
    assert ragwheel.flush(30)
    (shown,) = offline.show(store.db).signals
    assert (shown.kind, shown.chunk_id, shown.rank, shown.retracted) == ("thumbs_up", "b", 2, True)
    assert offline.latest(store.db)[0].signals == 0


@pytest.mark.parametrize("comment", ["", "  ", None])
def test_a_blank_comment_is_none(store, turn, comment):
    assert ragwheel.signal(turn.handle, "thumbs_up", comment=comment, reason="")
    (row,) = store.signals()
    assert (row["comment"], row["reason"]) == (None, None)


@pytest.mark.parametrize("reason", ["x" * 101, "two\nlines"])
def test_a_reason_that_is_no_short_code_is_refused(store, turn, reason):
    assert ragwheel.signal(turn.handle, "thumbs_up", reason=reason) is False
    assert ragwheel.stats().refused == {"reason malformed": 1}


def test_comments_are_redacted_and_plain_reasons_are_not(tmp_path):
    ragwheel.configure(tmp_path / "t.db", redact=lambda text: "~")
    turn = asked()
    assert ragwheel.signal(turn.handle, "thumbs_down", comment="I am Ann", reason="outdated")
    assert ragwheel.signal(turn.handle, "thumbs_down", reason="because Ann says so")
    assert ragwheel.flush(30)
    with closing(open_store(tmp_path / "t.db")) as connection:
        found = connection.execute("SELECT comment, reason FROM signals ORDER BY received_ns").fetchall()
    assert found == [("~", "outdated"), (None, "~")]


def test_comments_are_erased(store, turn):
    assert ragwheel.signal(turn.handle, "thumbs_down", comment="Ann's secret remark", reason="sensitive-code")
    assert ragwheel.flush(30)
    offline.erase(store.db, offline.Selection(user="u"))
    files = [path for path in store.db.parent.rglob("*") if path.is_file()]
    assert not any(b"secret remark" in path.read_bytes() for path in files)
    assert not any(b"sensitive-code" in path.read_bytes() for path in files)
