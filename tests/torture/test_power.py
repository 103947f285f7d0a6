"""A simulated power cut: of each journal file, what was not synced is cut at any byte."""

import contextlib
import os
import random
import shutil
import threading

import pytest
from tests.torture import workload
from tests.torture.counts import count
from tests.torture.workload import FULL, SEED, Acknowledged, verify

import ragwheel
from ragwheel.journal import files, writer
from ragwheel.store.background import BackgroundMerger

HISTORIES, CUTS = (10, 40) if FULL else (1, 25)


class Disk:
    """Stands for ``os`` in the writer and notes how much of each file had been synced, call by call."""

    def __init__(self):
        self.synced = {}

    def fdatasync(self, fd):
        os.fdatasync(fd)
        self.synced[os.fstat(fd).st_ino] = os.fstat(fd).st_size

    def __getattr__(self, name):
        return getattr(os, name)


def acknowledged_now(reader, heard):
    os.set_blocking(reader, False)
    with contextlib.suppress(BlockingIOError):
        heard.take(os.read(reader, 1 << 20))
    return set(heard.calls)


@pytest.mark.parametrize("history", range(HISTORIES))
@pytest.mark.parametrize("durability", ["power", "process"])
def test_power_cut(tmp_path, monkeypatch, durability, history):
    """With ``durability="power"`` all that was acknowledged is there, else all up to the last sync."""
    disk = Disk()
    monkeypatch.setattr(writer, "os", disk)
    monkeypatch.setattr(writer, "SEGMENT_BYTES", 30_000)
    monkeypatch.setattr(BackgroundMerger, "_spawn", lambda self: None)  # the journal alone
    db = tmp_path / "app.db"
    runtime = ragwheel.configure(db, durability=durability, merge_interval_s=60, sync_interval_s=60)
    reader, pipe = os.pipe()
    heard, rng = Acknowledged(), random.Random(f"{SEED}/{history}")
    safe = set()
    for n in range(CUTS):
        workload.step("powr", n, pipe)
        if durability == "power":
            safe = acknowledged_now(reader, heard)
        elif rng.random() < 0.3:
            runtime._journal.sync()
            safe = acknowledged_now(reader, heard)
        after = tmp_path / f"after-{n}" / "app.db"
        files.segment_folder(after).mkdir(parents=True)
        for path in files.segments(db):
            kept = disk.synced.get(path.stat().st_ino, 0)
            kept += rng.randrange(path.stat().st_size - kept + 1)
            shutil.copy(path, files.segment_folder(after))
            count("bytes lost with the power", path.stat().st_size - kept)
            os.truncate(files.segment_folder(after) / path.name, kept)
        assert verify(after, safe) <= n + 1
        shutil.rmtree(after.parent)
        count("power cuts of the journal")
    assert len(safe) > CUTS
    os.close(reader)
    os.close(pipe)


def test_the_background_syncs_in_time_even_when_nothing_can_be_merged(tmp_path, monkeypatch):
    """Another process holds the right to merge: the promise about power is the journal's alone."""
    synced = threading.Event()
    db = tmp_path / "app.db"
    runtime = ragwheel.configure(db, merge_interval_s=0.01, sync_interval_s=0.02)
    real = runtime._journal.sync

    def sync():
        real()
        synced.set()

    monkeypatch.setattr(runtime._merger, "sync", sync)
    with files.merge_lock(db, timeout_s=0):
        for n in range(3):
            synced.clear()
            workload.step("sync", n, os.open(os.devnull, os.O_WRONLY))
            assert synced.wait(5)
    segment = runtime._journal.segment
    assert ragwheel.flush()
    while segment.dirty:
        assert synced.wait(5)
        synced.clear()
