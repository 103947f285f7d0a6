"""Where segments live and who owns them.

Segments of ``x.db`` are files in ``x.db.segments/``. Whoever writes one holds an exclusive
``flock`` on it for as long as it is open, so an orphan is known by its free lock and never by a
process id, which may have been reused. One more lock file admits a single merger per database.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

from ragwheel.ids import new_span_id

__all__ = ["create_segment", "merge_lock", "segment_folder", "segments", "try_adopt"]

SUFFIX = ".seg"


def segment_folder(db: Path) -> Path:
    """The folder of ``db``'s segments (it may not exist)."""
    return db.with_name(db.name + ".segments")


def segments(db: Path) -> list[Path]:
    """All segments of ``db``, oldest first."""
    try:
        names = sorted(n for n in os.listdir(segment_folder(db)) if n.endswith(SUFFIX))
    except FileNotFoundError:
        return []
    return [segment_folder(db) / n for n in names]


def create_segment(db: Path) -> tuple[Path, int]:
    """Create a segment of our own and return its path and descriptor, locked and open for appending.

    It gets its name only once it is locked, so that nobody can take it for an orphan in between.
    """
    folder = segment_folder(db)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    stem = f"{time.time_ns():020d}-{os.getpid()}-{new_span_id().hex()[:8]}"
    fresh, final = folder / f"{stem}.new", folder / f"{stem}{SUFFIX}"
    fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.rename(fresh, final)
    except BaseException:
        os.close(fd)
        with contextlib.suppress(OSError):
            os.unlink(fresh)
        raise
    return final, fd


def try_adopt(path: Path) -> int | None:
    """A descriptor that owns ``path`` when nobody else does, else None. Close it to let go."""
    fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        return None
    except BaseException:
        os.close(fd)
        raise
    return fd


@contextlib.contextmanager
def merge_lock(db: Path, *, timeout_s: float) -> Iterator[bool]:
    """Hold the right to write ``db``; yields False when another process kept it for ``timeout_s``."""
    folder = segment_folder(db)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    fd = os.open(folder / "merge.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    deadline = time.monotonic() + timeout_s
    try:
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    yield False
                    return
                time.sleep(0.005)
        yield True
    finally:
        os.close(fd)
