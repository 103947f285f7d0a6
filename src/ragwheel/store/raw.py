"""Reading the bytes of a database's files without breaking SQLite's locks.

POSIX drops every lock that a process holds on a file as soon as the process closes *any* descriptor of
it ("How To Corrupt An SQLite Database File", 2.2). An app may have connections to the database open, of
ragwheel's or its own; so a descriptor that was opened here stays open, one per file, and is used again.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Final

__all__ = ["contains_any", "head"]

KEPT_OPEN: Final = 128
"""Files. The one looked at longest ago is let go of when there are more."""

CHUNK_BYTES: Final = 1024 * 1024

_lock = threading.Lock()
_open: OrderedDict[tuple[int, int], int] = OrderedDict()


def _after_fork() -> None:
    global _lock
    _lock = threading.Lock()  # the descriptors stay: closing one would cost the child nothing, nor the parent


os.register_at_fork(after_in_child=_after_fork)


def _descriptor(path: Path) -> int:
    """A descriptor of the file at ``path``; the lock is held, and whoever asks does not close it."""
    found = path.stat()
    fd = _open.get((found.st_dev, found.st_ino))
    if fd is None:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        found = os.fstat(fd)  # the file may have been replaced in between
        _open[found.st_dev, found.st_ino] = fd
        if len(_open) > KEPT_OPEN:
            os.close(_open.popitem(last=False)[1])
    _open.move_to_end((found.st_dev, found.st_ino))
    return fd


def head(path: Path, n_bytes: int) -> tuple[bytes, tuple[int, int]]:
    """The first bytes of a file, and its device and inode.

    Raises:
        OSError: it is not there or may not be read.
    """
    with _lock:
        fd = _descriptor(path)
        found = os.fstat(fd)
        return os.pread(fd, n_bytes, 0), (found.st_dev, found.st_ino)


def contains_any(path: Path, needles: Sequence[bytes]) -> bool:
    """Whether one of the needles stands in a file's bytes, also across the bounds of what is read at once."""
    overlap = max(map(len, needles), default=1) - 1
    with _lock:
        fd, at, before = _descriptor(path), 0, b""
        while data := os.pread(fd, CHUNK_BYTES, at):
            window = before + data
            if any(needle in window for needle in needles):
                return True
            at += len(data)
            before = window[-overlap:] if overlap else b""
    return False
