"""What happens when something breaks inside ragwheel: swallowed, counted, logged once.

The host never sees an exception of ours. With ``RAGWHEEL_STRICT=1`` in the environment (the test
suite sets it) the exception is raised instead, so that a defect cannot hide behind the promise. A log
gets where it happened, never what the host's values said: those may be texts that the app redacts.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
import traceback

from ragwheel.errors import RagwheelError

__all__ = ["Guard", "guard", "logger"]

logger = logging.getLogger("ragwheel")


class Guard:
    """Counts what went wrong by place and logs each (place, exception type) once."""

    def __init__(self) -> None:
        self.strict = os.environ.get("RAGWHEEL_STRICT") == "1"
        self._counts: dict[str, int] = {}
        self._logged: set[tuple[str, type[BaseException]]] = set()
        self._lock = threading.RLock()

    def caught(self, where: str, exc: BaseException) -> None:
        """Swallow ``exc``, which was raised inside ragwheel at ``where``; re-raise it under strict."""
        self.count(where)
        if self.strict:
            raise exc
        if self._first((where, type(exc))):
            _log(
                "ragwheel could not finish %s (%s); the app is not affected, further cases are counted\n%s",
                where,
                _said(exc),
                "".join(traceback.format_tb(exc.__traceback__)).rstrip(),
            )

    def count(self, where: str) -> None:
        """Count a failure without a word."""
        with self._lock:
            self._counts[where] = self._counts.get(where, 0) + 1

    def warn_once(self, where: str, message: str) -> None:
        """Log ``message`` the first time that ``where`` has something to say."""
        if self._first((where, Warning)):
            _log("%s", message)

    def _first(self, key: tuple[str, type[BaseException]]) -> bool:
        with self._lock:
            new = key not in self._logged
            self._logged.add(key)
        return new

    def counts(self) -> dict[str, int]:
        """Errors so far by place."""
        with self._lock:
            return dict(self._counts)

    def reset(self) -> None:
        """Forget counts and what was logged; fresh locks (also called in a forked child)."""
        self._lock = threading.RLock()
        self._counts = {}
        self._logged = set()


def _said(exc: BaseException) -> str:
    """Type of an exception, and its message where that cannot hold a text that the app retrieved."""
    name = type(exc).__name__
    return f"{name}: {exc}" if isinstance(exc, (RagwheelError, OSError, sqlite3.Error)) else name


def _log(message: str, *values: str) -> None:
    """Log a warning; a handler of the app that raises is counted like everything else that breaks in here."""
    try:
        logger.warning(message, *values)
    except Exception:
        guard.count("logging")


guard = Guard()
