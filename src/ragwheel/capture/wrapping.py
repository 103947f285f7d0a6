"""Recording functions and coroutine functions.

What wraps a function is a function of the same kind. It refers to nothing but the function, the
:class:`~ragwheel.capture.call.Spec` and itself, so that cloudpickle, dill and joblib can pickle it by value:
keep module-level objects out of the wrappers' bodies.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable
from typing import Any

from ragwheel.capture.bound import is_kind
from ragwheel.capture.call import Spec
from ragwheel.capture.generators import recorded_async_generator, recorded_generator

__all__ = ["recorded"]


def recorded(fn: Callable[..., Any], spec: Spec) -> Callable[..., Any]:
    """Return a function of the same kind that calls ``fn`` and records it."""
    for test, wrap in (
        (inspect.isasyncgenfunction, recorded_async_generator),
        (inspect.iscoroutinefunction, _coroutine),
        (inspect.isgeneratorfunction, recorded_generator),
    ):
        if is_kind(test, fn):
            return wrap(fn, spec)
    return _function(fn, spec)


def _function(fn: Callable[..., Any], spec: Spec) -> Callable[..., Any]:
    @functools.wraps(fn)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        spec.share_attributes(fn, attributes)
        call = spec.begin(args, kwargs)
        if call is None:
            result = fn(*args, **kwargs)
            spec.share_attributes(fn, attributes)
            return result
        with call:
            while not call.ended:
                try:
                    result = fn(*call.args, **call.kwargs)
                except BaseException as exc:
                    if call.raised(exc):
                        raise
                else:
                    if call.returned(result):
                        spec.share_attributes(fn, attributes)
                        return call.given
            return call.given

    attributes = wrapper.__dict__  # not the wrapper itself: dill would follow it in circles
    return wrapper


def _coroutine(fn: Callable[..., Awaitable[Any]], spec: Spec) -> Callable[..., Any]:
    @functools.wraps(fn)
    async def wrapper(*args: Any, **kwargs: Any) -> Any:
        spec.share_attributes(fn, attributes)
        call = spec.begin(args, kwargs)
        if call is None:
            result = await fn(*args, **kwargs)
            spec.share_attributes(fn, attributes)
            return result
        with call:
            while not call.ended:
                try:
                    result = await fn(*call.args, **call.kwargs)
                except BaseException as exc:
                    if call.raised(exc):
                        raise
                else:
                    if call.returned(result):
                        spec.share_attributes(fn, attributes)
                        return call.given
            return call.given

    attributes = wrapper.__dict__  # not the wrapper itself: dill would follow it in circles
    return wrapper
