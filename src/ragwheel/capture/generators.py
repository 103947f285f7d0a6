"""Recording generators and async generators: the app gets the same items, one at a time, as they come.

``send``, ``throw``, ``close`` and the return value go straight through. A generator is recorded when it
ends: exhausted, closed, failed or abandoned. The context variable that marks a running retrieval is set
only while the generator's own code runs, never across a ``yield``. The wrappers can be pickled by value (see
:mod:`ragwheel.capture.wrapping`).
"""

from __future__ import annotations

import functools
from collections.abc import AsyncGenerator, Callable, Generator
from typing import Any

from ragwheel.capture.call import Spec

__all__ = ["recorded_async_generator", "recorded_generator"]


def recorded_generator(fn: Callable[..., Generator[Any, Any, Any]], spec: Spec) -> Callable[..., Any]:
    """Return ``fn``, recorded."""

    @functools.wraps(fn)
    def wrapper(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        spec.share_attributes(fn, attributes)
        call = spec.begin(args, kwargs)
        if call is None:
            return (yield from fn(*args, **kwargs))
        items = call.items()
        inner = fn(*call.args, **call.kwargs)
        step: Callable[[Any], Any] = inner.send
        value: Any = None
        while True:
            try:
                call.retrieval.enter()
                item = step(value)
            except StopIteration as end:
                if call.check is None:
                    items.end()
                else:
                    items.check(fn(*call.check.args, **call.check.kwargs))
                spec.share_attributes(fn, attributes)
                return end.value
            except BaseException as exc:
                if items.failed(exc):
                    raise
                inner = fn(*call.args, **call.kwargs)
                step, value = inner.send, None
                continue
            finally:
                call.retrieval.leave()
                value = None  # or an exception on its way through would be held by its own traceback
            if not items.add(item):
                return items.rest(inner)
            try:
                step, value = inner.send, (yield item)
            except BaseException as exc:  # GeneratorExit among them: what close() does is throw it
                step, value = inner.throw, exc

    attributes = wrapper.__dict__  # not the wrapper itself: dill would follow it in circles
    return wrapper


def recorded_async_generator(  # noqa: C901 - what it wraps must be pickled with it
    fn: Callable[..., AsyncGenerator[Any, Any]], spec: Spec
) -> Callable[..., Any]:
    """Return ``fn``, recorded."""

    @functools.wraps(fn)
    async def wrapper(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        spec.share_attributes(fn, attributes)
        call = spec.begin(args, kwargs)
        items = None if call is None else call.items()
        if call is not None:
            args, kwargs = call.args, call.kwargs
        inner = fn(*args, **kwargs)
        step: Callable[[Any], Any] = inner.asend
        value: Any = None
        while True:
            try:
                if call is not None:
                    call.retrieval.enter()
                item = await step(value)
            except StopAsyncIteration:
                if call is not None and call.check is not None and items is not None:
                    await items.async_check(fn(*call.check.args, **call.check.kwargs))
                elif items is not None:
                    items.end()
                spec.share_attributes(fn, attributes)
                return
            except BaseException as exc:
                if call is None or items is None or items.failed(exc):
                    raise
                inner = fn(*call.args, **call.kwargs)
                step, value = inner.asend, None
                continue
            finally:
                if call is not None:
                    call.retrieval.leave()
                value = None
            if items is not None and not items.add(item):
                await items.async_rest(inner)
                return
            try:
                step, value = inner.asend, (yield item)
            except BaseException as exc:
                step, value = inner.athrow, exc

    attributes = wrapper.__dict__  # not the wrapper itself: dill would follow it in circles
    return wrapper
