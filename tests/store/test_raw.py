"""Looking at a database's bytes leaves the locks of the process's own connections alone."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest

from ragwheel.store import raw
from ragwheel.store.connect import check_file
from ragwheel.store.schema import APPLICATION_ID

OPEN_AND_CLOSE = """
import sqlite3, sys
c = sqlite3.connect(sys.argv[1])
c.execute("SELECT * FROM t").fetchall()
c.close()
"""


@pytest.mark.parametrize(
    "look",
    [
        lambda db: raw.head(db, 100),
        lambda db: raw.contains_any(db, [b"not in there"]),
        lambda db: raw.contains_any(db.with_name(f"{db.name}-shm"), [b"not in there"]),
        lambda db: check_file(db, may_be_new=False),
    ],
    ids=["head", "contains_any", "contains_any of the shared memory", "check_file"],
)
def test_another_process_does_not_take_the_log_away_under_an_open_connection(tmp_path, look):
    db = tmp_path / "x.db"
    with closing(sqlite3.connect(db, isolation_level=None)) as ours:
        ours.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        ours.execute("PRAGMA journal_mode = WAL")
        ours.execute("CREATE TABLE t (x)")
        look(db)
        subprocess.run([sys.executable, "-c", OPEN_AND_CLOSE, str(db)], check=True)
        assert db.with_name("x.db-wal").exists()
        with closing(sqlite3.connect(db, isolation_level=None)) as other:
            other.execute("INSERT INTO t VALUES (1)")
        assert ours.execute("SELECT count(*) FROM t").fetchone() == (1,)


def test_a_plain_look_does_take_it_away(tmp_path):
    """The hazard is real here: were it not, the test above would prove nothing."""
    db = tmp_path / "x.db"
    with closing(sqlite3.connect(db, isolation_level=None)) as ours:
        ours.execute("PRAGMA journal_mode = WAL")
        ours.execute("CREATE TABLE t (x)")
        db.read_bytes()
        subprocess.run([sys.executable, "-c", OPEN_AND_CLOSE, str(db)], check=True)
        assert not db.with_name("x.db-wal").exists()


def test_a_replaced_file_is_read_anew(tmp_path):
    path = tmp_path / "f"
    path.write_bytes(b"first")
    _, inode = raw.head(path, 10)
    (tmp_path / "g").write_bytes(b"second")
    (tmp_path / "g").replace(path)
    found, other = raw.head(path, 10)
    assert found == b"second"
    assert other != inode


def test_a_needle_across_two_reads_is_found(tmp_path, monkeypatch):
    monkeypatch.setattr(raw, "CHUNK_BYTES", 4)
    path = tmp_path / "f"
    path.write_bytes(b"abcdefgh")
    assert raw.contains_any(path, [b"xx", b"cdef"])
    assert not raw.contains_any(path, [b"ceg"])


def test_files_kept_open_are_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(raw, "KEPT_OPEN", 3)
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    for n in range(10):
        (tmp_path / f"{n}").write_bytes(b"x")
        assert raw.head(tmp_path / f"{n}", 1)[0] == b"x"
    assert len(os.listdir("/proc/self/fd")) <= before + 4  # noqa: PTH208
