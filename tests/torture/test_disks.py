"""Disks that are full, read-only or gone: nothing acknowledged is lost, later records are counted."""

import contextlib
import os
import resource
import shutil
import sqlite3
import subprocess
import tempfile
import threading
from pathlib import Path

import pytest
from tests.torture import workload
from tests.torture.counts import count
from tests.torture.workload import Process, verify

import ragwheel
from ragwheel.guard import guard
from ragwheel.journal import files, writer
from ragwheel.store import background


@pytest.fixture
def db(tmp_path):
    return tmp_path / "app.db"


def all_stored():
    """Flush until every record is stored or dropped; whether that came to pass."""
    done = any(ragwheel.flush(1.0) and ragwheel.stats().journalled == 0 for _ in range(100))
    workload.counted()
    return done


def fill(filler):
    """Write until the disk is full."""
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(b"x" * 4096)


@pytest.mark.parametrize("limit", [2_000, 20_000, 150_000])
def test_a_limit_on_file_sizes_then_space_again(db, limit):
    """The limit hits the journal first when it is small, SQLite when it is large."""

    def body(pipe):
        guard.strict = False
        hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
        for n in range(60):
            before = ragwheel.stats().dropped
            kept = workload.Acknowledged()
            reader, quiet = os.pipe()
            workload.step("full", n, quiet)
            os.close(quiet)
            kept.take(os.read(reader, 4096))
            os.close(reader)
            if ragwheel.stats().dropped == before:  # nothing of this step was dropped: it has to be there
                for name, n, what in sorted(kept.calls):
                    os.write(pipe, workload.ACK.pack(name.encode(), n, what))
        ragwheel.flush(0.2)
        workload.counted()
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
        threading.Event().wait(writer.RETRY_S)
        workload.work("free", pipe, 20)
        assert all_stored()

    process = Process(db, body, merge_interval_s=0.01)
    assert process.end() == 0
    count("disks filled")
    acknowledged = process.acknowledged.calls
    assert {call for call in acknowledged if call[0] == "free"} == {
        ("free", n, what) for n in range(20) for what in (1, 2, 3)
    }
    verify(db, acknowledged)


@pytest.fixture
def small_disk(tmp_path):
    """A tmpfs of one megabyte."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small disk")
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip(f"no small disk can be mounted here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_then_space_again(small_disk):
    db = small_disk / "app.db"
    filler = small_disk / "filler"

    def body(pipe):
        guard.strict = False
        workload.work("befo", pipe, 20)
        assert ragwheel.flush()
        fill(filler)
        null = os.open(os.devnull, os.O_WRONLY)
        workload.work("full", null, 400)
        stats = ragwheel.stats()
        assert stats.dropped["disk_full"] > 0
        workload.counted()
        filler.unlink()
        threading.Event().wait(writer.RETRY_S)
        workload.work("free", pipe, 20)
        assert ragwheel.flush(10)
        workload.counted()
        assert ragwheel.stats().dropped == stats.dropped

    process = Process(db, body, merge_interval_s=0.01)
    assert process.end() == 0
    assert len(process.acknowledged.calls) == 120
    count("disks filled")
    verify(db, process.acknowledged.calls)


def test_a_folder_that_may_not_be_written(db, monkeypatch, caplog):
    monkeypatch.setattr(guard, "strict", False)
    (db.parent / "app.db.segments").write_text("in the way")  # root writes into read-only folders
    ragwheel.configure(db)
    null = os.open(os.devnull, os.O_WRONLY)
    workload.work("none", null, 5)
    os.close(null)
    stats = ragwheel.stats()
    assert stats.emitted == sum(stats.dropped.values()) == 20
    assert not ragwheel.flush(0.1)
    assert caplog.text.count("dropped a record") == 1
    guard.reset()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_a_read_only_folder_for_a_user_who_is_not_root():
    def body(pipe):
        guard.strict = False
        os.setresuid(65534, 65534, 65534)
        workload.work("none", pipe, 5)
        assert not ragwheel.flush(0.1)
        assert ragwheel.stats().dropped == {"io_error": 20}

    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        process = Process(Path(folder) / "app.db", body)
        assert process.end() == 0
        assert list(Path(folder).iterdir()) == []


def test_a_database_locked_for_a_while(db, monkeypatch, caplog):
    """Nobody hears of it: calls return, flush says that it is not done yet, and all arrives afterwards."""
    monkeypatch.setattr(background, "BUSY_S", 0.01)
    monkeypatch.setattr(background, "RETRY_S", (0.01,))
    ragwheel.configure(db, merge_interval_s=0.01)
    heard, pipe = os.pipe()
    workload.work("lock", pipe, 2)
    assert ragwheel.flush()
    other = sqlite3.connect(db, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    workload.work("more", pipe, 10)
    assert not ragwheel.flush(0.2)
    assert ragwheel.stats().journalled == 30
    other.close()
    assert ragwheel.flush()
    acknowledged = workload.Acknowledged()
    acknowledged.take(os.read(heard, 65536))
    assert verify(db, acknowledged.calls) == 12
    assert "Traceback" not in caplog.text
    for end in (heard, pipe):
        os.close(end)
    guard.reset()


def destroy(db, how):
    count("databases destroyed while running")
    if how == "deleted":
        db.unlink()
    elif how == "everything deleted":
        shutil.rmtree(files.segment_folder(db))
        for path in db.parent.glob("app.db*"):
            path.unlink()
    elif how == "corrupted":
        content = db.read_bytes()
        db.write_bytes(content[:200] + b"\xff" * (len(content) - 200))
    elif how == "header lost":
        content = db.read_bytes()
        db.write_bytes(b"\0" * 100 + content[100:])
    else:
        db.write_bytes(b"")


@pytest.mark.parametrize("how", ["deleted", "everything deleted", "corrupted", "header lost", "emptied"])
def test_a_database_that_is_destroyed_while_running(db, how):
    """What is recorded afterwards is kept; a damaged file is kept too, whatever it still holds."""
    ragwheel.configure(db, merge_interval_s=60)
    null = os.open(os.devnull, os.O_WRONLY)
    workload.work("befo", null, 20)
    assert ragwheel.flush()
    destroy(db, how)
    heard, pipe = os.pipe()
    workload.work("afte", pipe, 20)
    assert ragwheel.flush()
    acknowledged = workload.Acknowledged()
    acknowledged.take(os.read(heard, 65536))
    n = verify(db, acknowledged.calls)
    assert n == (20 if how == "everything deleted" else 40)  # the live segment still had the others
    aside = list(db.parent.glob("app.db.corrupt-*Z"))
    assert len(aside) == (how in ("corrupted", "header lost"))
    for end in (null, heard, pipe):
        os.close(end)
    guard.reset()
