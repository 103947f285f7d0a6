"""What holds for any records in any order: arrival does not matter, and what is erased never was."""

from __future__ import annotations

import contextlib
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ragwheel.store import erase, merge_journal

SETTINGS = settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
TEXTS = {"a": "one text", "b": "another", "c": "", "d": "zwölf \U0001f600"}
IDS = st.lists(st.sampled_from(sorted(TEXTS)), min_size=1, max_size=4, unique=True)

CONTENT = {
    "retrievals": "SELECT * FROM retrievals",
    "chunks": "SELECT source, chunk_id, text, content_hash FROM chunks",
    "impressions": """
        SELECT i.retrieval_id, i.turn_id, i.rank, i.source, i.chunk_id, i.score, i.was_returned,
               i.was_prompted, i.was_shown, i.exposure, c.text
          FROM impressions i JOIN chunks c USING (chunk_version)""",
    "turns": "SELECT * FROM turns",
    "signals": """
        SELECT g.signal_id, g.event_id, g.kind, g.retrieval_id, g.turn_id, g.rank, g.source, g.chunk_id,
               c.text, g.other, g.value, g.subject, g.at_ns
          FROM signals g LEFT JOIN chunks c USING (chunk_version)""",
    "unmatched_signals": "SELECT * FROM unmatched_signals",
    "retracted_signals": "SELECT * FROM retracted_signals",
}
"""What people see in the views, without the numbers of rows, which follow the order of arrival."""


def content(db: Path) -> dict[str, list[tuple[Any, ...]]]:
    with contextlib.closing(sqlite3.connect(db)) as connection:
        return {view: sorted(connection.execute(sql).fetchall(), key=repr) for view, sql in CONTENT.items()}


@pytest.fixture
def stores(write: Any) -> Callable[[], Any]:
    """Opens an empty store, and gives its writer, in a folder that is removed afterwards."""

    @contextlib.contextmanager
    def empty() -> Iterator[Any]:
        with tempfile.TemporaryDirectory() as folder:
            writer = type(write)(Path(folder) / "app.db")
            try:
                yield writer
            finally:
                writer.journal.close()

    return empty


def span(n: int) -> bytes:
    return n.to_bytes(8, "big")


Record = tuple[str, dict[str, Any]]


@st.composite
def histories(draw: Callable[..., Any]) -> list[Record]:
    """Retrievals with and without a turn, turns revised, events sent twice, and some taken back."""
    records: list[Record] = []
    for n in range(1, 4):
        ids, turn = draw(IDS), draw(st.sampled_from([None, 11, 12]))
        chunks = {id: TEXTS[id] + draw(st.sampled_from(["", " of late"])) for id in ids}
        records.append(("retrieval", {
            "chunks": chunks, "span_id": span(n), "turn_id": turn and span(turn), "start_ns": n,
            "source": draw(st.sampled_from(["kb", "web"])), "n_returned": draw(st.integers(0, len(ids))),
        }))  # fmt: skip
    for n in (11, 12):
        for revision in range(1, draw(st.integers(1, 3)) + 1):
            prompted = draw(st.none() | st.just([(span(1).hex(), 1)]))
            records.append(("turn", {
                "answer": f"answer {revision}", "span_id": span(n), "revision": revision,
                "prompted": prompted,
            }))  # fmt: skip
    for n in range(21, 21 + draw(st.integers(0, 4))):
        kind = draw(st.sampled_from(["click", "thumbs_up", "retract"]))
        records.append(("signal", {
            "target": span(draw(st.integers(1, 4))).hex(), "span_id": span(n), "kind": kind, "at_ns": n,
            "event_id": f"event {n}", "rank": None, "subject": draw(st.sampled_from([None, "s1"])),
            "chunk": None if kind == "retract" else draw(st.sampled_from("abcd")),
            "other": f"event {draw(st.integers(21, 24))}" if kind == "retract" else None,
        }))  # fmt: skip
    return records


def put(writer: Any, record: Record) -> None:
    kind, values = record
    values = dict(values)
    if kind == "retrieval":
        writer.retrieval(values.pop("chunks"), **values)
    elif kind == "turn":
        writer.turn(values.pop("answer"), **values)
    else:
        writer.signal(values.pop("target"), **values)


@SETTINGS
@given(records=histories(), data=st.data())
def test_records_in_any_order_by_any_segments_and_sent_again_make_the_same_store(stores, records, data):
    with stores() as writer:
        for record in records:
            put(writer, record)
        merge_journal(writer.db)
        expected = content(writer.db)
    again = data.draw(st.lists(st.sampled_from(records), max_size=4))
    with stores() as writer:
        for record in data.draw(st.permutations(records + again)):
            put(writer, record)
            then = data.draw(st.sampled_from(["go on", "a new segment", "merge"]))
            if then == "a new segment":
                writer.leave()
            elif then == "merge":
                merge_journal(writer.db)
        merge_journal(writer.db)
        assert content(writer.db) == expected


@SETTINGS
@given(records=histories(), copies=st.integers(1, 3), before=st.booleans())
def test_a_journal_that_comes_back_from_a_backup_adds_nothing(stores, records, copies, before):
    """The same bytes under the names of other segments."""
    with stores() as writer:
        for record in records:
            put(writer, record)
        path = writer.leave()
        raw = path.read_bytes()
        if before:
            merge_journal(writer.db)
        for n in range(copies):
            path.with_name(f"{path.stem[:-1]}{'xyz'[n]}{path.suffix}").write_bytes(raw)
        merge_journal(writer.db)
        once = content(writer.db)
    with stores() as writer:
        for record in records:
            put(writer, record)
        merge_journal(writer.db)
        assert once == content(writer.db)


def everything(db: Path) -> bytes:
    """The raw bytes of the database and of whatever stands beside it."""
    paths = [path for path in db.parent.rglob("*") if path.is_file()]
    return b"".join(path.name.encode() + path.read_bytes() for path in paths)


def ask(writer: Any, n: int, user: str, shared: bool) -> None:
    turn = span(100 + n)
    chunks = {f"own {n}": f"canary-text-{user}-{n} " * 20} | ({"common": "what all get"} if shared else {})
    of_user = {"user_id": f"canary-{user}", "session_id": f"canary-session-{user}"}
    retrieval = writer.retrieval(
        chunks, span_id=span(200 + n), turn_id=turn, query=f"canary-query-{user}-{n}", start_ns=n, **of_user
    )
    writer.turn(
        f"canary-answer-{user}-{n}", span_id=turn, query=f"canary-query-{user}-{n}", start_ns=n, **of_user
    )
    writer.signal(
        retrieval, span_id=span(300 + n), subject=f"canary-{user}", query=f"canary-signal-{user}-{n}",
        at_ns=n, event_id=f"canary-event-{user}-{n}",
    )  # fmt: skip


questions = st.lists(
    st.tuples(
        st.sampled_from(["anna", "bert", "carl"]), st.booleans(),
        st.sampled_from(["go on", "a new segment", "merge"]),
    ),
    min_size=1, max_size=6,
)  # fmt: skip


@SETTINGS
@given(
    questions=questions,
    gone=st.sampled_from(["anna", "bert", "carl"]),
    by=st.sampled_from(["user", "session"]),
)
def test_after_an_erasure_the_store_is_as_if_the_person_had_never_asked(stores, questions, gone, by):
    """Nothing of theirs is in any byte of any file, and nothing of anybody else has changed."""
    with stores() as writer:
        for n, (user, shared, then) in enumerate(questions):
            ask(writer, n, user, shared)
            if then == "a new segment":
                writer.leave()
            elif then == "merge":
                merge_journal(writer.db)
        erase(writer.db, **{by: f"canary-{gone}" if by == "user" else f"canary-session-{gone}"})
        raw = everything(writer.db)
        for what in ("text", "query", "answer", "signal", "event", "session"):
            assert f"canary-{what}-{gone}".encode() not in raw
        assert f"canary-{gone}".encode() not in raw
        left = content(writer.db)
    with stores() as writer:
        for n, (user, shared, _) in enumerate(questions):
            if user != gone:
                ask(writer, n, user, shared)
        merge_journal(writer.db)
        assert left == content(writer.db)
