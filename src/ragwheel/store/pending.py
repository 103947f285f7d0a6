"""Spans of other tools that wait for the rest of their trace, in a file beside the journal.

A trace arrives in several requests, possibly around a restart of the collector. What has arrived of it is
kept here for a day, so that the whole trace can be read again with every request that adds to it. Erasing
removes the file, since nothing can be taken out of records that are not understood here.
"""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Iterable, Iterator
from hashlib import blake2b
from pathlib import Path
from typing import Final

from ragwheel.journal import files
from ragwheel.store.transactions import transaction

__all__ = ["PendingTraces", "forget_pending", "pending_traces"]

KEPT_S: Final = 24 * 3600
KEPT_BYTES: Final = 512 * 1024 * 1024
_NAME: Final = "pending-traces"
_SETUP: Final = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = NORMAL",
    """CREATE TABLE IF NOT EXISTS record (
           trace BLOB, digest BLOB, kind INTEGER, content BLOB, at INTEGER, UNIQUE (trace, digest))""",
    "CREATE INDEX IF NOT EXISTS record_at ON record (at)",
)


class PendingTraces:
    """Records by trace; use it through :func:`pending_traces`."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def add(self, records: Iterable[tuple[bytes, int, bytes]]) -> None:
        """Keep records, each as (trace, kind, content); one that is kept already is kept once.

        They survive the end of the process once this has returned.
        """
        now = int(time.time())
        with transaction(self._connection) as connection:
            connection.executemany(
                "INSERT INTO record (trace, digest, kind, content, at) VALUES (?, ?, ?, ?, ?)"
                " ON CONFLICT DO UPDATE SET at = excluded.at",
                ((trace, _digest(kind, content), kind, content, now) for trace, kind, content in records),
            )
            self._forget(now)

    def of_trace(self, trace: bytes) -> list[tuple[int, bytes]]:
        """Return the kind and content of each record of a trace, in the order of arrival."""
        sql = "SELECT kind, content FROM record WHERE trace = ? ORDER BY rowid"
        return list(self._connection.execute(sql, (trace,)))

    def _forget(self, now: int) -> None:
        """Remove what is old, and the oldest where the file has grown too large."""
        run = self._connection.execute
        run("DELETE FROM record WHERE at < ?", (now - KEPT_S,))
        pages, free, size = (
            run(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size")
        )
        if (pages - free) * size > KEPT_BYTES:
            run("DELETE FROM record WHERE at <= (SELECT at FROM record ORDER BY at"
                " LIMIT 1 OFFSET (SELECT count(*) / 4 FROM record))")  # fmt: skip


@contextlib.contextmanager
def pending_traces(db: Path) -> Iterator[PendingTraces]:
    """Open the traces that wait beside a database; only who may write to the database may do that.

    A file that is damaged is begun anew: what it held was on its way only.

    Raises:
        OSError: the folder cannot be written.
    """
    path = files.ready_folder(db) / _NAME
    try:
        connection = _opened(path)
    except sqlite3.DatabaseError:
        forget_pending(db)
        connection = _opened(path)
    with contextlib.closing(connection):
        yield PendingTraces(connection)


def forget_pending(db: Path) -> None:
    """Remove what waits beside a database."""
    path = files.segment_folder(db) / _NAME
    for suffix in ("", "-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def _opened(path: Path) -> sqlite3.Connection:
    path.touch(mode=0o600)
    connection = sqlite3.connect(path, isolation_level=None, timeout=10.0)
    try:
        for statement in _SETUP:
            connection.execute(statement)
    except BaseException:
        connection.close()
        raise
    return connection


def _digest(kind: int, content: bytes) -> bytes:
    return blake2b(bytes([kind]) + content, digest_size=16).digest()
