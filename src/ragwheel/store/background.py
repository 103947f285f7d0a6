"""The merger that lives inside an app: one daemon thread, started by the first record."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

from ragwheel.errors import StoreError, StoreMissing
from ragwheel.guard import guard, let_interrupts_through

if TYPE_CHECKING:
    from ragwheel.store.merge import Merger, MergeReport
    from ragwheel.store.merge_process import MergeProcess

__all__ = ["BackgroundMerger", "MergeIn", "SegmentProgress"]

SLICE_S: Final = 0.0001  # so long, and the rest of a record, a caller may have to wait for the interpreter
PAUSE_S: Final = 0.0001  # between slices: long enough for whoever waits to get it
BUSY_S: Final = 0.2  # waits so long for a lock of somebody else, then tries again later
RETRY_S: Final = (1.0, 2.0, 5.0, 15.0, 30.0)
FORK_WAIT_S: Final = 2.0
AUDIT_S: Final = 60.0
RESTART_S: Final = 10.0  # at most one process is started in so long
BACKLOG_RECORDS: Final = 1000
"""A run of so many records in the thread is a backlog, for which "auto" starts a process."""

MergeIn = Literal["auto", "thread", "process"]
"""Where records are merged: see :func:`ragwheel.configure`."""

_MERGED: Final = "SELECT records, repeated, unreadable, finished, position FROM _segment WHERE name = ?"


class SegmentProgress(NamedTuple):
    """How much of one journal segment is in the database.

    ``records`` were taken in, of which ``repeated`` made no row; ``finished`` is 1 once the segment is closed
    and completely merged; ``position`` is how far it is read.
    """

    records: int
    repeated: int
    unreadable: int
    finished: int
    position: int


class BackgroundMerger:
    """Merges a moment after something was written, and syncs the journal every ``sync_interval_s``.

    Args:
        db: the database.
        interval_s: how long to collect records before a merge.
        sync_interval_s: at most this much is lost with the power.
        sync: syncs the journal; does nothing when nothing was written.
        merge_in: a process of its own is started at once, with the first backlog, or never. Where none can
            be started, and whenever it is gone, the thread merges.
        audit: called after a complete merge, at most once a minute.
    """

    def __init__(
        self,
        db: Path,
        *,
        interval_s: float,
        sync_interval_s: float,
        sync: Callable[[], None],
        merge_in: MergeIn = "thread",
        audit: Callable[[], object] = lambda: None,
    ) -> None:
        self.db, self.interval_s, self.sync_interval_s, self.sync = db, interval_s, sync_interval_s, sync
        self.audit = audit
        self.merge_in = merge_in
        self._handicapped = False
        self._held: list[Any] = []
        self._process: MergeProcess | None = None
        self._start()

    def _start(self) -> None:
        if self._process is not None:  # the parent's
            self._process.forget()
        self._process = None
        self._process_wanted = self.merge_in == "process"
        self._next_process_s = 0.0
        self._run_records = 0
        self._merger: Merger | None = None
        self._work = threading.Event()
        self._stop = threading.Event()
        self._flush_requested = threading.Event()  # somebody waits for the merge to end
        self._halt = threading.Event()  # somebody waits for it to stop where it is
        self._mutex = threading.RLock()  # held while merging
        self._flushing = 0  # the thread that merges in flush()
        self._reading = threading.Lock()  # held while reading: with the other one, SQLite is not in use
        self._thread: threading.Thread | None = None
        self._synced_s = time.monotonic()
        self._slice_ends_s = 0.0
        self._audited_s = time.monotonic()

    # forks: SQLite believes in a child that it still holds the locks of the parent's open database

    def before_fork(self) -> None:
        """Have the merge that is running stop after the batch it is at, and close the database."""
        self._halt.set()
        self._held = [lock for lock in (self._mutex, self._reading) if lock.acquire(timeout=FORK_WAIT_S)]

    def after_fork_in_parent(self) -> None:
        """Go on."""
        self._halt.clear()
        for lock in self._held:
            lock.release()

    def after_fork_in_child(self) -> None:
        """No thread, fresh locks. Was SQLite in use nevertheless, this process leaves merging to others."""
        self._handicapped = self._handicapped or len(self._held) < 2
        self._start()

    # work

    def notify(self) -> None:
        """Something was written. Called in the caller's thread: does nothing most of the time."""
        if not self._work.is_set():
            self._work.set()
            if self._thread is None and not self._stop.is_set():
                self._spawn()

    def _spawn(self) -> None:
        thread = threading.Thread(target=self._run, name="ragwheel-merger", daemon=True)
        self._thread = thread
        try:
            thread.start()
        except RuntimeError:  # interpreter shutdown, or no more threads: left to the next process
            self._thread = None
        except BaseException:  # a signal handler raised: the next record starts another thread
            self._thread = None
            self._work.clear()
            raise

    def flush(self, timeout_s: float, sizes: Mapping[str, int]) -> bool:
        """Merge everything written so far; False when that could not be done in ``timeout_s``.

        Args:
            timeout_s: from now.
            sizes: how far each open segment of this process has to be merged.
        """
        deadline = time.monotonic() + timeout_s
        if self._flushing == threading.get_ident():
            return False  # a signal handler flushes within a flush
        self._flush_requested.set()
        try:
            if not self._mutex.acquire(timeout=max(timeout_s, 0.0)):
                return False
            self._flushing = threading.get_ident()
            left_s = max(deadline - time.monotonic(), 0.0)
            return self._merge(left_s, lambda: time.monotonic() < deadline, sizes)
        except Exception as exc:  # noqa: BLE001 - runs inside the app
            let_interrupts_through(exc)
            self._failed(exc)
            return False
        finally:
            if self._flushing == threading.get_ident():
                self._flushing = 0
            self._flush_requested.clear()
            with contextlib.suppress(RuntimeError):  # not acquired; who was interrupted cannot know
                self._mutex.release()

    def close(self, timeout_s: float, sizes: Mapping[str, int]) -> bool:
        """Merge a last time and end the thread."""
        self._stop.set()
        self._work.set()
        done = self.flush(timeout_s, sizes)
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(max(timeout_s, 0.1))
        process, self._process = self._process, None
        if process is not None:
            try:
                process.close()
            finally:
                process.forget()
        return done

    def merged(self, segments: Iterable[str], *, timeout_s: float = 1.0) -> dict[str, SegmentProgress] | None:
        """What the database has of these segments; None when it cannot be read now."""
        from ragwheel.store.connect import connect

        if self._handicapped or not self._reading.acquire(timeout=timeout_s):
            return None
        try:
            connection = connect(self.db, write=False, timeout_s=timeout_s)
            try:
                rows = ((name, connection.execute(_MERGED, (name,)).fetchone()) for name in segments)
                return {name: SegmentProgress(*row) for name, row in rows if row is not None}
            finally:
                connection.close()
        except StoreMissing:
            return {}
        except (StoreError, sqlite3.Error):
            return None
        finally:
            self._reading.release()

    def _merge(self, timeout_s: float, may_continue: Callable[[], bool], sizes: Mapping[str, int]) -> bool:
        report = self._merge_report(timeout_s, may_continue)
        return report is not None and (
            report.complete and all(report.reached.get(name, size) >= size for name, size in sizes.items())
        )

    def _merge_report(self, timeout_s: float, may_continue: Callable[[], bool]) -> MergeReport | None:
        """Merge in the process, if there is one, else in this thread; None: not in this forked process."""
        if self._process_wanted and (self._process is not None or not self._stop.is_set()):
            report = self._in_process(timeout_s, may_continue)
            if report is not None:
                return report
        if self._handicapped:
            return None
        if self._merger is None:
            from ragwheel.store.merge import Merger  # loads sqlite3: not at import

            self._merger = Merger(self.db, quarantine=True, busy_s=BUSY_S)
        self._run_records = 0
        self._merger.may_continue = may_continue
        return self._merger.run(timeout_s=timeout_s)

    def _in_process(self, timeout_s: float, may_continue: Callable[[], bool]) -> MergeReport | None:
        """Merge in the process; None while it starts, and when it cannot be used."""
        from ragwheel.store.merge_process import MergeProcess, MergeProcessGone

        try:
            if self._process is None:
                if time.monotonic() < self._next_process_s:
                    return None
                self._next_process_s = time.monotonic() + RESTART_S
                self._process = MergeProcess(self.db, busy_s=BUSY_S)
            return self._process.run(may_continue, timeout_s=timeout_s) if self._process.ready() else None
        except MergeProcessGone as exc:
            self._process_gone(exc)
        except Exception as exc:  # noqa: BLE001 - what is wrong with the process must not stop the thread
            self._process_gone(exc)
            guard.caught("merging in a process", exc)
        return None

    def _process_gone(self, exc: Exception) -> None:
        """Go on in the thread: for good where no process ever answered, else until the next backlog."""
        if self._process is None or not self._process.answered:
            self.merge_in = "thread"
            guard.warn_once(
                "merge.process",
                f"ragwheel merges in a thread of this process, since {exc}. Nothing is lost. To have none "
                f"tried: configure(merge_in='thread')",
            )
        if self._process is not None:
            self._process.forget()
        self._process = None
        self._process_wanted = self.merge_in == "process"

    def _breathe(self) -> bool:
        """After each record: let callers have the interpreter, and keep the promise about power loss."""
        now_s = time.monotonic()
        self._run_records += 1
        if self._run_records == BACKLOG_RECORDS and self.merge_in != "thread":
            self._process_wanted = True
            return False
        if now_s >= self._slice_ends_s and not self._flush_requested.is_set():
            self._sync_when_due()
            time.sleep(PAUSE_S)
            self._slice_ends_s = time.monotonic() + SLICE_S
        return not (self._halt.is_set() or self._stop.is_set())

    def _sync_when_due(self) -> None:
        now = time.monotonic()
        if now - self._synced_s >= self.sync_interval_s:
            self._synced_s = now
            self.sync()

    def _rest(self, seconds: float) -> None:
        """Wait, and keep the promise about power loss meanwhile."""
        until = time.monotonic() + seconds
        while not self._stop.is_set() and (left := until - time.monotonic()) > 0:
            self._stop.wait(min(left, self.sync_interval_s))
            self._sync_when_due()

    def _run(self) -> None:
        """The thread; should it die of what is no Exception, the next record starts another."""
        try:
            self._loop()
        except BaseException as exc:  # noqa: BLE001 - such as SystemExit, raised in it by somebody
            with contextlib.suppress(BaseException):  # strict re-raises
                guard.caught("merging the journal", exc)
        finally:
            if not self._stop.is_set():
                self._thread = None
                self._work.clear()

    def _loop(self) -> None:
        failures = 0
        while not self._stop.is_set():
            self._work.wait()
            try:
                self._rest(RETRY_S[min(failures, len(RETRY_S)) - 1] if failures else self.interval_s)
                self._work.clear()
                with self._mutex:
                    complete = self._stop.is_set() or self._merge(0.0, self._breathe, {})
                failures = 0
                if not complete:  # another process is at it, and will take ours along; look again later
                    self._work.set()
                elif not self._stop.is_set() and time.monotonic() - self._audited_s >= AUDIT_S:
                    self._audited_s = time.monotonic()
                    self.audit()
            except Exception as exc:  # noqa: BLE001 - the thread goes on whatever happens
                failures += 1
                self._work.set()
                self._failed(exc)

    @staticmethod
    def _failed(exc: Exception) -> None:
        if isinstance(exc, StoreError):
            guard.warn_once(
                f"merge.{type(exc).__name__}",
                f"ragwheel cannot store yet, the journal keeps everything: {exc}",
            )
            return
        with contextlib.suppress(Exception):  # strict re-raises: the thread goes on
            guard.caught("merging the journal", exc)
