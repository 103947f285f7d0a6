"""The merger that lives inside an app: one daemon thread, started by the first record."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from ragwheel.errors import StoreError
from ragwheel.guard import guard

__all__ = ["BackgroundMerger"]

PAUSE_S: Final = 0.0005
RETRY_S: Final = (1.0, 2.0, 5.0, 15.0, 30.0)

_of_parents: list[Any] = []
"""Connections inherited across a fork: never used, never closed (a close could checkpoint the parent's WAL)."""


class BackgroundMerger:
    """Merges a moment after something was written, and syncs the journal every ``sync_interval_s``.

    Args:
        db: the database.
        interval_s: how long to collect records before a merge.
        sync_interval_s: at most this much is lost with the power.
        sync: syncs the journal.
    """

    def __init__(self, db: Path, *, interval_s: float, sync_interval_s: float, sync: Callable[[], None]) -> None:
        self.db, self.interval_s, self.sync_interval_s, self.sync = db, interval_s, sync_interval_s, sync
        self._merger: Any = None
        self._start()

    def _start(self) -> None:
        self._work = threading.Event()
        self._stop = threading.Event()
        self._mutex = threading.Lock()
        self._thread: threading.Thread | None = None
        self._synced_s = time.monotonic()

    def after_fork(self) -> None:
        """In a forked child: no thread, no connection, fresh locks."""
        _of_parents.append(self._merger)
        self._merger = None
        self._start()

    def notify(self) -> None:
        """Something was written. Called in the caller's thread: does nothing most of the time."""
        if not self._work.is_set():
            self._work.set()
            if self._thread is None and not self._stop.is_set():
                self._spawn()

    def _spawn(self) -> None:
        thread = threading.Thread(target=self._loop, name="ragwheel-merger", daemon=True)
        self._thread = thread
        try:
            thread.start()
        except RuntimeError:  # interpreter shutdown or no more threads: the journal keeps it for the next process
            self._thread = None

    def flush(self, timeout_s: float) -> bool:
        """Merge everything written so far; False when that could not be done in ``timeout_s``."""
        deadline = time.monotonic() + timeout_s
        if not self._mutex.acquire(timeout=max(timeout_s, 0.0)):
            return False
        try:
            return self._merge(max(deadline - time.monotonic(), 0.0), pause=lambda: None)
        except StoreError as exc:
            guard.warn_once(f"merge.{type(exc).__name__}", f"ragwheel cannot store yet: {exc}")
            return False
        finally:
            self._mutex.release()

    def close(self, timeout_s: float) -> bool:
        """Merge a last time and end the thread."""
        self._stop.set()
        self._work.set()
        done = self.flush(timeout_s)
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(max(timeout_s, 0.1))
        if self._mutex.acquire(timeout=0.1):
            try:
                if self._merger is not None:
                    self._merger.close()
            finally:
                self._mutex.release()
        return done

    def _merge(self, timeout_s: float, *, pause: Callable[[], None]) -> bool:
        if self._merger is None:
            from ragwheel.store.merge import Merger  # loads sqlite3: not at import

            self._merger = Merger(self.db, pause=pause)
        self._merger.pause = pause
        return bool(self._merger.run(timeout_s=timeout_s).complete)

    def _sync_when_due(self) -> None:
        now = time.monotonic()
        if now - self._synced_s >= self.sync_interval_s:
            self._synced_s = now
            self.sync()

    def _pause(self) -> None:
        """Between batches: let callers have the interpreter, and keep the promise about power loss."""
        self._sync_when_due()
        time.sleep(PAUSE_S)

    def _loop(self) -> None:
        failures = 0
        while not self._stop.is_set():
            if not self._work.wait(60.0):
                continue
            self._stop.wait(self.interval_s if not failures else RETRY_S[min(failures, len(RETRY_S)) - 1])
            self._work.clear()
            self._sync_when_due()
            try:
                with self._mutex:
                    complete = self._merge(0.0, pause=self._pause)
                failures = 0
                if not complete:  # another process is at it, and will take ours along; look again later
                    self._stop.wait(self.interval_s)
                    self._work.set()
            except Exception as exc:
                failures += 1
                self._work.set()
                with contextlib.suppress(Exception):  # strict re-raises, which would end the thread
                    guard.caught("merging the journal", exc)
