import json
import os
import sqlite3
import stat

import msgspec
import pytest

from ragwheel.errors import StoreError, StoreForeign, StoreLocked, StoreTooNew
from ragwheel.guard import guard
from ragwheel.journal import files, frames
from ragwheel.journal.records import RETRIEVAL, SIGNAL, TURN
from ragwheel.store import connect, merge, merge_journal, open_store, segment
from ragwheel.store.merge import Merger

RANKING = """
SELECT i.rank, i.chunk_id, c.text FROM impressions i JOIN chunks c USING (chunk_version)
 WHERE retrieval_id = ? ORDER BY rank
"""


def dies_after(steps):
    """A ``may_continue`` that kills the process when it has been called so often."""
    left = iter(range(steps))

    def may_continue():
        if next(left, None) is None:
            os.kill(os.getpid(), 9)
        return True

    return may_continue


def in_rank_order(chunks):
    return [(rank, chunk, text) for rank, (chunk, text) in enumerate(chunks.items(), 1)]


def test_everything_arrives_once_and_as_it_was(write, db, rows):
    chunks = {"a": "text a", "b": "text b"}
    one = write.retrieval(chunks, turn_id=bytes(7) + b"\x63")
    two = write.retrieval({"b": "text b", "c": "text c"})
    turn = write.turn(span_id=bytes(7) + b"\x63")
    click = write.signal(one)
    assert merge_journal(db).records == 4
    assert merge_journal(db).records == 0
    assert rows(RANKING, one) == in_rank_order(chunks)
    assert rows(RANKING, two) == [(1, "b", "text b"), (2, "c", "text c")]
    assert rows("SELECT turn_id, answer FROM turns") == [(turn, "yes")]
    assert rows("SELECT signal_id, retrieval_id, chunk_id FROM signals") == [(click, one, "a")]
    assert rows("SELECT count(*) FROM _text") == [(3,)]


def test_a_live_segment_is_followed_and_an_orphan_is_finished_and_removed(write, db, rows):
    write.retrieval({"a": "text a"})
    assert merge_journal(db).segments == 0
    assert len(files.segments(db)) == 1
    late = write.retrieval({"a": "text a"})
    write.leave()
    report = merge_journal(db)
    assert (report.records, report.segments) == (1, 1)
    assert files.segments(db) == []
    assert rows(RANKING, late) == in_rank_order({"a": "text a"})


def test_a_merger_that_did_not_see_the_beginning_learns_the_numbers(write, db, rows):
    first, second = Merger(db), Merger(db)
    ids = []
    for n in range(30):
        ids.append(write.retrieval({"a": "text a", str(n): f"text {n}", str(n // 2): f"text {n // 2}"}))
        (first, second, Merger(db))[n % 3].run(timeout_s=1)
    for n, id in enumerate(ids):
        assert rows(RANKING, id) == in_rank_order(
            {"a": "text a", str(n): f"text {n}", str(n // 2): f"text {n // 2}"}
        )


def test_only_the_highest_revision_of_a_turn_counts(write, db, rows):
    span = b"\x01" * 8
    for revision, answer in ((2, "second"), (3, "third"), (1, "first")):
        write.turn(answer, span_id=span, revision=revision)
    merge_journal(db)
    assert rows("SELECT answer FROM turns") == [("third",)]
    write.turn("second again", span_id=span, revision=2)
    merge_journal(db)
    assert rows("SELECT answer FROM turns") == [("third",)]


def test_a_signal_sent_twice_is_one_row(write, db, rows):
    write.signal(event_id="e1")
    write.signal(event_id="e1")
    write.signal(event_id=None)
    write.signal(event_id=None)
    merge_journal(db)
    assert rows("SELECT count(*) FROM _signal") == [(3,)]


def test_metadata_is_stored_with_the_version_and_differences_with_the_impression(write, db, rows):
    write.retrieval({"a": "x"}, metadata=[{"page": 1, "lang": "en"}])
    write.retrieval({"a": "x"}, metadata=[{"page": 1, "lang": "en"}])
    write.retrieval({"a": "x"}, metadata=[{"page": 2}])
    write.retrieval({"b": "y"}, metadata=[None])
    merge_journal(db)
    assert rows("SELECT metadata FROM chunks ORDER BY chunk_id") == [
        ('{"page":1,"lang":"en"}',),
        (None,),
    ]
    extras = [row[0] and json.loads(row[0]) for row in rows("SELECT extras FROM _retrieval ORDER BY id")]
    assert extras == [None, None, {"1": {"page": 2, "lang": None}}, None]


def test_metadata_that_json_has_no_word_for_holds_nothing_up(write, db, rows):
    odd = {1: "int key", "bytes": b"\xff", None: "none", 2.5: "float"}
    write.retrieval({"a": "x"}, metadata=[odd])
    write.retrieval({"b": "y"}, metadata=["not a mapping"])
    write.retrieval({"c": "z"}, metadata=[{1: "int key"}])
    write.retrieval({"c": "z"}, metadata=[{1: "int key"}])
    assert merge_journal(db).unreadable == 0
    found = [row[0] for row in rows("SELECT metadata FROM chunks ORDER BY chunk_id")]
    assert "int key" in found[0]
    assert found[1:] == ['{"metadata":"not a mapping"}', '{"1":"int key"}']
    assert rows("SELECT count(*) FROM _retrieval WHERE extras IS NOT NULL") == [(0,)]


def test_a_record_that_cannot_be_stored_holds_up_no_other(write, db, rows):
    write.retrieval({"a": "x"})
    write.signal(rank=2**63)  # MessagePack takes it, SQLite does not
    segment_ = write.journal.segment
    segment_.append(SIGNAL, msgspec.msgpack.encode(["not", "a", "signal"]))
    segment_.append(RETRIEVAL, b"\xc1")
    segment_.append(77, b"a kind of the future")
    last = write.retrieval({"a": "x"})
    path = write.leave()
    report = merge_journal(db)
    assert (report.records, report.unreadable, report.segments) == (2, 4, 1)
    assert rows(RANKING, last) == [(1, "a", "x")]
    assert files.segments(db) == []
    (kept,) = files.set_aside(db)
    assert kept.stem == path.stem
    assert rows("SELECT records, unreadable, finished FROM _segment") == [(2, 4, 1)]


def test_a_retrieval_that_cannot_be_stored_holds_up_none_of_its_batch(write, db, rows):
    first = write.retrieval({"a": "x"})
    write.retrieval({"a": "x"}, top_k=2**63)  # MessagePack takes it, SQLite does not
    last = write.retrieval({"b": "y"})
    write.leave()
    report = merge_journal(db)
    assert (report.records, report.unreadable) == (2, 1)
    assert rows(RANKING, first) == [(1, "a", "x")]
    assert rows(RANKING, last) == [(1, "b", "y")]
    assert rows("SELECT count(*) FROM _retrieval") == [(2,)]


def test_a_journal_of_an_older_ragwheel_has_turns_without_reasoning(write, db, rows):
    write.turn("said why", reasoning="because")
    turn = ["t" * 8, "i" * 16, None, 1, "shop", "q", "of old", None, None, 1, 1, None, None, None, None, []]
    turn[:2] = [part.encode() for part in turn[:2]]
    write.journal.segment.append(TURN, msgspec.msgpack.encode(turn))
    assert merge_journal(db).unreadable == 0
    assert rows("SELECT answer, reasoning FROM turns") == [("said why", "because"), ("of old", None)]


def test_a_damaged_definition_loses_that_chunk_and_not_the_ranking(write, db, rows):
    write.retrieval({"a": "text a"})
    lost = write.journal.segment.size
    write.retrieval({"b": "text b"})
    both = write.retrieval({"a": "text a", "b": "text b", "c": "text c"})
    path = write.leave()
    with path.open("r+b") as file:
        file.seek(lost + frames.HEADER_BYTES + 3)
        file.write(b"\xff\xff\xff")
    report = merge_journal(db)
    assert report.damaged_bytes > 0
    assert rows(RANKING, both) == [(1, "a", "text a"), (3, "c", "text c")]
    assert json.loads(rows("SELECT flags FROM retrievals WHERE retrieval_id = ?", both)[0][0]) == [
        "chunk_lost"
    ]
    assert rows("SELECT n_chunks FROM retrievals WHERE retrieval_id = ?", both) == [(3,)]
    assert len(files.set_aside(db)) == 1


def test_the_same_id_and_text_in_two_sources_are_two_chunks(write, db, rows):
    first = write.retrieval({"a": "text a"}, source="kb", metadata=[{"lang": "en"}])
    second = write.retrieval({"a": "text a"}, source="web")
    merge_journal(db)
    view = (
        "SELECT c.source, c.chunk_id FROM impressions i JOIN chunks c USING (chunk_version)"
        " WHERE retrieval_id = ?"
    )
    assert rows(view, first) == [("kb", "a")]
    assert rows(view, second) == [("web", "a")]
    assert rows("SELECT count(*), count(DISTINCT text_id) FROM _chunk") == [(2, 1)]


@pytest.mark.parametrize("batch", [1, 100])
def test_damage_is_added_up_over_batches_and_keeps_the_file_in_a_later_run(
    write, db, rows, monkeypatch, batch
):
    monkeypatch.setattr(segment, "BATCH_RECORDS", batch)
    sizes = []
    for n in range(9):
        write.retrieval({str(n): f"text {n}"})
        sizes.append(write.journal.segment.size)
    path = write.leave()
    with path.open("r+b") as file:
        for place in (sizes[1], sizes[4]):
            file.seek(place + frames.HEADER_BYTES + 3)
            file.write(b"\xff\xff\xff")
    breaths = iter([True] * 6 + [False])  # past the damage, then told to stop
    report = Merger(db, may_continue=lambda: next(breaths)).run(timeout_s=1)
    assert (report.complete, report.segments) == (False, 0)
    damaged = sizes[2] - sizes[1] + sizes[5] - sizes[4]
    assert report.damaged_bytes == damaged
    assert merge_journal(db).damaged_bytes == 0  # the rest is whole
    assert rows("SELECT damaged FROM _segment WHERE name = ?", path.name) == [(damaged,)]
    assert [kept.name for kept in files.set_aside(db)] == [path.with_suffix(files.DAMAGED).name]


def test_a_merger_told_to_stop_goes_on_with_no_other_segment(write, db, rows):
    for n in range(3):
        write.retrieval({str(n): f"text {n}"})
        write.leave()
    report = Merger(db, may_continue=lambda: False).run(timeout_s=1)
    assert (report.complete, report.segments) == (False, 0)
    assert rows("SELECT count(*) FROM _segment") == [(1,)]


@pytest.mark.parametrize("how", ["moved", "deleted"])
def test_a_segment_stays_when_the_database_went_away_during_the_merge(write, db, rows, tmp_path, how):
    kept = write.retrieval({"a": "text a"})
    write.leave()

    def may_continue():
        if db.exists():
            db.rename(tmp_path / "away.db") if how == "moved" else db.unlink()
        return True

    with pytest.raises(StoreError, match="was moved or deleted while"):
        Merger(db, may_continue=may_continue).run(timeout_s=1)
    assert len(files.segments(db)) == 1
    merge_journal(db)
    assert rows(RANKING, kept) == [(1, "a", "text a")]


def test_a_torn_tail_is_what_a_kill_leaves_and_no_damage(write, db):
    write.retrieval({"a": "text a"})
    with write.leave().open("ab") as file:
        file.write(frames.encode(RETRIEVAL, b"x" * 100)[:-1])
    report = merge_journal(db)
    assert (report.records, report.damaged_bytes, report.segments) == (1, 0, 1)
    assert files.set_aside(db) == []


@pytest.mark.parametrize("batch", [1, 3])
def test_a_merger_that_dies_anywhere_is_repeated_from_its_last_commit(write, db, rows, monkeypatch, batch):
    """The process is killed by the real signal, at every step of the merge in turn."""
    monkeypatch.setattr(segment, "BATCH_RECORDS", batch)
    ids = [write.retrieval({"a": "text a", str(n): f"text {n}"}) for n in range(8)]
    write.leave()
    for step in range(12):
        pid = os.fork()
        if pid == 0:
            Merger(db, may_continue=dies_after(step)).run(timeout_s=1)
            os._exit(0)
        os.waitpid(pid, 0)
        if db.exists() and db.stat().st_size:
            assert rows("PRAGMA integrity_check") == [("ok",)]
    merge_journal(db)
    assert rows("SELECT count(*) FROM _retrieval") == [(8,)]
    for n, id in enumerate(ids):
        assert rows(RANKING, id) == in_rank_order({"a": "text a", str(n): f"text {n}"})
    assert files.segments(db) == []


def test_a_merger_that_is_told_to_stop_keeps_what_it_has(write, db, rows):
    ids = [write.retrieval({"a": "text a", str(n): f"text {n}"}) for n in range(10)]
    breaths = iter([True, True, False])
    report = Merger(db, may_continue=lambda: next(breaths)).run(timeout_s=1)
    assert not report.complete
    assert rows("SELECT count(*) FROM _retrieval") == [(report.records,)]
    breaths = iter([True, False, False, True])
    slow = Merger(db, may_continue=lambda: next(breaths, True))
    while not slow.run(timeout_s=1).complete:
        pass
    assert rows("SELECT count(*) FROM _retrieval") == [(10,)]
    assert rows(RANKING, ids[-1]) == in_rank_order({"a": "text a", "9": "text 9"})


def test_a_full_database_takes_nothing_from_the_journal(write, db, rows, monkeypatch):
    """SQLite rolls back by itself then; what the merger had cached of that batch must go with it."""
    write.retrieval({"a": "text a"})
    merger = Merger(db)
    merger.run(timeout_s=1)
    ids = [write.retrieval({str(n): f"{n} " * 3000}) for n in range(20)]

    def small(path, **options):
        connection = connect(path, **options)
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count = {pages + 3}")
        return connection

    with monkeypatch.context() as patch:
        patch.setattr(merge, "connect", small)
        with pytest.raises(StoreError, match="no room left"):
            merger.run(timeout_s=1)
    merger.run(timeout_s=1)
    assert rows("SELECT count(*) FROM _retrieval") == [(21,)]
    for n, id in enumerate(ids):
        assert rows(RANKING, id) == [(1, str(n), f"{n} " * 3000)]


def test_a_database_locked_by_somebody_else_says_so_and_loses_nothing(write, db, rows):
    write.retrieval({"a": "x"})
    merge_journal(db)
    write.retrieval({"b": "y"})
    other = sqlite3.connect(db, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        with pytest.raises(StoreLocked, match="fuser"):
            merge_journal(db, timeout_s=0.05)
    finally:
        other.close()
    merge_journal(db)
    assert rows("SELECT count(*) FROM _retrieval") == [(2,)]


def test_another_merger_at_work_is_waited_for(write, db):
    write.retrieval({"a": "x"})
    with files.merge_lock(db, timeout_s=0), pytest.raises(StoreLocked, match=r"merge\.lock"):
        merge_journal(db, timeout_s=0.02)


@pytest.mark.parametrize("quarantine", [False, True])
def test_a_foreign_database_is_never_touched(write, db, quarantine):
    connection = sqlite3.connect(db)
    connection.executescript("CREATE TABLE mine (x); INSERT INTO mine VALUES (1);")
    connection.close()
    before = db.read_bytes()
    write.retrieval({"a": "x"})
    with pytest.raises(StoreForeign, match="did not make"):
        Merger(db, quarantine=quarantine).run(timeout_s=1)
    assert db.read_bytes() == before
    assert len(files.segments(db)) == 1


def test_a_newer_database_is_left_alone_and_the_journal_waits(write, db):
    merge_journal(db)
    connection = sqlite3.connect(db)
    connection.execute("PRAGMA user_version = 999")
    connection.close()
    write.retrieval({"a": "x"})
    write.leave()
    with pytest.raises(StoreTooNew, match="pip install -U"):
        Merger(db, quarantine=True).run(timeout_s=1)
    assert len(files.segments(db)) == 1


def test_a_deleted_database_is_made_anew_from_what_the_journal_has(write, db, rows):
    merger = Merger(db)
    kept = write.retrieval({"a": "text a"})
    merger.run(timeout_s=1)
    db.unlink()
    late = write.retrieval({"a": "text a", "b": "text b"})
    merger.run(timeout_s=1)
    assert rows(RANKING, kept) == [(1, "a", "text a")]
    assert rows(RANKING, late) == in_rank_order({"a": "text a", "b": "text b"})


@pytest.mark.parametrize("how", ["moved over it", "copied over it"])
def test_a_restored_copy_is_continued_and_not_mixed_up(write, db, rows, tmp_path, how):
    """The merger's row ids are those of the database it left; the copy has given them to nobody."""
    merger = Merger(db)
    write.retrieval({"a": "text a"})
    merger.run(timeout_s=1)
    copy = tmp_path / "copy.db"
    copy.write_bytes(db.read_bytes())
    later = [write.retrieval({str(n): f"text {n}"}) for n in range(5)]
    merger.run(timeout_s=1)
    if how == "moved over it":
        copy.replace(db)
    else:
        db.write_bytes(copy.read_bytes())
    last = write.retrieval({"3": "text 3", "a": "text a"})
    merger.run(timeout_s=1)
    for n, id in enumerate(later):
        assert rows(RANKING, id) == [(1, str(n), f"text {n}")]
    assert rows(RANKING, last) == in_rank_order({"3": "text 3", "a": "text a"})
    assert rows("PRAGMA integrity_check") == [("ok",)]


def test_a_damaged_database_is_moved_aside_and_begun_anew(write, db, rows, tmp_path, caplog):
    merger = Merger(db, quarantine=True)
    write.retrieval({"a": "text a"})
    merger.run(timeout_s=1)
    content = db.read_bytes()
    damaged = content[:200] + b"\xff" * (len(content) - 200)
    db.write_bytes(damaged)
    late = write.retrieval({"b": "text b"})
    merger.run(timeout_s=1)
    (aside,) = tmp_path.glob("app.db.corrupt-*Z")
    assert aside.read_bytes() == damaged
    assert "moved it to" in caplog.text
    assert rows(RANKING, late) == [(1, "b", "text b")]
    assert rows("SELECT count(*) FROM _retrieval") == [(2,)]  # the live segment still had the first


def test_a_file_that_lost_its_header_is_ours_only_when_we_used_it(write, db, tmp_path):
    merger = Merger(db, quarantine=True)
    write.retrieval({"a": "text a"})
    merger.run(timeout_s=1)
    content = db.read_bytes()
    db.write_bytes(b"garbage" + content[7:])
    with pytest.raises(StoreForeign):
        Merger(db, quarantine=True).run(timeout_s=1)
    merger.run(timeout_s=1)
    assert len(list(tmp_path.glob("app.db.corrupt-*Z"))) == 1


def test_readers_never_move_a_damaged_database(write, db, tmp_path):
    write.retrieval({"a": "text a"})
    merge_journal(db)
    content = db.read_bytes()
    db.write_bytes(content[:200] + b"\xff" * (len(content) - 200))
    write.retrieval({"b": "text b"})
    with pytest.raises(StoreError):
        open_store(db)
    assert not list(tmp_path.glob("*corrupt*"))
    assert len(files.segments(db)) == 1


def test_one_segment_that_cannot_be_read_holds_up_no_other(write, db, rows, monkeypatch):
    write.retrieval({"a": "x"})
    bad = write.leave()
    write.retrieval({"b": "y"})

    adopt = files.try_adopt

    def refuse(path):
        if path == bad:
            raise PermissionError(13, "Permission denied")
        return adopt(path)

    monkeypatch.setattr(files, "try_adopt", refuse)
    report = merge_journal(db)
    assert report.failed == (bad.name,)
    assert rows("SELECT count(*) FROM _retrieval") == [(1,)]
    assert bad.exists()


def test_only_the_owner_can_read_what_was_made(write, db):
    seen: set[tuple[str, int]] = set()

    def look():
        seen.update((p.name, stat.S_IMODE(p.stat().st_mode)) for p in db.parent.iterdir() if p.is_file())
        return True

    before = os.umask(0)
    try:
        write.retrieval({"a": "x"})
        Merger(db, may_continue=look).run(timeout_s=1)
    finally:
        os.umask(before)
    assert "app.db-wal" in {name for name, _ in seen}
    assert {mode for _, mode in seen} == {0o600}


def test_a_file_somebody_opened_to_a_group_stays_open_to_it(write, db):
    merge_journal(db)
    db.chmod(0o640)
    write.retrieval({"a": "x"})
    merge_journal(db)
    assert stat.S_IMODE(db.stat().st_mode) == 0o640


def test_between_merges_the_database_is_one_file(write, db, tmp_path):
    merger = Merger(db)
    write.retrieval({"a": "x"})
    merger.run(timeout_s=1)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["app.db", "app.db.segments"]


def test_rows_of_old_segments_are_folded_and_their_counts_kept(write, db, rows, monkeypatch):
    for _ in range(3):
        write.retrieval({"a": "x"})
        write.leave()
        merge_journal(db)
    monkeypatch.setattr(segment, "FORGET_NS", -1)
    for _ in range(2):
        write.retrieval({"a": "x"})
        write.leave()
        merge_journal(db)
    assert rows("SELECT name, records FROM _segment") == [("(earlier)", 5)]


def test_drops_told_by_processes_are_added_up(write, db, rows):
    for _ in range(2):
        write.journal.drop("broken")
        write.signal()
        write.leave()
    merge_journal(db)
    assert rows("SELECT reason, n FROM _drop") == [("broken", 2)]


def test_the_merger_forgets_segments_that_ended(write, db):
    merger = Merger(db)
    for _ in range(3):
        write.retrieval({"a": "x"})
        merger.run(timeout_s=1)
        write.leave()
    merger.run(timeout_s=1)
    merger.run(timeout_s=1)
    assert not merger._numbers._segments
    guard.reset()
