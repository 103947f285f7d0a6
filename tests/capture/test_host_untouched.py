"""Promise 1: a wrapped callable and the bare one cannot be told apart by what they do.

Every case is run bare and wrapped, and what the caller sees is compared.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
import gc
import inspect
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider

import ragwheel
from ragwheel.capture.context import running
from ragwheel.capture.scopes import the_scope
from ragwheel.guard import guard

RESULT = [{"id": "a", "text": "one"}, {"id": "b", "text": "two"}]


class Broken(Exception):
    """What the host raises."""


ERROR = Broken("the host's own")


@ragwheel.retriever(k="k")
def at_module_level(query: str, k: int = 2) -> list[dict[str, str]]:
    """Find chunks."""
    return RESULT[:k]


class Index:
    """Methods of every kind."""

    @ragwheel.retriever
    def method(self, query: str) -> object:
        return self, query

    @ragwheel.retriever
    @classmethod
    def of_class(cls, query: str) -> object:
        return cls, query

    @classmethod
    @ragwheel.retriever
    def of_class_inside(cls, query: str) -> object:
        return cls, query

    @ragwheel.retriever
    @staticmethod
    def static(query: str) -> object:
        return query

    @ragwheel.retriever
    async def coroutine(self, query: str) -> object:
        return self, query

    @ragwheel.retriever
    def generator(self, query: str):
        yield self
        yield query


class Callable:
    """An object that can be called."""

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def __call__(self, query: str) -> object:
        return RESULT


class AsyncCallable:
    """An object whose call is a coroutine."""

    async def __call__(self, query: str) -> object:
        return RESULT


class GeneratorCallable:
    """An object whose call is a generator."""

    def __call__(self, query: str):
        yield from RESULT


class AsyncGeneratorCallable:
    """An object whose call is an async generator."""

    async def __call__(self, query: str):
        for item in RESULT:
            yield item


def sync(query: str, /, k: int = 2, *args: int, flag: bool = False, **options: int) -> list[dict[str, str]]:
    """A function with every kind of parameter."""
    return RESULT


async def coroutine(query: str, *, k: int = 2) -> list[dict[str, str]]:
    """A coroutine function."""
    return RESULT


def generator(query: str, k: int = 2):
    """A generator function."""
    yield from RESULT


async def async_generator(query: str, k: int = 2):
    """An async generator function."""
    for item in RESULT:
        yield item


FUNCTIONS = [sync, coroutine, generator, async_generator]
KINDS = [
    inspect.isfunction,
    inspect.isroutine,
    inspect.iscoroutinefunction,
    inspect.isgeneratorfunction,
    inspect.isasyncgenfunction,
    asyncio.iscoroutinefunction
    if not hasattr(inspect, "markcoroutinefunction")
    else inspect.iscoroutinefunction,
    callable,
]


@pytest.mark.parametrize("fn", FUNCTIONS, ids=lambda fn: fn.__name__)
@pytest.mark.parametrize("options", [{}, {"k": "k"}], ids=["plain", "overfetch"])
def test_looks_the_same(fn, options):
    wrapped = ragwheel.retriever(**options)(fn)
    assert inspect.signature(wrapped) == inspect.signature(fn)
    assert [is_kind(wrapped) for is_kind in KINDS] == [is_kind(fn) for is_kind in KINDS]
    for name in ("__name__", "__qualname__", "__module__", "__doc__", "__annotations__"):
        assert getattr(wrapped, name) == getattr(fn, name)
    assert inspect.unwrap(wrapped) is fn


def test_pickles_as_the_bare_one_does():
    assert pickle.loads(pickle.dumps(at_module_level)) is at_module_level


def test_an_attribute_of_the_function_stays():
    def search(query):
        return RESULT

    cache = search.__dict__["cache"] = {}
    assert ragwheel.retriever(search).__dict__["cache"] is cache


@pytest.mark.parametrize(
    "wrap",
    [ragwheel.retriever, ragwheel.reranker, ragwheel.retriever(k="k"), ragwheel.retriever(adapter=dict)],
    ids=["bare", "reranker", "k", "adapter"],
)
def test_the_result_is_the_same_object(store, wrap):
    for result in (RESULT, tuple(RESULT), iter(RESULT), None, {"documents": RESULT}, object(), "text", 7):
        assert wrap(lambda query, k=50, result=result: result)("q") is result


async def test_methods_and_callables(store):
    index = Index()
    assert index.method("q") == (index, "q")
    assert Index.method(index, "q") == (index, "q")
    assert index.of_class("q") == Index.of_class_inside("q") == (Index, "q")
    assert index.static("q") == Index.static("q") == "q"
    assert await index.coroutine("q") == (index, "q")
    assert list(index.generator("q")) == [index, "q"]
    assert ragwheel.retriever(Callable("x"))("q") is RESULT
    assert await ragwheel.retriever(AsyncCallable())("q") is RESULT
    assert list(ragwheel.retriever(GeneratorCallable())("q")) == RESULT
    assert [item async for item in ragwheel.retriever(AsyncGeneratorCallable())("q")] == RESULT
    partial = functools.partial(functools.partial(sync, flag=True), k=3)
    assert ragwheel.retriever(partial)("q") is RESULT
    assert await ragwheel.retriever(functools.partial(coroutine, k=3))("q") is RESULT
    assert ragwheel.retriever(index.static)("q") == "q"
    assert {row["retriever"]: row["query"] for row in store.retrievals()} == {
        "Index.method": "q",
        "Index.of_class": "q",
        "Index.of_class_inside": "q",
        "Index.static": "q",
        "Index.coroutine": "q",
        "Index.generator": "q",
        "Callable": "q",
        "AsyncCallable": "q",
        "GeneratorCallable": "q",
        "AsyncGeneratorCallable": "q",
        "sync": "q",
        "coroutine": "q",
    }


def test_a_function_in_c_is_recorded(store):
    class Held(dict):
        pass

    held = Held(q=RESULT)
    assert ragwheel.retriever(name="held")(held.get)("q") is RESULT
    assert store.retrieval()["query"] == "q"


# exceptions


def caught(call, *args):
    try:
        call(*args)
    except BaseException as exc:
        return exc
    raise AssertionError("nothing was raised")


@pytest.mark.parametrize(
    "error", [ERROR, KeyboardInterrupt(), SystemExit(3), StopIteration(1), GeneratorExit()]
)
def test_the_exception_is_the_same_object(store, error):
    @ragwheel.retriever
    def search(query):
        raise error

    error.__traceback__ = error.__context__ = None
    found = caught(search, "q")
    assert found is error
    assert found.__context__ is found.__cause__ is None
    assert store.retrieval()["error"] == type(error).__name__


def test_no_context_is_added_to_an_exception_after_a_larger_k(store):
    asked = []

    @ragwheel.retriever(k="k", check_overfetch=0)
    def search(query, k=2):
        asked.append(k)
        raise ERROR

    ERROR.__traceback__ = ERROR.__context__ = None
    assert caught(search, "q") is ERROR
    assert ERROR.__context__ is ERROR.__cause__ is None
    assert asked == [40, 2]
    assert store.retrieval()["flags"] == ["overfetch_failed"]


def test_the_context_of_the_callers_own_handler_stays(store):
    def in_handler(fn):
        try:
            raise KeyError("before")
        except KeyError:
            fn("q")

    @ragwheel.retriever
    def search(query):
        raise Broken

    found = caught(in_handler, search)
    assert type(found) is Broken
    assert type(found.__context__) is KeyError
    assert found.__cause__ is None


async def test_coroutine_raises_and_is_cancelled_as_the_bare_one(store):
    entered, released = asyncio.Event(), asyncio.Event()

    @ragwheel.retriever
    async def search(query):
        if query == "raise":
            raise ERROR
        entered.set()
        await released.wait()

    with pytest.raises(Broken) as found:
        await search("raise")
    assert found.value is ERROR
    task = asyncio.create_task(search("wait"))
    await entered.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [row["error"] for row in store.retrievals()] == ["Broken", "CancelledError"]


async def test_coroutine_closed_in_another_context(store):
    cleaned = []

    @ragwheel.retriever
    async def search(query):
        try:
            await asyncio.Future()
        finally:
            cleaned.append(query)

    running_one = search("q")
    running_one.send(None)
    contextvars.Context().run(running_one.close)
    assert cleaned == ["q"]
    assert store.retrieval()["error"] == "GeneratorExit"
    running.set(None)  # what was set in this context by driving it by hand


# reentrancy, threads, contexts


def test_recursion(store):
    @ragwheel.retriever
    def search(query):
        return RESULT if query == "q" else search(query[1:])

    assert search("..q") is RESULT
    rows = store.retrievals()
    assert [row["query"] for row in rows] == ["..q", ".q", "q"]
    assert [row["outer_id"] for row in rows] == [None, rows[0]["retrieval_id"], rows[1]["retrieval_id"]]
    assert [row["exposures"] for row in rows] == [["returned"] * 2, ["logged"] * 2, ["logged"] * 2]


def test_threads_do_not_see_each_other(store):
    inside = threading.Barrier(4)

    @ragwheel.retriever
    def search(query):
        inside.wait(10)
        return [{"id": query, "text": query}]

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(search, "abcd"))
    assert [chunks[0]["id"] for chunks in found] == list("abcd")
    assert {row["query"]: row["ids"] for row in store.retrievals()} == {name: [name] for name in "abcd"}
    assert {row["outer_id"] for row in store.retrievals()} == {None}


async def test_gathered_tasks_do_not_see_each_other(store):
    @ragwheel.retriever
    async def search(query):
        await asyncio.sleep(0)
        return [{"id": query, "text": query}]

    found = await asyncio.gather(*(search(name) for name in "abcd"))
    assert [chunks[0]["id"] for chunks in found] == list("abcd")
    assert {row["outer_id"] for row in store.retrievals()} == {None}


async def test_a_task_that_outlives_the_retrieval_is_not_part_of_it(store):
    ended = asyncio.Event()
    tasks = []

    @ragwheel.retriever
    async def later(query):
        return RESULT

    async def background():
        await ended.wait()
        return await later("later")

    @ragwheel.retriever
    async def search(query):
        tasks.append(asyncio.create_task(background()))
        return RESULT

    with ragwheel.turn() as turn:
        await search("now")
    ended.set()
    await tasks[0]
    assert len(turn.retrievals) == 1
    assert [(row["query"], row["outer_id"], row["turn_id"] is None) for row in store.retrievals()] == [
        ("now", None, False),
        ("later", None, True),
    ]


async def test_no_context_variable_leaks(store):
    ours = {running, the_scope}

    def ours_now():
        return {var for var, value in contextvars.copy_context().items() if var in ours and value is not None}

    seen = []

    def host(query):
        seen.append(running.get() is not None)
        return RESULT

    async def ahost(query):
        seen.append(running.get() is not None)
        return RESULT

    def items(query):
        seen.append(running.get() is not None)
        yield ours_now()

    async def aitems(query):
        seen.append(running.get() is not None)
        yield ours_now()

    with ragwheel.turn():
        ragwheel.retriever(host)("q")
        await ragwheel.retriever(ahost)("q")
    ragwheel.retriever(host)("q")
    for _ in ragwheel.retriever(items)("q"):
        assert ours_now() == set()  # not across a yield
    async for _ in ragwheel.retriever(aitems)("q"):
        assert ours_now() == set()
    assert ours_now() == set()
    assert seen == [True] * 5


async def test_the_hosts_context_variables_work_as_before(store):
    name: contextvars.ContextVar[str] = contextvars.ContextVar("name", default="")

    @ragwheel.retriever
    def search(query):
        name.set(query)
        return RESULT

    @ragwheel.retriever
    async def asearch(query):
        name.set(query)
        return RESULT

    @ragwheel.retriever
    def items(query):
        name.set(query)
        yield from RESULT

    search("sync")
    assert name.get() == "sync"
    await asearch("async")
    assert name.get() == "async"
    next(items("generator"))
    assert name.get() == "generator"


async def test_the_apps_current_span_is_the_same_inside(store):
    tracer = TracerProvider().get_tracer("app")
    seen = []

    @ragwheel.retriever
    def search(query):
        seen.append(trace.get_current_span())
        return RESULT

    @ragwheel.retriever
    async def asearch(query):
        seen.append(trace.get_current_span())
        return RESULT

    @ragwheel.retriever
    def items(query):
        seen.append(trace.get_current_span())
        yield from RESULT

    with ragwheel.turn(), tracer.start_as_current_span("app's own") as span:
        search("q")
        await asearch("q")
        list(items("q"))
        assert trace.get_current_span() is span
    assert [found is span for found in seen] == [True] * 3


# not configured


async def test_not_configured_everything_passes_through(caplog, monkeypatch):
    monkeypatch.setattr("ragwheel.runtime._asked_environment", False)
    monkeypatch.setattr("ragwheel.guard.guard._logged", set())
    assert ragwheel.retriever(sync)("q") is RESULT
    assert await ragwheel.retriever(coroutine)("q") is RESULT
    assert list(ragwheel.retriever(generator)("q")) == RESULT
    assert [item async for item in ragwheel.retriever(async_generator)("q")] == RESULT
    with ragwheel.turn("q", user_id="u") as turn:
        turn.prompted(RESULT)
        turn.answer("[1]")
        assert turn.handle == ""
    assert ragwheel.signal(turn.handle, "click", rank=1) is False
    assert contextvars.Context().run(ragwheel.last_retrieval) is None
    recorder = ragwheel.start_retrieval("q", source="kb")
    recorder.finish(RESULT, returned=1)
    recorder.fail(ERROR)
    assert recorder.handle == ""
    assert ragwheel.flush()
    assert ragwheel.stats() == ragwheel.Stats()
    assert [record.message[:26] for record in caplog.records] == ["ragwheel is not configured"]


def test_abandoned_generators_are_recorded(store):
    @ragwheel.retriever
    def items(query):
        yield from RESULT

    next(items("q"))
    gc.collect()
    row = store.retrieval()
    assert (row["ids"], row["error"]) == (["a"], None)


@pytest.mark.parametrize("call", [ragwheel.last_retrieval, ragwheel.current_turn])
def test_asking_for_the_turn_or_the_retrieval_never_raises_into_the_app(store, monkeypatch, call):
    def broken():
        raise RuntimeError("a defect of ours")

    monkeypatch.setattr(guard, "strict", False)
    monkeypatch.setattr("ragwheel.capture.context.in_force", broken)
    assert call() is None
    assert sum(guard.counts().values()) == 1
