"""Whether a database is sound."""

from __future__ import annotations

import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing

import pytest

import ragwheel
from ragwheel import offline
from ragwheel.errors import StoreCorrupt, StoreMissing
from ragwheel.offline import doctor as doctor_function
from ragwheel.testing.traces import TraceSpec, write_traces

RECORD_AND_DIE = """
import os, signal, sys, ragwheel
ragwheel.configure(db=sys.argv[1])

@ragwheel.retriever
def search(query):
    return ["a", "b"]

for n in range(20):
    search(f"query {n}")
os.kill(os.getpid(), signal.SIGKILL)
"""


def severities(findings):
    return {finding.check: finding.severity for finding in findings}


@pytest.fixture
def db(tmp_path):
    path = tmp_path / "app.db"
    write_traces(path, TraceSpec(turns=20))
    path.chmod(0o600)
    return path


def test_a_sound_database(db):
    found = offline.doctor(db)
    assert set(severities(found)) == {
        "file",
        "disk",
        "access",
        "sqlite",
        "journal",
        "clock",
        "records",
        "dropped",
        "signals",
        "integrity",
    }
    assert set(severities(found).values()) <= {"ok", "note"}


def test_a_killed_process_leaves_an_orphan_that_gets_merged(tmp_path):
    db = tmp_path / "app.db"
    ended = subprocess.run([sys.executable, "-c", RECORD_AND_DIE, str(db)], check=False)
    assert ended.returncode == -signal.SIGKILL
    journal = next(finding for finding in offline.doctor(db) if finding.check == "journal")
    assert journal.severity == "ok"
    assert "1 of them left by ended processes" in journal.text
    assert "now 0 bytes wait" in journal.text
    assert offline.status(db).retrievals == 20
    again = next(finding for finding in offline.doctor(db) if finding.check == "journal")
    assert again.text.startswith("empty")


def test_live_segments_are_no_orphans(tmp_path):
    db = tmp_path / "app.db"
    ragwheel.configure(db=db)
    ragwheel.retriever(lambda query: ["a"])("q")
    journal = next(finding for finding in offline.doctor(db) if finding.check == "journal")
    assert "0 of them left by ended processes" in journal.text


@pytest.mark.parametrize(
    ("version", "severity"), [((3, 40, 1), "note"), ((3, 51, 2), "note"), ((3, 51, 3), "ok")]
)
def test_sqlite_with_and_without_the_wal_reset_defect(db, monkeypatch, version, severity):
    module = sys.modules[doctor_function.__module__]
    monkeypatch.setattr(module.sqlite3, "sqlite_version_info", version)
    found = next(finding for finding in offline.doctor(db) if finding.check == "sqlite")
    assert found.severity == severity
    assert "WAL-reset defect" in found.text


def test_readable_by_others(db):
    db.chmod(0o644)
    found = next(finding for finding in offline.doctor(db) if finding.check == "access")
    assert found.severity == "warning"
    assert found.next == f"chmod 600 {db}"
    assert "app.db (mode 644)" in found.text


def test_a_copy_beside_it_that_others_can_read(db):
    db.with_name("app.db.corrupt-20260101T000000Z").write_bytes(b"x")
    db.with_name("app.db.corrupt-20260101T000000Z").chmod(0o640)
    found = next(finding for finding in offline.doctor(db) if finding.check == "access")
    assert (found.severity, found.next) == ("warning", f"chmod 600 {db}.corrupt-20260101T000000Z")


@pytest.mark.parametrize(
    ("kind", "severity", "says"),
    [("ext4", "ok", "ext4, "), ("nfs4", "warning", "over a network"), ("tmpfs", "warning", "in memory")],
)
def test_the_file_system(db, tmp_path, monkeypatch, kind, severity, says):
    mounts = tmp_path / "mounts"
    mounts.write_text(
        f"none / xfs rw 0 0\nhost:/x {db.parent} {kind} rw 0 0\nnone {db.parent}/more 9p rw 0 0\n"
    )
    monkeypatch.setattr("ragwheel.offline.environment.MOUNTS", mounts)
    monkeypatch.setattr("ragwheel.offline.environment.LITTLE_ROOM", 0.0)
    found = next(finding for finding in offline.doctor(db) if finding.check == "disk")
    assert found.severity == severity
    assert says in found.text


def test_the_real_file_system_and_one_without_a_list_of_mounts(db, tmp_path, monkeypatch):
    assert any(finding.check == "disk" for finding in offline.doctor(db))
    monkeypatch.setattr("ragwheel.offline.environment.MOUNTS", tmp_path / "none")
    monkeypatch.setattr("ragwheel.offline.environment.LITTLE_ROOM", 1.1)
    found = next(finding for finding in offline.doctor(db) if finding.check == "disk")
    assert found.severity == "warning"
    assert "ragwheel prune" in found.next


def test_records_from_the_future(db):
    with closing(sqlite3.connect(db)) as connection, connection:
        connection.execute("UPDATE _turn SET start_ns = ? WHERE id = 1", (time.time_ns() + 7200 * 10**9,))
    found = next(finding for finding in offline.doctor(db) if finding.check == "clock")
    assert found.severity == "warning"
    assert "1 records are from the future, up to 2.0 hours" in found.text


def test_a_write_ahead_log_that_a_reader_keeps_from_shrinking(db, monkeypatch):
    monkeypatch.setattr(sys.modules[doctor_function.__module__], "LARGE_WAL_BYTES", 1000)
    with closing(sqlite3.connect(db)) as reader, closing(sqlite3.connect(db)) as writer:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM _turn").fetchone()
        size = db.stat().st_size
        writer.execute("CREATE TABLE _big (x)")
        writer.execute("INSERT INTO _big VALUES (zeroblob(?))", (2 * size,))
        writer.commit()
        found = next(finding for finding in offline.doctor(db) if finding.check == "wal")
    assert found.severity == "warning"
    assert found.next == f"see who has it open: fuser {db}"


def test_drops_are_named_by_reason(db):
    with closing(sqlite3.connect(db)) as connection, connection:
        connection.execute("INSERT INTO _drop (reason, n) VALUES ('no space left on the disk', 12)")
    found = next(finding for finding in offline.doctor(db) if finding.check == "dropped")
    assert found.severity == "warning"
    assert found.text == "12 records: no space left on the disk"


def test_damage_inside(db):
    with closing(sqlite3.connect(db)) as connection:
        (size,) = connection.execute("PRAGMA page_size").fetchone()
        (root,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = '_judgment'").fetchone()
    with db.open("r+b") as file:
        file.seek((root - 1) * size)
        file.write(b"\x55" * size)
    before = db.read_bytes()
    found = next(finding for finding in offline.doctor(db) if finding.check == "integrity")
    assert found.severity == "error"
    assert ".recover" in found.next
    assert db.read_bytes() == before


def test_damage_everywhere(db):
    content = db.read_bytes()
    db.write_bytes(content[:100] + b"\xff" * (len(content) - 100))
    with pytest.raises(StoreCorrupt, match="Restore a backup"):
        offline.doctor(db)


def test_missing(tmp_path):
    with pytest.raises(StoreMissing):
        offline.doctor(tmp_path / "none.db")
    assert list(tmp_path.iterdir()) == []


def test_rows_that_somebody_deleted_are_an_error_and_those_that_were_erased_are_not(tmp_path):
    db = tmp_path / "app.db"
    subprocess.run([sys.executable, "-c", RECORD_AND_DIE, str(db)], check=False)
    assert severities(offline.doctor(db))["records"] == "ok"
    offline.erase(db, offline.Selection(query_matching="query 1$"))
    assert severities(offline.doctor(db))["records"] == "ok"
    with closing(sqlite3.connect(db)) as connection:
        connection.execute("DELETE FROM _retrieval WHERE query = 'query 2'")
        connection.commit()
    records = next(finding for finding in offline.doctor(db) if finding.check == "records")
    assert records.severity == "error"
    assert "1 of their rows" in records.text


def test_a_lost_journal_is_an_error(tmp_path):
    db = tmp_path / "app.db"
    ragwheel.configure(db, merge_interval_s=60)
    search = ragwheel.retriever(lambda query: ["a"])
    search("stored")
    assert ragwheel.flush()
    search("lost")
    shutil.rmtree(tmp_path / "app.db.segments")
    search("stored, too")
    assert not ragwheel.flush()
    ragwheel.shutdown()
    dropped = next(finding for finding in offline.doctor(db) if finding.check == "dropped")
    assert (dropped.severity, dropped.text.split()[0]) == ("error", "1")
