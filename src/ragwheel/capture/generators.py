"""Recording generators and async generators: the app gets the same items, one at a time, as they come.

``send``, ``throw``, ``close`` and the return value go straight through. A generator is recorded when it
ends: exhausted, closed, failed or abandoned. The context variable that marks a running retrieval is set
only while the generator's own code runs, never across a ``yield``.
"""

from __future__ import annotations

import functools
from collections.abc import AsyncGenerator, Callable, Generator
from typing import Any

from ragwheel.capture.call import Call, Spec
from ragwheel.capture.context import leave, running

__all__ = ["recorded_async_generator", "recorded_generator"]


class _Seen:
    """What a generator gave so far: all of it counted, the first ``capture_k`` items kept."""

    def __init__(self, call: Call) -> None:
        self.call = call
        self.limit = call.retrieval.capture_k
        self.items: list[Any] = []
        self.n_seen = 0
        self.n_given = 0

    def add(self, item: Any) -> bool:
        """Take in an item. True: it is for the app; False: it was over-fetched."""
        self.n_seen += 1
        if len(self.items) < self.limit:
            self.items.append(item)
        if self.call.k is not None and self.n_given == self.call.k:
            return False
        self.n_given += 1
        return True

    @property
    def enough(self) -> bool:
        """Whether all that was asked for has been seen."""
        return self.n_seen >= self.limit

    def end(self) -> None:
        """The generator returned, or nobody wants more of it."""
        self.call.end(self.items, self.n_given, self.n_seen)

    def failed(self, error: BaseException) -> bool:
        """It raised. False: nothing was given yet and it came of asking for more, start anew."""
        if isinstance(error, GeneratorExit):
            self.end()
        elif self.n_given:
            self.call.retrieval.fail(error)
        else:
            return self.call.raised(error)
        return True

    def failed_beyond_k(self) -> None:
        """It raised after the app had all that it asked for."""
        self.call.retrieval.flag("overfetch_failed")
        self.end()


def recorded_generator(fn: Callable[..., Generator[Any, Any, Any]], spec: Spec) -> Callable[..., Any]:
    """``fn``, recorded."""

    @functools.wraps(fn)
    def wrapper(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        call = spec.begin(args, kwargs)
        if call is None:
            return (yield from fn(*args, **kwargs))
        seen = _Seen(call)
        inner = fn(*call.args, **call.kwargs)
        step: Callable[[Any], Any] = inner.send
        value: Any = None
        while True:
            token = running.set(call.retrieval)
            try:
                item = step(value)
            except StopIteration as end:
                seen.end()
                return end.value
            except BaseException as exc:
                if seen.failed(exc):
                    raise
                inner = fn(*call.args, **call.kwargs)
                step, value = inner.send, None
                continue
            finally:
                leave(token)
                value = None  # or an exception on its way through would be held by its own traceback
            if not seen.add(item):
                return _rest(inner, seen)
            try:
                step, value = inner.send, (yield item)
            except BaseException as exc:  # GeneratorExit among them: what close() does is throw it
                step, value = inner.throw, exc

    return wrapper


def _rest(inner: Generator[Any, Any, Any], seen: _Seen) -> Any:
    """What was over-fetched, recorded and not given; the generator's return value."""
    token = running.set(seen.call.retrieval)
    try:
        while not seen.enough:
            seen.add(next(inner))
        inner.close()
    except StopIteration as end:
        seen.end()
        return end.value
    except Exception:  # the host's own code, at a place where the app's call would not have come
        seen.failed_beyond_k()
    except BaseException:
        seen.failed_beyond_k()
        raise
    else:
        seen.end()
    finally:
        leave(token)
    return None


def recorded_async_generator(fn: Callable[..., AsyncGenerator[Any, Any]], spec: Spec) -> Callable[..., Any]:
    """``fn``, recorded."""

    @functools.wraps(fn)
    async def wrapper(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        call = spec.begin(args, kwargs)
        seen = None if call is None else _Seen(call)
        if call is not None:
            args, kwargs = call.args, call.kwargs
        inner = fn(*args, **kwargs)
        step: Callable[[Any], Any] = inner.asend
        value: Any = None
        while True:
            token = None if call is None else running.set(call.retrieval)
            try:
                item = await step(value)
            except StopAsyncIteration:
                if seen is not None:
                    seen.end()
                return
            except BaseException as exc:
                if call is None or seen is None or seen.failed(exc):
                    raise
                inner = fn(*call.args, **call.kwargs)
                step, value = inner.asend, None
                continue
            finally:
                if token is not None:
                    leave(token)
                value = None
            if seen is not None and not seen.add(item):
                await _async_rest(inner, seen)
                return
            try:
                step, value = inner.asend, (yield item)
            except BaseException as exc:
                step, value = inner.athrow, exc

    return wrapper


async def _async_rest(inner: AsyncGenerator[Any, Any], seen: _Seen) -> None:
    """What was over-fetched, recorded and not given."""
    token = running.set(seen.call.retrieval)
    try:
        while not seen.enough:
            seen.add(await inner.__anext__())
        await inner.aclose()
    except StopAsyncIteration:
        seen.end()
    except Exception:  # the host's own code, at a place where the app's call would not have come
        seen.failed_beyond_k()
    except BaseException:  # cancelled
        seen.failed_beyond_k()
        raise
    else:
        seen.end()
    finally:
        leave(token)
