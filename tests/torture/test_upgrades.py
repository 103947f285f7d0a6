"""A database of every earlier schema is migrated by a process that is killed at each of its statements."""

import os
import shutil
import signal
import sys
import tempfile
from functools import partial
from pathlib import Path

import pytest
from tests.torture import workload
from tests.torture.counts import count
from tests.torture.earlier import had
from tests.torture.workload import FULL, SEED, Process, verify

from ragwheel.journal import files, writer
from ragwheel.store import connect, merge_journal, migrations

STRIDE = 1 if FULL else 7
TRUNCATIONS = 1 if FULL else 97  # every so many bytes


@pytest.fixture
def db(tmp_path):
    return tmp_path / "app.db"


def made_by_schema(db, version, monkeypatch):
    """A database with content as a ragwheel of that schema left it (0: an empty file), and a journal."""
    process = Process(db, partial(workload.work, "old0", steps=10), merge_interval_s=60)
    assert process.end() == 0
    if version:
        with monkeypatch.context() as patch:
            for module, name, value in had(version):
                patch.setattr(module, name, value)
            patch.setattr(migrations, "SCHEMA_VERSION", version)
            merge_journal(db)
    else:
        db.touch(mode=0o600)
    later = Process(db, partial(workload.work, "new0", steps=10), merge_interval_s=60)
    assert later.end() == 0
    return process.acknowledged.calls | later.acknowledged.calls


def migrate_and_die(db, at):
    """In a child: migrate, killed before statement number ``at``; False when it came to the end."""
    pid = os.fork()
    if pid:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL
    left = at

    def statement(sql):
        nonlocal left
        left -= 1
        if left <= 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def migrate(connection):
        connection.set_trace_callback(statement)
        done = migrations.migrate(connection)
        connection.set_trace_callback(None)
        return done

    vars(sys.modules["ragwheel.store.merge"])["migrate"] = migrate
    merge_journal(db)
    os._exit(0)


def schema_of(db):
    connection = connect(db, write=False)
    try:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        return connection.execute("PRAGMA user_version").fetchone()[0]
    finally:
        connection.close()


@pytest.mark.parametrize("version", range(migrations.SCHEMA_VERSION))
def test_killed_at_each_statement_of_a_migration(tmp_path, monkeypatch, version):
    kept = tmp_path / "kept"
    kept.mkdir()
    acknowledged = made_by_schema(kept / "app.db", version, monkeypatch)
    at = 1 + SEED % STRIDE
    while True:
        folder = tmp_path / f"at-{at}"
        shutil.copytree(kept, folder)
        killed = migrate_and_die(folder / "app.db", at)
        assert schema_of(folder / "app.db") == (version if killed else migrations.SCHEMA_VERSION)
        assert verify(folder / "app.db", acknowledged) == 20
        assert schema_of(folder / "app.db") == migrations.SCHEMA_VERSION
        shutil.rmtree(folder)
        if not killed:
            break
        count("migrations killed")
        at += STRIDE
    assert at > 3


def test_a_segment_cut_at_every_byte(tmp_path):
    """Whatever part of a segment a crash leaves, the whole records in it are there and nothing else."""
    db = tmp_path / "app.db"

    def body(pipe):
        for n in range(3):
            workload.step("cuts", n, pipe)
            os.write(sizes_pipe[1], files.segments(db)[0].stat().st_size.to_bytes(8, "big"))

    sizes_pipe = os.pipe()
    process = Process(db, body, merge_interval_s=60)
    assert process.end() == 0
    sizes = [int.from_bytes(os.read(sizes_pipe[0], 8), "big") for _ in range(3)]
    (path,) = files.segments(db)
    content = path.read_bytes()
    assert sizes[-1] == len(content) < writer.SEGMENT_BYTES
    memory = "/dev/shm" if Path("/dev/shm").is_dir() else None  # thousands of syncs that prove nothing here
    for size in range(SEED % TRUNCATIONS, len(content), TRUNCATIONS):
        with tempfile.TemporaryDirectory(dir=memory) as folder:
            after = Path(folder) / "app.db"
            files.segment_folder(after).mkdir()
            (files.segment_folder(after) / path.name).write_bytes(content[:size])
            whole = sum(end <= size for end in sizes)
            safe = {call for call in process.acknowledged.calls if call[1] < whole}
            assert whole <= verify(after, safe) <= whole + 1
        count("bytes at which a segment was cut")
