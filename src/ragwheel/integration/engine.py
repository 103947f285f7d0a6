"""Calls of a framework that answer a question, recorded as turns."""

from __future__ import annotations

import os
import sys
import threading
from collections import OrderedDict
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from ragwheel.capture.context import current_turn
from ragwheel.capture.turn import turn
from ragwheel.guard import guard

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ragwheel.capture.scopes import Scope
    from ragwheel.capture.turn import Turn

__all__ = ["ANSWERING", "Engine", "OpenCalls"]

T = TypeVar("T")

#: Guards code that reads a framework's answer.
ANSWERING: Final = guard("reading a framework's answer")

_engine: ContextVar[Engine | None] = ContextVar("ragwheel_engine", default=None)
_BEGINNING: Final = guard("beginning a framework's turn")
_ENDING: Final = guard("ending a framework's turn")


class Engine:
    """One call of something that answers a question: a query engine, a chat engine, a pipeline, a module.

    Inside a turn of the app the engine records into that turn. Otherwise it opens a turn, which is stored if
    something was retrieved in it. An engine that runs inside another one does neither, since its answer is
    only a step of the other's.

    Attributes:
        turn: the turn that the answer belongs to. It stays set after the call has ended, for streamed
            answers.
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
        """Begin a call in this context. Returns None inside another engine; never raises."""
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

    @property
    def recorded(self) -> Mapping[str, Any]:
        """Return what the turn has recorded so far: ``answer``, ``citations``, ``prompted``, ``shown``."""
        return self.turn._record

    def set_question(self, question: object) -> None:
        """Set the question of a turn that was opened before the question was known."""
        with _BEGINNING:
            if self._owned and isinstance(question, str):
                self.turn.query = self.turn._text(question)

    def answer(
        self, text: object, *, prompted: Iterable[object] | None = None, citations: object = None
    ) -> None:
        """Record the answer and, if the framework says so, which chunks were in the prompt."""
        with ANSWERING:
            if self._owned and not self.turn.retrievals:
                return  # nothing was retrieved: no turn is stored
            if prompted is not None:
                self.turn.prompted(prompted)
            self.turn.answer(text, citations)

    def end(self, error: BaseException | None = None) -> None:
        """End the call.

        This may be called in another context than :meth:`begin`; only the first call counts.
        """
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
    """A bounded map from the framework's ids of open calls to what is recorded of each call.

    At most ``limit`` calls are kept, because a framework may report no end for a cancelled call. Beyond it
    the oldest call is dropped and counted in ``lost``.
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
