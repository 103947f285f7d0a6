"""Appending records to this process's segment: one ``write`` each, before the caller goes on."""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from itertools import repeat
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from ragwheel.guard import guard, is_interrupt, let_interrupts_through
from ragwheel.journal import files, frames
from ragwheel.journal.records import (
    DROPS,
    OPEN,
    RETRIEVAL,
    REVISION,
    SIGNAL,
    TURN,
    Drops,
    Opened,
    RetrievalRecord,
    SignalRecord,
    TurnRecord,
)

__all__ = ["Journal", "SegmentWriter"]

SEGMENT_BYTES: Final = 32 * 1024 * 1024
RETRY_S: Final = 0.1  # after a segment could not be opened, records are dropped for so long without trying
_FULL: Final = (errno.ENOSPC, errno.EDQUOT)
_REMEMBERED_TURNS: Final = 2000

Clean = Callable[[str], tuple[str, tuple[str, ...]]]
"""Makes a text storable: the text and the flags of what was changed."""

_encode = msgspec.msgpack.Encoder().encode


class KnownTexts(NamedTuple):
    """What a segment knows of a source's chunks: by app id, the text last written and its number."""

    texts: dict[str, str]
    numbers: dict[str, int]


class SegmentWriter:
    """One open segment; ``known`` by source."""

    def __init__(self, db: Path, app: str, version: str) -> None:
        self.path, self.fd = files.create_segment(db)
        self.name, self._path = self.path.name, str(self.path)
        self.size = 0
        self.records = 0
        self.dirty = False
        self.numbers = itertools.count()
        self.known: dict[str, KnownTexts] = {}
        self._db: Path | None = db  # until its name is on disk too
        status = os.fstat(self.fd)
        self._identity = status.st_dev, status.st_ino
        try:
            self.append(OPEN, _encode(Opened(os.getpid(), time.time_ns(), version, app)))
        except BaseException:
            self.close()
            with contextlib.suppress(OSError):
                os.unlink(self.path)
            raise

    def append(self, kind: int, payload: bytes) -> None:
        """Write one frame whole, or leave no trace of it and raise OSError.

        After any other exception (a signal handler's) where the file ends is not known: write no more to it.
        """
        frame = frames.encode(kind, payload)
        written = 0
        try:
            written = os.write(self.fd, frame)
            while written < len(frame):
                written += os.write(self.fd, memoryview(frame)[written:])
        except OSError:
            if written:
                os.ftruncate(self.fd, self.size)
            raise
        self.size += len(frame)
        self.dirty = True

    def moved(self) -> bool:
        """Whether the file is no longer the one at its path, where a merger looks for it.

        It was deleted, its folder was moved or replaced, or it got a second name from an erasure that wants
        it to end.
        """
        try:
            status = os.stat(self._path)
        except (FileNotFoundError, NotADirectoryError):
            return True
        return status.st_nlink != 1 or (status.st_dev, status.st_ino) != self._identity

    def sync(self) -> None:
        """Have the disk keep what was written (fdatasync), and the first time also the file's name."""
        self.dirty = False
        os.fdatasync(self.fd)
        if self._db is not None:
            files.sync_folder(self._db)
            self._db = None

    def close(self) -> None:
        """Let go of the segment; whoever merges next takes it for an orphan and finishes it."""
        files.release_segment(self.fd)


def _number(
    segment: SegmentWriter, record: RetrievalRecord, ids: list[str], texts: list[str], clean: Clean
) -> None:
    """Give the record its chunks' numbers and the definitions of those that are new to the segment.

    A text that had to be cleaned never equals a known one, so it is written, and flagged, every time.
    """
    known = segment.known.get(record.source)
    if known is None:
        known = segment.known[record.source] = KnownTexts({}, {})
    if list(map(known.texts.get, ids)) == texts:
        record.refs, record.new = list(map(known.numbers.__getitem__, ids)), []
        return
    refs = list(map(known.numbers.get, ids, repeat(-1)))
    new: list[tuple[int, str, str]] = []
    for at, (written, text) in enumerate(zip(map(known.texts.get, ids), texts)):
        if written is text or written == text:
            continue
        storable, found = clean(text)
        if found:
            record.flags = tuple(dict.fromkeys(record.flags + found))
        refs[at] = next(segment.numbers)
        new.append((refs[at], ids[at], storable))
    record.refs, record.new = refs, new


class Journal:
    """The segments of this process: opens, rotates, survives forks, counts what it could not write.

    ``emitted`` is ``written`` and what was ``dropped``, at every moment that ``lock`` is free. A further
    revision of a turn is the same turn: it is written, and not counted again.

    Args:
        db: the database that the segments will be merged into.
        app: the app's name, for the segment's first record.
        version: of ragwheel, likewise.
        power: True syncs before every return (``durability="power"``).
        clean: makes a text storable; asked only for texts that are new to the segment.
        on_write: called after each record that was written; must be quick.
    """

    def __init__(
        self, db: Path, *, app: str, version: str, power: bool, clean: Clean, on_write: Callable[[], None]
    ) -> None:
        self.db, self.app, self.version, self.power = db, app, version, power
        self.clean, self.on_write = clean, on_write
        self.reset()

    def reset(self) -> None:
        """Start anew with no segment: at construction, and in a forked child.

        The child's copies of the parent's descriptors are closed in :mod:`ragwheel.journal.files`.
        """
        self.lock = threading.RLock()
        self.segment: SegmentWriter | None = None
        self.emitted = 0
        self.written: dict[str, int] = {}  # counted records by the name of the segment
        self.moves = 0  # how often a segment was no longer at its path
        self._turns: OrderedDict[bytes, None] = OrderedDict()  # the latest that were written
        self.dropped: dict[str, int] = {}
        self._full: list[SegmentWriter] = []  # to be synced and closed in the background
        self._syncing = threading.Lock()
        self._unsynced: dict[SegmentWriter, bool | None] | None = None  # within `together`; None: not yet
        self._untold: dict[str, int] = {}  # drops that no segment tells of yet
        self._reason = ""  # of the last drop
        self._retry_s = 0.0

    def retrieval(self, record: RetrievalRecord, ids: list[str], texts: list[str]) -> bool:
        """Write a retrieval whose chunks are ``ids`` and ``texts`` in rank order.

        A text goes into the segment only the first time that the segment sees it; it counts as seen
        only after the write returned, or another thread's record could refer to a text that was lost.
        """

        def encoded(segment: SegmentWriter) -> bytes:
            _number(segment, record, ids, texts, self.clean)
            return _encode(record)

        with self.lock:
            segment = self._append(RETRIEVAL, encoded)
            if segment is None:
                return False
            if record.new:
                known = segment.known[record.source]
                for number, chunk, text in record.new:
                    known.texts[chunk] = text
                    known.numbers[chunk] = number
            return True

    def turn(self, record: TurnRecord) -> bool:
        """Write a turn (again, with a higher revision, when it has changed)."""
        with self.lock:
            written = self._simple(REVISION if record.span_id in self._turns else TURN, record)
            if written:
                self._turns[record.span_id] = None
                self._turns.move_to_end(record.span_id)
                if len(self._turns) > _REMEMBERED_TURNS:
                    self._turns.popitem(last=False)
            return written

    def signal(self, record: SignalRecord) -> bool:
        """Write a signal."""
        return self._simple(SIGNAL, record)

    @contextlib.contextmanager
    def together(self) -> Iterator[Callable[[], bool]]:
        """Write several records with one sync at the end instead of one each; a context manager.

        It gives a function that says, once the block has ended, whether all that was written in it is synced
        as far as ``power`` asks. Until then nothing of it may be acknowledged, and other threads wait.
        """
        if not self.power:
            yield lambda: True
            return
        synced = False
        with self.lock:
            self._unsynced = {}
            try:
                yield lambda: synced
            finally:
                unsynced, self._unsynced = self._unsynced, None
                ends = [self._sync(segment) if done is None else done for segment, done in unsynced.items()]
                synced = all(ends)

    def _simple(self, kind: int, record: TurnRecord | SignalRecord) -> bool:
        payload = _encode(record)
        with self.lock:
            return self._append(kind, lambda _: payload) is not None

    def drop(self, reason: str) -> None:
        """Count a record that could not be written."""
        with self.lock:
            self.emitted += 1
            for counts in (self.dropped, self._untold):
                counts[reason] = counts.get(reason, 0) + 1

    def tell(self, reason: str, n: int) -> None:
        """Have the database count ``n`` more records under ``reason``; ``n`` may be negative."""
        with self.lock:
            self._untold[reason] = self._untold.get(reason, 0) + n

    def _append(self, kind: int, encoded: Callable[[SegmentWriter], bytes]) -> SegmentWriter | None:
        """Write a record and return the segment that has it now; None (and a counted drop) when none can."""
        again = False
        while True:
            segment = self._open()
            if segment is None:
                return None
            payload = encoded(segment)
            try:
                segment.append(kind, payload)
                moved = segment.moved()
            except OSError as exc:
                if is_interrupt(exc):
                    self._abandon(segment)
                    raise
                if exc.errno == errno.EFBIG and segment.records and not again:
                    self._retire(segment)  # the host's limit on the size of a file: on in a new one
                    again = True
                    continue
                if exc.errno not in _FULL:
                    self._abandon(segment)
                self._fail(exc, "writing to the journal")
                return None
            except BaseException:
                self._abandon(segment)
                raise
            if not moved or again:
                return self._wrote(segment, counted=kind != REVISION)
            self._retire(segment)  # perhaps nobody reads that file any more
            self.moves += 1
            again = True

    def _wrote(self, segment: SegmentWriter, *, counted: bool) -> SegmentWriter | None:
        segment.records += 1
        self.emitted += counted
        self.written[segment.name] = self.written.get(segment.name, 0) + counted
        if self._untold:
            self._tell_drops(segment)
        if self._unsynced is not None:
            self._unsynced[segment] = None
        synced = not self.power or self._unsynced is not None or self._sync(segment)
        try:
            self.on_write()
        except Exception as exc:  # it is written: the next merge finds it
            guard.caught("waking the merger", exc)
        return segment if synced else None

    def _open(self) -> SegmentWriter | None:
        """The segment to append to, a new one when it is full; None (and a drop) when there can be none."""
        segment = self.segment
        if segment is not None:
            if segment.size < SEGMENT_BYTES:
                return segment
            self._retire(segment)
        now_s = time.monotonic()
        if now_s < self._retry_s:
            self.drop(self._reason)
            return None
        try:
            self.segment = SegmentWriter(self.db, self.app, self.version)
        except OSError as exc:
            let_interrupts_through(exc)
            self._retry_s = now_s + RETRY_S
            self._fail(exc, "opening a journal segment")
            return None
        return self.segment

    def _tell_drops(self, segment: SegmentWriter) -> None:
        """Let the database know what was dropped, now that there is room again."""
        try:
            segment.append(DROPS, _encode(Drops(self._untold)))
        except OSError:  # told with the next record
            return
        self._untold = {}

    def _fail(self, exc: OSError, doing: str) -> None:
        self._reason = "disk_full" if exc.errno in _FULL or exc.errno == errno.EFBIG else "io_error"
        if isinstance(exc, files.UnsafeFolder):
            self._reason = "unsafe_folder"
        self.drop(self._reason)
        guard.warn_once(
            f"journal.{self._reason}",
            f"ragwheel dropped a record while {doing} of {self.db}: {exc}. Further drops are only counted "
            f"(ragwheel.stats().dropped); free space or make the folder writable, nothing else is needed.",
        )

    def _retire(self, segment: SegmentWriter) -> None:
        """Write no more to it; synced and closed by the next :meth:`sync`, not in the caller's time."""
        self.segment = None
        self._full.append(segment)

    def _abandon(self, segment: SegmentWriter) -> None:
        """Write no more to it, now: what is whole in it will be merged."""
        self.segment = None
        if self._unsynced is not None and segment in self._unsynced:
            self._unsynced[segment] = self._sync(segment)
        with contextlib.suppress(OSError):
            segment.close()

    def sync(self) -> None:
        """Sync whatever was written since the last time; close segments that are full."""
        with self._syncing:
            with self.lock:
                full, self._full = self._full, []
                current = self.segment
            for segment in full:
                self._sync(segment)
                segment.close()
            if current is not None and current.dirty:
                self._sync(current)

    def _sync(self, segment: SegmentWriter) -> bool:
        try:
            segment.sync()
        except OSError as exc:
            let_interrupts_through(exc)
            if exc.errno == errno.EBADF:  # abandoned in the meantime, which was said then
                return False
            guard.warn_once(
                "journal.sync",
                f"ragwheel could not sync {segment.path} to disk: {exc}. What was recorded survives a kill "
                f"of this process but perhaps not a power cut. Check the disk.",
            )
            return False
        return True

    def sizes(self) -> dict[str, int]:
        """How much of each open segment is written, by name: what a flush has to reach."""
        with self.lock:
            opened = [*self._full, *([self.segment] if self.segment is not None else [])]
            return {segment.name: segment.size for segment in opened}

    def close(self) -> None:
        """Sync and let go of the segments; later records open a new one."""
        with self.lock:
            if self.segment is not None:
                if self._untold:
                    self._tell_drops(self.segment)
                self._retire(self.segment)
        self.sync()
