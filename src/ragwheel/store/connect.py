"""The one place that opens the database."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from pathlib import Path
from typing import Final

from ragwheel.errors import (
    StoreCorrupt,
    StoreError,
    StoreForeign,
    StoreLocked,
    StoreMissing,
    StoreTooNew,
)
from ragwheel.journal import files
from ragwheel.store import raw
from ragwheel.store.migrations import SCHEMA_VERSION
from ragwheel.store.schema import APPLICATION_ID

__all__ = ["check_file", "connect", "explain", "is_damage"]

SQLITE_HEADER: Final = b"SQLite format 3\x00"
LEAF_PAGE: Final = 0x0D


def connect(path: Path, *, write: bool, timeout_s: float = 5.0) -> sqlite3.Connection:
    """A connection to a database that may be written to only by whoever holds the merge lock.

    Autocommit; transactions are begun explicitly and IMMEDIATE. Not to be used across a fork. A
    database that is made anew can be read by its owner only.

    Raises:
        StoreMissing: reading, and there is no such file.
        StoreForeign: the file is not one of ragwheel's.
        StoreTooNew: its schema is newer than this version knows.
        StoreCorrupt: it is not a readable SQLite file any more.
        StoreLocked: it stayed locked for ``timeout_s``.
        StoreError: anything else that SQLite or the system says.
    """
    path = files.resolved(path)
    check_file(path, may_be_new=write)
    try:
        if not write:
            _check_at_rest(path)
        if write:
            _make(path)
        connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?{_mode(path, write)}",
            uri=True,
            timeout=timeout_s,
            isolation_level=None,
            check_same_thread=False,
        )
    except (sqlite3.Error, OSError) as exc:
        raise explain(exc, path) from exc
    try:
        _check_ours(connection, path)
        if write:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA temp_store = MEMORY")
    except sqlite3.Error as exc:
        connection.close()
        raise explain(exc, path) from exc
    except BaseException:
        connection.close()
        raise
    return connection


def _make(path: Path) -> None:
    """Make the file, for its owner only, unless it is there (then it must not be opened: see :mod:`raw`)."""
    with contextlib.suppress(FileExistsError):
        fd = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
        files.hand_over(fd, files.segment_folder(path))
        os.close(fd)


def _at_rest(path: Path) -> bool:
    """Whether all of the database is in its file: nobody writes to it now."""
    try:
        return path.with_name(path.name + "-wal").stat().st_size == 0
    except FileNotFoundError:
        return True


def _check_at_rest(path: Path) -> None:
    """Find a damaged schema without locks, which would leave two files beside a database in WAL mode."""
    if not _at_rest(path):
        return
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True)
    try:
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.Error as exc:
        if is_damage(exc) and _at_rest(path):
            raise
    finally:
        connection.close()


def _mode(path: Path, write: bool) -> str:
    """How to open it: a database at rest on a medium that cannot be written to takes no locks."""
    if write:
        return "mode=rw"
    return "mode=ro" if os.access(path.parent, os.W_OK) or not _at_rest(path) else "mode=ro&immutable=1"


def check_file(path: Path, *, may_be_new: bool) -> None:
    """Look at the file before SQLite does, which would make files beside one that it does not know.

    Raises StoreMissing, StoreForeign, StoreTooNew or StoreLocked (not allowed to read it); a file
    whose header tells too little passes, for :func:`connect` to ask SQLite.
    """
    if path.is_dir():
        raise StoreForeign(f"{path} is a folder, expected a ragwheel database file. Name one with --db FILE.")
    try:
        head, _ = raw.head(path, 108)
    except FileNotFoundError:
        if may_be_new:
            return
        raise StoreMissing(
            f"There is no database at {path}. Name yours with --db FILE, "
            f"or make one with something in it: ragwheel demo"
        ) from None
    except OSError as exc:
        raise explain(exc, path) from exc
    if not any(head):
        return  # being made when the power failed: SQLite finds the first page in its log or starts anew
    if not head.startswith(SQLITE_HEADER):
        raise StoreForeign(
            f"{path} is not a SQLite database (it begins with {head[:16]!r}). "
            f"Expected a file that ragwheel made: name it with --db FILE."
        )
    if len(head) < 108:
        return
    application, version = int.from_bytes(head[68:72], "big"), int.from_bytes(head[60:64], "big")
    # A database of ours whose first transaction still stands in the write-ahead log alone has no table here.
    has_tables = head[100] != LEAF_PAGE or head[103:105] != b"\x00\x00"
    _check_header(path, application, version, tables=has_tables)


def _check_header(path: Path, application: int, version: int, *, tables: bool) -> None:
    if application == APPLICATION_ID:
        if version > SCHEMA_VERSION:
            raise StoreTooNew(
                f"{path} has schema {version}, this ragwheel knows up to {SCHEMA_VERSION}. "
                f"Upgrade: pip install -U ragwheel"
            )
    elif application or version or tables:
        raise StoreForeign(
            f"{path} is a SQLite database that ragwheel did not make. "
            f"Name another file with --db FILE; this one was left as it is."
        )


def _check_ours(connection: sqlite3.Connection, path: Path) -> None:
    connection.execute("BEGIN")  # one snapshot: another process may be making the tables right now
    try:
        (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        (version,) = connection.execute("PRAGMA user_version").fetchone()
    finally:
        connection.execute("ROLLBACK")
    _check_header(path, application, version, tables=tables > 0)


def is_damage(exc: BaseException) -> bool:
    """Whether SQLite says that the file itself is damaged, rather than locked, full or out of reach."""
    text = str(exc)
    return isinstance(exc, sqlite3.DatabaseError) and ("malformed" in text or "not a database" in text)


def explain(exc: sqlite3.Error | OSError, path: Path) -> StoreError:
    """The error of ours for one of SQLite's or the system's."""
    text = str(exc)
    if isinstance(exc, OSError):
        text = exc.strerror or text
    if is_damage(exc):
        return StoreCorrupt(
            f"{path} is damaged: {text}. Restore a backup, or move it away (mv {path} {path}.broken: "
            f"the app begins a new one) and rescue what can be read: "
            f'sqlite3 {path}.broken ".recover" | sqlite3 rescued.db'
        )
    if "locked" in text or "busy" in text:
        return StoreLocked(
            f"{path} is locked by another process ({text}). See who has it: fuser {path}; then try again."
        )
    if (
        isinstance(exc, PermissionError)
        or "readonly" in text
        or "unable to open" in text
        or "authoriz" in text
    ):
        return StoreLocked(
            f"{path} or its folder may not be read or written by this user ({text}). "
            f"Look at: ls -ld {path.parent} {path}*"
        )
    if "full" in text or "No space" in text:
        return StoreError(f"There is no room left to write {path} ({text}). Free space: df -h {path.parent}")
    return StoreError(
        f"{path} cannot be used: {text}. See what is wrong with it: ragwheel doctor --db {path}"
    )
