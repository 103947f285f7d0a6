"""The decorators: ``@ragwheel.retriever`` and ``@ragwheel.reranker``.

The host is untouched: same signature, same kind of callable, same result object, same exception object.
Whatever breaks in here is swallowed, counted and logged once.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from dataclasses import dataclass
from typing import Any, Final, TypeVar, overload

from ragwheel import runtime
from ragwheel.capture import overfetch
from ragwheel.capture.context import running, the_turn
from ragwheel.capture.generators import record_async_generator, record_generator
from ragwheel.capture.overfetch import Plan
from ragwheel.capture.recorder import RERANK, RETRIEVAL, Retrieval
from ragwheel.errors import ConfigurationError, OverfetchRefused
from ragwheel.guard import guard

__all__ = ["reranker", "retriever"]

F = TypeVar("F", bound=Callable[..., Any])
_QUERY_NAMES: Final = ("query", "question", "query_str", "q", "text", "input", "prompt", "search", "term")


@dataclass(frozen=True)
class _Spec:
    """What the decorator was told and found out about the function."""

    signature: inspect.Signature
    source: str
    name: str
    version: str
    kind: int
    query: str
    query_position: int | None
    k: str | None
    capture_k: int | None
    adapter: Callable[[Any], Any] | None

    def begin(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Retrieval | None, Plan]:
        """Start recording a call and plan how to make it. Never raises."""
        plan = Plan(args, kwargs)
        rt = runtime.active()
        if rt is None:
            return None, plan
        try:
            query = kwargs[self.query] if self.query in kwargs else self._positional_query(args)
            retrieval = Retrieval(rt, query, self.source, self.name, self.version, self.kind, None)
            outer = running.get()
            retrieval.place(the_turn.get() if outer is None else outer.turn, outer)
            if self.capture_k is not None:
                retrieval.capture_k = self.capture_k
            if self.k is not None:
                plan = overfetch.plan(self.signature, self.k, args, kwargs, retrieval.capture_k)
                retrieval.top_k = plan.k
                if plan.refused:
                    retrieval.flag(f"overfetch_refused: {plan.refused}")
        except Exception as exc:
            guard.caught("starting a retrieval", exc)
            return None, Plan(args, kwargs)
        return retrieval, plan

    def _positional_query(self, args: tuple[Any, ...]) -> object:
        position = self.query_position
        if position is not None and position < len(args):
            return args[position]
        parameter = self.signature.parameters.get(self.query)
        return None if parameter is None or parameter.default is parameter.empty else parameter.default


def _finish(retrieval: Retrieval, spec: _Spec, result: object, n_returned: int | None = None) -> None:
    retrieval.finish(result, returned=n_returned, adapter=spec.adapter)


def _cut(retrieval: Retrieval, plan: Plan, result: Any, spec: _Spec) -> tuple[Any, bool]:
    """What the app gets of an over-fetched result, recorded; False: it cannot be cut and must be asked for."""
    assert plan.k is not None
    try:
        given = overfetch.first_k(result, plan.k)
    except OverfetchRefused as exc:
        retrieval.flag(f"overfetch_refused: {exc}")
        return None, False
    _finish(retrieval, spec, result, min(plan.k, len(result)))
    return given, True


def _sync(fn: Callable[..., Any], spec: _Spec) -> Callable[..., Any]:
    def call(retrieval: Retrieval, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        token = running.set(retrieval)
        try:
            return fn(*args, **kwargs)
        finally:
            running.reset(token)

    @functools.wraps(fn)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        retrieval, plan = spec.begin(args, kwargs)
        if retrieval is None:
            return fn(*args, **kwargs)
        if plan.asked is not None:
            try:
                given, cut = _cut(retrieval, plan, call(retrieval, plan.args, plan.kwargs), spec)
                if cut:
                    return given
            except BaseException as exc:
                if not overfetch.may_be_about_k(exc):
                    retrieval.fail(exc)
                    raise
                retrieval.flag("overfetch_failed")
        try:
            result = call(retrieval, args, kwargs)
        except BaseException as exc:
            retrieval.fail(exc)
            raise
        _finish(retrieval, spec, result)
        return result

    return wrapper


def _async(fn: Callable[..., Awaitable[Any]], spec: _Spec) -> Callable[..., Any]:
    async def call(retrieval: Retrieval, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        token = running.set(retrieval)
        try:
            return await fn(*args, **kwargs)
        finally:
            running.reset(token)

    @functools.wraps(fn)
    async def wrapper(*args: Any, **kwargs: Any) -> Any:
        retrieval, plan = spec.begin(args, kwargs)
        if retrieval is None:
            return await fn(*args, **kwargs)
        if plan.asked is not None:
            try:
                given, cut = _cut(retrieval, plan, await call(retrieval, plan.args, plan.kwargs), spec)
                if cut:
                    return given
            except BaseException as exc:
                if not overfetch.may_be_about_k(exc):
                    retrieval.fail(exc)
                    raise
                retrieval.flag("overfetch_failed")
        try:
            result = await call(retrieval, args, kwargs)
        except BaseException as exc:
            retrieval.fail(exc)
            raise
        _finish(retrieval, spec, result)
        return result

    return wrapper


def _generator(fn: Callable[..., Generator[Any, Any, Any]], spec: _Spec) -> Callable[..., Any]:
    @functools.wraps(fn)
    def wrapper(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        retrieval, plan = spec.begin(args, kwargs)
        if retrieval is None:
            return (yield from fn(*args, **kwargs))
        k = plan.k if plan.asked is not None else None
        return (yield from record_generator(lambda: fn(*plan.args, **plan.kwargs), retrieval, k, spec.adapter))

    return wrapper


def _async_generator(fn: Callable[..., AsyncGenerator[Any, Any]], spec: _Spec) -> Callable[..., Any]:
    @functools.wraps(fn)
    async def wrapper(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        retrieval, plan = spec.begin(args, kwargs)
        k = plan.k if plan.asked is not None else None
        items = record_async_generator(fn(*plan.args, **plan.kwargs), retrieval, k, spec.adapter)
        error: BaseException | None = None
        sent: Any = None
        try:
            while True:
                try:
                    item = await (items.asend(sent) if error is None else items.athrow(error))
                except StopAsyncIteration:
                    return
                error = sent = None
                try:
                    sent = yield item
                except GeneratorExit:
                    raise
                except BaseException as exc:
                    error = exc
        finally:
            await items.aclose()

    return wrapper


@overload
def retriever(fn: F, /) -> F: ...
@overload
def retriever(
    *,
    name: str | None = None,
    source: str | None = None,
    k: str | None = None,
    capture_k: int | None = None,
    version: str | None = None,
    adapter: Callable[[Any], Any] | None = None,
    query: str | None = None,
) -> Callable[[F], F]: ...
def retriever(fn: Any = None, /, **options: Any) -> Any:
    """Record every call of a retrieval function: sync, async, generator or async generator.

    Used bare (``@ragwheel.retriever``) or with options:

    Args:
        name: the retriever's name (default: the function's).
        source: the index or data source that its chunk ids belong to (default: the name).
        k: name of the parameter that says how many chunks to return. Naming it asks for over-fetch:
            ``capture_k`` chunks are asked for and recorded, the app gets the first k. Refused, with the
            reason recorded, where that would change what the app gets.
        capture_k: at most this many chunks are recorded (default: as configured).
        version: of the retriever, so that versions can be told apart later.
        adapter: turns one returned item into a dict with ``id``, ``text``, ``score``, ``metadata`` (or
            anything else ragwheel reads); an adapter that cannot take an item gets the whole result.
        query: name of the parameter that holds the query (default: ``query``, ``question``, … or the first).

    Raises:
        ConfigurationError: while decorating, when an option cannot be used.
    """
    return _decorate(fn, options, RETRIEVAL)


@overload
def reranker(fn: F, /) -> F: ...
@overload
def reranker(
    *,
    name: str | None = None,
    source: str | None = None,
    version: str | None = None,
    capture_k: int | None = None,
    adapter: Callable[[Any], Any] | None = None,
    query: str | None = None,
) -> Callable[[F], F]: ...
def reranker(fn: Any = None, /, **options: Any) -> Any:
    """Record every call of a function that re-orders or filters chunks; options as for :func:`retriever`.

    In a turn, what the last re-ranker returned is what the LLM is assumed to have seen.
    """
    if "k" in options:
        raise ConfigurationError("reranker: got k=..., which is for retrievers; a re-ranker cannot be over-fetched.")
    return _decorate(fn, options, RERANK)


def _decorate(fn: Any, options: dict[str, Any], kind: int) -> Any:
    allowed = {"name", "source", "k", "capture_k", "version", "adapter", "query"}
    unknown = sorted(options.keys() - allowed)
    if unknown:
        raise ConfigurationError(f"retriever: got {', '.join(unknown)}, allowed: {', '.join(sorted(allowed))}.")
    if fn is None:
        return lambda found: _decorate(found, options, kind)
    if isinstance(fn, (staticmethod, classmethod)):
        return type(fn)(_decorate(fn.__func__, options, kind))
    if not callable(fn):
        raise ConfigurationError(
            f"retriever: got a {type(fn).__name__}, allowed: a function. "
            f"For a LangChain retriever use ragwheel_langchain.wrap_retriever."
        )
    spec = _spec(fn, options, kind)
    if inspect.isasyncgenfunction(fn):
        return _async_generator(fn, spec)
    if inspect.iscoroutinefunction(fn) or inspect.iscoroutinefunction(getattr(fn, "__call__", None)):
        return _async(fn, spec)
    return _generator(fn, spec) if inspect.isgeneratorfunction(fn) else _sync(fn, spec)


def _spec(fn: Callable[..., Any], options: dict[str, Any], kind: int) -> _Spec:
    signature = inspect.signature(fn)
    names = list(signature.parameters)
    k, query = options.get("k"), options.get("query")
    for option, parameter in (("k", k), ("query", query)):
        if parameter is not None and parameter not in names:
            raise ConfigurationError(
                f"retriever({option}={parameter!r}): {getattr(fn, '__name__', fn)} has no such parameter; "
                f"allowed: {', '.join(names) or 'none, it takes no argument'}."
            )
    capture_k = options.get("capture_k")
    if capture_k is not None and (type(capture_k) is not int or not 1 <= capture_k <= 1000):
        raise ConfigurationError(f"retriever(capture_k={capture_k!r}): allowed: a whole number from 1 to 1000.")
    if query is None:
        positional = [n for n in names if n not in {"self", "cls"}]
        query = next((n for n in _QUERY_NAMES if n in names), positional[0] if positional else "")
    parameter_kind = signature.parameters[query].kind if query in names else None
    by_position = parameter_kind not in {None, inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.VAR_KEYWORD}
    name = options.get("name") or getattr(fn, "__name__", type(fn).__name__)
    return _Spec(
        signature, options.get("source") or name, name, options.get("version") or "", kind, query,
        names.index(query) if by_position else None, k, capture_k, options.get("adapter"),
    )  # fmt: skip
