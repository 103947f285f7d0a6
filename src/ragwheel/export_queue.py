"""Passing spans and log records to the app's exporters, with one thread per exporter.

The first item starts the thread. An exporter belongs to the app: ragwheel never shuts it down, and the app
may share and reuse it. A flush keeps its time limit. Failures of an exporter are counted and logged once.
While an exporter works for us, log messages of it and of the libraries that it uses are suppressed, since a
collector that is down would otherwise fill the app's log.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final

from opentelemetry.context import _SUPPRESS_INSTRUMENTATION_KEY, attach, detach, set_value

from ragwheel.guard import guard

__all__ = ["ExportQueue", "within"]

MAX_ITEMS: Final = 2048
DELAY_S: Final = 5.0
_LIBRARIES: Final = ("opentelemetry", "urllib3", "requests", "httpx", "grpc")
_exporting = threading.local()


class ExportQueue:
    """Sends items to an exporter in batches.

    Args:
        exporter: an object with a method ``export(batch)``.
        batch: the largest number of items in a batch.
        delay_s: seconds to wait for more items before a batch that is not full is sent.
        spans: whether the items are spans.
    """

    def __init__(
        self, exporter: Any, *, batch: int = 512, delay_s: float = DELAY_S, spans: bool = True
    ) -> None:
        self.takes_spans = spans
        self._exporter, self._batch, self._delay_s = exporter, batch, delay_s
        _quieten(type(exporter).__module__)
        self.reset()

    def reset(self) -> None:
        """Empty the queue: at construction, and in a forked child, whose parent sends what was queued."""
        self._items: deque[Any] = deque()
        self._changed = threading.Condition(threading.Lock())
        self._thread: threading.Thread | None = None
        self._n_put = self._n_done = self._n_failed = 0
        self._flush_requested = self._closed = False

    def put(self, item: Any) -> None:
        """Queue an item. If the queue is full, the item is dropped and counted."""
        with self._changed:
            if self._closed or len(self._items) >= MAX_ITEMS:
                guard.count("exporting a span: queue full")
                return
            self._items.append(item)
            self._n_put += 1
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="ragwheel-export", daemon=True)
                self._thread.start()
            elif len(self._items) >= self._batch:
                self._changed.notify_all()

    def flush(self, timeout_s: float) -> bool:
        """Send what is queued.

        False if that takes longer, or if the exporter has failed since the last flush.
        """
        with self._changed:
            wanted = self._n_put
            self._flush_requested = True
            self._changed.notify_all()
            done = self._changed.wait_for(lambda: self._n_done >= wanted, max(timeout_s, 0.0))
            failed, self._n_failed = self._n_failed, 0
            return done and not failed

    def close(self, timeout_s: float) -> bool:
        """Flush and end the thread. The exporter stays open."""
        done = self.flush(timeout_s)
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        return done

    def _run(self) -> None:
        while True:
            with self._changed:
                ready = lambda: len(self._items) >= self._batch or self._flush_requested or self._closed  # noqa: E731
                self._changed.wait_for(ready, self._delay_s)
                batch = [self._items.popleft() for _ in range(min(self._batch, len(self._items)))]
                if not batch:
                    self._flush_requested = False
                    if self._closed:
                        return
                    continue
            sent = self._export(batch)
            with self._changed:
                self._n_done += len(batch)
                self._n_failed += 0 if sent else len(batch)
                self._changed.notify_all()

    def _export(self, batch: Sequence[Any]) -> bool:
        token = attach(set_value(_SUPPRESS_INSTRUMENTATION_KEY, True))
        _exporting.now = True
        why = "it answered FAILURE"
        try:
            result = self._exporter.export(batch)
            if getattr(result, "name", "SUCCESS") == "SUCCESS":
                return True
        except BaseException as exc:  # noqa: BLE001 - the app's exporter, in a thread of ours
            why = f"it raised {type(exc).__name__}"
        finally:
            _exporting.now = False
            detach(token)
        name = type(self._exporter).__name__
        guard.count("exporting a span")
        guard.warn_once(
            f"export {name}",
            f"the exporter {name} could not send {len(batch)} items: {why}. They are in the database all the "
            "same; further failures are counted (ragwheel.stats().errors).",
        )
        return False


class _OurExportsOnly(logging.Filter):
    """A logging filter that drops what is logged in a thread while an exporter works for us."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not getattr(_exporting, "now", False)


_FILTER: Final = _OurExportsOnly()


def _quieten(module: str) -> None:
    """Filter the loggers of an exporter and of the libraries that it uses; other threads log as before."""
    for name in [module, *logging.root.manager.loggerDict]:
        if name == module or name.partition(".")[0] in _LIBRARIES:
            logger = logging.getLogger(name)
            if _FILTER not in logger.filters:
                logger.addFilter(_FILTER)


def within(timeout_s: float, act: Callable[[], Any], busy: dict[int, threading.Thread], key: int) -> bool:
    """Run a function that may not keep a time limit in a thread.

    True if it ended in time and did not return False.

    Args:
        timeout_s: seconds to wait.
        act: the function.
        busy: the threads of earlier calls by key. While the thread of a key still runs, no other is started.
        key: the key of this call.
    """
    deadline = time.monotonic() + timeout_s
    earlier = busy.get(key)
    if earlier is not None:
        earlier.join(max(timeout_s, 0.0))
        if earlier.is_alive():
            return False
    answers: list[Any] = []

    def run() -> None:
        with contextlib.suppress(Exception):
            answers.append(act())

    thread = busy[key] = threading.Thread(target=run, name="ragwheel-flush", daemon=True)
    thread.start()
    thread.join(max(deadline - time.monotonic(), 0.0))
    return bool(answers) and answers[0] is not False
