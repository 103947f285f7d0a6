"""What an erasure or a pruning means for the lakes that the store was exported to.

Rows that are erased go from the store's partitions with its next export; rows that are pruned stay there. So
the store remembers the keys of erased rows, and that it was pruned: see :mod:`ragwheel.store.identity`.
"""

from __future__ import annotations

import sqlite3
from datetime import datetime, timezone
from typing import Final

from ragwheel.store.numbers import judgment_number

__all__ = ["ErasedKeys", "mark_pruned"]

_SPANS: Final = """
    SELECT 'retrieval', start_ns, lower(hex(span_id)) FROM _retrieval
     WHERE span_id IN (SELECT span_id FROM gone_retrieval)
    UNION ALL SELECT 'turn', start_ns, lower(hex(span_id)) FROM _turn
     WHERE span_id IN (SELECT span_id FROM gone_turn)
    UNION ALL SELECT 'signal', at_ns, lower(hex(span_id)) FROM _signal
     WHERE span_id IN (SELECT span_id FROM gone_signal)"""
_CHUNKS: Final = """
    SELECT chunk_id, first_seen_ns, number FROM _chunk
     WHERE chunk_id IN (SELECT chunk_id FROM gone_chunk)"""
_JUDGMENTS: Final = """
    SELECT at_ns, query, source, chunk, judge FROM _judgment WHERE id IN (SELECT id FROM gone_judgment)"""


class ErasedKeys:
    """Keys of what is about to be removed; made after the selection, stored after the removal."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._rows: list[tuple[str, str, str]] = []
        self._chunks: dict[int, tuple[str, str, str]] = {}
        (self._exported,) = connection.execute("SELECT EXISTS (SELECT 1 FROM _export)").fetchone()
        if not self._exported:
            return
        self._rows = [(name, _day(at_ns), key) for name, at_ns, key in connection.execute(_SPANS)]
        for at_ns, *identity in connection.execute(_JUDGMENTS):
            self._rows.append(("judgment", _day(at_ns), str(judgment_number(*identity))))
        for row, seen_ns, number in connection.execute(_CHUNKS):
            self._chunks[row] = ("chunk", _day(seen_ns), str(number))

    def store(self) -> None:
        """Remember them; of chunks, those that went."""
        if not self._exported:
            return
        gone = [row for (row,) in self._connection.execute("SELECT chunk_id FROM gone_chunk")]
        rows = [*self._rows, *(self._chunks[row] for row in gone if row in self._chunks)]
        self._connection.executemany("INSERT INTO _erased VALUES (?, ?, ?)", rows)


def mark_pruned(connection: sqlite3.Connection) -> None:
    """Remember that rows were pruned, which stay in lakes."""
    connection.execute("UPDATE _store SET pruned = 1 WHERE EXISTS (SELECT 1 FROM _export)")


def _day(at_ns: int) -> str:
    return datetime.fromtimestamp(at_ns // 10**9, timezone.utc).strftime("%Y-%m-%d")
