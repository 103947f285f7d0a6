"""Functions of every kind, bound to a turn: ``turn.bind`` and ``turn.run``."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from ragwheel.guard import guard

if TYPE_CHECKING:
    from ragwheel.capture.scopes import Scope
    from ragwheel.capture.turn import Turn

__all__ = ["bound", "is_kind"]


def is_kind(test: Callable[[Any], bool], function: Any) -> bool:
    """Whether calling ``function`` gives what ``test`` (``inspect.iscoroutinefunction``, …) asks for."""
    if test(function):
        return True
    plain = inspect.isroutine(function) or isinstance(function, functools.partial)
    return not plain and test(type(function).__call__)


class _Within:
    """A block that is part of a turn, without beginning or ending the turn."""

    __slots__ = ("_scope", "_turn")

    def __init__(self, turn: Turn) -> None:
        self._turn = turn
        self._scope: Scope | None = None

    def __enter__(self) -> None:
        with guard("entering a turn"):
            self._scope = self._turn.enter_scope(sys._getframe(1))

    def __exit__(self, *_: object) -> None:
        if self._scope is not None:
            with guard("leaving a turn"):
                self._turn.leave_scope(self._scope)


def bound(turn: Turn, function: Callable[..., Any]) -> Callable[..., Any]:
    """Return ``function`` such that its calls, and the steps of its generators, are part of ``turn``."""
    if is_kind(inspect.isasyncgenfunction, function):

        async def agenerator(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
            with _Within(turn):
                async with aclosing(function(*args, **kwargs)) as items:
                    async for item in items:
                        yield item

        return _like(agenerator, function)
    if is_kind(inspect.iscoroutinefunction, function):

        async def coroutine(*args: Any, **kwargs: Any) -> Any:
            with _Within(turn):
                return await function(*args, **kwargs)

        return _like(coroutine, function)
    if is_kind(inspect.isgeneratorfunction, function):

        def generator(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
            with _Within(turn):
                return (yield from function(*args, **kwargs))

        return _like(generator, function)

    def call(*args: Any, **kwargs: Any) -> Any:
        with _Within(turn):
            return function(*args, **kwargs)

    return _like(call, function)


def _like(wrapper: Callable[..., Any], function: Callable[..., Any]) -> Callable[..., Any]:
    return functools.wraps(function)(wrapper)
