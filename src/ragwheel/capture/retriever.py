"""The decorators: ``@ragwheel.retriever`` and ``@ragwheel.reranker``.

The host is untouched: same signature, same kind of callable, same result object, same exception object.
Whatever breaks in here is swallowed, counted and logged once.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from types import FunctionType
from typing import Any, Final, TypeVar, overload

from ragwheel.capture.call import Spec
from ragwheel.capture.checks import CHECKED_CALLS
from ragwheel.capture.learned import Learned
from ragwheel.capture.objects import recorded_object
from ragwheel.capture.parameters import CallParameters
from ragwheel.capture.recorder import RERANK, RETRIEVAL
from ragwheel.capture.wrapping import recorded
from ragwheel.errors import ConfigurationError
from ragwheel.host import safe

__all__ = ["reranker", "retriever"]

F = TypeVar("F", bound=Callable[..., Any])
_QUERY_NAMES: Final = (
    "query", "question", "query_str", "q", "text", "input", "prompt", "search", "term",
)  # fmt: skip
_NAMES: Final = {RETRIEVAL: "retriever", RERANK: "reranker"}
_OPTIONS: Final = ("name", "source", "k", "capture_k", "version", "adapter", "query", "check_overfetch")
_OF_OVERFETCH: Final = frozenset({"k", "check_overfetch"})
_ANY_CALL: Final = inspect.Signature(
    [
        inspect.Parameter("args", inspect.Parameter.VAR_POSITIONAL),
        inspect.Parameter("kwargs", inspect.Parameter.VAR_KEYWORD),
    ]
)


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
    check_overfetch: int = CHECKED_CALLS,
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
        capture_k: at most this many chunks are recorded (default, and most: as configured).
        version: of the retriever, so that versions can be told apart later.
        adapter: turns one returned item into a dict with ``id``, ``text``, ``score``, ``metadata`` (or
            anything else ragwheel reads); an adapter that cannot take an item gets the whole result.
        query: name of the parameter that holds the query (default: ``query``, ``question``, … or the first).
        check_overfetch: so many over-fetched calls (default 3) are preceded by the app's own, whose result
            the app gets; when the two differ, the function is not asked for more again. 0 checks none, for a
            function that must not be called twice.

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

    Its chunks belong to the source of the retrieval that they came from, unless ``source`` is given. In a
    turn, what the last re-ranker returned is what the LLM is assumed to have seen. There is no ``k``: what
    a re-ranker gives for a larger k is not known to begin with the same chunks.
    """
    return _decorate(fn, options, RERANK)


def _decorate(fn: Any, options: dict[str, Any], kind: int) -> Any:
    what = _NAMES[kind]
    _check_options(what, options, kind)
    if fn is None:
        return functools.partial(_decorate, options=options, kind=kind)
    if isinstance(fn, (staticmethod, classmethod)):
        return type(fn)(_decorate(fn.__func__, options, kind))
    if isinstance(fn, type) or not callable(fn):
        got = f"the class {fn.__name__}" if isinstance(fn, type) else f"a {type(fn).__name__}"
        raise ConfigurationError(
            f"{what}: got {got}, allowed: a function or method. Decorate the method that searches; "
            f"for a LangChain retriever use ragwheel_langchain.wrap_retriever."
        )
    wrapped = recorded(fn, spec(fn, options, kind))
    if type(fn) is FunctionType:
        return wrapped
    return recorded_object(fn, wrapped, functools.partial(_decorate, options=options, kind=kind))


def _check_options(what: str, options: dict[str, Any], kind: int) -> None:
    allowed = [name for name in _OPTIONS if name not in _OF_OVERFETCH or kind != RERANK]
    unknown = sorted(options.keys() - allowed)
    if unknown:
        raise ConfigurationError(f"{what}: got {', '.join(unknown)}, allowed: {', '.join(allowed)}.")
    for option in ("name", "source", "version", "k", "query"):
        value = options.get(option)
        if value is not None and (not isinstance(value, str) or not value or safe.text(value, 200)[1]):
            raise ConfigurationError(
                f"{what}({option}={value!r:.100}): allowed: a string of 1 to 200 characters."
            )
    capture_k = options.get("capture_k")
    if capture_k is not None and (type(capture_k) is not int or not 1 <= capture_k <= 1000):
        raise ConfigurationError(
            f"{what}(capture_k={capture_k!r:.100}): allowed: a whole number from 1 to 1000."
        )
    checks = options.get("check_overfetch", CHECKED_CALLS)
    if type(checks) is not int or not 0 <= checks <= 1000:
        raise ConfigurationError(
            f"{what}(check_overfetch={checks!r:.100}): allowed: a whole number from 0 (no check) to 1000."
        )
    adapter = options.get("adapter")
    if adapter is not None and not callable(adapter):
        raise ConfigurationError(
            f"{what}(adapter={adapter!r:.100}): allowed: a function of one returned item."
        )


def spec(fn: Callable[..., Any], options: dict[str, Any], kind: int) -> Spec:
    """Work out how calls of ``fn`` are to be recorded; module-level, for unpickling a :class:`Spec`."""
    what = _NAMES[kind]
    try:
        signature = inspect.signature(fn)
    except (TypeError, ValueError):  # a function in C that does not say
        signature = _ANY_CALL
    parameters = signature.parameters
    name = options.get("name") or _name_of(fn)
    k, query = options.get("k"), options.get("query")
    open_ended = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    for option, parameter in (("k", k), ("query", query)):
        if parameter is not None and parameter not in parameters and not open_ended:
            raise ConfigurationError(
                f"{what}({option}={parameter!r}): {name} has no such parameter; "
                f"allowed: {', '.join(parameters) or 'none, it takes no argument'}."
            )
    names = [n for n in parameters if n not in {"self", "cls"}]
    query = query or next((n for n in _QUERY_NAMES if n in names), names[0] if names else "")
    held = parameters.get(query)
    by_position = held is not None and held.kind not in {held.KEYWORD_ONLY, held.VAR_KEYWORD}
    return Spec(
        rebuilt=(spec, (fn, options, kind)),
        parameters=CallParameters(signature),
        name=name,
        source=options.get("source") or (None if kind == RERANK else name),
        version=options.get("version") or "",
        kind=kind,
        query=query,
        query_position=list(parameters).index(query) if by_position else None,
        k=k,
        capture_k=options.get("capture_k"),
        adapter=options.get("adapter"),
        learned=Learned(options.get("check_overfetch", CHECKED_CALLS)),
    )


def _name_of(fn: Any) -> str:
    """``search``, ``Store.search`` for a method, the class's name for an object that can be called."""
    while isinstance(fn, functools.partial):
        fn = fn.func
    name = getattr(fn, "__qualname__", None)
    return name.rpartition("<locals>.")[2] if isinstance(name, str) else type(fn).__qualname__
