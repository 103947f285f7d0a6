"""The one place that opens the database."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Final

from ragwheel.errors import (
    StoreCorrupt,
    StoreEmpty,
    StoreForeign,
    StoreLocked,
    StoreMissing,
    StoreTooNew,
)
from ragwheel.store.migrations import SCHEMA_VERSION
from ragwheel.store.schema import APPLICATION_ID

__all__ = ["connect", "explain", "open_store"]

SQLITE_HEADER: Final = b"SQLite format 3\x00"


def connect(path: Path, *, write: bool, timeout_s: float = 5.0) -> sqlite3.Connection:
    """A connection to a database that may be written to only by whoever holds the merge lock.

    Autocommit; transactions are begun explicitly and IMMEDIATE. Not to be used across a fork.

    Raises:
        StoreMissing: reading, and there is no such file.
        StoreForeign: the file is not one of ragwheel's.
        StoreTooNew: its schema is newer than this version knows.
        StoreCorrupt: it is not a readable SQLite file any more.
        StoreLocked: it stayed locked for ``timeout_s``.
    """
    check_file(path, may_be_new=write)
    mode = "rwc" if write else "ro"
    uri = f"{path.absolute().as_uri()}?mode={mode}"
    connection = sqlite3.connect(uri, uri=True, timeout=timeout_s, isolation_level=None, check_same_thread=False)
    try:
        _check_ours(connection, path)
        if write:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA temp_store = MEMORY")
            path.chmod(0o600)
    except sqlite3.Error as exc:
        connection.close()
        raise explain(exc, path) from exc
    except BaseException:
        connection.close()
        raise
    return connection


def check_file(path: Path, *, may_be_new: bool) -> None:
    """Look at the file before SQLite does, which would create or lock what it does not know."""
    if path.is_dir():
        raise StoreForeign(f"{path} is a folder, expected a ragwheel database file. Name one with --db FILE.")
    try:
        with path.open("rb") as file:
            head = file.read(100)
    except FileNotFoundError:
        if may_be_new:
            return
        raise StoreMissing(
            f"There is no database at {path}. Name yours with --db FILE, "
            f"or make one with something in it: ragwheel demo"
        ) from None
    except PermissionError as exc:
        raise StoreLocked(f"{path} may not be read by this user ({exc.strerror}). Look at: ls -l {path}") from exc
    if head and not head.startswith(SQLITE_HEADER):
        raise StoreForeign(
            f"{path} is not a SQLite database (it begins with {head[:16]!r}). "
            f"Expected a file that ragwheel made: name it with --db FILE."
        )


def _check_ours(connection: sqlite3.Connection, path: Path) -> None:
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if application == APPLICATION_ID:
        if version > SCHEMA_VERSION:
            raise StoreTooNew(
                f"{path} has schema {version}, this ragwheel knows up to {SCHEMA_VERSION}. "
                f"Upgrade: pip install -U ragwheel"
            )
        return
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if application or version or tables:
        raise StoreForeign(
            f"{path} is a SQLite database with {tables} tables that ragwheel did not make. "
            f"Name another file with --db FILE; this one was left as it is."
        )


def explain(exc: sqlite3.Error, path: Path) -> StoreLocked | StoreCorrupt:
    """The error of ours for one of SQLite's."""
    text = str(exc)
    if "locked" in text or "busy" in text:
        return StoreLocked(
            f"{path} is locked by another process ({text}). See who has it: fuser {path}; then try again."
        )
    return StoreCorrupt(
        f"{path} cannot be read: {text}. Restore a backup, or move it away "
        f"(mv {path} {path}.broken): the app starts a new one by itself."
    )


def open_store(path: str | Path, *, require_traces: bool = False, timeout_s: float = 5.0) -> sqlite3.Connection:
    """Open a database for reading, with everything that the journal still holds merged into it first.

    Args:
        path: the file given to :func:`ragwheel.configure`.
        require_traces: raise when it holds no retrieval yet.
        timeout_s: how long to wait for another process that merges or writes.

    Returns:
        A read-only connection; the public views are documented in ``docs/store.md``.

    Raises:
        StoreMissing, StoreEmpty, StoreForeign, StoreTooNew, StoreCorrupt, StoreLocked: see each.
    """
    from ragwheel.journal.files import segments
    from ragwheel.store.merge import merge_journal

    path = Path(path)
    pending = bool(segments(path))
    check_file(path, may_be_new=pending)
    empty = not path.exists() or path.stat().st_size == 0
    if empty and not pending:
        raise StoreEmpty(
            f"{path} is an empty file and no journal stands beside it. Expected a database that an app with "
            f"ragwheel.configure(db=...) has written; see one with: ragwheel demo"
        )
    if not empty:
        connection = connect(path, write=False, timeout_s=timeout_s)
        pending = pending or connection.execute("PRAGMA user_version").fetchone()[0] < SCHEMA_VERSION
        connection.close()
    if pending:
        merge_journal(path, timeout_s=timeout_s)
    connection = connect(path, write=False, timeout_s=timeout_s)
    if require_traces:
        try:
            (found,) = connection.execute("SELECT EXISTS (SELECT 1 FROM _retrieval)").fetchone()
        except sqlite3.Error as exc:
            connection.close()
            raise explain(exc, path) from exc
        if not found:
            connection.close()
            raise StoreEmpty(
                f"{path} holds no retrieval yet. Wrap your retriever with @ragwheel.retriever and ask "
                f"your app something, or try: ragwheel demo"
            )
    return connection
