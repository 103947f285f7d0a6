"""Outboxes: queues of signals that the app has given and the collector has not acknowledged.

:class:`FileOutbox` appends to a file of this process, in frames like the journal's, in the folder
``<path>.outbox.segments``. A signal for which :meth:`put` returned True survives ``kill -9``. The file of a
dead process is recognised by its free lock, and the next process with the same outbox sends it. Signals that
were in flight when the process died are sent again; the collector recognises them by their event ids.
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
ERASED: Final = 2  # an erased signal: a frame of the same length without content
SEGMENT_BYTES: Final = 1024 * 1024


class Outbox(Protocol):
    """A queue of encoded signals with one batch out at a time."""

    @property
    def pending(self) -> int:
        """The number of signals that are not done."""

    def put(self, body: bytes) -> bool:
        """Add a signal; False if there is no room, or it cannot be written."""

    def take(self, items: int, size: int) -> list[bytes]:
        """Return the oldest signals: at most ``items`` and ``size`` bytes, but at least one."""

    def done(self, again: Sequence[bytes]) -> None:
        """Remove the signals that were taken, except ``again``, which go to the end of the queue."""

    def adopt_orphans(self) -> None:
        """Take over signals of dead processes."""

    def reset(self) -> None:
        """Start empty in a forked child: the parent sends its pending signals."""

    def close(self) -> int:
        """Close the outbox; return the number of signals that are lost with it (0 for files)."""


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
        """The number of signals that are not done."""
        return len(self._queue)

    def put(self, body: bytes) -> bool:
        """Add a signal; False if there is no room."""
        with self._lock:
            if self._bytes + len(body) > self._max_bytes:
                return False
            self._queue.append(body)
            self._bytes += len(body)
            return True

    def take(self, items: int, size: int) -> list[bytes]:
        """Return the oldest signals; they stay in the queue until :meth:`done`."""
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
        """Remove the signals that were taken, and queue ``again`` at the end."""
        with self._lock:
            for _ in range(min(self._taken, len(self._queue))):
                self._bytes -= len(self._queue.popleft())
            self._taken = 0
            self._queue.extend(again)
            self._bytes += sum(map(len, again))

    def adopt_orphans(self) -> None:
        """Do nothing: signals in memory are lost with their process."""

    def close(self) -> int:
        """Drop the pending signals and accept no more."""
        with self._lock:
            lost = len(self._queue)
            self._queue.clear()
            self._bytes = self._max_bytes
        return lost


@dataclass
class _Segment:
    """A file that this process has locked: done up to ``position``, written up to ``size``."""

    path: Path
    fd: int
    size: int = 0
    position: int = 0
    orphan: bool = False


class FileOutbox:
    """Pending signals on disk.

    Args:
        path: the path of the outbox; processes with the same path share it.
        max_bytes: an approximate limit of all of its files, since those of other processes are measured only
            at intervals.
    """

    def __init__(self, path: str | os.PathLike[str], max_bytes: int) -> None:
        path = Path(path).absolute()
        self.base = path.with_name(f"{path.name}.outbox")
        self._max_bytes = max_bytes
        self.reset()

    def reset(self) -> None:
        """Start without a file of this process (the journal closes those that a forked child inherits)."""
        self._lock = threading.Lock()
        self._segments: deque[_Segment] = deque()  # oldest first; the last one may be the live one
        self._live: _Segment | None = None
        self._taken: tuple[_Segment, int, int] | None = None
        self._others_bytes = 0
        self._pending = 0

    @property
    def pending(self) -> int:
        """The number of signals that are not done, including those in files that this process took over."""
        return self._pending

    def put(self, body: bytes) -> bool:
        """Append a signal; after this has returned True, it survives a killed process."""
        with self._lock:
            held = self._others_bytes + sum(segment.size - segment.position for segment in self._segments)
            return held + len(body) <= self._max_bytes and self._append(body)

    def _append(self, body: bytes) -> bool:
        frame = frames.encode(SIGNAL, body)
        try:
            live = self._writable()
            written = os.write(live.fd, frame)
            if written < len(frame):  # no room for the whole frame: leave no part of it
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
        """Return the oldest signals of one file; they stay until :meth:`done`."""
        with self._lock:
            self._forget_finished()
            while self._segments:
                segment = self._segments[0]
                bodies, end, count = _oldest(segment, items, size)
                if count > len(bodies):  # some were erased, which are done
                    self._pending -= count - len(bodies)
                if not bodies and end > segment.position:
                    segment.position = end
                    self._forget_finished()
                    continue
                if bodies or segment is self._live:
                    self._taken = segment, end, len(bodies)
                    return bodies
                segment.position = segment.size  # the rest cannot be read
                self._forget_finished()
            self._pending = 0
            return []

    def done(self, again: Sequence[bytes]) -> None:
        """Advance past the signals that were taken, and append ``again`` (even beyond ``max_bytes``).

        If ``again`` cannot be written completely, the batch stays and is sent again; the collector recognises
        its event ids.
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
        """Take over the files of dead processes, and measure those of live ones."""
        with self._lock:
            ours = {segment.path for segment in self._segments}
            others_bytes = 0
            for path in files.segments(self.base):
                if path in ours:
                    continue
                try:
                    fd = files.try_adopt(path)
                    size = path.stat().st_size if fd is None else os.fstat(fd).st_size
                except OSError:  # its owner has just sent and deleted it
                    continue
                if fd is None:
                    others_bytes += size
                    continue
                if not os.fstat(fd).st_nlink:
                    files.release_segment(fd)
                    continue
                segment = _Segment(path, fd, size, orphan=True)
                ends = [frame.end for frame in _frames(segment)]
                segment.size = ends[-1] if ends else 0  # without the incomplete frame of an interrupted call
                self._pending += len(ends)
                self._segments.appendleft(segment)
            self._others_bytes = others_bytes
            self._forget_finished()

    def close(self) -> int:
        """Close the files: empty ones are deleted, others are left for the next process."""
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
    """Erase signals from the files of an outbox, also of running processes; return how many there were.

    Each signal is overwritten in place by an empty frame of the same length.

    Args:
        path: as for :class:`FileOutbox`.
        condemned: returns whether to erase a signal, given as encoded JSON.
    """
    erased = 0
    base = Path(path).absolute()
    for segment in files.segments(base.with_name(f"{base.name}.outbox")):
        with contextlib.suppress(FileNotFoundError):  # its owner has just sent and deleted it
            fd = os.open(segment, os.O_RDWR | os.O_CLOEXEC)
            try:
                for frame in frames.read(fd, 0, os.fstat(fd).st_size, resync=True):
                    if frame.kind == SIGNAL and condemned(bytes(frame.payload)):
                        blank = frames.encode(ERASED, bytes(len(frame.payload)))
                        if os.fstat(fd).st_size >= frame.end:  # its owner may have emptied the file
                            os.pwrite(fd, blank, frame.end - len(blank))
                            erased += 1
                os.fsync(fd)
            finally:
                os.close(fd)
    return erased


def _frames(segment: _Segment) -> Generator[frames.Frame, None, None]:
    """Yield the frames of a file that are not done, including erased ones."""
    fd = os.open(segment.path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        for frame in frames.read(fd, segment.position, segment.size, resync=segment.orphan):
            if frame.kind in {SIGNAL, ERASED}:
                yield frame
    finally:
        os.close(fd)


def _oldest(segment: _Segment, items: int, size: int) -> tuple[list[bytes], int, int]:
    """Return at most ``items`` signals of ``size`` bytes together (at least one), and the offset after them.

    The third value is the number of frames, including erased ones.
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
