"""Transactions of SQLite."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator

__all__ = ["transaction"]


@contextlib.contextmanager
def transaction(connection: sqlite3.Connection, *, commit: bool = True) -> Iterator[sqlite3.Connection]:
    """A transaction: committed when the block ends well, else rolled back.

    Args:
        connection: in autocommit mode, as :func:`ragwheel.store.connect.connect` opens it.
        commit: False rolls back in any case (a dry run).
    """
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield connection
        connection.execute("COMMIT" if commit else "ROLLBACK")
    except BaseException:
        if connection.in_transaction:  # SQLite rolls back by itself on a full disk or an I/O error
            connection.execute("ROLLBACK")
        raise
