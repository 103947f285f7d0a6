"""Swallow, count and log once what breaks inside ragwheel, so that the host app never sees it.

Exceptions of the host itself always get through. With ``RAGWHEEL_STRICT=1`` in the environment (the test
suite sets it) our exceptions are raised, too, so that no defect stays hidden. A log message says where the
error happened. It never quotes the host's values, which may be texts that the app redacts.

Only :class:`Guard` decides whether an exception belongs to the host or to ragwheel. It belongs to the host
when it is not an ``Exception`` (``KeyboardInterrupt``, ``CancelledError``), when a signal handler raised it
while our code or code that we called was running (soft time limits of task queues, alarms), or when another
thread raised it in this one (``PyThreadState_SetAsyncExc``). All others are ours.
"""

from __future__ import annotations

import functools
import logging
import os
import signal
import sqlite3
import sys
import threading
import traceback
from collections.abc import Callable
from types import CodeType, FrameType, TracebackType
from typing import Any, Final, ParamSpec, TypeVar

from ragwheel.errors import RagwheelError

__all__ = ["Guard", "Guarded", "guard", "is_interrupt", "let_interrupts_through", "logger"]

logger = logging.getLogger("ragwheel")

P = ParamSpec("P")
T = TypeVar("T")

_OUR_PACKAGES: Final = frozenset(
    {"ragwheel", "ragwheel_langchain", "ragwheel_llamaindex", "ragwheel_haystack", "ragwheel_dspy"}
)
_OUR_ERRORS: Final = _OUR_PACKAGES | sys.stdlib_module_names | {
    "msgspec", "opentelemetry", "pydantic", "pydantic_core", "sqlite_utils", "httpx", "langchain_core",
    "llama_index", "haystack", "dspy",
}  # fmt: skip
"""Packages whose exceptions our own code may raise."""


class Guard:
    """Counts what went wrong by place and logs each (place, exception type) once.

    ``with guard("merging"):`` swallows what breaks in the block; ``@guard("merging", returns=False)`` makes a
    function return False when it breaks. Both let the host's exceptions pass.
    """

    def __init__(self) -> None:
        self.strict = os.environ.get("RAGWHEEL_STRICT") == "1"
        self._counts: dict[str, int] = {}
        self._logged: set[tuple[str, type[BaseException]]] = set()
        self._lock = threading.RLock()

    def __call__(self, where: str, *, returns: Any = None) -> Guarded:
        """Return a context manager and decorator; it has no state and may be kept and entered at will."""
        return Guarded(self, where, returns)

    def caught(self, where: str, exc: BaseException) -> None:
        """Swallow ``exc``, raised inside ragwheel at ``where``; raise it if it is the host's or if strict."""
        let_interrupts_through(exc, ours=True)
        self.count(where)
        if self.strict:
            raise exc
        if self._first((where, type(exc))):
            _log(
                "ragwheel could not finish %s (%s); the app is not affected, further cases are counted\n%s",
                where,
                _description(exc),
                "".join(traceback.format_tb(exc.__traceback__)).rstrip(),
            )

    def count(self, where: str) -> None:
        """Count a failure without logging it."""
        with self._lock:
            self._counts[where] = self._counts.get(where, 0) + 1

    def warn_once(self, where: str, message: str) -> None:
        """Log ``message``, but only the first time for this ``where``."""
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
        """Clear the counts and the record of what was logged, and make new locks (also in a forked child)."""
        self._lock = threading.RLock()
        self._counts = {}
        self._logged = set()


class Guarded:
    """A block or function whose exceptions are swallowed unless they are the host's (see :class:`Guard`)."""

    __slots__ = ("_guard", "_returns", "_where")

    def __init__(self, of: Guard, where: str, returns: Any) -> None:
        self._guard, self._where, self._returns = of, where, returns

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if error is None:
            return False
        if not isinstance(error, Exception):
            return False
        self._guard.caught(self._where, error)
        return True

    def __call__(self, function: Callable[P, T]) -> Callable[P, T]:
        """Guard every call of ``function``."""

        @functools.wraps(function)
        def guarded(*args: P.args, **kwargs: P.kwargs) -> T:
            try:
                return function(*args, **kwargs)
            except Exception as exc:
                self._guard.caught(self._where, exc)
            return self._returns  # type: ignore[no-any-return]

        return guarded


def is_interrupt(error: BaseException, *, ours: bool = False) -> bool:
    """Return whether the host raised ``error`` from outside the code that was running.

    Args:
        error: the exception, with its traceback.
        ours: True if only our own code ran in the guarded block. An exception of a foreign type without a
            frame of foreign code was then raised by another thread. Leave it False where the host's objects
            are read, because compiled code leaves no frame, either.
    """
    return _interrupt(error, ours=ours) is not None


def let_interrupts_through(error: BaseException, *, ours: bool = False) -> None:
    """Raise ``error``, or the cause of it, if the host raised that from outside."""
    interrupt = _interrupt(error, ours=ours)
    if interrupt is not None:
        raise interrupt


def _interrupt(error: BaseException | None, *, ours: bool) -> BaseException | None:
    while error is not None:
        if not isinstance(error, Exception) or _came_from_outside(error, ours=ours):
            return error
        error = error.__cause__
    return None


def _came_from_outside(error: Exception, *, ours: bool) -> bool:
    handlers = _handlers()
    interrupted: FrameType | None = None
    trace = error.__traceback__
    while trace is not None:
        frame = trace.tb_frame
        if frame.f_code in handlers or (interrupted is not None and _was_handed(frame, interrupted)):
            return True
        interrupted, trace = frame, trace.tb_next
    if not ours or interrupted is None:
        return False
    package = str(interrupted.f_globals.get("__name__")).partition(".")[0]
    return package in _OUR_PACKAGES and type(error).__module__.partition(".")[0] not in _OUR_ERRORS


def _handlers() -> set[CodeType]:
    """Return the code of the Python functions that are installed as signal handlers."""
    codes: set[CodeType] = set()
    for number in signal.valid_signals():
        handler: Any = signal.getsignal(number)
        if callable(handler):
            function = getattr(handler, "__func__", handler)
            code = getattr(function, "__code__", None) or getattr(type(handler).__call__, "__code__", None)
            if isinstance(code, CodeType):
                codes.add(code)
    return codes


def _was_handed(frame: FrameType, interrupted: FrameType) -> bool:
    """Return whether ``frame`` received the interrupted frame as an argument, as only signal handlers do."""
    code = frame.f_code
    n_arguments = code.co_argcount + code.co_kwonlyargcount + bool(code.co_flags & 0x04)
    for name in code.co_varnames[:n_arguments]:
        value = frame.f_locals.get(name)
        if value is interrupted or (type(value) is tuple and any(item is interrupted for item in value)):
            return True
    return False


def _description(exc: BaseException) -> str:
    """Return an exception's type, and its message where that cannot contain a text that the app retrieved."""
    name = type(exc).__name__
    return f"{name}: {exc}" if isinstance(exc, (RagwheelError, OSError, sqlite3.Error)) else name


def _log(message: str, *values: str) -> None:
    """Log a warning. If a logging handler of the app raises, that is counted like every other failure."""
    try:
        logger.warning(message, *values)
    except Exception as exc:
        let_interrupts_through(exc)
        guard.count("logging")


guard = Guard()
