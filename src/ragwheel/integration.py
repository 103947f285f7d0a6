"""What an integration of a framework is built from, beside :func:`ragwheel.start_retrieval`.

* :class:`Engine`: a call of the framework that answers a question becomes a turn.
* :class:`OpenCalls`: the calls that have begun and not ended, by the framework's own ids.
* :data:`guard`: swallows and counts what breaks in an integration.
* :func:`check_whole`: refuses what is no whole number, as all integrations do.
* :func:`require`: says which release of the framework to install.
* :func:`recorded_stream`: hands a streamed answer on and records it at its end.
* :func:`passages_of`: what a turn has retrieved, by its texts.
* :func:`passages_in`: what a turn has retrieved and put into a prompt.
* :func:`text_id`: the id of a chunk that has none of its own.
* :func:`raise_after`: lets the app's interrupts through a framework that swallows what a handler raises.

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

    @property
    def recorded(self) -> Mapping[str, Any]:
        """What the turn has recorded so far: ``answer``, ``citations``, ``prompted``, ``shown``."""
        return self.turn._record

    def asked(self, question: object) -> None:
        """Name the question of a turn that was opened before it was known."""
        with _BEGINNING:
            if self._owned and isinstance(question, str):
                self.turn.query = self.turn._text(question)

    def answer(
        self, text: object, *, prompted: Iterable[object] | None = None, citations: object = None
    ) -> None:
        """Record the answer, and which chunks were in the prompt where the framework says so."""
        with _ANSWERING:
            if self._owned and not self.turn.retrievals:
                return  # nothing was retrieved: no turn is stored
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


def passages_of(of: Turn) -> dict[str, object]:
    """Return the app's objects that a turn has retrieved, by their texts; only while the turn keeps them."""
    passages: dict[str, object] = {}
    for retrieval in of.retrievals:
        for rank in range(1, min(retrieval.n_returned, len(retrieval.chunk_ids)) + 1):
            item = retrieval.item(rank)
            if item is not None:
                passages.setdefault(safe.text(row(item, {}).text)[0], item)
    passages.pop("", None)
    return passages


def passages_in(of: Turn, texts: Iterable[str]) -> list[object]:
    """Return the app's objects that a turn has retrieved and that stand in a prompt, in their order there.

    A passage counts where its whole text stands and no longer passage has been found in the same place.

    Args:
        of: the turn; it knows its objects only while it keeps them.
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
    """Return a generator of the same pieces; an async one for an async stream.

    Args:
        stream: an iterator or async iterator.
        done: is called once with all the text, when the stream has ended, failed, or is closed early. What
            it raises is swallowed and counted.
        text_of: the text of a piece that is no string. Pieces without text are handed on and not recorded.
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
    """Raise the app's interrupt in this thread once the framework no longer swallows it.

    For frameworks that swallow whatever their handlers raise: a ``KeyboardInterrupt`` or a task queue's time
    limit that comes up while a handler of ours runs belongs to the app. Errors of other kinds are left alone.

    Args:
        error: what the handler is about to raise.
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
    """Check a number that an app gives to an integration.

    Args:
        call: the function or class that it was given to, and `name`, its parameter.
        minimum: the lowest that is allowed.
        advice: the sentence that says what to try, such as ``Try k=5.``

    Raises:
        ragwheel.ConfigurationError: it is no whole number from `minimum`; the message says so.
    """
    if type(value) is not int or value < minimum:
        message = f"{call}: {name} is {value!r}; allowed is a whole number from {minimum}"
        raise ConfigurationError(f"{message}. {advice}" if advice else message)


def require(integration: str, package: str, minimum: str) -> None:
    """Check that the framework is installed and new enough, before it is imported.

    Raises:
        ImportError: it is missing or too old; the message says what to install.
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
