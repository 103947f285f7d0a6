"""The merger is killed, dies, waits for locks and is copied from: what was acknowledged arrives once."""

import os
import random
import select
import shutil
import signal
import sqlite3
import threading
import time
from functools import partial

import pytest
from tests.torture import workload
from tests.torture.counts import count
from tests.torture.workload import FULL, SEED, Process, verify

import ragwheel
from ragwheel.guard import guard
from ragwheel.journal import files, writer
from ragwheel.store import backup, segment
from ragwheel.store.background import BackgroundMerger
from ragwheel.store.merge import Merger

DEATHS = 400 if FULL else 15
LOCK_S = 30.0 if FULL else 3.0
BACKUPS = 60 if FULL else 5


@pytest.fixture
def db(tmp_path):
    return tmp_path / "app.db"


def orphans(db, steps, monkeypatch):
    """Segments that killed processes left, none of it merged; what they had acknowledged."""
    monkeypatch.setattr(writer, "SEGMENT_BYTES", 20_000)
    acknowledged = set()
    for n in range(3):
        process = Process(db, partial(workload.work, f"o{n}", steps=steps), merge_interval_s=60)
        assert process.end() == 0
        acknowledged |= process.acknowledged.calls
    return acknowledged


def finish_and_die(self, connection, path, *, keep):
    """In place of the merger's own."""
    segment.finish(connection, path.name)
    os.kill(os.getpid(), signal.SIGKILL)


def merge_and_die(db, rng):
    """In a child: merge, and be killed after some records, or at a system call that follows a commit."""
    pid = os.fork()
    if pid:
        count("mergers killed")
        return os.waitpid(pid, 0)[1]
    left = rng.randrange(1, 40)

    def may_continue():
        nonlocal left
        left -= 1
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)
        return True

    if rng.random() < 0.2:  # between the commit that finishes a segment and its deletion
        left = 10**9
        Merger._finish = finish_and_die  # type: ignore[assignment,method-assign]
    Merger(db, may_continue=may_continue).run(timeout_s=30)
    os._exit(0)


def test_a_merger_killed_again_and_again_moves_everything_once(db, monkeypatch):
    monkeypatch.setattr(segment, "BATCH_RECORDS", 7)
    acknowledged = orphans(db, max(20, DEATHS), monkeypatch)
    rng = random.Random(SEED)
    for _ in range(DEATHS):
        if merge_and_die(db, random.Random(rng.random())) == 0:
            break
    assert verify(db, acknowledged) == 3 * max(20, DEATHS)
    assert files.segments(db) == []


def test_a_merger_thread_that_dies_is_replaced_by_the_next_record(db, monkeypatch):
    """Nothing raises SystemExit there, but a debugger or a library may, asynchronously."""
    monkeypatch.setattr(guard, "strict", False)
    rng, real = random.Random(SEED), BackgroundMerger._merge
    died, began = [], threading.Event()

    def merge(self, *given):
        began.set()
        if rng.random() < 0.5:
            died.append(1)
            raise SystemExit
        return real(self, *given)

    reader, pipe = os.pipe()
    heard = workload.Acknowledged()
    with monkeypatch.context() as patch:
        patch.setattr(BackgroundMerger, "_merge", merge)
        merger = ragwheel.configure(db, merge_interval_s=0.001)._merger
        for n in range(DEATHS):
            before, thread = len(died), merger._thread
            began.clear()
            workload.step("dies", n, pipe)
            heard.take(os.read(reader, 4096))
            assert began.wait(60)  # the record has woken a merger, however busy the machine is
            if thread is not None and len(died) > before:
                thread.join(5)
            workload.counted()
    assert died
    workload.step("last", 0, pipe)
    assert merger._thread.is_alive()
    assert ragwheel.flush()
    heard.take(os.read(reader, 4096))
    assert verify(db, heard.calls) == DEATHS + 1
    count("merger threads that died", len(died))
    for end in (reader, pipe):
        os.close(end)
    guard.reset()


def hold_lock(db):
    """Another process takes the database; returns what ends that, and its process."""
    held, release = os.pipe(), os.pipe()
    pid = os.fork()
    if pid == 0:
        connection = sqlite3.connect(db, isolation_level=None)
        connection.execute("BEGIN EXCLUSIVE")
        os.write(held[1], b"x")
        os.read(release[0], 1)
        os._exit(0)
    os.read(held[0], 1)
    return release[1], pid


def test_a_database_that_another_process_keeps_locked(db):
    """30 seconds at full size, 3 else: no call waits for it, and all arrives afterwards."""
    first = Process(db, partial(workload.work, "befo", steps=3))
    assert first.end() == 0
    verify(db, first.acknowledged.calls)
    go = os.pipe()
    release, locker = hold_lock(db)

    def body(pipe):
        guard.strict = False  # that the merge has to wait is logged once
        n, slowest_s = 0, 0.0
        while not select.select([go[0]], [], [], 0.01)[0]:
            started_s = time.monotonic()
            workload.step("lock", n, pipe)
            slowest_s = max(slowest_s, time.monotonic() - started_s)
            n += 1
        workload.counted()
        assert ragwheel.stats().stored == 0
        assert slowest_s < 2, slowest_s
        assert ragwheel.flush(30)
        workload.counted()

    process = Process(db, body, merge_interval_s=0.01)
    until = time.monotonic() + LOCK_S
    while (left := until - time.monotonic()) > 0 and select.select([process.pipe], [], [], left)[0]:
        process.read(at_least=len(process.acknowledged.calls) + 1)
    os.write(release, b"x")
    os.waitpid(locker, 0)
    os.write(go[1], b"x")
    assert process.end() == 0
    verify(db, first.acknowledged.calls | process.acknowledged.calls)
    count("seconds that the database was locked", round(LOCK_S))


def test_backups_while_processes_write_and_are_killed(db, tmp_path):
    """A copy holds everything that was acknowledged before it was begun."""
    rng = random.Random(SEED)

    def writes(name):
        return Process(db, partial(workload.work, name, steps=150), merge_interval_s=0.005)

    processes = [writes(f"b{n}") for n in range(2)]
    acknowledged = set()
    for n in range(BACKUPS):
        for process in processes:
            process.read(at_least=len(process.acknowledged.calls) + 30)
            acknowledged |= process.acknowledged.calls
        copy = tmp_path / f"copy-{n}"
        backup(db, copy)
        verify(copy, acknowledged)
        shutil.rmtree(files.segment_folder(copy), ignore_errors=True)
        copy.unlink()
        count("backups while writing")
        dead = rng.randrange(2)
        processes[dead].kill()
        assert processes[dead].end() in (-9, 0)
        acknowledged |= processes[dead].acknowledged.calls
        processes[dead] = writes(f"{n}{dead}")
    for process in processes:
        process.kill()
        process.end()
        acknowledged |= process.acknowledged.calls
    verify(db, acknowledged)
