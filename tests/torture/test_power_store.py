"""A simulated power cut of journal and database together: SQLite's own writes are recorded and lost too."""

import os
import random
import shutil

import pytest
from tests.torture import workload
from tests.torture.counts import count
from tests.torture.disk import Disk, JournalOs, Op, recording_sqlite
from tests.torture.test_power import acknowledged_now
from tests.torture.workload import FULL, SEED, Acknowledged, verify

import ragwheel
from ragwheel.journal import files, writer
from ragwheel.store.background import BackgroundMerger
from ragwheel.store.merge import Merger

HISTORIES, CUTS, STEPS = (20, 60, 60) if FULL else (2, 12, 30)


def record(monkeypatch, disk):
    """Have the journal's writes, its folder's syncs and the deletion of merged segments noted."""
    monkeypatch.setattr(writer, "os", JournalOs(disk))
    monkeypatch.setattr(BackgroundMerger, "_spawn", lambda self: None)  # one thread: one order of operations
    sync_folder, finish = files.sync_folder, Merger._finish

    def synced(db):
        sync_folder(db)
        disk.ops.append(Op("names", 0))

    def finished(self, connection, path, **named):
        finish(self, connection, path, **named)
        disk.forget(str(path))

    monkeypatch.setattr(files, "sync_folder", synced)
    monkeypatch.setattr(Merger, "_finish", finished)


def history(db, durability, rng, disk):
    """Work, sync and merge in a random order; ``(operations so far, what must be there from now on)``."""
    runtime = ragwheel.configure(db, durability=durability, merge_interval_s=60, sync_interval_s=60)
    reader, pipe = os.pipe()
    heard = Acknowledged()
    marks: list[tuple[int, set[tuple[str, int, int]]]] = [(0, set())]
    for n in range(STEPS):
        workload.step("powr", n, pipe)
        said = rng.random()
        if said < 0.15:
            runtime._journal.sync()
        elif said < 0.3:
            assert ragwheel.flush()
        if durability == "power" or said < 0.3:
            marks.append((len(disk.ops), acknowledged_now(reader, heard)))
    ragwheel.shutdown()
    marks.append((len(disk.ops), acknowledged_now(reader, heard)))
    os.close(reader)
    os.close(pipe)
    return marks


@pytest.mark.parametrize("durability", ["power", "process"])
def test_power_cut_of_journal_and_database(tmp_path, monkeypatch, durability):
    rng = random.Random(f"{SEED}/{durability}")
    monkeypatch.setattr(writer, "SEGMENT_BYTES", 15_000)
    for n in range(HISTORIES):
        folder = tmp_path / f"history-{n}"
        folder.mkdir()
        disk = Disk(folder)
        with pytest.MonkeyPatch.context() as patch, recording_sqlite(disk) as recording:
            if not recording:
                pytest.skip("needs a Python with a shared libsqlite3, such as Debian's")
            record(patch, disk)
            marks = history(folder / "app.db", durability, rng, disk)
        kinds = {(op.kind, op.path[-4:]) for op in disk.ops if op.path} | {(op.kind, "") for op in disk.ops}
        assert {("name", "-wal"), ("forget", "-wal"), ("forget", ".seg"), ("sync", "")} <= kinds
        for cut in (len(disk.ops), *(rng.randrange(len(disk.ops)) for _ in range(CUTS))):
            after = tmp_path / "after"
            after.mkdir()
            files.segment_folder(after / "app.db").mkdir()
            disk.after(cut, after, rng)
            safe = max((mark for mark in marks if mark[0] <= cut), key=lambda mark: mark[0])[1]
            try:
                verify(after / "app.db", safe, holes=durability == "process")
            except (ragwheel.errors.StoreEmpty, ragwheel.errors.StoreMissing):  # cut before its first sync
                assert not safe
            count("power cuts of journal and database")
            shutil.rmtree(after)
        shutil.rmtree(folder)
