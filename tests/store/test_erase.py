import contextlib
import os
import sqlite3
import time
from datetime import datetime, timezone

import pytest

from ragwheel.errors import StoreError, StoreForeign, StoreLocked, StoreMissing
from ragwheel.journal import files
from ragwheel.store import backup, connect, erase, erase_rows, merge_journal, open_store, prune
from ragwheel.store.merge import Merger

DAY = 24 * 3600
CANARY = "canary-7c0ffee"


def everything(db):
    """The raw bytes of the database and of whatever stands beside it, by name."""
    found = {path.name: path.read_bytes() for path in db.parent.iterdir() if path.is_file()}
    folder = files.segment_folder(db)
    found |= {path.name: path.read_bytes() for path in folder.iterdir()} if folder.is_dir() else {}
    return found


def holders(db, text):
    return [name for name, content in everything(db).items() if text.encode() in content]


def ask(write, user, n, *, start_ns=1, shared=True):
    """A turn of a user: a retrieval of their own chunk and one that everybody gets, an answer, a click."""
    turn = write.span()
    chunks = {f"own-{user}-{n}": f"text only {user} saw in {n}, {CANARY}-text-{user}-{n} " * 30}
    if shared:
        chunks["common"] = "what everybody gets " * 50
    retrieval = write.retrieval(
        chunks,
        turn_id=turn,
        user_id=user,
        session_id=f"session-{user}",
        query=f"query {CANARY}-query-{user}-{n}",
        start_ns=start_ns,
        metadata=[{"owner": f"{CANARY}-metadata-{user}-{n}"}] + [{}] * (len(chunks) - 1),
    )
    write.turn(
        f"answer {CANARY}-answer-{user}-{n}",
        reasoning=f"as {CANARY}-reasoning-{user}-{n} says",
        span_id=turn,
        user_id=user,
        session_id=f"session-{user}",
        query=f"asked {CANARY}-asked-{user}-{n}",
        start_ns=start_ns,
    )
    write.signal(
        retrieval, subject=user, query=f"{CANARY}-signal-{user}-{n}", at_ns=start_ns, event_id=f"{user}-{n}"
    )
    return retrieval


@pytest.mark.parametrize("merged", [True, False], ids=["in SQLite", "in the journal"])
def test_erasing_a_person_leaves_no_byte_of_theirs(write, db, rows, merged):
    for n in range(5):
        ask(write, "person-one", n)
        ask(write, "person-two", n)
    if merged:
        merge_journal(db)
    assert holders(db, f"{CANARY}-text-person-one-3")
    report = erase(db, user="person-one")
    assert (report.retrievals, report.turns, report.signals) == (5, 5, 5)
    assert (report.chunks, report.texts) == (5, 5)
    assert report.still_in == ()
    for what in ("query", "asked", "answer", "reasoning", "text", "metadata", "signal"):
        for n in range(5):
            assert holders(db, f"{CANARY}-{what}-person-one-{n}") == []
            assert holders(db, f"{CANARY}-{what}-person-two-{n}") != []
    assert holders(db, "person-one") == []
    assert rows("SELECT count(*) FROM retrievals") == [(5,)]
    assert rows("SELECT count(*) FROM chunks WHERE chunk_id = 'common'") == [(1,)]
    assert rows("PRAGMA integrity_check") == [("ok",)]


def test_the_writer_of_a_live_segment_goes_on_in_a_new_one(write, db, rows):
    before = ask(write, "person-one", 1)
    live = write.journal.segment.path
    erase(db, user="somebody else")
    assert not live.exists()
    after = ask(write, "person-two", 1)
    ask(write, "person-two", 2)
    merge_journal(db)
    assert rows("SELECT count(*) FROM retrievals") == [(3,)]
    for id in (before, after):
        assert rows(
            "SELECT count(*) FROM impressions JOIN chunks USING (chunk_version) WHERE retrieval_id = ?", id
        ) == [(2,)]
    assert write.journal.emitted == sum(write.journal.written.values())
    assert os.fstat(write.journal.segment.fd).st_nlink == 1


def test_an_eraser_killed_in_the_middle_loses_nothing(write, db, rows, monkeypatch):
    """Wherever it dies, what was recorded is still in one place or the other."""
    for step in ("retire_segment", "erase_retired"):
        ask(write, "person-one", step)
        pid = os.fork()
        if pid == 0:
            real = getattr(files, step)

            def dies(*given, step=step, real=real):
                if step == "retire_segment":
                    real(*given)
                os.kill(os.getpid(), 9)

            monkeypatch.setattr(files, step, dies)
            erase(db, user="nobody-at-all")
            os._exit(0)
        assert os.waitpid(pid, 0)[1] == 9
        ask(write, "person-two", step)
    merge_journal(db)
    assert rows("SELECT count(*) FROM retrievals") == [(4,)]
    assert not list(files.segment_folder(db).glob("*.old"))


def test_mergers_forget_row_ids_that_an_erasure_freed(write, db, rows):
    merger = Merger(db)
    ask(write, "person-one", 1, shared=False)
    merger.run(timeout_s=1)
    erase(db, user="person-one")
    again = ask(write, "person-one", 1, shared=False)
    merger.run(timeout_s=1)
    assert rows(
        "SELECT c.text FROM impressions JOIN chunks c USING (chunk_version) WHERE retrieval_id = ?", again
    ) == [(f"text only person-one saw in 1, {CANARY}-text-person-one-1 " * 30,)]


def test_conditions_are_all_to_be_met_and_a_turn_goes_as_a_whole(write, db, rows):
    turn = write.span()
    write.retrieval({"a": "x"}, turn_id=turn, query="secret plans", session_id="s1", start_ns=10)
    write.retrieval({"a": "x"}, turn_id=turn, query="reworded", session_id="s1", start_ns=11)
    write.turn(span_id=turn, query="tell me", session_id="s1", start_ns=9)
    write.retrieval({"a": "x"}, query="secret plans", session_id="s2", start_ns=12)
    report = erase(db, query_matching=r"secret\s+plan", session="s1")
    assert (report.retrievals, report.turns) == (2, 1)
    assert rows("SELECT session_id FROM retrievals") == [("s2",)]


@pytest.mark.parametrize("as_datetime", [True, False])
def test_older_than_a_time(write, db, rows, as_datetime):
    for second in (10, 20, 30):
        ask(write, "person-one", second, start_ns=second * 10**9)
    when = datetime.fromtimestamp(20, timezone.utc) if as_datetime else 20.0
    report = erase(db, older_than=when)
    assert (report.retrievals, report.turns, report.signals) == (1, 1, 1)
    assert rows("SELECT start_ns FROM retrievals ORDER BY 1") == [(20 * 10**9,), (30 * 10**9,)]


def test_signals_of_a_person_about_the_retrievals_of_another(write, db, rows):
    retrieval = ask(write, "person-one", 1)
    write.signal(retrieval, subject="person-two")
    report = erase(db, user="person-two")
    assert (report.retrievals, report.turns, report.signals) == (0, 0, 1)
    assert rows("SELECT subject FROM signals") == [("person-one",)]


def test_signals_name_no_erased_retrieval(write, db, rows):
    mine, theirs = ask(write, "person-one", 1), ask(write, "person-two", 1)
    for target, other in ((theirs, mine), (mine, theirs), (theirs, theirs)):
        write.signal(target, kind="reformulate", rank=None, query="better", other=other, subject="person-two")
    erase(db, user="person-one")
    left = rows("SELECT other FROM _signal WHERE kind = 'reformulate' ORDER BY other")
    assert left == [(None,), (theirs,)]


def test_what_a_judge_wrote_is_among_the_erased_texts(write, db, rows):
    ask(write, "person-one", 1)
    merge_journal(db)
    with contextlib.closing(sqlite3.connect(db)) as connection:
        connection.executemany(
            "INSERT INTO _judgment (query, source, chunk, grade, judge, judge_kind, note, reason, at_ns)"
            " VALUES (?, 'kb', 'common', 5, ?, 'human', ?, ?, 1)",
            [
                (f"query of {judge}", judge, f"note of {judge}", f"reason of {judge}")
                for judge in ("ann", "bob")
            ],
        )
        connection.commit()
    with contextlib.closing(connect(db, write=True)) as connection:
        erase_rows.select(connection, [("user = ?", "ann")])
        assert erase_rows.collect(connection).judged == {("query of ann", "kb", "common")}
        erase_rows.remove(connection)
        gone = {text for (text,) in connection.execute("SELECT text FROM gone_text")}
    assert gone == {"query of ann", "note of ann", "reason of ann"}


def test_a_judged_chunk_stays(write, db, rows):
    ask(write, "person-one", 1)
    merge_journal(db)
    connection = sqlite3.connect(db)
    connection.execute(
        "INSERT INTO _judgment (query, source, chunk, grade, judge, judge_kind, at_ns)"
        " VALUES ('q', 'kb', 'own-person-one-1', 5, 'me', 'human', 1)"
    )
    connection.commit()
    connection.close()
    assert erase(db, user="person-one").chunks == 1  # the common one, which nobody else has
    assert rows("SELECT chunk_id FROM chunks") == [("own-person-one-1",)]


def test_a_database_moved_aside_is_named_when_it_still_has_it(write, db):
    ask(write, "person-one", 1)
    merge_journal(db)
    aside = db.with_name("app.db.corrupt-20250101T000000Z")
    aside.write_bytes(db.read_bytes())
    assert erase(db, user="person-one").still_in == (aside,)


def test_damaged_segments_go_too(write, db):
    ask(write, "person-one", 1)
    damaged = write.leave().with_suffix(".damaged")
    merge_journal(db)
    damaged.write_bytes(f"{CANARY}-text-person-one-1".encode())
    erase(db, user="person-one")
    assert not damaged.exists()


def test_a_reader_in_the_way_is_said(write, db):
    ask(write, "person-one", 1)
    reader = open_store(db)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM retrievals").fetchall()
    try:
        with pytest.raises(StoreLocked):
            erase(db, user="person-one", timeout_s=0.05)
    finally:
        reader.close()
    erase(db, user="person-one")
    assert holders(db, "person-one") == []


@pytest.mark.parametrize(
    ("given", "says"),
    [({}, "--user"), ({"query_matching": "("}, "re.escape")],
    ids=["nothing", "a bad pattern"],
)
def test_what_cannot_be_erased_by(write, db, given, says):
    ask(write, "person-one", 1)
    with pytest.raises(StoreError, match=says):
        erase(db, **given)


@pytest.mark.parametrize("task", [lambda db: erase(db, user="x"), lambda db: prune(db, max_bytes=1)])
def test_what_is_not_ours_is_left_alone(db, task):
    with pytest.raises(StoreMissing):
        task(db)
    assert list(db.parent.iterdir()) == []
    db.write_bytes(b"my diary")
    with pytest.raises(StoreForeign):
        task(db)
    assert db.read_bytes() == b"my diary"
    assert list(db.parent.iterdir()) == [db]


def test_pruning_by_age(write, db, rows):
    now_ns = time.time_ns()
    for n, days in enumerate((100, 50, 1)):
        ask(write, "person-one", n, start_ns=now_ns - days * DAY * 10**9)
    report = prune(db, max_age_days=60)
    assert (report.retrievals, report.turns, report.signals, report.chunks) == (1, 1, 1, 1)
    assert rows("SELECT count(*) FROM retrievals") == [(2,)]


def test_pruning_by_size_takes_the_oldest(write, db, rows):
    for n in range(200):
        ask(write, "person-one", n, start_ns=n)
    merge_journal(db)
    whole = db.stat().st_size
    prune(db, max_bytes=whole // 2)
    assert db.stat().st_size <= whole // 2
    left = [row[0] for row in rows("SELECT start_ns FROM retrievals ORDER BY 1")]
    assert 30 < len(left) < 120
    assert left == list(range(200 - len(left), 200))
    assert rows("PRAGMA integrity_check") == [("ok",)]


def test_pruning_to_nothing_ends(write, db, rows):
    ask(write, "person-one", 1)
    prune(db, max_bytes=1)
    assert rows("SELECT count(*) FROM retrievals") == [(0,)]


def test_pruning_needs_a_bound(db):
    with pytest.raises(StoreError, match="--older-than"):
        prune(db)


def test_a_backup_has_what_was_in_the_journal_and_is_one_file(write, db, tmp_path):
    for n in range(5):
        ask(write, "person-one", n)
    to = tmp_path / "copy" / "backup.db"
    to.parent.mkdir()
    report = backup(db, to)
    assert report.retrievals == 5
    assert report.n_bytes == to.stat().st_size
    assert [path.name for path in to.parent.iterdir()] == ["backup.db"]
    assert to.stat().st_mode & 0o777 == 0o600
    with contextlib.closing(open_store(to)) as copy:
        assert copy.execute("SELECT count(*) FROM retrievals").fetchone() == (5,)


def test_a_backup_overwrites_nothing_and_leaves_nothing_half_done(write, db, tmp_path):
    ask(write, "person-one", 1)
    (tmp_path / "there").write_text("mine")
    with pytest.raises(StoreError, match="overwrites nothing"):
        backup(db, tmp_path / "there")
    assert (tmp_path / "there").read_text() == "mine"
    with pytest.raises(StoreError, match="No such file"):
        backup(db, tmp_path / "no" / "folder")
    merge_journal(db)
    content = bytearray(db.read_bytes())
    content[4096:8192] = b"\xff" * 4096
    db.write_bytes(content)
    with pytest.raises(StoreError):
        backup(db, tmp_path / "of-a-damaged-one")
    assert not list(tmp_path.glob("of-a-*"))


def test_backup_while_merging_goes_on(write, db, tmp_path):
    merger = Merger(db, may_continue=lambda: True)
    for n in range(20):
        ask(write, "person-one", n)
        merger.run(timeout_s=1)
        if n % 5 == 4:
            report = backup(db, tmp_path / f"backup-{n}.db")
            assert report.retrievals == n + 1
