"""The parts that integrations of frameworks are built from, besides :func:`ragwheel.start_retrieval`.

* :class:`Engine` records a call of the framework that answers a question as a turn.
* :class:`OpenCalls` holds the calls that have begun and not ended, by the framework's own ids.
* :data:`guard` swallows and counts what breaks in an integration.
* :func:`check_whole` refuses an argument that is not a whole number in its range.
* :func:`require` checks which release of the framework is installed.
* :func:`recorded_stream` passes a streamed answer on and records it at its end.
* :func:`passages_of` returns the objects that a turn has retrieved, by their texts.
* :func:`passages_in` returns those of them whose texts are in a prompt.
* :func:`text_id` makes the id of a chunk that has none of its own.
* :func:`raise_after` raises an interrupt of the app again that the framework would swallow.

:class:`ragwheel.testing.IntegrationContract` has the tests that an integration inherits.
"""

from __future__ import annotations

import ctypes
import importlib.metadata
import os
import re
import sys
import threading
import time
from collections import OrderedDict
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from ragwheel.capture.context import current_turn
from ragwheel.capture.turn import turn
from ragwheel.errors import ConfigurationError
from ragwheel.guard import guard, is_interrupt
from ragwheel.host import safe
from ragwheel.host.columns import row, text_id

if TYPE_CHECKING:
    from collections.abc import (
        AsyncGenerator,
        AsyncIterator,
        Callable,
        Collection,
        Generator,
        Iterable,
        Iterator,
        Mapping,
    )

    from ragwheel.capture.scopes import Scope
    from ragwheel.capture.turn import Turn

__all__ = [
    "Engine",
    "OpenCalls",
    "check_whole",
    "guard",
    "passages_in",
    "passages_of",
    "raise_after",
    "recorded_stream",
    "require",
    "text_id",
]

T = TypeVar("T")

_LATEST_S: Final = 5.0

_engine: ContextVar[Engine | None] = ContextVar("ragwheel_engine", default=None)
_BEGINNING: Final = guard("beginning a framework's turn")
_ANSWERING: Final = guard("reading a framework's answer")
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
        with _ANSWERING:
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


def passages_of(of: Turn) -> dict[str, object]:
    """Return the app's objects that a turn has retrieved, by text.

    It is empty once the turn has let them go.
    """
    passages: dict[str, object] = {}
    for retrieval in of.retrievals:
        for rank in range(1, min(retrieval.n_returned, len(retrieval.chunk_ids)) + 1):
            item = retrieval.item(rank)
            if item is not None:
                passages.setdefault(safe.text(row(item, {}).text)[0], item)
    passages.pop("", None)
    return passages


def passages_in(of: Turn, texts: Iterable[str]) -> list[object]:
    """Return the app's objects that a turn has retrieved and whose texts are in a prompt, in prompt order.

    The whole text of a passage must occur. Where passages overlap, the longest one counts.

    Args:
        of: the turn.
        texts: the parts of the prompt.
    """
    prompt = "\n".join(texts)
    passages = passages_of(of)
    starts: list[tuple[int, object]] = []
    for passage in sorted(passages, key=len, reverse=True):
        start = prompt.find(passage)
        if start >= 0:
            starts.append((start, passages[passage]))
            prompt = prompt[:start] + "\0" * len(passage) + prompt[start + len(passage) :]
    return [item for _, item in sorted(starts, key=lambda entry: entry[0])]


def recorded_stream(
    stream: Any, done: Callable[[str], None], *, text_of: Callable[[Any], object] | None = None
) -> Any:
    """Return a generator that yields the same pieces; it is async if the stream is.

    Args:
        stream: an iterator or async iterator.
        done: called once with the whole text, when the stream has ended, failed, or is closed early. Its
            exceptions are swallowed and counted.
        text_of: returns the text of a piece that is not a string. A piece without text is not recorded.
    """
    pieces = _Pieces(done, text_of)
    return _recorded_async(stream, pieces) if hasattr(stream, "__anext__") else _recorded(stream, pieces)


class _Pieces:
    """The text of a stream so far."""

    def __init__(self, done: Callable[[str], None], text_of: Callable[[Any], object] | None) -> None:
        self._done, self._text_of = done, text_of
        self._texts: list[str] = []

    def add(self, piece: object) -> None:
        with _ANSWERING:
            text = piece if self._text_of is None else self._text_of(piece)
            if isinstance(text, str):
                self._texts.append(text)

    def end(self) -> None:
        with _ANSWERING:
            self._done("".join(self._texts))


def _recorded(stream: Iterator[Any], pieces: _Pieces) -> Generator[Any, None, None]:
    try:
        for piece in stream:
            pieces.add(piece)
            yield piece
    finally:
        pieces.end()


async def _recorded_async(stream: AsyncIterator[Any], pieces: _Pieces) -> AsyncGenerator[Any, None]:
    try:
        async for piece in stream:
            pieces.add(piece)
            yield piece
    finally:
        pieces.end()


def raise_after(error: BaseException, swallowing: Collection[str]) -> None:
    """Raise an interrupt of the app again in this thread, as soon as the framework no longer swallows it.

    This is for frameworks that swallow every exception of their handlers. A ``KeyboardInterrupt`` or a task
    queue's time limit that is raised while a handler of ours runs belongs to the app. Other errors are
    ignored.

    Args:
        error: the exception that the handler is about to raise.
        swallowing: names of the framework's functions that swallow it.
    """
    if is_interrupt(error):
        target = (threading.get_ident(), type(error), frozenset(swallowing))
        threading.Thread(target=_interrupt_later, args=target, daemon=True).start()


def _interrupt_later(thread_id: int, kind: type[BaseException], swallowing: frozenset[str]) -> None:
    deadline_s = time.monotonic() + _LATEST_S
    while time.monotonic() < deadline_s:
        frame = sys._current_frames().get(thread_id)
        while frame is not None and frame.f_code.co_name not in swallowing:
            frame = frame.f_back
        if frame is None:
            break
        time.sleep(0.001)
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread_id), ctypes.py_object(kind))


def check_whole(call: str, name: str, value: object, minimum: int = 1, *, advice: str = "") -> None:
    """Check that an argument of an integration is a whole number in its range.

    Args:
        call: the function or class, for the message; `name` is its parameter.
        minimum: the lowest allowed value.
        advice: a sentence that says what to try, such as ``Try k=5.``

    Raises:
        ragwheel.ConfigurationError: the value is not a whole number of at least `minimum`.
    """
    if type(value) is not int or value < minimum:
        message = f"{call}: {name} is {value!r}; allowed is a whole number from {minimum}"
        raise ConfigurationError(f"{message}. {advice}" if advice else message)


def require(integration: str, package: str, minimum: str) -> None:
    """Check that a framework is installed and new enough, before it is imported.

    Raises:
        ImportError: the framework is missing or too old; the message says what to install.
    """
    advice = f"pip install -U '{package}>={minimum}'"
    try:
        installed = importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        raise ImportError(
            f"{integration} needs {package} {minimum} or newer, which is not installed: {advice}"
        ) from None
    if _release(installed) < _release(minimum):
        raise ImportError(f"{integration} needs {package} {minimum} or newer, got {installed}: {advice}")


def _release(version: str) -> tuple[int, ...]:
    numbers = re.match(r"[0-9]+(\.[0-9]+)*", version)
    return tuple(map(int, numbers.group().split("."))) if numbers else ()
