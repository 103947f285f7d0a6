"""The merge of one segment: its frames to rows, in transactions that carry the position reached."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from itertools import chain, islice
from typing import TYPE_CHECKING, Final, Protocol

from ragwheel.journal import frames
from ragwheel.journal.frames import Frame
from ragwheel.store.rows import Batch
from ragwheel.store.transactions import transaction

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from ragwheel.store.rows import Numbers, SegmentState

__all__ = ["SegmentMerge", "finish"]

BATCH_RECORDS: Final = 256  # per transaction
EARLIER: Final = "(earlier)"  # the row that sums up segments finished more than a week ago
FORGET_NS: Final = 7 * 24 * 3600 * 10**9

_ADVANCE = """
INSERT INTO _segment (name, position, records, repeated, damaged, unreadable, updated_ns)
VALUES (:name, :position, :records, :repeated, :damaged, :unreadable, :updated_ns)
    ON CONFLICT (name) DO UPDATE
   SET position = excluded.position, records = records + excluded.records,
       repeated = repeated + excluded.repeated, damaged = damaged + excluded.damaged,
       unreadable = unreadable + excluded.unreadable,
       updated_ns = excluded.updated_ns
"""
_FINISH = """
INSERT INTO _segment (name, position, records, finished, updated_ns) VALUES (?, 0, 0, 1, ?)
    ON CONFLICT (name) DO UPDATE SET finished = 1, updated_ns = excluded.updated_ns
"""
_SUM_UP = """
INSERT INTO _segment (name, position, records, repeated, damaged, unreadable, finished, updated_ns)
SELECT ?, 0, records, repeated, damaged, unreadable, 0, updated_ns FROM (
       SELECT count(*) AS n, sum(records) AS records, sum(repeated) AS repeated, sum(damaged) AS damaged,
              sum(unreadable) AS unreadable, max(updated_ns) AS updated_ns
         FROM _segment WHERE finished AND updated_ns < ?)
 WHERE n > 0
    ON CONFLICT (name) DO UPDATE
   SET records = records + excluded.records, repeated = repeated + excluded.repeated,
       damaged = damaged + excluded.damaged, unreadable = unreadable + excluded.unreadable
"""


class MergeContext(Protocol):
    """What the merge of a segment needs of the merger that runs it."""

    may_continue: Callable[[], bool]

    def known(self, name: str) -> SegmentState:
        """What is known of a segment."""
        ...

    def transaction(self, connection: sqlite3.Connection) -> AbstractContextManager[Numbers]:
        """A transaction with the row ids that it may use."""
        ...


class SegmentMerge:
    """The merge of one segment, from where the last one stood."""

    def __init__(
        self, merger: MergeContext, connection: sqlite3.Connection, name: str, fd: int, *, orphan: bool
    ) -> None:
        self._merger, self._connection = merger, connection
        self._name, self._fd, self._orphan = name, fd, orphan
        self.moved = self.damaged = self.unreadable = 0
        row = connection.execute(
            "SELECT position, damaged OR unreadable FROM _segment WHERE name = ?", (name,)
        ).fetchone()
        self.position: int = row[0] if row else 0
        self._spoilt = bool(row and row[1])

    @property
    def keep(self) -> bool:
        """Whether something in it could not be read, now or earlier, so that the file is kept."""
        return bool(self.damaged or self.unreadable or self._spoilt)

    def run(self) -> bool:
        """False when it was stopped before the end."""
        end = os.fstat(self._fd).st_size
        if self.position >= end:
            return True
        if not self._recall():
            return False
        found = frames.read(self._fd, self.position, end, resync=self._orphan)
        return all(self._batch(first, found) for first in found)

    def _batch(self, first: Frame, found: Iterator[Frame]) -> bool:
        """Merge the next frames in one transaction; False when it was stopped (what it has is committed)."""
        damaged, end, go_on = 0, 0, True
        state = self._merger.known(self._name)
        with self._merger.transaction(self._connection) as numbers:
            batch = Batch(self._connection, numbers, state)
            for frame in chain((first,), islice(found, BATCH_RECORDS - 1)):
                batch.add(frame.kind, frame.payload)
                damaged += frame.skipped
                end = frame.end
                go_on = self._merger.may_continue()
                if not go_on:
                    break
            batch.flush()
            self._note(end, batch, damaged)
        state.reached = self.position = end
        self.moved += batch.records + batch.revisions
        self.damaged += damaged
        self.unreadable += batch.unreadable
        return go_on

    def _note(self, position: int, batch: Batch, damaged: int) -> None:
        values = {
            "name": self._name, "position": position, "records": batch.records, "repeated": batch.repeated,
            "damaged": damaged, "unreadable": batch.unreadable, "updated_ns": time.time_ns(),
        }  # fmt: skip
        self._connection.execute(_ADVANCE, values)

    def _recall(self) -> bool:
        """Learn which numbers the part that another merger moved has defined (nobody keeps them on disk)."""
        state = self._merger.known(self._name)
        if state.reached > self.position:  # the position was taken back
            state.clear()
        go_on = True
        while go_on and state.reached < self.position:
            end = self.position
            with self._merger.transaction(self._connection) as numbers:
                batch = Batch(self._connection, numbers, state)
                for frame in frames.read(self._fd, state.reached, self.position, resync=True):
                    batch.define(frame.kind, frame.payload)
                    go_on = self._merger.may_continue()
                    if not go_on:
                        end = frame.end
                        break
            state.reached = end
        return go_on


def finish(connection: sqlite3.Connection, name: str) -> None:
    """Note that all of an orphan is in the database; rows of those finished long ago are folded into one."""
    now_ns = time.time_ns()
    with transaction(connection):
        connection.execute(_FINISH, (name, now_ns))
        connection.execute(_SUM_UP, (EARLIER, now_ns - FORGET_NS))
        connection.execute("DELETE FROM _segment WHERE finished AND updated_ns < ?", (now_ns - FORGET_NS,))
