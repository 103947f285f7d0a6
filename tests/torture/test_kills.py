"""Processes that end in every way there is: what had returned is there."""

import os
import random
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest
from tests.torture import workload
from tests.torture.counts import count
from tests.torture.workload import ENDINGS, FULL, SEED, Process, verify

from ragwheel.journal import files

KILLS = 2000 if FULL else 40


@pytest.fixture
def db(tmp_path):
    return tmp_path / "app.db"


@pytest.mark.parametrize("durability", ["process", "power"])
def test_sigkill_at_random_points(db, durability):
    """Each process is killed after a random number of acknowledgements and a random moment more."""
    rng = random.Random(SEED)
    acknowledged = set()
    for n in range(KILLS if durability == "process" else KILLS // 10):
        name = f"{n:04d}"
        process = Process(
            db, partial(workload.work, name, steps=10**6), durability=durability, merge_interval_s=0.01
        )
        process.read(at_least=rng.choice((1, 2, 3, rng.randrange(4, 60))))
        time.sleep(rng.random() * 0.01)
        process.kill()
        assert process.end() == -9
        acknowledged |= process.acknowledged.calls
        if n % 200 == 199:
            verify(db, acknowledged)
    verify(db, acknowledged)
    assert files.segments(db) == []


@pytest.mark.parametrize("ending", ENDINGS)
def test_every_way_to_end(db, ending):
    def body(pipe):
        workload.work("name", pipe, 20)
        count("processes ended by themselves")
        ENDINGS[ending]()

    process = Process(db, body, merge_interval_s=60)
    process.end()
    assert len(process.acknowledged.calls) == 60
    assert verify(db, process.acknowledged.calls) == 20


SCRIPT = """
import atexit, os, sys, threading
sys.path.insert(0, {root!r})
from tests.torture import workload
import ragwheel
{before}
ragwheel.configure({db!r}, merge_interval_s=0.01)
workload.work("main", {pipe}, 10)
{after}
"""


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", ""),
        ("", "sys.exit(3)"),
        ("", "os._exit(3)"),
        ("", "raise RuntimeError('at the end')"),
        ("atexit.register(lambda: workload.work('late', {pipe}, 3))", ""),
        ("", "atexit.register(lambda: workload.work('late', {pipe}, 3))"),
        ("", "atexit.register(lambda: 1 / 0)"),
        ("", "class A:\n    def __del__(self): workload.work('dels', {pipe}, 3)\na = A()"),
        ("", "threading.Thread(target=workload.work, args=('late', {pipe}, 20)).start()"),
        ("", "threading.Thread(target=workload.work, args=('late', {pipe}, 10**6), daemon=True).start()"),
    ],
)
def test_a_real_interpreter_that_shuts_down(db, tmp_path, before, after):
    """What returned in the last moments of an interpreter is either kept or was not taken (and says so)."""
    reader, writer = os.pipe()
    root = str(Path.cwd())
    script = SCRIPT.format(
        root=root, db=str(db), pipe=writer, before=before.format(pipe=writer), after=after.format(pipe=writer)
    )
    environment = {k: v for k, v in os.environ.items() if k != "RAGWHEEL_STRICT"}
    process = subprocess.Popen(
        [sys.executable, "-c", script],
        pass_fds=[writer],
        env=environment,
        cwd=tmp_path,
        stderr=subprocess.DEVNULL,
    )
    os.close(writer)
    heard = workload.Acknowledged()
    with os.fdopen(reader, "rb") as pipe:
        heard.take(pipe.read())
    process.wait(timeout=300)
    said = {call for call in heard.calls if call[0] == "main" or call[2] == workload.SIGNALLED}
    assert len([call for call in said if call[0] == "main"]) == 30
    verify(db, said)


def test_eight_processes_write_one_database_at_once(db):
    processes = [
        Process(db, lambda pipe, n=n: workload.work(f"p{n}", pipe, 60), merge_interval_s=0.01)
        for n in range(8)
    ]
    assert [process.end() for process in processes] == [0] * 8
    acknowledged = set().union(*(process.acknowledged.calls for process in processes))
    assert len(acknowledged) == 8 * 180
    assert verify(db, acknowledged) == 8 * 60


def test_killing_some_of_those_that_write_at_once(db):
    rng = random.Random(SEED)
    steps = [10**6, 80] * 3
    processes = [
        Process(db, partial(workload.work, f"p{n}", steps=steps[n]), merge_interval_s=0.01) for n in range(6)
    ]
    for process in processes[::2]:
        process.read(at_least=rng.randrange(10, 100))
        process.kill()
    assert [process.end() for process in processes] == [-9, 0] * 3
    verify(db, set().union(*(process.acknowledged.calls for process in processes)))


def test_threads_and_tasks_of_one_process(db):
    def body(pipe):
        workload.threads_and_tasks("tt", pipe, 15)
        workload.counted()

    process = Process(db, body)
    assert process.end() == 0
    assert len(process.acknowledged.calls) == 6 * 15 * 3
    assert verify(db, process.acknowledged.calls) == 6 * 15
