"""A disk that remembers every write, sync, truncation and name, SQLite's own among them, and loses power.

SQLite is made to write through a VFS that notes what it does and passes it on (``ctypes``, in the very
library that :mod:`sqlite3` uses); the journal's system calls are noted by standing in for ``os`` in the
writer. :meth:`Disk.after` then builds what a disk may hold when the power goes at any moment:

* what a sync of the file covered is there;
* of what came after it, each sector of each write is there or not, in any combination (a hole reads as
  zeros), and a truncation happened or not;
* names (files made, deleted) keep their order, as journalling file systems keep it: some prefix of them
  is there, at least up to the last sync of the folder.

Not simulated: a disk that lies about syncs or damages sectors that nobody wrote to.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import os
import random
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

__all__ = ["Disk", "JournalOs", "Op", "recording_sqlite"]

SECTOR = 512
SQLITE_OK, OPEN_MAIN_DB, OPEN_WAL = 0, 0x100, 0x80000
POINTER, INT, INT64 = ctypes.c_void_p, ctypes.c_int, ctypes.c_int64


class Op(NamedTuple):
    """One thing that happened to a file or (``file`` 0) to the names."""

    kind: str  # write truncate sync · name forget names
    file: int
    at: int = 0
    data: bytes = b""
    path: str = ""


@dataclass
class Disk:
    """All operations in order; files are numbered, for a name may belong to one after the other."""

    folder: Path
    ops: list[Op] = field(default_factory=list)
    files: dict[str, int] = field(default_factory=dict)
    made: int = 0

    def file(self, path: str) -> int:
        """The number of the file that has this name now."""
        if path not in self.files:
            self.made += 1
            self.files[path] = self.made
            self.ops.append(Op("name", self.made, path=path))
        return self.files[path]

    def forget(self, path: str) -> None:
        """The name was deleted."""
        if path in self.files:
            self.ops.append(Op("forget", self.files.pop(path), path=path))

    def after(self, n_ops: int, to: Path, rng: random.Random) -> None:
        """Write into ``to`` what may be left when the power goes after ``n_ops`` operations."""
        ops = self.ops[:n_ops]
        changes = [n for n, op in enumerate(ops) if op.kind in ("name", "forget")]
        synced = max((n for n, op in enumerate(ops) if op.kind == "names"), default=-1)
        safe = sum(n < synced for n in changes)
        names: dict[str, int] = {}
        for n in changes[: rng.randint(safe, len(changes))]:
            if ops[n].kind == "name":
                names[ops[n].path] = ops[n].file
            else:
                names.pop(ops[n].path, None)
        for path, number in names.items():
            if not Path(path).is_relative_to(self.folder):
                continue  # of a database that an earlier test left open
            target = to / Path(path).relative_to(self.folder)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(_content([op for op in ops if op.file == number], rng))


def _content(ops: list[Op], rng: random.Random) -> bytes:
    """What the disk has of one file: everything up to its last sync, and any part of the rest."""
    content = bytearray()
    synced = max((n for n, op in enumerate(ops) if op.kind == "sync"), default=-1)
    kept = rng.choice((0.0, 0.5, 0.9, 1.0))
    for n, op in enumerate(ops):
        if op.kind == "truncate" and (n < synced or rng.random() < kept):
            del content[op.at :]
        elif op.kind == "write":
            for at, sector in _sectors(op.at, op.data):
                if n < synced or rng.random() < kept:
                    content.extend(bytes(max(0, at - len(content))))
                    content[at : at + len(sector)] = sector
    return bytes(content)


def _sectors(at: int, data: bytes) -> Iterator[tuple[int, bytes]]:
    end, start = at + len(data), at
    while at < end:
        then = min(end, at - at % SECTOR + SECTOR)
        yield at, data[at - start : then - start]
        at = then


class _Methods(ctypes.Structure):
    """``sqlite3_io_methods``, version 3; what is only passed on is a bare pointer."""

    _fields_ = [
        ("iVersion", INT), ("xClose", POINTER), ("xRead", POINTER), ("xWrite", POINTER),
        ("xTruncate", POINTER), ("xSync", POINTER),
        *((name, POINTER) for name in (
            "xFileSize", "xLock", "xUnlock", "xCheckReservedLock", "xFileControl", "xSectorSize",
            "xDeviceCharacteristics", "xShmMap", "xShmLock", "xShmBarrier", "xShmUnmap", "xFetch", "xUnfetch",
        )),
    ]  # fmt: skip


class _File(ctypes.Structure):
    _fields_ = [("pMethods", ctypes.POINTER(_Methods))]


class _Vfs(ctypes.Structure):
    """``sqlite3_vfs``, version 3."""

    _fields_ = [
        ("iVersion", INT), ("szOsFile", INT), ("mxPathname", INT), ("pNext", POINTER),
        ("zName", ctypes.c_char_p), ("pAppData", POINTER), ("xOpen", POINTER), ("xDelete", POINTER),
        *((name, POINTER) for name in (
            "xAccess", "xFullPathname", "xDlOpen", "xDlError", "xDlSym", "xDlClose", "xRandomness", "xSleep",
            "xCurrentTime", "xGetLastError", "xCurrentTimeInt64", "xSetSystemCall", "xGetSystemCall",
            "xNextSystemCall",
        )),
    ]  # fmt: skip


OPEN = ctypes.CFUNCTYPE(INT, POINTER, POINTER, POINTER, INT, POINTER)
DELETE = ctypes.CFUNCTYPE(INT, POINTER, ctypes.c_char_p, INT)
WRITE = ctypes.CFUNCTYPE(INT, POINTER, POINTER, INT, INT64)
TRUNCATE = ctypes.CFUNCTYPE(INT, POINTER, INT64)
SYNC = ctypes.CFUNCTYPE(INT, POINTER, INT)


def _library() -> Any:
    """The SQLite that Python's own module is linked with; None when it cannot be reached."""
    name = ctypes.util.find_library("sqlite3")
    if name is None:
        return None
    library = ctypes.CDLL(name)
    library.sqlite3_libversion.restype = ctypes.c_char_p
    library.sqlite3_vfs_find.restype = ctypes.POINTER(_Vfs)
    library.sqlite3_vfs_find.argtypes = [ctypes.c_char_p]
    library.sqlite3_vfs_register.argtypes = [ctypes.POINTER(_Vfs), INT]
    library.sqlite3_vfs_unregister.argtypes = [ctypes.POINTER(_Vfs)]
    return library if library.sqlite3_libversion().decode() == sqlite3.sqlite_version else None


class _Recorder:
    """The VFS; lives as long as it is registered."""

    def __init__(self, disk: Disk, real: _Vfs) -> None:
        self.disk, self.real = disk, real
        self.paths: dict[int, str] = {}  # of open files, by address
        self.methods: dict[int, tuple[_Methods, list[object]]] = {}
        self.callbacks = (OPEN(self.open), DELETE(self.delete))
        self.vfs = _Vfs.from_buffer_copy(real)
        self.vfs.zName, self.vfs.pNext = b"recording", None
        self.vfs.xOpen, self.vfs.xDelete = (ctypes.cast(c, POINTER).value for c in self.callbacks)

    def open(self, vfs: int, name: int, file: int, flags: int, out: int) -> int:
        code: int = OPEN(self.real.xOpen)(vfs, name, file, flags, out)
        if code == SQLITE_OK and name and flags & (OPEN_MAIN_DB | OPEN_WAL):
            path = ctypes.string_at(name).decode()
            self.paths[file] = path
            self.disk.file(path)
            opened = _File.from_address(file)
            opened.pMethods = ctypes.pointer(self.wrapped(opened.pMethods))
        return code

    def delete(self, vfs: int, name: bytes, sync_folder: int) -> int:
        code: int = DELETE(self.real.xDelete)(vfs, name, sync_folder)
        if code == SQLITE_OK:
            self.disk.forget(name.decode())
            if sync_folder:
                self.disk.ops.append(Op("names", 0))
        return code

    def wrapped(self, real: Any) -> _Methods:
        """The same methods, three of them noted."""
        address = ctypes.addressof(real.contents)
        if address not in self.methods:
            made = _Methods.from_buffer_copy(real.contents)
            calls = self._noted(made)
            made.xWrite, made.xTruncate, made.xSync = (ctypes.cast(c, POINTER).value for c in calls)
            self.methods[address] = made, calls
        return self.methods[address][0]

    def _noted(self, real: _Methods) -> list[Any]:
        do_write, do_truncate, do_sync = WRITE(real.xWrite), TRUNCATE(real.xTruncate), SYNC(real.xSync)
        note, number = self.disk.ops.append, lambda file: self.disk.file(self.paths[file])

        def write(file: int, data: int, n: int, at: int) -> int:
            code: int = do_write(file, data, n, at)
            note(Op("write", number(file), at, ctypes.string_at(data, n)))
            return code

        def truncate(file: int, size: int) -> int:
            code: int = do_truncate(file, size)
            note(Op("truncate", number(file), size))
            return code

        def sync(file: int, flags: int) -> int:
            code: int = do_sync(file, flags)
            note(Op("sync", number(file)))
            if self.paths[file].endswith("-wal"):  # a new log is synced together with its folder
                note(Op("names", 0))
            return code

        return [WRITE(write), TRUNCATE(truncate), SYNC(sync)]


@contextmanager
def recording_sqlite(disk: Disk) -> Iterator[bool]:
    """Every database opened meanwhile is noted; False where this Python's SQLite cannot be reached."""
    library = _library()
    if library is None:
        yield False
        return
    recorder = _Recorder(disk, library.sqlite3_vfs_find(None).contents)
    library.sqlite3_vfs_register(ctypes.byref(recorder.vfs), 1)
    try:
        yield True
    finally:
        library.sqlite3_vfs_unregister(ctypes.byref(recorder.vfs))


class JournalOs:
    """Stands for ``os`` in the journal's writer: notes writes, syncs and truncations."""

    def __init__(self, disk: Disk) -> None:
        self.disk = disk

    def _number(self, fd: int) -> int:
        return self.disk.file(str(Path(f"/proc/self/fd/{fd}").readlink()))

    def write(self, fd: int, data: bytes) -> int:
        """Append."""
        at = os.fstat(fd).st_size
        n = os.write(fd, data)
        self.disk.ops.append(Op("write", self._number(fd), at, bytes(data[:n])))
        return n

    def fdatasync(self, fd: int) -> None:
        """Sync."""
        os.fdatasync(fd)
        self.disk.ops.append(Op("sync", self._number(fd)))

    def ftruncate(self, fd: int, size: int) -> None:
        """Cut."""
        os.ftruncate(fd, size)
        self.disk.ops.append(Op("truncate", self._number(fd), size))

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)
