"""Counted means measured: what a process emitted is in the store, in the journal, or counted as not kept."""

import os
import shutil
import sqlite3
from contextlib import closing

import pytest

import ragwheel
from ragwheel.guard import guard
from ragwheel.journal import files
from ragwheel.store import backup, merge_journal


@pytest.fixture
def app(db):
    """A configured app, and its retriever."""
    guard.reset()
    ragwheel.configure(db, merge_interval_s=60)
    yield ragwheel.retriever(lambda query: [{"id": query, "text": f"text of {query}"}], source="kb")
    ragwheel.shutdown()
    guard.reset()


def stored(db):
    connection = sqlite3.connect(db)
    try:
        return sum(
            connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
            for table in ("_retrieval", "_turn", "_signal")
        )
    finally:
        connection.close()


def measured(db):
    stats = ragwheel.stats()
    assert stats.unaccounted == 0, stats
    assert stats.stored == stored(db), stats
    return stats


def test_a_turn_that_is_written_twice_is_one_record(db, app):
    with ragwheel.turn("q") as turn:
        app("q")
        turn.answer("yes [1]")
    turn.answer("no")
    waiting = ragwheel.stats()
    assert (waiting.emitted, waiting.stored, waiting.journalled) == (2, 0, 2)
    assert ragwheel.flush()
    stats = measured(db)
    assert (stats.emitted, stats.journalled, stats.dropped) == (2, 0, {})


def test_a_deleted_journal_folder_is_counted_lost_and_said_once(db, app, caplog):
    app("merged")
    assert ragwheel.flush()
    for n in range(10):
        app(f"q{n}")
    shutil.rmtree(files.segment_folder(db))
    app("later")
    assert not ragwheel.flush()
    assert measured(db).dropped == {"lost": 10}
    app("last")
    assert ragwheel.flush()
    stats = measured(db)
    assert (stats.emitted, stats.stored, stats.dropped) == (13, 3, {"lost": 10})
    assert "lost 10 records" in caplog.text
    ragwheel.shutdown()
    with closing(sqlite3.connect(db)) as connection:
        assert connection.execute("SELECT reason, n FROM _drop").fetchall() == [("lost", 10)]


def test_a_journal_folder_that_comes_back_is_merged_and_no_longer_counted_lost(db, app, tmp_path):
    app("before")
    folder = files.segment_folder(db)
    folder.rename(tmp_path / "away")
    app("after")
    assert not ragwheel.flush()
    assert measured(db).dropped == {"lost": 1}
    for path in (tmp_path / "away").glob("*.seg"):
        path.rename(folder / path.name)
    merge_journal(db)
    stats = measured(db)
    assert (stats.emitted, stats.stored, stats.dropped) == (2, 2, {})


def test_an_unmerged_segment_counts_as_many_records_as_can_be_read_in_it(db, app):
    for n in range(5):
        app(f"q{n}")
    (segment,) = files.segments(db)
    os.truncate(segment, segment.stat().st_size - 1)
    stats = ragwheel.stats()
    assert (stats.journalled, stats.unaccounted) == (4, 1)


@pytest.mark.parametrize("put", [os.replace, shutil.copyfile], ids=["moved", "copied over"])
def test_an_older_backup_between_two_merges_gets_the_right_sources_and_ids(db, app, tmp_path, put):
    def search(source, *ids):
        ragwheel.retriever(lambda query: [{"id": id, "text": f"text {id}"} for id in ids], source=source)(
            source
        )

    search("kb1", "a", "b")
    assert ragwheel.flush()
    backup(db, tmp_path / "older")
    search("kb2", "c")
    assert ragwheel.flush()
    put(tmp_path / "older", db)
    search("kb3", "d", "a")
    search("kb2", "c", "e")
    assert ragwheel.flush()
    ragwheel.shutdown()
    merge_journal(db)
    with closing(sqlite3.connect(db)) as connection:
        rows = connection.execute(
            "SELECT r.query, r.source, group_concat(i.source || i.chunk_id) FROM retrievals r"
            " JOIN impressions i USING (retrieval_id) GROUP BY retrieval_id ORDER BY r.start_ns"
        ).fetchall()
    assert [(query, source, set(chunks.split(","))) for query, source, chunks in rows] == [
        ("kb1", "kb1", {"kb1a", "kb1b"}),
        ("kb2", "kb2", {"kb2c"}),
        ("kb3", "kb3", {"kb3d", "kb3a"}),
        ("kb2", "kb2", {"kb2c", "kb2e"}),
    ]


def test_a_database_renamed_away_begins_anew_with_what_the_journal_holds(db, app, tmp_path):
    app("q1")
    assert ragwheel.flush()
    db.rename(tmp_path / "away.db")
    app("q2")
    assert ragwheel.flush()
    assert measured(db).stored == 2


def test_records_whose_database_was_replaced_after_their_segment_ended_are_lost(db, app, tmp_path):
    app("q1")
    assert ragwheel.flush()
    backup(db, tmp_path / "older")
    app("q2")
    runtime = ragwheel.runtime.current()
    runtime._journal.close()
    assert ragwheel.flush()
    assert measured(db).stored == 2
    (tmp_path / "older").replace(db)
    assert ragwheel.flush()  # it was true when the last flush said so
    stats = measured(db)
    assert (stats.emitted, stats.stored, stats.dropped) == (2, 1, {"lost": 1})
