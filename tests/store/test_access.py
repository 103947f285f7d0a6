"""Who can write to a journal, and to whom the files belong that root makes."""

import os
import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest

import ragwheel
from ragwheel import offline
from ragwheel.errors import StoreLocked
from ragwheel.guard import guard
from ragwheel.journal import files
from ragwheel.store import backup, erase, merge_journal, open_store

ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
DIES_IN_THE_MIDDLE = (
    "import os, signal, sys\n"
    "from ragwheel.store import backup, backup as module\n"
    "backup(sys.argv[1], sys.argv[2], progress=lambda *_: os.kill(os.getpid(), signal.SIGKILL))"
)


@pytest.fixture
def search(db):
    guard.reset()
    ragwheel.configure(db, merge_interval_s=60)
    yield ragwheel.retriever(lambda query: [{"id": "a", "text": f"answer to {query}"}])
    ragwheel.shutdown()
    guard.reset()


def test_nothing_is_recorded_in_a_folder_that_everybody_can_write_to(db, search, caplog):
    search("before")
    assert ragwheel.flush()
    ragwheel.shutdown()
    folder = files.segment_folder(db)
    folder.chmod(0o777)
    (folder / "00000000000000000001-1-forged.seg").write_bytes(b"")
    ragwheel.configure(db, merge_interval_s=60)
    assert search("during")[0]["id"] == "a"
    assert ragwheel.stats().dropped == {"unsafe_folder": 1}
    assert not ragwheel.flush()
    assert f"chmod 700 {folder}" in caplog.text
    with pytest.raises(StoreLocked, match="chmod 700"):
        merge_journal(db)
    with pytest.raises(StoreLocked, match="chmod 700"):
        erase(db, user="ada")
    (access,) = [finding for finding in offline.doctor(db) if finding.check == "access"]
    assert (access.severity, access.next) == ("error", f"chmod 700 {folder}")
    folder.chmod(0o700)
    ragwheel.configure(db, merge_interval_s=60)
    search("after")
    assert ragwheel.flush()
    connection = open_store(db)
    assert connection.execute("SELECT query FROM retrievals ORDER BY start_ns").fetchall() == [
        ("before",),
        ("after",),
    ]
    connection.close()


@ROOT
def test_what_root_makes_belongs_to_the_databases_owner(db, search, tmp_path):
    search("q")
    assert ragwheel.flush()
    ragwheel.shutdown()
    for path in (db, *files.segment_folder(db).iterdir()):
        os.chown(path, 12345, 23456)
    for path in files.segment_folder(db).iterdir():
        path.unlink()
    files.segment_folder(db).rmdir()
    offline.doctor(db)
    ragwheel.configure(db, redact="standard", merge_interval_s=60)
    ragwheel.retriever(lambda query: ["a text without an id"])("q")
    assert ragwheel.flush()
    folder = files.segment_folder(db)
    made = [db, folder, *folder.iterdir()]
    assert {path.name for path in made} >= {"merge.lock", "secret"}
    assert {(path.stat().st_uid, path.stat().st_gid) for path in made} == {(12345, 23456)}
    db.unlink()
    ragwheel.retriever(lambda query: ["another"])("q")
    assert ragwheel.flush()
    assert db.stat().st_uid == 12345


def test_what_a_killed_backup_left_is_removed_wherever_it_is(db, search, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    search("is my secret safe?")
    assert ragwheel.flush()
    died = subprocess.run([sys.executable, "-c", DIES_IN_THE_MIDDLE, db, elsewhere / "copy.db"], check=False)
    assert died.returncode == -9
    assert len(list(elsewhere.glob(".copy.db.*.partial"))) == 1
    erase(db, query_matching="secret")
    assert list(elsewhere.iterdir()) == []
    assert list(files.segment_folder(db).glob("*.partial")) == []


def test_a_backup_that_is_being_made_stays(db, search, tmp_path):
    for n in range(20):
        search(f"question {n}")
    assert ragwheel.flush()
    merged = []
    report = backup(db, tmp_path / "copy.db", progress=lambda *_: merged.append(merge_journal(db)))
    assert merged
    assert report.retrievals == 20
    with closing(sqlite3.connect(tmp_path / "copy.db")) as copy:
        assert copy.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert list(files.segment_folder(db).glob("*.partial")) == []
