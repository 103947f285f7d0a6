"""Moving complete frames of the journal into SQLite, exactly once.

One merger at a time per database (:func:`ragwheel.journal.files.merge_lock`). Rows and the position
reached in the segment are committed together, so a merger that dies in the middle is repeated from
where the last commit stood; a span id that is already there is left alone. An orphaned segment is
deleted once everything in it is committed and synced.

Between merges nobody has the database open: it is one file that may be copied, moved or replaced,
and a fork inherits no SQLite handle (a child of one would believe that it holds its parent's locks).
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from ragwheel.errors import StoreError, StoreLocked
from ragwheel.guard import guard, let_interrupts_through
from ragwheel.journal import files
from ragwheel.store.connect import connect, explain
from ragwheel.store.migrations import migrate
from ragwheel.store.quarantine import is_confirmed_damage, move_aside
from ragwheel.store.rows import Numbers, SegmentState
from ragwheel.store.secret import keep_secret
from ragwheel.store.segment import SegmentMerge, finish
from ragwheel.store.transactions import transaction

__all__ = ["MergeReport", "Merger", "merge_journal"]

REMEMBERED_MERGES: Final = 1000


@dataclass(frozen=True)
class MergeReport:
    """What a merge did.

    ``records`` moved, ``segments`` finished, ``damaged_bytes`` stepped over, ``unreadable`` records left
    out. ``complete`` is False when it stopped early: another process merges, or it was told to.
    ``reached`` is the position in each segment that is still being written, by name. ``failed`` names
    the segments that could not be read at all (another user's): they stay as they are.
    """

    records: int = 0
    segments: int = 0
    damaged_bytes: int = 0
    unreadable: int = 0
    complete: bool = True
    reached: dict[str, int] = field(default_factory=dict)
    failed: tuple[str, ...] = ()


class Merger:
    """Merges into one database; keeps what it knows of the rows from run to run, never a connection.

    Args:
        db: the database.
        may_continue: called after every record; returns False to stop the run after what it is at.
        quarantine: move a database that is certainly damaged aside and begin a new one.
        busy_s: how long to wait for a lock that something other than ragwheel holds.
    """

    def __init__(
        self,
        db: Path,
        *,
        may_continue: Callable[[], bool] = lambda: True,
        quarantine: bool = False,
        busy_s: float = 5.0,
    ) -> None:
        self.db, self.may_continue, self.quarantine, self.busy_s = (
            files.resolved(db),
            may_continue,
            quarantine,
            busy_s,
        )
        self._file: tuple[int, int] | None = None
        self._token: bytes | None = None
        self._numbers = Numbers()

    def run(self, *, timeout_s: float) -> MergeReport:
        """Merge what there is; ``complete`` is False when another process held the right to for too long.

        Raises:
            StoreError: the database cannot be used; the journal keeps everything.
        """
        try:
            with files.merge_lock(self.db, timeout_s=timeout_s) as ours:
                if not ours:
                    return MergeReport(complete=False)
                try:
                    return self.merge()
                except (StoreError, sqlite3.Error) as exc:
                    if self.quarantine and is_confirmed_damage(exc, self.db, ours=self._file):
                        self._move_aside(exc)
                        return self.merge()
                    raise
        except sqlite3.Error as exc:
            self._forget()
            raise explain(exc, self.db) from exc
        except OSError as exc:
            self._forget()
            raise explain(exc, files.segment_folder(self.db)) from exc
        except BaseException:
            self._forget()
            raise

    def _forget(self) -> None:
        self._token = None
        self._numbers.clear()

    def _move_aside(self, exc: BaseException) -> None:
        to = move_aside(self.db)
        self._forget()
        guard.warn_once(
            f"quarantine.{to.name}",
            f"ragwheel found {self.db} damaged ({exc}), moved it to {to} and began a new one. "
            f"What was merged before is in the old file; rescue what can be read: "
            f'sqlite3 {to} ".recover" | sqlite3 rescued.db',
        )

    def merge(self, *, drain: bool = False) -> MergeReport:
        """:meth:`run` for who holds the merge lock; SQLite's errors come as they are.

        Args:
            drain: finish live segments too: their writers go on in new ones, and nothing of what was
                recorded before stands in the journal any more.
        """
        files.remove_stale(self.db)
        paths = files.segments(self.db)
        connection = connect(self.db, write=True, timeout_s=self.busy_s)
        try:
            migrate(connection)
            keep_secret(connection, self.db)
            self._file = _identity(self.db)
            self._check_known(connection)
            self._numbers.keep([path.name for path in paths])
            report = MergeReport()
            for path in paths:
                report = self._one(connection, path, report, drain=drain)
                if not report.complete:
                    break
            if report.records or report.segments:
                connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
            return report
        finally:
            connection.close()

    def _check_known(self, connection: sqlite3.Connection) -> None:
        """Forget row ids from earlier runs unless the database holds all that they were learnt from.

        Every transaction leaves a token of its own, so that a copy from before the latest of them, which was
        put in the database's place, does not have it. An erasure removes all tokens.
        """
        if self._token is not None:
            row = connection.execute("SELECT 1 FROM _merge WHERE token = ?", (self._token,)).fetchone()
            if row is None:
                self._forget()

    def _one(
        self, connection: sqlite3.Connection, path: Path, report: MergeReport, *, drain: bool
    ) -> MergeReport:
        """Merge one segment and add that to the report."""
        fd = -1
        try:
            owned = files.try_adopt(path)
            fd = owned if owned is not None else os.open(path, os.O_RDWR | os.O_CLOEXEC)
            work = SegmentMerge(self, connection, path.name, fd, orphan=owned is not None)
            complete = work.run()
            if drain and owned is None and complete:
                files.retire_segment(
                    path
                )  # a call whose write the next line misses repeats it in a new segment
                complete = work.run()
            finished = complete and (drain or owned is not None)
            if finished:
                self._finish(connection, path, keep=work.keep)
            if finished and owned is None:
                files.erase_retired(path, fd)
        except FileNotFoundError:
            return report
        except OSError as exc:
            let_interrupts_through(exc)
            guard.warn_once(
                f"merge.segment.{path.name}", f"ragwheel could not read {path}: {exc}. It stays where it is."
            )
            return replace(report, failed=(*report.failed, path.name))
        finally:
            if fd >= 0:
                files.release_segment(fd)
        return replace(
            report,
            records=report.records + work.moved,
            segments=report.segments + finished,
            damaged_bytes=report.damaged_bytes + work.damaged,
            unreadable=report.unreadable + work.unreadable,
            complete=complete,
            reached=report.reached if finished else {**report.reached, path.name: work.position},
        )

    def known(self, name: str) -> SegmentState:
        """What is known of a segment."""
        return self._numbers.segment(name)

    @contextlib.contextmanager
    def transaction(self, connection: sqlite3.Connection) -> Iterator[Numbers]:
        """A transaction; rolled back, what was learnt in it is forgotten with everything else."""
        token = os.urandom(8)
        try:
            with transaction(connection):
                connection.execute("INSERT INTO _merge (token) VALUES (?)", (token,))
                connection.execute(
                    "DELETE FROM _merge WHERE id <= (SELECT max(id) FROM _merge) - ?", (REMEMBERED_MERGES,)
                )
                yield self._numbers
        except BaseException:
            self._forget()
            raise
        self._token = token

    def _finish(self, connection: sqlite3.Connection, path: Path, *, keep: bool) -> None:
        """Everything of an orphan is committed and synced: remember that, then delete it."""
        finish(connection, path.name)
        if _identity(self.db) != self._file:
            raise StoreError(
                f"{self.db} was moved or deleted while ragwheel merged into it. The journal keeps what it "
                f"has; the next merge starts again: ragwheel status --db {self.db}"
            )
        if keep:
            path.rename(path.with_suffix(files.DAMAGED))
        else:
            path.unlink()


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
    report = Merger(Path(db), busy_s=timeout_s).run(timeout_s=timeout_s)
    if not report.complete:
        raise StoreLocked(
            f"Another process has been merging into {db} for more than {timeout_s:g} s. Try again; "
            f"if it never ends, see who it is: fuser {db}.segments/merge.lock"
        )
    return report
