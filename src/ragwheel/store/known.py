"""Small questions to the database from inside a running process: was this served, has this event come?

One connection for reading, opened when first asked. A database that is not there yet, is locked for longer
than a second or cannot be read knows nothing: whoever asks must be right without the answer.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from ragwheel.errors import StoreError
from ragwheel.store.connect import connect

__all__ = ["Inquiry", "StoredEvent"]

_SERVED: Final = """
    SELECT r.id, c.app_id FROM _retrieval r JOIN json_each(r.chunks) e JOIN _chunk c ON c.chunk_id = e.value
     WHERE {} = ? ORDER BY r.id, e.key
"""
_SOURCES: Final = """
    SELECT r.kind, s.name FROM _retrieval r JOIN json_each(r.chunks) e JOIN _chunk c ON c.chunk_id = e.value
      JOIN _source s USING (source_id) WHERE r.turn_id = ? AND r.outer_id IS NULL AND c.app_id = ?
"""
_TURN: Final = "SELECT 1 FROM _turn WHERE span_id = ?"
_RETRIEVAL: Final = "SELECT 1 FROM _retrieval WHERE span_id = ?"
_EVENTS: Final = """
    SELECT event_id, kind, target, target_id, chunk, rank, value, other, subject FROM _signal
     WHERE event_id IN (SELECT value FROM json_each(?))
"""


class StoredEvent(NamedTuple):
    """A signal that has an event id, as far as one event is told from another by it."""

    event_id: str
    kind: str
    target: int
    target_id: bytes
    chunk: str | None
    rank: int | None
    value: float | None
    other: str | None
    subject: str | None


class Inquiry:
    """Asks a database that somebody else writes."""

    def __init__(self, db: Path) -> None:
        self._db = db
        self._connection: sqlite3.Connection | None = None
        self._lock = threading.Lock()
        self._identity: tuple[int, int] | None = None

    def served(self, target: int, span_id: bytes) -> list[tuple[str, ...]]:
        """The app's chunk ids in rank order: of a retrieval (0), or of each retrieval of a turn (1)."""
        retrievals: dict[int, list[str]] = {}
        column = "r.turn_id" if target else "r.span_id"
        for row, app_id in self._ask(_SERVED.format(column), (span_id,)):
            retrievals.setdefault(row, []).append(app_id)
        return [tuple(ids) for ids in retrievals.values()]

    def sources(self, turn_id: bytes, app_id: str) -> set[str]:
        """The sources that the id of a chunk in a turn may mean, those of re-rankings before retrievals'."""
        rows = self._ask(_SOURCES, (turn_id, app_id))
        last = max((kind for kind, _ in rows), default=0)
        return {source for kind, source in rows if kind == last}

    def holds(self, target: int, span_id: bytes) -> bool:
        """Whether a retrieval (0) or turn (1) is stored."""
        return bool(self._ask(_TURN if target else _RETRIEVAL, (span_id,)))

    def events(self, event_ids: Iterable[str]) -> list[StoredEvent]:
        """Those stored events, of any target and subject, that have one of these ids."""
        return [StoredEvent(*row) for row in self._ask(_EVENTS, (msgspec.json.encode(event_ids).decode(),))]

    def _ask(self, sql: str, values: tuple[object, ...]) -> list[tuple[Any, ...]]:
        with self._lock:
            try:
                if self._connection is not None and self._identity != _identity(self._db):
                    self._close()  # another file was put in the database's place
                if self._connection is None:
                    self._identity = _identity(self._db)
                    self._connection = connect(self._db, write=False, timeout_s=1.0)
                return self._connection.execute(sql, values).fetchall()
            except StoreError:
                return []
            except sqlite3.Error:
                self._close()
                return []

    def close(self) -> None:
        """Close the connection; the next question opens another."""
        with self._lock:
            self._close()

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino
