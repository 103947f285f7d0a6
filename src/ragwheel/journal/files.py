"""Where segments live and who owns them.

Segments of ``x.db`` are files in ``x.db.segments/``. Whoever writes one holds an exclusive
``flock`` on it for as long as it is open, so an orphan is known by its free lock and never by a
process id, which may have been reused. One more lock file admits a single merger per database.

A ``flock`` belongs to the open file, which a forked child shares: while the child has it open, the
lock outlives the parent, and no merger would ever take the parent's segment for an orphan. Every
descriptor that carries a lock is therefore noted here and closed in every forked child.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from ragwheel.ids import new_span_id

__all__ = [
    "UnsafeFolder",
    "create_segment",
    "erase_retired",
    "export_lock",
    "hand_over",
    "hold",
    "is_unsafe",
    "merge_lock",
    "ready_folder",
    "register_partial",
    "release_segment",
    "remove_stale",
    "resolved",
    "retire_segment",
    "segment_folder",
    "segments",
    "set_aside",
    "sync_folder",
    "try_adopt",
]

SUFFIX: Final = ".seg"
FRESH: Final = ".new"  # being made: has no lock yet
MOVED: Final = ".old"  # second name of a live segment whose writer is to go on in a new one
DAMAGED: Final = ".damaged"  # finished, and kept because something in it could not be read
PARTIAL: Final = ".partial"  # a link to the unfinished copy of a backup, wherever that is
STALE_S: Final = 24 * 3600.0  # clocks jump by hours; nothing is lost by waiting

_opening = threading.RLock()
_locked: dict[int, tuple[int, int]] = {}  # descriptor -> (device, inode), of all that carry a lock


def _open(path: Path, flags: int) -> int:
    """Open a file that is about to be locked; no fork happens between opening and noting it."""
    with _opening:
        fd = os.open(path, flags | os.O_CLOEXEC, 0o600)
        _locked[fd] = _identity(os.fstat(fd))
    return fd


def release_segment(fd: int) -> None:
    """Close a descriptor of this module, and with it the lock."""
    with _opening:
        _locked.pop(fd, None)
        os.close(fd)


def _close_inherited() -> None:
    global _opening
    _opening = threading.RLock()
    for fd, identity in _locked.items():
        with contextlib.suppress(OSError):  # closed by somebody in the meantime, number perhaps reused
            if _identity(os.fstat(fd)) == identity:
                os.close(fd)
    _locked.clear()


def _before_fork() -> None:
    _opening.acquire()


def _after_fork_in_parent() -> None:
    _opening.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_close_inherited
    )


def _identity(found: os.stat_result) -> tuple[int, int]:
    return found.st_dev, found.st_ino


def resolved(db: str | os.PathLike[str]) -> Path:
    """The path of a database without links: however it is named, it has one journal and one lock."""
    return Path(os.path.realpath(db))


def segment_folder(db: Path) -> Path:
    """The folder of ``db``'s segments (it may not exist)."""
    db = resolved(db)
    return db.with_name(db.name + ".segments")


class UnsafeFolder(PermissionError):
    """Other users of the machine can write to a journal's folder: what they put there would be merged."""


def ready_folder(db: Path) -> Path:
    """The folder of ``db``'s segments, made when missing.

    Raises:
        UnsafeFolder: everybody can write to it.
    """
    folder = segment_folder(db)
    try:
        folder.mkdir(mode=0o700, parents=True)
    except FileExistsError:
        pass
    else:
        hand_over(folder, db)
    if is_unsafe(folder):
        raise UnsafeFolder(
            errno.EPERM,
            f"other users can write to it. Nothing is written there or read from it until: "
            f"chmod 700 {folder}",
            str(folder),
        )
    return folder


def is_unsafe(folder: Path) -> bool:
    """Whether everybody on the machine can write to a folder."""
    return bool(os.stat(folder).st_mode & 0o002)


def hand_over(target: Path | int, db: Path) -> None:
    """Give a file that root has made for a database to the owner of that, who has to write to it, too."""
    if os.geteuid() != 0:
        return
    with contextlib.suppress(OSError):  # no database yet, or a file system without owners
        owner = os.stat(db)
        if owner.st_uid != 0:
            os.chown(target, owner.st_uid, owner.st_gid)


def segments(db: Path) -> list[Path]:
    """All segments of ``db``, oldest first."""
    return _named(db, SUFFIX)


def set_aside(db: Path) -> list[Path]:
    """Finished segments that were kept because something in them could not be read."""
    return _named(db, DAMAGED)


def _named(db: Path, suffix: str) -> list[Path]:
    folder = segment_folder(db)
    try:
        return [folder / name for name in sorted(os.listdir(folder)) if name.endswith(suffix)]
    except FileNotFoundError:
        return []


def sync_folder(db: Path) -> None:
    """Have the disk keep the names of the segments."""
    for folder in (segment_folder(db), resolved(db).parent):
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


def create_segment(db: Path) -> tuple[Path, int]:
    """Create a segment of our own and return its path and descriptor, locked and open for appending.

    It gets its name only once it is locked, so that nobody can take it for an orphan in between.
    Close it with :func:`release_segment`.
    """
    try:
        return _create_segment(db)
    except FileNotFoundError:  # swept, or the folder was deleted, before it had its name
        return _create_segment(db)


def _create_segment(db: Path) -> tuple[Path, int]:
    folder = ready_folder(db)
    stem = f"{time.time_ns():020d}-{os.getpid()}-{new_span_id().hex()[:8]}"
    fresh, final = folder / f"{stem}{FRESH}", folder / f"{stem}{SUFFIX}"
    fd = _open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        hand_over(fd, db)
        os.rename(fresh, final)
    except BaseException:
        release_segment(fd)
        with contextlib.suppress(OSError):
            os.unlink(fresh)
        raise
    return final, fd


def try_adopt(path: Path) -> int | None:
    """Return a descriptor that owns ``path``, or None when another process does.

    Close it with :func:`release_segment`.
    """
    fd = _open(path, os.O_RDWR)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        release_segment(fd)
        return None
    except BaseException:
        release_segment(fd)
        raise
    return fd


def retire_segment(path: Path) -> None:
    """Have the writer of a live segment go on in a new one.

    It looks at the number of the file's names after every write and, when that is not one, repeats the
    record elsewhere before it returns: what the file holds now is all that anybody was told is kept in it.
    """
    os.link(path, path.with_suffix(MOVED))


def erase_retired(path: Path, fd: int) -> None:
    """Remove the second name of a finished segment and empty the file: its writer may still have it open."""
    path.with_suffix(MOVED).unlink(missing_ok=True)
    os.ftruncate(fd, 0)


def remove_stale(db: Path) -> None:
    """Remove what processes that died in the middle left: segments never named, second names.

    The caller holds the merge lock.
    """
    for path in _named(db, MOVED):
        path.unlink(missing_ok=True)
    for path in _named(db, FRESH):
        with contextlib.suppress(FileNotFoundError):
            if abs(time.time() - path.stat().st_mtime) > STALE_S:
                path.unlink()
    for link in _named(db, PARTIAL):
        _sweep_partial(link)


def hold(path: Path) -> int:
    """Lock a file of this process and return the descriptor; close it with :func:`release_segment`."""
    fd = _open(path, os.O_RDWR)
    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return fd


def register_partial(db: Path, partial: Path) -> Path:
    """Note where an unfinished copy of ``db`` is, so that :func:`remove_stale` finds it later."""
    link = ready_folder(db) / f"{new_span_id().hex()}{PARTIAL}"
    link.symlink_to(partial)
    return link


def _sweep_partial(link: Path) -> None:
    """Remove an unfinished copy whose process is gone, and the link to it."""
    partial = Path(os.readlink(link))
    try:
        owned = try_adopt(partial)
    except FileNotFoundError:
        owned = None
    except OSError:  # on a volume that is not there now, or of another user
        return
    else:
        if owned is None:
            return
    for path in (partial, partial.with_name(f"{partial.name}-journal"), link):
        path.unlink(missing_ok=True)
    if owned is not None:
        release_segment(owned)


@contextlib.contextmanager
def merge_lock(db: Path, *, timeout_s: float) -> Iterator[bool]:
    """Hold the right to write ``db``; yields False when another process kept it for ``timeout_s``."""
    with _lock_of("merge.lock", db, timeout_s) as ours:
        yield ours


@contextlib.contextmanager
def export_lock(db: Path, *, timeout_s: float) -> Iterator[bool]:
    """Hold the right to export ``db``; yields False when another process kept it for ``timeout_s``."""
    with _lock_of("export.lock", db, timeout_s) as ours:
        yield ours


@contextlib.contextmanager
def _lock_of(name: str, db: Path, timeout_s: float) -> Iterator[bool]:
    path = ready_folder(db) / name
    deadline = time.monotonic() + timeout_s
    while (fd := _try_lock(path, db)) is None:
        if time.monotonic() >= deadline:
            yield False
            return
        time.sleep(0.005)
    try:
        yield True
    finally:
        with contextlib.suppress(OSError):
            fcntl.flock(fd, fcntl.LOCK_UN)  # closing would not do while a forked child still has it open
        release_segment(fd)


def _try_lock(path: Path, db: Path) -> int | None:
    """A descriptor that holds the lock of the file that stands at ``path`` now, or None."""
    fd = _open(path, os.O_RDWR | os.O_CREAT)
    try:
        hand_over(fd, db)
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if _identity(os.stat(path)) == _identity(os.fstat(fd)):
            return fd
    except (BlockingIOError, FileNotFoundError):  # taken, or removed with its folder in this moment
        pass
    except BaseException:
        release_segment(fd)
        raise
    release_segment(fd)
    return None
