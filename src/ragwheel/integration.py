"""What an integration of a framework is built from, beside :func:`ragwheel.start_retrieval`.

* :class:`Engine`: a call of the framework that answers a question becomes a turn.
* :class:`OpenCalls`: the calls that have begun and not ended, by the framework's own ids.
* :data:`guard`: swallows and counts what breaks in an integration.
* :func:`raise_after`: lets the app's interrupts through a framework that swallows what a handler raises.

:class:`ragwheel.testing.IntegrationContract` has the tests that an integration inherits.
"""

from __future__ import annotations

import ctypes
import os
import sys
import threading
from collections import OrderedDict
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from ragwheel.capture.context import current_turn
from ragwheel.capture.turn import turn
from ragwheel.guard import guard, is_interrupt

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ragwheel.capture.scopes import Scope
    from ragwheel.capture.turn import Turn

__all__ = ["Engine", "OpenCalls", "guard", "raise_after"]

T = TypeVar("T")

_engine: ContextVar[Engine | None] = ContextVar("ragwheel_engine", default=None)
_BEGINNING: Final = guard("beginning a framework's turn")
_ANSWERING: Final = guard("reading a framework's answer")
_ENDING: Final = guard("ending a framework's turn")


class Engine:
    """One call of something that answers a question: a query engine, a chat engine, a pipeline, a module.

    Inside a turn of the app it records into that turn; otherwise it opens one, which is stored if something
    was retrieved in it. An engine that runs inside another one does neither: its answer is not the person's.

    Attributes:
        turn: the turn that the answer belongs to, also after the call has ended (a streamed answer).
    """

    __slots__ = ("__weakref__", "_before", "_open", "_owned", "_scope", "turn")

    def __init__(self, of: Turn, *, owned: bool) -> None:
        self.turn = of
        self._owned = owned
        self._open = True
        self._scope: Scope | None = None
        self._before: Engine | None = None

    @classmethod
    def begin(cls, query: object, *, session_id: object = None, user_id: object = None) -> Engine | None:
        """Begin a call in this context; None inside another engine. Never raises."""
        with _BEGINNING:
            before = _engine.get()
            if before is not None and before._open:
                return None
            around = current_turn()
            text: Any = query if isinstance(query, str) else None
            new: Any = around or turn(text, session_id=session_id, user_id=user_id)  # type: ignore[arg-type]
            engine = cls(new, owned=around is None)
            engine._before = before
            if around is None:
                engine._scope = engine.turn.enter_scope(sys._getframe(1))
            _engine.set(engine)
            return engine
        return None

    @staticmethod
    def current() -> Engine | None:
        """Return the outermost engine whose call this code runs in, or None."""
        engine = _engine.get()
        return engine if engine is not None and engine._open else None

    def answer(
        self, text: object, *, prompted: Iterable[object] | None = None, citations: object = None
    ) -> None:
        """Record the answer, and which chunks were in the prompt where the framework says so."""
        with _ANSWERING:
            if prompted is not None:
                self.turn.prompted(prompted)
            self.turn.answer(text, citations)

    def end(self, error: BaseException | None = None) -> None:
        """End the call, in whatever context this is called. The first call of this counts."""
        if not self._open:
            return
        self._open = False
        with _ENDING:
            if _engine.get() is self:
                _engine.set(self._before)
            self._before = None
            if self._scope is not None:
                self.turn.leave_scope(self._scope)
                self._scope = None
            if self._owned and self.turn.retrievals:
                self.turn.__exit__(None if error is None else type(error), error, None)


class OpenCalls(Generic[T]):
    """What belongs to each open call of a framework, by the framework's id of the call.

    At most ``limit`` are kept: a framework that reports no end for a cancelled call must not fill the memory.
    The call that began first makes room and is counted in ``lost``.
    """

    def __init__(self, limit: int = 10_000) -> None:
        self.lost = 0
        self._limit = limit
        self._calls: OrderedDict[str, T] = OrderedDict()
        self._lock = threading.Lock()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._after_fork)

    def __len__(self) -> int:
        return len(self._calls)

    def add(self, call_id: str, call: T) -> None:
        """Remember a call until :meth:`close`."""
        with self._lock:
            self._calls[call_id] = call
            if len(self._calls) > self._limit:
                self._calls.popitem(last=False)
                self.lost += 1

    def get(self, call_id: str | None) -> T | None:
        """Return what belongs to an open call."""
        return None if call_id is None else self._calls.get(call_id)

    def close(self, call_id: str) -> T | None:
        """Forget a call and return what belonged to it, or None for a call that is not kept."""
        with self._lock:
            return self._calls.pop(call_id, None)

    def _after_fork(self) -> None:
        """In a forked child: another thread of the parent may have held the lock."""
        self._lock = threading.Lock()


def raise_after(error: BaseException) -> None:
    """Raise the app's interrupt in this thread as soon as the framework's code goes on.

    For frameworks that swallow whatever their handlers raise: a ``KeyboardInterrupt`` or a task queue's time
    limit that comes up while a handler of ours runs belongs to the app. Errors of other kinds are left alone.
    """
    if is_interrupt(error):
        ctypes.pythonapi.PyThreadState_SetAsyncExc(
            ctypes.c_ulong(threading.get_ident()), ctypes.py_object(type(error))
        )
