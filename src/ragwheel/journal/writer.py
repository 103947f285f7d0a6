"""Appending records to this process's segment: one ``write`` each, before the caller goes on."""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from ragwheel.guard import guard
from ragwheel.journal import frames
from ragwheel.journal.files import create_segment
from ragwheel.journal.records import DROPS, OPEN, RETRIEVAL, SIGNAL, TURN, Drops, Opened, Retrieval, Signal, TurnRecord

__all__ = ["Journal", "SegmentWriter"]

SEGMENT_BYTES: Final = 32 * 1024 * 1024

_encode = msgspec.msgpack.Encoder().encode


class SegmentWriter:
    """One open segment. ``known`` holds, per source and app id, the text last written and its number."""

    def __init__(self, db: Path, app: str, version: str) -> None:
        self.path, self.fd = create_segment(db)
        self.size = 0
        self.records = 0
        self.dirty = False
        self.numbers = itertools.count()
        self.known: dict[str, dict[str, tuple[str, int]]] = {}
        self.append(OPEN, _encode(Opened(os.getpid(), time.time_ns(), version, app)))

    def append(self, kind: int, payload: bytes) -> None:
        """Write one frame whole, or leave no trace of it and raise OSError."""
        frame = frames.encode(kind, payload)
        start = self.size
        written = 0
        try:
            written = os.write(self.fd, frame)
            while written < len(frame):
                written += os.write(self.fd, frame[written:])
        except OSError:
            if written:
                os.ftruncate(self.fd, start)
            raise
        self.size = start + len(frame)
        self.dirty = True

    def sync(self) -> None:
        """Have the disk keep what was written (fdatasync)."""
        self.dirty = False
        os.fdatasync(self.fd)

    def close(self) -> None:
        """Let go of the segment; whoever merges next takes it for an orphan and finishes it."""
        os.close(self.fd)


class Journal:
    """The segments of this process: opens, rotates, survives forks, counts what it could not write.

    Args:
        db: the database that the segments will be merged into.
        app: the app's name, for the segment's first record.
        version: of ragwheel, likewise.
        power: True syncs before every return (``durability="power"``).
        on_write: called after each record that was written; must be quick and never raise.
    """

    def __init__(self, db: Path, *, app: str, version: str, power: bool, on_write: Callable[[], None]) -> None:
        self.db, self.app, self.version, self.power, self.on_write = db, app, version, power, on_write
        self.reset()

    def reset(self) -> None:
        """Start anew with no segment (at construction)."""
        self.lock = threading.RLock()
        self.segment: SegmentWriter | None = None
        self.emitted = 0
        self.written = 0
        self.dropped: dict[str, int] = {}
        self.paths: list[Path] = []
        self._untold: dict[str, int] = {}  # drops that no segment tells of yet

    def after_fork(self) -> None:
        """In a forked child: close the parent's descriptor (its lock stays with the parent) and start anew."""
        segment = self.segment
        self.reset()
        if segment is not None:
            with contextlib.suppress(OSError):
                segment.close()

    def retrieval(self, record: Retrieval, ids: list[str], texts: list[str]) -> bool:
        """Write a retrieval whose chunks are ``ids`` and ``texts`` in rank order.

        A text goes into the segment only the first time that the segment sees it; it counts as seen
        only after the write returned, or another thread's record could refer to a text that was lost.
        """
        with self.lock:
            segment = self._open()
            if segment is None:
                return False
            known = segment.known.get(record.source)
            if known is None:
                known = segment.known[record.source] = {}
            seen = known.get
            refs: list[int] = []
            new: list[tuple[int, str, str]] = []
            for chunk, text in zip(ids, texts):
                entry = seen(chunk)
                if entry is None or entry[0] != text:
                    number = next(segment.numbers)
                    new.append((number, chunk, text))
                    refs.append(number)
                else:
                    refs.append(entry[1])
            record.refs = refs
            record.new = new
            if not self._write(segment, RETRIEVAL, _encode(record)):
                return False
            for number, chunk, text in new:
                known[chunk] = (text, number)
            return True

    def turn(self, record: TurnRecord) -> bool:
        """Write a turn (again, with a higher revision, when it has changed)."""
        return self._simple(TURN, record)

    def signal(self, record: Signal) -> bool:
        """Write a signal."""
        return self._simple(SIGNAL, record)

    def _simple(self, kind: int, record: TurnRecord | Signal) -> bool:
        payload = _encode(record)
        with self.lock:
            segment = self._open()
            return segment is not None and self._write(segment, kind, payload)

    def drop(self, reason: str) -> None:
        """Count a record that could not be written."""
        with self.lock:
            self.emitted += 1
            self._dropped(reason)

    def _dropped(self, reason: str) -> None:
        for counts in (self.dropped, self._untold):
            counts[reason] = counts.get(reason, 0) + 1

    def _open(self) -> SegmentWriter | None:
        """The segment to append to, rotated when full; None (and a counted drop) when there can be none."""
        segment = self.segment
        if segment is not None and segment.size < SEGMENT_BYTES:
            return segment
        if segment is not None:
            self._seal(segment)
        try:
            self.segment = SegmentWriter(self.db, self.app, self.version)
        except OSError as exc:
            self.emitted += 1
            self._fail(exc, "opening a journal segment")
            return None
        self.paths.append(self.segment.path)
        return self.segment

    def _write(self, segment: SegmentWriter, kind: int, payload: bytes) -> bool:
        self.emitted += 1
        try:
            segment.append(kind, payload)
            if self.power:
                segment.sync()
        except OSError as exc:
            self._fail(exc, "writing to the journal")
            if exc.errno != errno.ENOSPC:
                self._seal(segment)
            return False
        segment.records += 1
        self.written += 1
        if self._untold:
            self._write_drops(segment)
        self.on_write()
        return True

    def _write_drops(self, segment: SegmentWriter) -> None:
        """Let the database know what was dropped, now that there is room again."""
        with contextlib.suppress(OSError):
            segment.append(DROPS, _encode(Drops(self._untold)))
            self._untold = {}

    def _fail(self, exc: OSError, doing: str) -> None:
        reason = {errno.ENOSPC: "disk_full", errno.EFBIG: "disk_full", errno.EDQUOT: "disk_full"}.get(
            exc.errno or 0, "io_error"
        )
        self._dropped(reason)
        guard.warn_once(
            f"journal.{reason}",
            f"ragwheel dropped a record while {doing} of {self.db}: {exc}. Further drops are only counted "
            f"(ragwheel.stats().dropped); free space or make the folder writable, nothing else is needed.",
        )

    def _seal(self, segment: SegmentWriter) -> None:
        self.segment = None
        with contextlib.suppress(OSError):
            if segment.dirty:
                segment.sync()
        with contextlib.suppress(OSError):
            segment.close()

    def sync(self) -> None:
        """fdatasync if anything was written since the last one."""
        segment = self.segment
        if segment is not None and segment.dirty:
            with contextlib.suppress(OSError):  # sealed by another thread in the meantime: synced there
                segment.sync()

    def close(self) -> None:
        """Seal the segment; later records open a new one."""
        with self.lock:
            if self.segment is not None:
                self._seal(self.segment)
