"""What is known already: which chunks were served, which events have come.

Both are asked of memory first and of the database second, and both only shape the answer: a chunk that is
not known yet joins its retrieval whenever that is stored, and an event that comes twice is one row anyhow.
"""

from __future__ import annotations

import sqlite3
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from ragwheel.collector.accept import fingerprint
from ragwheel.errors import StoreError
from ragwheel.journal.records import Signal
from ragwheel.runtime import Runtime
from ragwheel.store.connect import connect

__all__ = ["Known"]

Served = list[tuple[str, ...]]
"""Chunk ids in rank order, of each retrieval that a handle names."""

_SERVED: Final = """
    SELECT r.id, c.app_id FROM _retrieval r JOIN json_each(r.chunks) e JOIN _chunk c ON c.chunk_id = e.value
     WHERE {} = ? ORDER BY r.id, e.key
"""
_TURN: Final = "SELECT 1 FROM _turn WHERE span_id = ?"
_RETRIEVAL: Final = "SELECT 1 FROM _retrieval WHERE span_id = ?"
_EVENTS: Final = """
    SELECT event_id, kind, target_id, chunk, rank, value, other, subject FROM _signal
     WHERE event_id IN (SELECT value FROM json_each(?))
"""


class Known:
    """Answers from memory of bounded size, else from the database.

    Args:
        runtime: whose database it is.
        remembered: events and retrievals that are kept in memory.
    """

    def __init__(self, runtime: Runtime, *, remembered: int = 20_000) -> None:
        self.runtime = runtime
        self._events: OrderedDict[str, bytes] = OrderedDict()
        self._served: OrderedDict[tuple[int, bytes], Served] = OrderedDict()
        self._remembered = remembered
        self._database = Database(runtime.settings.db)
        self._lock = threading.Lock()

    def recall(self, records: Iterable[Signal]) -> None:
        """Look up in the database which of these events have come, for :meth:`event` to know."""
        with self._lock:
            unknown = [record.event_id for record in records if record.event_id not in self._events]
        if not unknown:
            return
        for row in self._database.ask(_EVENTS, (msgspec.json.encode(unknown).decode(),)):
            event_id, kind, target_id, chunk, rank, value, other, subject = row
            said = (kind, 0, target_id, chunk, rank, value, None, other, subject)
            self.keep(Signal(b"", b"", event_id, *said, 0, 0, ()))

    def event(self, record: Signal) -> Literal["new", "same", "other"]:
        """Whether an event of this id has come: never, this very one, or another that took its id."""
        with self._lock:
            found = self._events.get(record.event_id or "")
        if found is None:
            return "new"
        return "same" if found == fingerprint(record) else "other"

    def keep(self, record: Signal) -> None:
        """An event is in the journal or in the database."""
        with self._lock:
            self._events[record.event_id or ""] = fingerprint(record)
            if len(self._events) > self._remembered:
                self._events.popitem(last=False)

    def matches(self, record: Signal) -> bool:
        """Whether what the signal is about is known to exist: the chunk was served, or the turn is stored."""
        if record.chunk is None and record.rank is None:
            sql = _TURN if record.target else _RETRIEVAL
            found = self.runtime.served(record.target, record.target_id)
            return bool(found) or bool(self._database.ask(sql, (record.target_id,)))
        wanted = [(record.chunk, record.rank)]
        if record.kind == "prefer":
            wanted.append((record.other, None))
        key = (record.target, record.target_id)
        sources: tuple[Callable[[], Served | None], ...] = (
            lambda: self.runtime.served(*key),
            lambda: self._served.get(key),
            lambda: self._stored_chunks(key),
        )
        return any(_has(source(), wanted) for source in sources)

    def _stored_chunks(self, key: tuple[int, bytes]) -> Served:
        target, span_id = key
        retrievals: dict[int, list[str]] = {}
        for row, app_id in self._database.ask(
            _SERVED.format("r.turn_id" if target else "r.span_id"), (span_id,)
        ):
            retrievals.setdefault(row, []).append(app_id)
        found = [tuple(ids) for ids in retrievals.values()]
        if found:
            with self._lock:
                self._served[key] = found
                if len(self._served) > self._remembered // 10:
                    self._served.popitem(last=False)
        return found

    def close(self) -> None:
        """Let go of the database."""
        self._database.close()


def _has(served: Served | None, wanted: list[tuple[str | None, int | None]]) -> bool:
    return served is not None and all(
        any(_is_in(chunk, rank, ids) for ids in served) for chunk, rank in wanted
    )


def _is_in(chunk: str | None, rank: int | None, ids: tuple[str, ...]) -> bool:
    if chunk is None:
        return rank is not None and rank <= len(ids)
    return chunk in ids if rank is None else ids[rank - 1 : rank] == (chunk,)


class Database:
    """One connection for reading, opened when first asked; a database that is not there knows nothing."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = None
        self._lock = threading.Lock()

    def ask(self, sql: str, values: tuple[object, ...]) -> list[tuple[Any, ...]]:
        """The rows, or none when the database cannot say."""
        with self._lock:
            try:
                if self._connection is None:
                    self._connection = connect(self._path, write=False, timeout_s=1.0)
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
