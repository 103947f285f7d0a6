"""Open a database for reading, with the journal merged into it first."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from ragwheel.errors import StoreEmpty
from ragwheel.journal import files
from ragwheel.store.connect import check_file, connect, explain
from ragwheel.store.merge import merge_journal
from ragwheel.store.migrations import SCHEMA_VERSION

__all__ = ["open_store"]


def open_store(
    path: str | Path, *, require_traces: bool = False, timeout_s: float = 5.0
) -> sqlite3.Connection:
    """Open a database for reading, with everything that the journal still holds merged into it first.

    Args:
        path: the file given to :func:`ragwheel.configure`.
        require_traces: raise when it holds no retrieval yet.
        timeout_s: how long to wait for another process that merges or writes.

    Returns:
        A read-only connection; the public views are documented in ``docs/store.md``.

    Raises:
        StoreMissing, StoreEmpty, StoreForeign, StoreTooNew, StoreCorrupt, StoreLocked, StoreError: see
        each. None of them has changed anything.
    """
    path = files.resolved(path)
    try:
        pending = bool(files.segments(path))
        check_file(path, may_be_new=pending)
        empty = not path.exists() or path.stat().st_size == 0
    except OSError as exc:
        raise explain(exc, path) from exc
    if empty and not pending:
        raise _nothing_in(path)
    if not empty:
        connection = connect(path, write=False, timeout_s=timeout_s)
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        connection.close()
        empty, pending = version == 0, pending or version < SCHEMA_VERSION
        if empty and not files.segments(path):
            raise _nothing_in(path)
    if pending:
        merge_journal(path, timeout_s=timeout_s)
    connection = connect(path, write=False, timeout_s=timeout_s)
    try:
        if require_traces:
            _require_traces(connection, path)
    except sqlite3.Error as exc:
        connection.close()
        raise explain(exc, path) from exc
    except BaseException:
        connection.close()
        raise
    return connection


def _nothing_in(path: Path) -> StoreEmpty:
    return StoreEmpty(
        f"{path} is an empty database and no journal stands beside it. Expected one that an app with "
        f"ragwheel.configure(db=...) has written; see one with: ragwheel demo"
    )


def _require_traces(connection: sqlite3.Connection, path: Path) -> None:
    (found,) = connection.execute("SELECT EXISTS (SELECT 1 FROM _retrieval)").fetchone()
    if not found:
        raise StoreEmpty(
            f"{path} holds no retrieval yet. Wrap your retriever with @ragwheel.retriever and ask "
            f"your app something, or try: ragwheel demo"
        )
