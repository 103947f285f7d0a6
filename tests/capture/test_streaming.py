"""A turn belongs to the code that opened it: generators, threads, tasks and contexts never lend it."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import gc
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor

import pytest

import ragwheel
from ragwheel.capture import scopes


@pytest.fixture
def search(store):
    @ragwheel.retriever(source="kb")
    def search(query):
        return [{"id": query, "text": query}]

    return search


@pytest.fixture(autouse=True)
def _no_scope_stays():
    yield
    gc.collect()
    assert scopes._held == {}


def users(store):
    """Who each query is filed under."""
    return {row["query"]: row["user_id"] for row in store.rows("SELECT query, user_id FROM retrievals")}


def streamed(search, user, *queries):
    with ragwheel.turn(user, user_id=user) as turn:
        for query in queries:
            search(query)
            yield turn


@contextlib.contextmanager
def session(user):
    """An app's own way to open a turn."""
    with ragwheel.turn(user, user_id=user) as turn:
        yield turn


@contextlib.asynccontextmanager
async def asession(user):
    async with ragwheel.turn(user, user_id=user) as turn:
        yield turn


class Session:
    """Another one."""

    def __init__(self, user):
        self.turn = ragwheel.turn(user, user_id=user)

    def __enter__(self):
        return self.turn.__enter__()

    def __exit__(self, *error):
        return self.turn.__exit__(*error)


def with_statement(user):
    return ragwheel.turn(user, user_id=user)


class Stack(contextlib.ExitStack):
    """A turn among other things to clean up."""

    def __init__(self, user):
        super().__init__()
        self.user = user

    def __enter__(self):
        super().__enter__()
        return self.enter_context(ragwheel.turn(self.user, user_id=self.user))


WAYS = [with_statement, session, Session, Stack]


@pytest.mark.parametrize("opened", WAYS)
def test_streams_in_one_thread_keep_apart(store, search, opened):
    def stream(user):
        with opened(user):
            search(f"{user} 1")
            yield
            search(f"{user} 2")
            yield

    for _ in zip(stream("alice"), stream("bob"), strict=True):
        search("between")
    assert ragwheel.current_turn() is None
    assert users(store) == {
        "alice 1": "alice", "alice 2": "alice", "bob 1": "bob", "bob 2": "bob", "between": None,
    }  # fmt: skip


@pytest.mark.parametrize("opened", WAYS)
def test_a_generator_whose_steps_run_in_fresh_contexts_keeps_its_turn(store, search, opened):
    def stream():
        with opened("u") as turn:
            search("first")
            yield "a"
            search("second")
            yield "b"
            turn.answer("[1] and [2]")

    items = stream()
    while contextvars.copy_context().run(next, items, None) is not None:
        pass
    assert users(store) == {"first": "u", "second": "u"}
    assert store.turn()["flags"] == []


def test_in_starlettes_thread_pool(store, search):
    concurrency = pytest.importorskip("starlette.concurrency")

    def stream(user):
        with ragwheel.turn(user, user_id=user) as turn:
            for n in range(4):
                search(f"{user} {n}")
                yield str(n)
            turn.answer("[1] and [4]")

    async def serve(user):
        async for _ in concurrency.iterate_in_threadpool(stream(user)):
            await asyncio.sleep(0)

    async def main():
        await asyncio.gather(*(serve(f"user{n}") for n in range(8)))

    asyncio.run(main())
    filed = users(store)
    assert len(filed) == 32
    assert all(query.startswith(f"{user} ") for query, user in filed.items())
    assert {row["flags"] for row in store.rows("SELECT flags FROM turns")} <= {None, "[]"}


def test_in_a_thread_pool_that_does_not_copy_the_context(store, search):
    """Its threads' own contexts must not remember the turn for whatever they run next."""
    with ThreadPoolExecutor(2) as pool:
        streams = [streamed(search, user, f"{user} 1", f"{user} 2") for user in ("alice", "bob")]
        for _ in range(2):
            list(pool.map(next, streams))
            list(pool.map(search, ["job 1", "job 2", "job 3"]))
        for stream in streams:
            pool.submit(stream.close).result()
        pool.submit(search, "job 4").result()
    filed = users(store)
    assert {query for query, user in filed.items() if user is None} == {f"job {n}" for n in (1, 2, 3, 4)}
    assert all(query.startswith(user) for query, user in filed.items() if user)


def test_a_visitor_who_left_lends_the_turn_to_nobody(store, search):
    left = streamed(search, "carol", "carol 1", "carol 2")
    next(left)
    search("nightly job")
    other = streamed(search, "dave", "dave 1", "dave 2")
    next(other)
    with ragwheel.turn(user_id="erin"):
        search("erin 1")
        other.close()
        search("erin 2")
        del left
        search("erin 3")
    search("after")
    assert users(store) == {
        "carol 1": "carol", "nightly job": None, "dave 1": "dave",
        "erin 1": "erin", "erin 2": "erin", "erin 3": "erin", "after": None,
    }  # fmt: skip


def test_the_consumers_turn_is_in_force_between_the_steps(store, search):
    with ragwheel.turn(user_id="consumer"):
        for _ in streamed(search, "producer", "p1", "p2"):
            search("c")
    assert users(store) == {"p1": "producer", "p2": "producer", "c": "consumer"}


def test_delegated_generators(store, search):
    def inner():
        search("inner")
        yield
        search("inner again")

    def outer():
        with ragwheel.turn(user_id="outer"):
            yield from inner()
            search("outer")

    def reversed_roles():
        yield from streamed(search, "held by the inner", "i1")
        search("after the inner")

    for first, second in zip(outer(), reversed_roles(), strict=True):
        assert first is None
        assert second is not None
    list(outer())
    assert users(store) == {
        "inner": "outer", "inner again": "outer", "outer": "outer", "i1": "held by the inner",
        "after the inner": None,
    }  # fmt: skip


def test_a_turn_in_a_function_called_by_a_generator_is_the_innermost(store, search):
    def ask(user):
        with ragwheel.turn(user_id=user):
            search(f"{user} in a function")

    def stream():
        with ragwheel.turn(user_id="stream"):
            ask("nested")
            search("stream")
            yield
            ask("nested again")
            search("stream again")

    list(stream())
    filed = users(store)
    assert filed["nested in a function"] == "nested"
    assert filed["nested again in a function"] == "nested again"
    assert filed["stream"] == filed["stream again"] == "stream"


def test_a_turn_opened_by_hand_in_a_generators_helper(store, search):
    def begin(user):
        turn = ragwheel.turn(user_id=user)
        turn.__enter__()
        return turn

    def stream(user):
        turn = begin(user)
        search(f"{user} 1")
        yield
        search(f"{user} 2")
        turn.__exit__(None, None, None)

    for _ in zip(stream("alice"), stream("bob"), strict=True):
        search("between")
    assert users(store) == {
        "alice 1": "alice", "alice 2": "alice", "bob 1": "bob", "bob 2": "bob", "between": None,
    }  # fmt: skip


def test_a_turn_that_is_never_left_goes_with_its_generator(store, search):
    def stream(user):
        ragwheel.turn(user_id=user).__enter__()
        search("unheld")
        turn = ragwheel.turn(user_id=user)
        turn.__enter__()
        search("held")
        yield

    next(stream("carol"))
    gc.collect()
    for _ in range(50):  # frames of the same size, perhaps at the same address
        generator = (search("other") for _ in range(1))
        next(generator)
    assert users(store)["other"] is None


# tasks and threads


async def astreamed(search, user, *queries):
    async with ragwheel.turn(user, user_id=user):
        for query in queries:
            search(query)
            await asyncio.sleep(0)
            yield query


async def test_async_streams_in_one_task_keep_apart(store, search):
    alice, bob = astreamed(search, "alice", "a1", "a2"), astreamed(search, "bob", "b1", "b2")
    for _ in range(2):
        await anext(alice)
        await anext(bob)
        search("between")
    await alice.aclose()
    await bob.aclose()
    assert users(store) == {"a1": "alice", "a2": "alice", "b1": "bob", "b2": "bob", "between": None}


async def test_gather_inside_a_stream(store, search):
    async def part(query):
        await asyncio.sleep(0)
        search(query)
        await asyncio.sleep(0)
        search(f"{query} again")

    async def stream(user):
        async with ragwheel.turn(user_id=user):
            await asyncio.gather(part(f"{user} 1"), part(f"{user} 2"))
            yield
            await asyncio.gather(*(asyncio.to_thread(search, f"{user} {n}") for n in (3, 4)))
            yield
            for task in [asyncio.create_task(part(f"{user} {n}")) for n in (5, 6)]:
                await task

    async def consume(user):
        async for _ in stream(user):
            search(f"between, {user}")

    await asyncio.gather(consume("alice"), consume("bob"))
    filed = users(store)
    assert {user for query, user in filed.items() if query.startswith("between")} == {None}
    assert all(query.startswith(user) for query, user in filed.items() if user is not None)
    assert sum(user is not None for user in filed.values()) == 2 * (2 * 2 + 2 + 2 * 2)


async def test_a_producer_task_belongs_to_the_stream_that_started_it(store, search):
    """Also while the stream is suspended at a ``yield``."""
    pulled = asyncio.Event()

    async def produce(queue):
        search("first")
        await queue.put("first")
        await pulled.wait()
        search("second")
        await queue.put("second")

    async def stream():
        async with ragwheel.turn(user_id="u"):
            queue = asyncio.Queue()
            task = asyncio.create_task(produce(queue))
            yield await queue.get()
            yield await queue.get()
            await task

    items = stream()
    assert await anext(items) == "first"
    pulled.set()
    for _ in range(3):
        await asyncio.sleep(0)
    search("between")
    assert [item async for item in items] == ["second"]
    assert users(store) == {"first": "u", "second": "u", "between": None}


async def test_a_task_started_between_two_steps_is_not_part_of_the_stream(store, search):
    async def job():
        search("job")

    stream = astreamed(search, "carol", "c1", "c2")
    await anext(stream)
    await asyncio.create_task(job())
    await asyncio.to_thread(search, "job in a thread")
    await stream.aclose()
    assert users(store) == {"c1": "carol", "job": None, "job in a thread": None}


async def test_steps_made_by_different_tasks(store, search):
    stream = astreamed(search, "u", "first", "second")

    async def step():
        await anext(stream, None)

    for _ in range(3):
        await asyncio.create_task(step())
        search("between")
    assert users(store) == {"first": "u", "second": "u", "between": None}


def test_an_async_stream_driven_step_by_step_from_outside_of_the_loop(store, search):
    loop = asyncio.new_event_loop()
    stream = astreamed(search, "u", "first", "second")
    for expected in ("first", "second"):
        assert loop.run_until_complete(anext(stream)) == expected
        search("between")
    loop.run_until_complete(stream.aclose())
    loop.close()
    assert users(store) == {"first": "u", "second": "u", "between": None}


def test_an_event_loop_inside_a_step(store, search):
    """Tasks that the step starts belong to the stream; a loop's tasks from before do not."""
    loop = asyncio.new_event_loop()
    started = asyncio.Event()

    async def old():
        await started.wait()
        search("a task from before")

    before = loop.create_task(old())

    async def inside(user):
        with ragwheel.turn(user_id=user) if user else contextlib.nullcontext():
            await asyncio.sleep(0)
            search(f"{user} in a task")
            await asyncio.sleep(0)

    async def main():
        started.set()
        await asyncio.gather(inside(None), inside("x"), inside("y"))
        await before

    def stream():
        with ragwheel.turn(user_id="stream"):
            loop.run_until_complete(main())
            yield
            search("stream")

    list(stream())
    loop.close()
    assert users(store) == {
        "a task from before": None, "None in a task": "stream", "x in a task": "x", "y in a task": "y",
        "stream": "stream",
    }  # fmt: skip


def test_a_turn_entered_in_two_threads(store, search):
    turn = ragwheel.turn(user_id="u")
    both_in, one_out = threading.Barrier(2, timeout=20), threading.Event()

    def first():
        with turn:
            both_in.wait()
            search("first")
        search("first, after")
        one_out.set()

    def second():
        with turn:
            both_in.wait()
            assert one_out.wait(20)
            search("second")
        search("second, after")

    threads = [threading.Thread(target=target) for target in (first, second)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert turn.ended
    assert users(store) == {"first": "u", "first, after": None, "second": "u", "second, after": None}
    assert len(store.rows("SELECT * FROM turns")) == 1


def test_copied_contexts_inside_a_plain_turn(store, search):
    with ragwheel.turn(user_id="u"), ThreadPoolExecutor(2) as pool:
        pool.submit(contextvars.copy_context().run, search, "copied").result()
        pool.submit(search, "not copied").result()
    assert users(store) == {"copied": "u", "not copied": None}


# turn.run and turn.bind


async def test_bound_functions_of_every_kind(store, search):
    asearch = ragwheel.retriever(source="kb")(_agive)

    def generator(query):
        search(f"{query} 1")
        sent = yield 1
        search(f"{query} {sent}")
        return "end"

    async def agenerator(query):
        search(f"{query} 1")
        yield 1
        search(f"{query} 2")
        yield 2

    with ragwheel.turn(user_id="u") as turn:
        bound = [turn.bind(kind) for kind in (search, asearch, generator, agenerator)]
        run = turn.run
    assert bound[0].__name__ == "search"

    def use():
        bound[0]("function")
        assert run(search, "run") == [{"id": "run", "text": "run"}]
        items = bound[2]("generator")
        next(items)
        search("outside")
        with pytest.raises(StopIteration, match="end"):
            items.send("sent")

    with ThreadPoolExecutor(1) as pool:
        pool.submit(use).result()
    await contextvars.Context().run(asyncio.create_task, bound[1]("coroutine"))
    async for _ in bound[3]("agenerator"):
        search("outside")
    assert users(store) == {
        "function": "u", "run": "u", "generator 1": "u", "generator sent": "u", "coroutine": "u",
        "agenerator 1": "u", "agenerator 2": "u", "outside": None,
    }  # fmt: skip


async def _agive(query):
    await asyncio.sleep(0)
    return [query]


def test_a_bound_call_in_another_threads_pool_during_the_turn(store, search):
    with ragwheel.turn(user_id="u") as turn, ThreadPoolExecutor(4) as pool:
        list(pool.map(turn.bind(search), [f"q{n}" for n in range(8)]))
        turn.answer("[1] [8]")
    assert set(users(store).values()) == {"u"}
    assert store.turn()["flags"] == []
    assert len(store.rows("SELECT * FROM citations WHERE chunk_id IS NOT NULL")) == 2


def test_retrievals_outside_the_turn_that_an_answer_cites_are_told(store, search, caplog):
    with ragwheel.turn(user_id="u") as turn, ThreadPoolExecutor(1) as pool:
        pool.submit(search, "lost").result()
        turn.answer("It is so [1].")
    assert "turn.bind" in caplog.text
    assert store.turn()["flags"] == ["unmatched_citation", "retrievals_outside_turn"]


# memory


class Document:
    def __init__(self, text):
        self.id, self.text = text, text


def test_ended_and_abandoned_turns_keep_nothing_of_the_app_alive(store):
    documents = []

    @ragwheel.retriever
    def search(query):
        result = [Document(f"{query} {n}") for n in range(5)]
        documents.extend(map(weakref.ref, result))
        return result

    class Chat:
        """Refers to its stream, which refers to it: only the garbage collector gets it."""

        def __init__(self):
            self.items = self.stream()

        def stream(self):
            with ragwheel.turn():
                search("in a cycle")
                yield self

    with ragwheel.turn() as turn:
        search("ended")
    next(Chat().items)
    context = contextvars.copy_context()
    gc.collect()
    assert [document() for document in documents] == [None] * 10
    assert turn.ended
    assert context.run(ragwheel.current_turn) is None


def test_objects_of_an_ended_turn_are_known_while_the_app_has_them(store):
    documents = [Document("a"), Document("b")]
    search = ragwheel.retriever(adapter=lambda document: {"id": document.text, "text": "t"})(
        lambda query: documents
    )
    with ragwheel.turn() as turn:
        search("q")
    turn.prompted(documents[1:])
    assert store.turn()["flags"] == []
    turn.prompted([Document("another")])
    assert store.turn()["flags"] == ["unknown_prompted"]


def test_a_long_turn_remembers_its_beginning_and_its_end(store, search):
    with ragwheel.turn() as turn:
        for n in range(400):
            search(f"q{n}")
        turn.answer("[1], [50] and [60].")
        assert len(turn.retrievals) == 250
    cited = {row["marker"]: row["chunk_id"] for row in store.rows("SELECT marker, chunk_id FROM citations")}
    assert cited == {"[1]": "q0", "[50]": "q49", "[60]": None}
    assert "long_turn" in store.turn()["flags"]
