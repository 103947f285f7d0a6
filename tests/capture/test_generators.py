"""Promise 1 for generators: each script of moves gives the same outcomes bare and wrapped."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import ragwheel


class Broken(Exception):
    """What the host raises, or what is thrown in."""


def plain(query, log):
    yield from ("a", "b", "c")
    return "the end"


def talkative(query, log):
    """Yields back what it is sent, survives what is thrown, cleans up."""
    said = "hello"
    try:
        for _ in range(4):
            try:
                said = yield said
                log.append(("sent", said))
            except Broken as exc:
                log.append(("thrown", exc.args, exc.__context__, exc.__cause__))
                said = "survived"
    finally:
        log.append("cleaned up")
    return said


def failing(query, log):
    yield "a"
    raise Broken(query)


def failing_at_once(query, log):
    raise Broken(query)
    yield  # type: ignore[unreachable]


def stubborn(query, log):
    """Ignores being closed."""
    try:
        yield "a"
    except GeneratorExit:
        log.append("ignored")
        yield "b"


def raising_at_close(query, log):
    try:
        yield "a"
    finally:
        raise Broken("while closing")


def empty(query, log):
    return query
    yield  # type: ignore[unreachable]


def stop_inside(query, log):
    yield "a"
    raise StopIteration("inside")


GENERATORS = [plain, talkative, failing, failing_at_once, stubborn, raising_at_close, empty, stop_inside]
MOVES = {
    "next": next,
    "send": lambda it: it.send("something"),
    "throw": lambda it: it.throw(Broken("thrown")),
    "throw exit": lambda it: it.throw(GeneratorExit("thrown")),
    "close": lambda it: it.close(),
}


def shape(error):
    """An exception as the caller sees it, with everything that hangs on it."""
    if error is None:
        return None
    value = getattr(error, "value", None)
    return (
        type(error), error.args, value, shape(error.__cause__), shape(error.__context__),
        error.__suppress_context__,
    )  # fmt: skip


def play(fn, moves):
    log: list = []
    out = []
    it = fn("q", log)
    for move in (
        *moves,
        *["next"] * 6,
    ):  # to the end: not even a stubborn one is left to the garbage collector
        try:
            out.append(MOVES[move](it))
        except BaseException as exc:
            out.append(shape(exc))
    return out, log


@pytest.mark.parametrize("fn", GENERATORS, ids=lambda fn: fn.__name__)
@given(moves=st.lists(st.sampled_from(sorted(MOVES)), max_size=7))
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_generator_moves(store, fn, moves):
    assert play(ragwheel.retriever(fn), moves) == play(fn, moves)


def as_async(fn):
    """The same generator, made async, with a pause before every item."""

    async def agenerator(query, log):
        it = fn(query, log)
        step, value = it.send, None
        while True:
            await asyncio.sleep(0)
            try:
                item = step(value)
            except StopIteration:
                return
            try:
                value, step = (yield item), it.send
            except BaseException as exc:
                value, step = exc, it.throw

    return agenerator


ASYNC_MOVES = {
    "next": lambda it: it.__anext__(),
    "send": lambda it: it.asend("something"),
    "throw": lambda it: it.athrow(Broken("thrown")),
    "throw exit": lambda it: it.athrow(GeneratorExit("thrown")),
    "close": lambda it: it.aclose(),
}


async def aplay(fn, moves):
    log: list = []
    out = []
    it = fn("q", log)
    for move in (*moves, *["next"] * 6):
        try:
            out.append(await ASYNC_MOVES[move](it))
        except BaseException as exc:
            out.append(shape(exc))
    return out, log


@pytest.mark.parametrize(
    "fn", [g for g in GENERATORS if g is not raising_at_close], ids=lambda fn: fn.__name__
)
@given(moves=st.lists(st.sampled_from(sorted(ASYNC_MOVES)), max_size=6))
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_async_generator_moves(store, fn, moves):
    async def both():
        return await aplay(ragwheel.retriever(as_async(fn)), moves), await aplay(as_async(fn), moves)

    wrapped, bare = asyncio.run(both())
    assert wrapped == bare


def test_return_value_and_yield_from(store):
    @ragwheel.retriever
    def search(query):
        return (yield from plain(query, []))

    def outer():
        return (yield from search("q"))

    it = outer()
    assert [next(it), next(it), next(it)] == ["a", "b", "c"]
    with pytest.raises(StopIteration) as end:
        next(it)
    assert end.value.value == "the end"
    assert store.retrieval()["texts"] == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("moves", "texts", "error"),
    [
        (["next", "next", "next", "next"], ["a", "b", "c"], None),
        (["next", "close"], ["a"], None),
        (["next", "throw"], [], "Broken"),
        (["close"], None, None),
    ],
)
def test_what_is_recorded(store, moves, texts, error):
    it = ragwheel.retriever(plain)("q", [])
    for move in moves:
        with contextlib.suppress(StopIteration, Broken):
            MOVES[move](it)
    rows = store.retrievals()
    if texts is None:  # never begun: its code never ran
        assert rows == []
    else:
        assert (rows[0]["texts"], rows[0]["error"]) == (texts, error)


def test_a_long_generator_is_counted_and_its_first_chunks_kept(store):
    @ragwheel.retriever
    def search(query):
        yield from map(str, range(10_000))

    assert sum(1 for _ in search("q")) == 10_000
    row = store.retrieval()
    assert (row["n_chunks"], row["n_returned"]) == (40, 10_000)


async def test_cancelled_while_it_waits(store):
    waiting = asyncio.Event()
    log: list = []

    @ragwheel.retriever
    async def search(query):
        try:
            yield "a"
            waiting.set()
            await asyncio.Future()
        except asyncio.CancelledError:
            log.append("cancelled")
            raise

    async def consume():
        async for _ in search("q"):
            pass

    task = asyncio.create_task(consume())
    await waiting.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert log == ["cancelled"]
    assert store.retrieval()["error"] == "CancelledError"


async def test_broken_off_async_for_is_recorded_when_closed(store):
    @ragwheel.retriever
    async def search(query):
        yield "a"
        yield "b"

    items = search("q")
    async for _ in items:
        break
    await items.aclose()
    assert store.retrieval()["texts"] == ["a"]


def test_steps_in_other_contexts(store):
    @ragwheel.retriever
    def search(query):
        yield "a"
        yield "b"

    items = search("q")
    assert contextvars.Context().run(next, items) == "a"
    assert contextvars.Context().run(next, items) == "b"
    contextvars.Context().run(items.close)
    assert store.retrieval()["texts"] == ["a", "b"]


def test_retrievals_between_the_items_are_not_nested(store):
    @ragwheel.retriever
    def search(query):
        yield from other(query + " inside")

    @ragwheel.retriever
    def other(query):
        yield query

    for item in search("q"):
        list(other("between"))
        assert item == "q inside"
    by_query = {row["query"]: row for row in store.retrievals()}
    assert by_query["between"]["outer_id"] is None
    assert by_query["q inside"]["outer_id"] == by_query["q"]["retrieval_id"]
