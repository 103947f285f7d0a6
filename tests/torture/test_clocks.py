"""Clocks that jump an hour, or are an hour apart: wall clock time orders nothing that matters."""

import os
import random
import time
from functools import partial

import pytest
from tests.torture import workload
from tests.torture.counts import count
from tests.torture.workload import FULL, SEED, Process, verify

import ragwheel
from ragwheel.journal import writer
from ragwheel.store import merge_journal

HOUR_S = 3600
STEPS, PROCESSES = (2000, 60) if FULL else (60, 6)


def jumping(monkeypatch, offset_s):
    """Both of Python's wall clocks go by what ``offset_s`` says each time; the monotonic one goes on."""
    real_ns = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: real_ns() + offset_s() * 10**9)
    monkeypatch.setattr(time, "time", lambda: real_ns() / 1e9 + offset_s())


@pytest.fixture
def db(tmp_path):
    return tmp_path / "app.db"


def test_the_clock_jumps_at_every_look(db, monkeypatch):
    rng = random.Random(SEED)

    def offset_s():
        count("clock readings an hour off")
        return rng.choice((-HOUR_S, 0, HOUR_S))

    monkeypatch.setattr(writer, "SEGMENT_BYTES", 20_000)
    jumping(monkeypatch, offset_s)
    ragwheel.configure(db, merge_interval_s=0.001)
    reader, pipe = os.pipe()
    heard = workload.Acknowledged()
    for n in range(STEPS):
        workload.step("jump", n, pipe)
        heard.take(os.read(reader, 4096))
    assert ragwheel.flush()
    workload.counted()
    assert verify(db, heard.calls) == STEPS
    for end in (reader, pipe):
        os.close(end)


def test_processes_whose_clocks_are_an_hour_apart(db):
    """Whoever writes, is killed or merges believes in a time of its own."""
    rng, acknowledged = random.Random(SEED), set()

    def body(offset_s, name, pipe):
        with pytest.MonkeyPatch.context() as patch:
            jumping(patch, lambda: offset_s)
            merge_journal(db)
            workload.work(name, pipe, 10**6)

    for n in range(PROCESSES):
        offset_s = rng.choice((-HOUR_S, 0, HOUR_S))
        process = Process(db, partial(body, offset_s, f"{n:03d}"), merge_interval_s=0.005)
        process.read(at_least=rng.randrange(10, 60))
        process.kill()
        assert process.end() == -9
        acknowledged |= process.acknowledged.calls
    verify(db, acknowledged)
