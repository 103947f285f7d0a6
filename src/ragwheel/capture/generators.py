"""Recording generators and async generators: the app gets the same items, one at a time, as they come.

A generator is recorded when it ends: exhausted, closed, failed or abandoned. The context variable that
marks a running retrieval is set only while the generator's own code runs, never across a ``yield``.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from typing import Any

from ragwheel.capture.context import running
from ragwheel.capture.recorder import Retrieval

__all__ = ["record_async_generator", "record_generator"]


class _Seen:
    """The items so far: the first ``capture_k`` kept, all counted."""

    def __init__(self, retrieval: Retrieval, adapter: Callable[[Any], Any] | None) -> None:
        self.retrieval, self.adapter = retrieval, adapter
        self.items: list[Any] = []
        self.n = 0

    def add(self, item: Any) -> None:
        self.n += 1
        if self.n <= self.retrieval.capture_k:
            self.items.append(item)

    def end(self, given: int) -> None:
        self.retrieval.finish(self.items, returned=given, adapter=self.adapter)


def record_generator(
    make: Callable[[], Generator[Any, Any, Any]],
    retrieval: Retrieval,
    k: int | None,
    adapter: Callable[[Any], Any] | None,
) -> Generator[Any, Any, Any]:
    """Give the app the generator's items, the first ``k`` of them when over-fetching, and record all.

    ``send``, ``throw``, ``close`` and the return value go through as by ``yield from``.
    """
    seen = _Seen(retrieval, adapter)
    given = 0

    def step(move: Callable[[], Any]) -> Any:
        token = running.set(retrieval)
        try:
            return move()
        finally:
            running.reset(token)

    try:
        inner = step(make)
        move: Callable[[], Any] = lambda: next(inner)  # noqa: E731
        while True:
            item = step(move)
            seen.add(item)
            if k is not None and given >= k:
                move = lambda: next(inner)  # noqa: E731
                continue  # over-fetched: recorded, not given
            given += 1
            try:
                sent = yield item
            except GeneratorExit:
                step(inner.close)
                raise
            except BaseException:
                error = sys.exc_info()[1]
                move = lambda error=error: inner.throw(error)  # type: ignore[misc]  # noqa: E731
            else:
                move = (lambda: next(inner)) if sent is None else (lambda sent=sent: inner.send(sent))  # type: ignore[misc]
    except StopIteration as end:
        seen.end(max(given, seen.n) if k is None else given)
        return end.value
    except GeneratorExit:
        seen.end(given)
        raise
    except BaseException as exc:
        retrieval.fail(exc)
        raise


async def record_async_generator(
    inner: AsyncGenerator[Any, Any],
    retrieval: Retrieval | None,
    k: int | None,
    adapter: Callable[[Any], Any] | None,
) -> AsyncGenerator[Any, Any]:
    """The same for an async generator; ``retrieval`` None records nothing."""
    seen = None if retrieval is None else _Seen(retrieval, adapter)
    given = 0

    async def step(move: Awaitable[Any]) -> Any:
        token = running.set(retrieval) if retrieval is not None else None
        try:
            return await move
        finally:
            if token is not None:
                running.reset(token)

    move: Callable[[], Awaitable[Any]] = inner.__anext__
    try:
        while True:
            item = await step(move())
            move = inner.__anext__
            if seen is not None:
                seen.add(item)
            if k is not None and given >= k:
                continue  # over-fetched: recorded, not given
            given += 1
            try:
                sent = yield item
            except GeneratorExit:
                raise
            except BaseException as error:
                move = _bound(inner.athrow, error)
            else:
                if sent is not None:
                    move = _bound(inner.asend, sent)
    except StopAsyncIteration:
        if seen is not None:
            seen.end(given)
    except GeneratorExit:
        await inner.aclose()
        if seen is not None:
            seen.end(given)
        raise
    except BaseException as exc:
        if retrieval is not None:
            retrieval.fail(exc)
        raise


def _bound(method: Callable[[Any], Awaitable[Any]], value: Any) -> Callable[[], Awaitable[Any]]:
    return lambda: method(value)
