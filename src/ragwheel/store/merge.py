"""Moving complete frames of the journal into SQLite, exactly once.

One merger at a time per database (:func:`ragwheel.journal.files.merge_lock`). Rows and the position
reached in the segment are committed together, so a merger that dies in the middle is repeated from
where the last commit stood; a span id that is already there is left alone. An orphaned segment is
deleted once everything in it is committed and synced.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ragwheel.errors import StoreLocked
from ragwheel.journal import files, frames
from ragwheel.journal.frames import Frame
from ragwheel.store.connect import connect, explain
from ragwheel.store.migrations import migrate
from ragwheel.store.rows import Batch, Numbers

__all__ = ["MergeReport", "Merger", "merge_journal"]

WINDOW_BYTES: Final = 1024 * 1024
BATCH_RECORDS: Final = 256
EARLIER: Final = "(earlier)"  # the row that sums up segments finished more than a week ago
FORGET_SEGMENTS_NS: Final = 7 * 24 * 3600 * 10**9


@dataclass(frozen=True)
class MergeReport:
    """What a merge did: ``records`` moved, ``segments`` finished, ``damaged_bytes`` stepped over."""

    records: int = 0
    segments: int = 0
    damaged_bytes: int = 0
    complete: bool = True


class Merger:
    """Merges into one database; keeps its connection and caches between runs.

    Args:
        db: the database.
        pause: called between batches, for a merger that shares its process with an app.
    """

    def __init__(self, db: Path, *, pause: Callable[[], None] = lambda: None) -> None:
        self.db = db
        self.pause = pause
        self._connection: sqlite3.Connection | None = None
        self._file: tuple[int, int] | None = None
        self._numbers = Numbers()

    def run(self, *, timeout_s: float) -> MergeReport:
        """Merge what there is; ``complete`` is False when another process held the right to for too long.

        Raises:
            StoreError: the database cannot be used; the journal keeps everything.
        """
        with files.merge_lock(self.db, timeout_s=timeout_s) as ours:
            if not ours:
                return MergeReport(complete=False)
            try:
                return self._run(self._connected())
            except sqlite3.Error as exc:
                self.close()
                raise explain(exc, self.db) from exc
            except BaseException:
                self.close()
                raise

    def close(self) -> None:
        """Close the connection; the next run opens another."""
        if self._connection is not None:
            with contextlib.suppress(sqlite3.Error):
                self._connection.close()
        self._connection = None
        self._numbers = Numbers()

    def _connected(self) -> sqlite3.Connection:
        """Our connection, made anew when the file is not the one it was opened on."""
        if self._connection is not None and self._file == _identity(self.db):
            return self._connection
        self.close()
        connection = connect(self.db, write=True)
        try:
            migrate(connection)
        except BaseException:
            connection.close()
            raise
        self._connection, self._file = connection, _identity(self.db)
        return connection

    def _run(self, connection: sqlite3.Connection) -> MergeReport:
        records = finished = damaged = 0
        for path in files.segments(self.db):
            try:
                owned = files.try_adopt(path)
                fd = owned if owned is not None else os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError:
                continue
            try:
                moved, skipped = self._segment(connection, path.name, fd, orphan=owned is not None)
                records += moved
                damaged += skipped
                if owned is not None:
                    self._finish(connection, path)
                    finished += 1
            finally:
                os.close(fd)
        return MergeReport(records, finished, damaged)

    def _segment(self, connection: sqlite3.Connection, name: str, fd: int, *, orphan: bool) -> tuple[int, int]:
        """Merge one segment from where the last merge stood."""
        row = connection.execute("SELECT position FROM _segment WHERE name = ?", (name,)).fetchone()
        position = row[0] if row else 0
        end = os.fstat(fd).st_size
        if position < end and not self._numbers.knows(name, position):
            self._recall(connection, name, fd, position)
        moved = damaged = 0
        window = WINDOW_BYTES
        while position < end:
            data = os.pread(fd, min(window, end - position), position)
            last = position + len(data) >= end
            found = list(frames.scan(data, resync=orphan and last))
            if not found and not last:
                window *= 2
                continue
            for at in range(0, len(found), BATCH_RECORDS):
                part = found[at : at + BATCH_RECORDS]
                moved += self._commit(connection, name, position, part)
                damaged += sum(frame.skipped for frame in part)
                self.pause()
            if not found:
                break
            position += found[-1].end
            window = WINDOW_BYTES
        return moved, damaged

    def _commit(self, connection: sqlite3.Connection, name: str, base: int, part: list[Frame]) -> int:
        connection.execute("BEGIN IMMEDIATE")
        try:
            batch = Batch(connection, self._numbers, name)
            for frame in part:
                batch.add(frame.kind, frame.payload)
            batch.write()
            connection.execute(
                "INSERT INTO _segment (name, position, records, damaged, updated_ns) VALUES (?, ?, ?, ?, ?)"
                " ON CONFLICT (name) DO UPDATE SET position = excluded.position, records = records + excluded.records,"
                " damaged = damaged + excluded.damaged, updated_ns = excluded.updated_ns",
                (name, base + part[-1].end, batch.records, sum(f.skipped for f in part), time.time_ns()),
            )
            connection.execute("COMMIT")
        except BaseException:
            self._numbers.clear()  # may name rows that the rollback takes back
            connection.execute("ROLLBACK")
            raise
        self._numbers.reached(name, base + part[-1].end)
        return batch.records

    def _recall(self, connection: sqlite3.Connection, name: str, fd: int, position: int) -> None:
        """Learn again which numbers the merged part of a segment defined (nobody keeps them on disk)."""
        batch = Batch(connection, self._numbers, name)
        at, window = 0, WINDOW_BYTES
        while at < position:
            data = os.pread(fd, min(window, position - at), at)
            last = at + len(data) >= position
            found = list(frames.scan(data, resync=last))
            if not found:
                if last:
                    break
                window *= 2
                continue
            connection.execute("BEGIN IMMEDIATE")
            for frame in found:
                batch.define(frame.kind, frame.payload)
            connection.execute("COMMIT")
            at += found[-1].end
            window = WINDOW_BYTES
        self._numbers.reached(name, position)

    def _finish(self, connection: sqlite3.Connection, path: Path) -> None:
        """Everything of an orphan is committed: remember that, then delete it."""
        now = time.time_ns()
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(
            "INSERT INTO _segment (name, position, records, finished, updated_ns) VALUES (?, 0, 0, 1, ?)"
            " ON CONFLICT (name) DO UPDATE SET finished = 1, updated_ns = excluded.updated_ns",
            (path.name, now),
        )
        old = (now - FORGET_SEGMENTS_NS,)
        connection.execute(
            "INSERT INTO _segment (name, position, records, damaged, finished, updated_ns)"
            f" SELECT '{EARLIER}', 0, sum(records), sum(damaged), 0, max(updated_ns) FROM _segment"
            "  WHERE finished AND updated_ns < ? HAVING count(*) > 0"
            " ON CONFLICT (name) DO UPDATE SET records = records + excluded.records,"
            " damaged = damaged + excluded.damaged",
            old,
        )
        connection.execute("DELETE FROM _segment WHERE finished AND updated_ns < ?", old)
        connection.execute("COMMIT")
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
        self._numbers.forget(path.name)


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def merge_journal(db: str | Path, *, timeout_s: float = 5.0) -> MergeReport:
    """Merge whatever the journal of ``db`` holds, from every process, alive or dead.

    Raises:
        StoreLocked: another process kept the right to merge for ``timeout_s``.
        StoreError: the database cannot be used; the journal keeps everything.
    """
    merger = Merger(Path(db))
    try:
        report = merger.run(timeout_s=timeout_s)
    finally:
        merger.close()
    if not report.complete:
        raise StoreLocked(
            f"Another process has been merging into {db} for more than {timeout_s:g} s. Try again; "
            f"if it never ends, see who it is: fuser {db}.segments/merge.lock"
        )
    return report
