"""Reading a database with SQLite's errors turned into ragwheel's."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ragwheel.store import open_store
from ragwheel.store.connect import explain

__all__ = ["number", "reading", "rows"]


@contextlib.contextmanager
def reading(db: str | Path, *, require_traces: bool = False) -> Iterator[sqlite3.Connection]:
    """Yield a read-only connection with named rows, whose errors are :class:`~ragwheel.errors.StoreError`."""
    connection = open_store(db, require_traces=require_traces)
    connection.row_factory = sqlite3.Row
    try:
        yield connection
    except sqlite3.Error as error:
        raise explain(error, Path(db)) from error
    finally:
        connection.close()


def rows(connection: sqlite3.Connection, sql: str, *values: Any) -> list[sqlite3.Row]:
    """Return all rows of a query."""
    return connection.execute(sql, values).fetchall()


def number(connection: sqlite3.Connection, sql: str, *values: Any) -> int:
    """Return the single number of a query, or 0 if it has no result."""
    row = connection.execute(sql, values).fetchone()
    return int(row[0] or 0) if row else 0
