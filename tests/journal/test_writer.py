import errno
import itertools
import os
import resource
from pathlib import Path

import msgspec
import pytest

from ragwheel.guard import guard
from ragwheel.journal import files, frames, writer
from ragwheel.journal.records import (
    DROPS,
    OPEN,
    RETRIEVAL,
    SIGNAL,
    Drops,
    Opened,
    RetrievalRecord,
    SignalRecord,
)
from ragwheel.journal.writer import Journal

numbers = itertools.count(1)


@pytest.fixture
def db(tmp_path):
    return tmp_path / "app.db"


@pytest.fixture
def journal(db):
    made = Journal(db, app="shop", version="1", power=False, clean=clean, on_write=lambda: None)
    yield made
    made.close()
    guard.reset()


def clean(text):
    return (text.replace("\0", "?"), ("nul",)) if "\0" in text else (text, ())


def retrieval(source="kb", **fields):
    given = {
        "span_id": next(numbers).to_bytes(8, "big"),
        "trace_id": bytes(16),
        "parent_id": None,
        "turn_id": None,
        "outer_id": None,
        "kind": 0,
        "source": source,
        "name": source,
        "version": "",
        "app": "shop",
        "query": "q",
        "session_id": None,
        "user_id": None,
        "start_ns": 1,
        "duration_ns": 1,
        "top_k": None,
        "capture_k": 40,
        "n_returned": 1,
        "scores": None,
        "metadata": None,
        "in_ranks": None,
        "error": None,
        "flags": (),
    }
    return RetrievalRecord(**{**given, **fields})


def signal():
    who, what = (next(numbers).to_bytes(8, "big"), bytes(16), None), ("click", 0, bytes(8), "a")
    return SignalRecord(*who, *what, None, None, None, None, None, 1, 1, ())


def read(path):
    """(kind, payload) of a segment's whole frames."""
    data = path.read_bytes()
    return [(frame.kind, bytes(frame.payload)) for frame in frames.scan(data, resync=False)]


def retrievals(path):
    return [msgspec.msgpack.decode(p, type=RetrievalRecord) for kind, p in read(path) if kind == RETRIEVAL]


def descriptors():
    """How many this process has open."""
    return len(list(Path("/proc/self/fd").iterdir()))


class Disk:
    """Stands for ``os`` in the writer: takes ``room`` more bytes, then fails; writes at most ``at_once``."""

    def __init__(self, room=10**9, at_once=10**9, code=errno.ENOSPC):
        self.room, self.at_once, self.code = room, at_once, code

    def write(self, fd, data):
        part = bytes(data)[: min(self.at_once, self.room)]
        if not part:
            raise OSError(self.code, os.strerror(self.code))
        self.room -= len(part)
        return os.write(fd, part)

    def __getattr__(self, name):
        return getattr(os, name)


def test_a_segment_begins_with_who_writes_it(journal, db):
    journal.signal(signal())
    (path,) = files.segments(db)
    assert [kind for kind, _ in read(path)] == [OPEN, SIGNAL]
    opened = msgspec.msgpack.decode(read(path)[0][1], type=Opened)
    assert (opened.pid, opened.app, opened.version) == (os.getpid(), "shop", "1")


def test_a_text_is_written_once_per_segment(journal, db):
    for _ in range(3):
        assert journal.retrieval(retrieval(), ["a", "b"], ["text a", "text b"])
    (path,) = files.segments(db)
    assert path.read_bytes().count(b"text a") == 1
    first, second, third = retrievals(path)
    assert first.new == [(0, "a", "text a"), (1, "b", "text b")]
    assert second.refs == third.refs == first.refs == [0, 1]
    assert not second.new


def test_a_changed_text_is_a_new_version_and_so_is_the_same_id_elsewhere(journal, db):
    journal.retrieval(retrieval(), ["a"], ["old"])
    journal.retrieval(retrieval(), ["a"], ["new"])
    journal.retrieval(retrieval("other"), ["a"], ["new"])
    journal.retrieval(retrieval(), ["a", "a"], ["new", "old"])
    (path,) = files.segments(db)
    assert [r.refs for r in retrievals(path)] == [[0], [1], [2], [1, 3]]


def test_only_new_texts_are_cleaned_and_their_flags_noted(journal, db):
    journal.retrieval(retrieval(flags=("no_id",)), ["a", "b"], ["te\0xt", "fine"])
    (path,) = files.segments(db)
    (found,) = retrievals(path)
    assert found.new == [(0, "a", "te?xt"), (1, "b", "fine")]
    assert found.flags == ("no_id", "nul")


def test_a_text_counts_as_seen_only_after_it_was_written(journal, db, monkeypatch):
    journal.retrieval(retrieval(), ["a"], ["text a"])
    with monkeypatch.context() as patch:
        patch.setattr(writer, "os", Disk(room=10))
        assert not journal.retrieval(retrieval(), ["b"], ["text b"])
    assert journal.retrieval(retrieval(), ["b"], ["text b"])
    (path,) = files.segments(db)
    assert retrievals(path)[-1].new == [(2, "b", "text b")]


def test_short_writes_are_finished(journal, db, monkeypatch):
    monkeypatch.setattr(writer, "os", Disk(at_once=7))
    assert journal.retrieval(retrieval(), ["a"], ["text a"])
    (path,) = files.segments(db)
    assert [kind for kind, _ in read(path)] == [OPEN, RETRIEVAL]


@pytest.mark.parametrize("room", range(0, 60, 7))
def test_a_full_disk_leaves_no_torn_frame_and_is_told_when_there_is_room_again(
    journal, db, monkeypatch, room
):
    assert journal.signal(signal())
    with monkeypatch.context() as patch:
        patch.setattr(writer, "os", Disk(room=room))
        assert not journal.signal(signal())
        assert not journal.signal(signal())
    assert journal.signal(signal())
    (path,) = files.segments(db)
    assert [kind for kind, _ in read(path)] == [OPEN, SIGNAL, SIGNAL, DROPS]
    assert msgspec.msgpack.decode(read(path)[-1][1], type=Drops).reasons == {"disk_full": 2}
    assert path.stat().st_size == journal.segment.size
    assert (journal.emitted, sum(journal.written.values()), journal.dropped) == (4, 2, {"disk_full": 2})


def test_drops_are_told_at_the_end_too(journal, db):
    journal.signal(signal())
    journal.drop("broken")
    (path,) = files.segments(db)
    journal.close()
    assert read(path)[-1][0] == DROPS


def test_any_other_error_ends_the_segment_but_not_the_recording(journal, db, monkeypatch):
    journal.retrieval(retrieval(), ["a"], ["text a"])
    with monkeypatch.context() as patch:
        patch.setattr(writer, "os", Disk(room=5, code=errno.EIO))
        assert not journal.retrieval(retrieval(), ["a"], ["text a"])
    assert journal.retrieval(retrieval(), ["a"], ["text a"])
    first, second = files.segments(db)
    assert len(retrievals(first)) == 1
    assert retrievals(second)[0].new  # the new segment has the text again
    assert journal.dropped == {"io_error": 1}


@pytest.mark.parametrize("what", [KeyboardInterrupt, TimeoutError("of the app's own alarm")])
def test_an_exception_out_of_a_signal_handler_costs_no_earlier_record(journal, db, monkeypatch, what):
    """It may strike after the bytes went out: then the writer does not know where its file ends."""

    class Interrupted(Disk):
        def write(self, fd, data):
            os.write(fd, data)
            raise what

    journal.signal(signal())
    with monkeypatch.context() as patch:
        patch.setattr(writer, "os", Interrupted())
        if isinstance(what, OSError):  # cut away again: the call did not return
            assert not journal.signal(signal())
        else:
            with pytest.raises(what):
                journal.signal(signal())
    assert journal.signal(signal())
    monkeypatch.setattr(writer, "os", Disk(room=3))
    assert not journal.signal(signal())
    kinds = [[kind for kind, _ in read(path)] for path in files.segments(db)]
    assert kinds[0][:2] == [OPEN, SIGNAL]
    assert kinds[-1][-1] in (SIGNAL, DROPS)
    assert sum(k.count(SIGNAL) for k in kinds) >= 2


def test_a_folder_that_cannot_be_written_leaks_no_descriptor(tmp_path, monkeypatch):
    (tmp_path / "app.db.segments").write_text("a file where the folder should be")
    journal = Journal(
        tmp_path / "app.db", app="", version="1", power=False, clean=clean, on_write=lambda: None
    )
    monkeypatch.setattr(writer, "RETRY_S", 0.0)
    before = descriptors()
    for _ in range(50):
        assert not journal.signal(signal())
    assert descriptors() == before
    assert journal.dropped == {"io_error": 50}
    assert journal.emitted == 50


def test_a_disk_too_full_to_open_a_segment_leaks_neither_descriptors_nor_files(journal, db, monkeypatch):
    monkeypatch.setattr(writer, "os", Disk(room=0))
    monkeypatch.setattr(writer, "RETRY_S", 0.0)
    before = descriptors()
    for _ in range(50):
        assert not journal.signal(signal())
    assert descriptors() == before
    assert files.segments(db) == []


def test_a_full_segment_is_left_for_the_next_one(journal, db, monkeypatch):
    monkeypatch.setattr(writer, "SEGMENT_BYTES", 300)
    for n in range(12):
        assert journal.retrieval(retrieval(), ["a"], [f"text {n % 2}"])
    paths = files.segments(db)
    assert len(paths) > 2
    assert sum(len(retrievals(path)) for path in paths) == 12
    for path in paths:
        defined: set[int] = set()
        for record in retrievals(path):
            defined.update(number for number, _, _ in record.new)
            assert set(record.refs) <= defined  # no segment needs another one
    journal.sync()
    adopted = [files.try_adopt(path) for path in paths]
    assert [fd is None for fd in adopted] == [False] * (len(paths) - 1) + [True]
    for fd in adopted[:-1]:
        files.release_segment(fd)


def test_a_limit_on_file_sizes_costs_nothing_while_a_new_file_has_room(journal, db):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3000, hard))
    try:
        kept = [journal.retrieval(retrieval(), ["a"], ["x" * 500]) for _ in range(40)]
        too_big = journal.retrieval(retrieval(), ["b"], ["x" * 5000])
        after = journal.retrieval(retrieval(), ["a"], ["x" * 500])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert all(kept)
    assert after
    assert not too_big
    assert journal.dropped == {"disk_full": 1}
    assert sum(len(retrievals(path)) for path in files.segments(db)) == 41


def test_a_deleted_segment_is_noticed_before_the_call_returns(journal, db):
    journal.retrieval(retrieval(), ["a"], ["text a"])
    for path in files.segments(db):
        path.unlink()
    files.segment_folder(db).joinpath("merge.lock").unlink(missing_ok=True)
    files.segment_folder(db).rmdir()
    assert journal.retrieval(retrieval(), ["a"], ["text a"])
    (path,) = files.segments(db)
    assert [r.new for r in retrievals(path)] == [[(0, "a", "text a")]]


def test_power_means_synced_before_the_call_returns(db, monkeypatch):
    synced = []

    class Synced(Disk):
        def fdatasync(self, fd):
            synced.append(os.fstat(fd).st_size)
            os.fdatasync(fd)

    monkeypatch.setattr(writer, "os", Synced())
    journal = Journal(db, app="", version="1", power=True, clean=clean, on_write=lambda: None)
    for n in range(3):
        assert journal.retrieval(retrieval(), ["a"], [f"text {n}"])
        assert synced[-1] == journal.segment.size
    journal.close()


def test_a_sync_that_fails_is_said_and_the_record_kept(db, monkeypatch, caplog):
    class Broken(Disk):
        def fdatasync(self, fd):
            raise OSError(errno.EIO, "broken")

    monkeypatch.setattr(writer, "os", Broken())
    journal = Journal(db, app="", version="1", power=True, clean=clean, on_write=lambda: None)
    assert not journal.signal(signal())
    assert not journal.signal(signal())
    assert caplog.text.count("could not sync") == 1
    assert journal.emitted == sum(journal.written.values()) == 2
    journal.close()
    guard.reset()


def test_the_merger_that_cannot_be_woken_costs_nothing(db, monkeypatch):
    def fails():
        raise RuntimeError("no")

    monkeypatch.setattr(guard, "strict", False)
    journal = Journal(db, app="", version="1", power=False, clean=clean, on_write=fails)
    assert journal.signal(signal())
    assert (journal.emitted, sum(journal.written.values())) == (1, 1)
    journal.close()
    guard.reset()


def test_the_first_sync_of_a_segment_puts_its_name_on_disk_too(journal, db, monkeypatch):
    synced = []
    monkeypatch.setattr(files, "sync_folder", synced.append)
    for _ in range(2):
        journal.signal(signal())
        journal.sync()
    assert synced == [db]


def test_drops_are_told_once(journal, db):
    journal.signal(signal())
    journal.drop("broken")
    for _ in range(3):
        journal.signal(signal())
    (path,) = files.segments(db)
    assert [kind for kind, _ in read(path)] == [OPEN, SIGNAL, SIGNAL, DROPS, SIGNAL, SIGNAL]


def test_together_acknowledges_nothing_of_a_segment_that_was_abandoned_unsynced(db, monkeypatch):
    class Dying(Disk):
        def fdatasync(self, fd):
            raise OSError(errno.EIO, "broken")

    journal = Journal(db, app="", version="1", power=True, clean=clean, on_write=lambda: None)
    with journal.together() as synced:
        assert journal.signal(signal())
        with monkeypatch.context() as patch:
            patch.setattr(writer, "os", Dying(room=5, code=errno.EIO))
            assert not journal.signal(signal())
        assert journal.signal(signal())  # in a new segment, which can be synced
    assert not synced()
    with journal.together() as synced:
        assert journal.signal(signal())
    assert synced()
    journal.close()
    guard.reset()
