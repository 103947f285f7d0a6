"""Outboxes: what was taken from the app and not yet by the collector.

:class:`FileOutbox` appends to a file that belongs to this process alone, in frames like the journal's, in
the folder ``<path>.outbox.segments``: what :meth:`put` returned True for survives ``kill -9``. The file of
a process that died is known by its free lock, and the next process with the same outbox sends it. What
was on its way when the process died is sent again: the collector knows it by its event id.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections import deque
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from ragwheel.journal import files, frames

__all__ = ["FileOutbox", "MemoryOutbox", "Outbox", "erase_from_outbox"]

SIGNAL: Final = 1
ERASED: Final = 2  # a signal that was taken out: as long as it was, with nothing in it
SEGMENT_BYTES: Final = 1024 * 1024


class Outbox(Protocol):
    """A queue of encoded signals with one batch out at a time."""

    @property
    def pending(self) -> int:
        """Signals that are not done."""

    def put(self, body: bytes) -> bool:
        """Add one; False when there is no room, or the disk does not take it."""

    def take(self, items: int, size: int) -> list[bytes]:
        """The oldest signals, at most ``items`` and ``size`` bytes of them (but one at least)."""

    def done(self, again: Sequence[bytes]) -> None:
        """What was taken is done, except ``again``, which goes to the end of the queue."""

    def adopt_orphans(self) -> None:
        """Take over what other processes left behind."""

    def reset(self) -> None:
        """Start anew in a forked child: what is pending is the parent's to send."""

    def close(self) -> int:
        """Let go; returns how many signals are lost with it (none where there is a file)."""


class MemoryOutbox:
    """Pending signals in memory: lost with the process."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self._lock = threading.Lock()
        self._queue: deque[bytes] = deque()
        self._bytes = 0
        self._taken = 0

    @property
    def pending(self) -> int:
        """Signals that are not done."""
        return len(self._queue)

    def put(self, body: bytes) -> bool:
        """Add one; False when there is no room."""
        with self._lock:
            if self._bytes + len(body) > self._max_bytes:
                return False
            self._queue.append(body)
            self._bytes += len(body)
            return True

    def take(self, items: int, size: int) -> list[bytes]:
        """The oldest ones; they stay in the queue until they are done."""
        bodies: list[bytes] = []
        with self._lock:
            for body in self._queue:
                size -= len(body)
                if bodies and (len(bodies) == items or size < 0):
                    break
                bodies.append(body)
            self._taken = len(bodies)
        return bodies

    def done(self, again: Sequence[bytes]) -> None:
        """Drop what was taken, and queue ``again`` anew."""
        with self._lock:
            for _ in range(min(self._taken, len(self._queue))):
                self._bytes -= len(self._queue.popleft())
            self._taken = 0
            self._queue.extend(again)
            self._bytes += sum(map(len, again))

    def adopt_orphans(self) -> None:
        """Memory has no neighbours."""

    def close(self) -> int:
        """Forget what is pending, take nothing more."""
        with self._lock:
            lost = len(self._queue)
            self._queue.clear()
            self._bytes = self._max_bytes
        return lost


@dataclass
class _Segment:
    """A file whose lock is ours: done up to ``position``, written up to ``size``."""

    path: Path
    fd: int
    size: int = 0
    position: int = 0
    orphan: bool = False


class FileOutbox:
    """Pending signals on disk.

    Args:
        path: names the outbox; processes that give the same one share it.
        max_bytes: of all of its files together, nearly: other processes' are counted now and then.
    """

    def __init__(self, path: str | os.PathLike[str], max_bytes: int) -> None:
        path = Path(path).absolute()
        self.base = path.with_name(f"{path.name}.outbox")
        self._max_bytes = max_bytes
        self.reset()

    def reset(self) -> None:
        """Start with no file of our own (those that a forked child inherits are closed by the journal)."""
        self._lock = threading.Lock()
        self._segments: deque[_Segment] = deque()  # the oldest first; the last may be the one written to
        self._live: _Segment | None = None
        self._taken: tuple[_Segment, int, int] | None = None
        self._others_bytes = 0
        self._pending = 0

    @property
    def pending(self) -> int:
        """Signals of this process, and of those whose files it took over, that are not done."""
        return self._pending

    def put(self, body: bytes) -> bool:
        """Append one; once this has returned True, a killed process loses nothing of it."""
        with self._lock:
            held = self._others_bytes + sum(segment.size - segment.position for segment in self._segments)
            return held + len(body) <= self._max_bytes and self._append(body)

    def _append(self, body: bytes) -> bool:
        frame = frames.encode(SIGNAL, body)
        try:
            live = self._writable()
            written = os.write(live.fd, frame)
            if written < len(frame):  # no room for all of it: leave no half
                os.ftruncate(live.fd, live.size)
                return False
        except OSError:
            return False
        live.size += len(frame)
        self._pending += 1
        return True

    def _writable(self) -> _Segment:
        live = self._live
        if live is None or live.size >= SEGMENT_BYTES:
            live = self._live = _Segment(*files.create_segment(self.base))
            self._segments.append(live)
        return live

    def take(self, items: int, size: int) -> list[bytes]:
        """The oldest ones of one file; they are done only when :meth:`done` says so."""
        with self._lock:
            self._forget_finished()
            while self._segments:
                segment = self._segments[0]
                bodies, end, count = _oldest(segment, items, size)
                if count > len(bodies):  # some were erased; they are done
                    self._pending -= count - len(bodies)
                if not bodies and end > segment.position:
                    segment.position = end
                    self._forget_finished()
                    continue
                if bodies or segment is self._live:
                    self._taken = segment, end, len(bodies)
                    return bodies
                segment.position = segment.size  # it cannot be read any more
                self._forget_finished()
            self._pending = 0
            return []

    def done(self, again: Sequence[bytes]) -> None:
        """Step over what was taken, and append ``again`` (even beyond ``max_bytes``).

        When the disk does not take all of ``again``, the batch stays: the collector knows its event ids.
        """
        with self._lock:
            taken, self._taken = self._taken, None
            if taken is None or not all(self._append(body) for body in again):
                return
            segment, end, count = taken
            segment.position = end
            self._pending -= count
            self._forget_finished()

    def _forget_finished(self) -> None:
        while self._segments and self._segments[0].position >= self._segments[0].size:
            segment = self._segments[0]
            if segment is self._live and segment.size < SEGMENT_BYTES:
                if segment.size:
                    os.ftruncate(segment.fd, 0)
                    segment.size = segment.position = 0
                return
            self._segments.popleft()
            if segment is self._live:
                self._live = None
            segment.path.unlink(missing_ok=True)
            files.release_segment(segment.fd)

    def adopt_orphans(self) -> None:
        """Take over the files of processes that are gone, and see how much the living ones hold."""
        with self._lock:
            ours = {segment.path for segment in self._segments}
            others_bytes = 0
            for path in files.segments(self.base):
                if path in ours:
                    continue
                try:
                    fd = files.try_adopt(path)
                    size = path.stat().st_size if fd is None else os.fstat(fd).st_size
                except OSError:  # sent and deleted by its owner in this moment
                    continue
                if fd is None:
                    others_bytes += size
                    continue
                if not os.fstat(fd).st_nlink:
                    files.release_segment(fd)
                    continue
                segment = _Segment(path, fd, size, orphan=True)
                ends = [frame.end for frame in _frames(segment)]
                segment.size = ends[-1] if ends else 0  # without the torn end of a call that never returned
                self._pending += len(ends)
                self._segments.appendleft(segment)
            self._others_bytes = others_bytes
            self._forget_finished()

    def close(self) -> int:
        """Let go of the files: empty ones go, the others wait for the next process."""
        with self._lock:
            for segment in self._segments:
                if segment.position >= segment.size:
                    segment.path.unlink(missing_ok=True)
                files.release_segment(segment.fd)
            self._segments.clear()
            self._live = self._taken = None
            self._pending = 0
        return 0


def erase_from_outbox(path: str | os.PathLike[str], condemned: Callable[[bytes], bool]) -> int:
    """Take signals out of the files of an outbox, also of processes that run; how many there were.

    Each is overwritten where it stands, by a frame as long that holds nothing.

    Args:
        path: as of :class:`FileOutbox`.
        condemned: whether a signal, as encoded JSON, goes.
    """
    erased = 0
    base = Path(path).absolute()
    for segment in files.segments(base.with_name(f"{base.name}.outbox")):
        with contextlib.suppress(FileNotFoundError):  # sent and deleted by its owner in this moment
            fd = os.open(segment, os.O_RDWR | os.O_CLOEXEC)
            try:
                for frame in frames.read(fd, 0, os.fstat(fd).st_size, resync=True):
                    if frame.kind == SIGNAL and condemned(bytes(frame.payload)):
                        blank = frames.encode(ERASED, bytes(len(frame.payload)))
                        if os.fstat(fd).st_size >= frame.end:  # its owner empties a file that is all sent
                            os.pwrite(fd, blank, frame.end - len(blank))
                            erased += 1
                os.fsync(fd)
            finally:
                os.close(fd)
    return erased


def _frames(segment: _Segment) -> Generator[frames.Frame, None, None]:
    """The signals of a file that are not done, and those that were erased."""
    fd = os.open(segment.path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        for frame in frames.read(fd, segment.position, segment.size, resync=segment.orphan):
            if frame.kind in {SIGNAL, ERASED}:
                yield frame
    finally:
        os.close(fd)


def _oldest(segment: _Segment, items: int, size: int) -> tuple[list[bytes], int, int]:
    """At most ``items`` signals of ``size`` bytes together (one at least), and the offset behind them.

    Also how many frames that is, with the erased ones.
    """
    bodies: list[bytes] = []
    end = segment.position
    count = 0
    with contextlib.closing(_frames(segment)) as waiting:
        for frame in waiting:
            if frame.kind == SIGNAL:
                size -= len(frame.payload)
                if bodies and (len(bodies) == items or size < 0):
                    break
                bodies.append(bytes(frame.payload))
            end = frame.end
            count += 1
    return bodies, end, count
