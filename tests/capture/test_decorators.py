"""Over-fetch through the decorators: what the app gets is what the unwrapped function gives it."""

from __future__ import annotations

import asyncio
import inspect
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import ragwheel
from ragwheel.errors import ConfigurationError

CORPUS = [{"id": f"d{n}", "text": f"text {n}", "score": 1.0 - n / 100} for n in range(60)]


class Store:
    """A search that counts what it is asked for, and behaves as told when asked for more than 10."""

    def __init__(self, larger="gives", size=60, kind=list):
        self.asked, self.larger, self.size, self.kind = [], larger, size, kind

    def search(self, k):
        self.asked.append(k)
        if k > 10 and self.larger == "raises":
            raise ValueError("k is limited to 10")
        if k > 10 and self.larger == "loses the connection":
            raise ConnectionError("gone")
        if self.larger == "gives a dict":
            return {"documents": CORPUS[:k]}
        if self.larger == "gives an object":
            return SimpleNamespace(documents=CORPUS[:k])
        return self.kind(CORPUS[: min(k, self.size)])


def of_kind(kind, store):
    """The same search as a function, coroutine function, generator or async generator."""
    if kind == "sync":

        def search(query, k=5):
            return store.search(k)
    elif kind == "async":

        async def search(query, k=5):
            await asyncio.sleep(0)
            return store.search(k)
    elif kind == "generator":

        def search(query, k=5):
            yield from store.search(k)
    else:

        async def search(query, k=5):
            for item in store.search(k):
                yield item

    return search


def call(fn, *args, **kwargs):
    """What the caller gets: the result, or everything that is yielded, or the exception."""

    async def collect(items):
        return [item async for item in items]

    try:
        out = fn(*args, **kwargs)
        if inspect.isasyncgen(out):
            return asyncio.run(collect(out))
        if inspect.iscoroutine(out):
            return asyncio.run(out)
        return list(out) if inspect.isgenerator(out) else out
    except Exception as exc:
        return type(exc), exc.args


unchecked = ragwheel.retriever(k="k", check_overfetch=0)
"""Over-fetch from the first call on; the check by the app's own call has tests of its own."""
KINDS = ["sync", "async", "generator", "async generator"]


@pytest.mark.parametrize("kind", KINDS)
@given(
    k=st.integers(-1, 70),
    size=st.integers(0, 60),
    larger=st.sampled_from(["gives", "raises"]),
    checks=st.integers(0, 1),
)
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_app_gets_the_same(store, kind, k, size, larger, checks):
    bare, wrapped = Store(larger, size), Store(larger, size)
    expected = call(of_kind(kind, bare), "q", k=k)
    decorated = ragwheel.retriever(k="k", check_overfetch=checks)(of_kind(kind, wrapped))
    assert [call(decorated, "q", k=k) for _ in range(2)] == [expected] * 2


@pytest.mark.parametrize("kind", KINDS)
def test_forty_are_recorded_and_five_given(store, kind):
    backend = Store()
    got = call(unchecked(of_kind(kind, backend)), "q")
    assert got == CORPUS[:5]
    assert all(ours is theirs for ours, theirs in zip(got, CORPUS))
    assert backend.asked == [40]
    row = store.retrieval()
    assert (row["top_k"], row["n_chunks"], row["n_returned"], row["capture_k"]) == (5, 40, 5, 40)
    assert row["ids"] == [chunk["id"] for chunk in CORPUS[:40]]
    assert row["exposures"] == ["returned"] * 5 + ["logged"] * 35
    assert row["flags"] == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_larger_k_that_fails_means_the_apps_own_call(store, kind):
    backend = Store("raises")
    assert call(unchecked(of_kind(kind, backend)), "q") == CORPUS[:5]
    assert backend.asked == [40, 5]
    row = store.retrieval()
    assert (row["n_chunks"], row["n_returned"], row["error"], row["flags"]) == (
        5,
        5,
        None,
        ["overfetch_failed"],
    )


@pytest.mark.parametrize("kind", KINDS)
def test_a_lost_connection_is_not_waited_for_twice(store, kind):
    backend = Store("loses the connection")
    assert call(unchecked(of_kind(kind, backend)), "q") == (ConnectionError, ("gone",))
    assert backend.asked == [40]
    assert store.retrieval()["error"] == "ConnectionError"


@pytest.mark.parametrize("kind", KINDS[:2])
def test_what_cannot_be_cut_means_the_apps_own_call(store, kind):
    backend = Store("gives an object")
    search = unchecked(of_kind(kind, backend))
    assert call(search, "q") == SimpleNamespace(documents=CORPUS[:5])
    assert backend.asked == [40, 5]
    (flag,) = store.retrieval()["flags"]
    assert flag.startswith("overfetch_refused: the retriever gave a SimpleNamespace")


@pytest.mark.parametrize("kind", KINDS[:2])
def test_what_could_not_be_cut_is_asked_twice_only_once(store, kind):
    backend = Store("gives an object")
    search = unchecked(of_kind(kind, backend))
    for _ in range(4):
        call(search, "q")
    assert backend.asked == [40, 5, 5, 5, 5]
    assert [row["flags"][0].partition(":")[0] for row in store.retrievals()] == ["overfetch_refused"] * 4


@pytest.mark.parametrize("kind", KINDS[:2])
def test_a_dict_with_one_list_is_cut_like_a_list(store, kind):
    backend = Store("gives a dict")
    search = unchecked(of_kind(kind, backend))
    assert call(search, "q") == {"documents": CORPUS[:5]}
    assert backend.asked == [40]
    row = store.retrieval()
    assert (row["n_chunks"], row["n_returned"], row["flags"]) == (40, 5, [])


class Ranked(list):
    pass


@pytest.mark.parametrize("kind", [list, tuple, Ranked])
def test_type_and_items_stay(store, kind):
    got = unchecked(of_kind("sync", Store(kind=kind)))("q")
    assert type(got) is kind
    assert list(got) == CORPUS[:5]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"score_threshold": 0.5}, "score_threshold is set"),
        ({"search_type": "mmr"}, "search_type=mmr is not known to be a plain top-k search"),
        ({"fetch_k": 20}, "fetch_k is set"),
        ({"alpha": 0.3}, "alpha is set"),
        ({"post_filter_pipeline": [{}]}, "post_filter_pipeline is set: it may filter"),
        ({"node_postprocessors": [len]}, "node_postprocessors is set"),
        ({"rescore": {"window_size": 50}}, "rescore is set"),
        ({"k": None}, "k is None"),
        ({"k": "5"}, "k is of type str"),
        ({"k": 0}, "k=0"),
    ],
)
def test_refusals_are_recorded(store, kind, arguments, reason):
    asked = []

    def found(k):
        asked.append(k)
        return CORPUS[: k if isinstance(k, int) else 5]

    if kind == "sync":

        def search(query, k=5, **options):
            return found(k)
    elif kind == "async":

        async def search(query, k=5, **options):
            return found(k)
    elif kind == "generator":

        def search(query, k=5, **options):
            yield from found(k)
    else:

        async def search(query, k=5, **options):
            for item in found(k):
                yield item

    call(unchecked(search), "q", **arguments)
    assert asked == [arguments.get("k", 5)]
    (flag,) = store.retrieval()["flags"]
    assert flag.startswith(f"overfetch_refused: {reason}")


def test_nothing_is_over_fetched_that_is_not_sampled(tmp_path):
    ragwheel.configure(tmp_path / "none.db", sample_ratio=0.0)
    backend = Store()
    assert unchecked(of_kind("sync", backend))("q") == CORPUS[:5]
    assert backend.asked == [5]
    assert ragwheel.stats().unsampled == 1


def test_capture_k_of_a_decorator(store):
    backend = Store()
    assert len(ragwheel.retriever(k="k", capture_k=8, check_overfetch=0)(of_kind("sync", backend))("q")) == 5
    assert len(ragwheel.retriever(capture_k=2)(of_kind("sync", backend))("q")) == 5
    assert backend.asked == [8, 5]
    first, second = store.retrievals()
    assert (first["n_chunks"], first["n_returned"]) == (8, 5)
    assert (second["n_chunks"], second["n_returned"]) == (2, 5)


# over-fetched generators


def test_an_endless_generator_that_ignores_k(store):
    pulled = []

    @unchecked
    def search(query, k=2):
        n = 0
        while True:
            pulled.append(n)
            yield f"text {n}"
            n += 1

    assert list(search("q")) == ["text 0", "text 1"]
    assert len(pulled) == 40
    assert store.retrieval()["n_chunks"] == 40


@pytest.mark.parametrize("is_async", [False, True])
def test_an_error_beyond_k_is_not_the_apps(store, is_async):
    def items(query, k=2):
        for n in range(k):
            if n == 7:
                raise RuntimeError("a damaged document")
            yield f"text {n}"

    async def aitems(query, k=2):
        for item in items(query, k):
            yield item

    assert call(unchecked(aitems if is_async else items), "q") == ["text 0", "text 1"]
    row = store.retrieval()
    assert (row["n_chunks"], row["n_returned"], row["error"], row["flags"]) == (
        7,
        2,
        None,
        ["overfetch_failed", "no_id"],
    )


def test_the_generator_stays_lazy_up_to_k(store):
    pulled = []

    @unchecked
    def search(query, k=3):
        for n in range(k):
            pulled.append(n)
            yield n

    items = search("q")
    assert pulled == []
    next(items)
    next(items)
    assert pulled == [0, 1]
    items.close()
    assert store.retrieval()["n_returned"] == 2


async def test_cancelled_beyond_k(store):
    reached = asyncio.Event()

    @unchecked
    async def search(query, k=1):
        yield "a"
        yield "b"
        reached.set()
        await asyncio.Future()

    async def consume():
        return [item async for item in search("q")]

    task = asyncio.create_task(consume())
    await reached.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    row = store.retrieval()
    assert (row["texts"], row["n_returned"], row["flags"]) == (["a", "b"], 1, ["overfetch_failed", "no_id"])


# rerankers


def test_a_reranker_takes_its_source_from_what_it_re_ranks(store):
    @ragwheel.retriever(source="kb")
    def search(query):
        return CORPUS[:3]

    @ragwheel.reranker(version="2")
    def rerank(query, chunks):
        return [chunks[2], chunks[0]]

    with ragwheel.turn() as turn:
        kept = rerank("q", search("q"))
        turn.answer("so [1]")
    assert kept == [CORPUS[2], CORPUS[0]]
    first, second = store.retrievals()
    assert (second["kind"], second["source"], second["version"]) == ("rerank", "kb", "2")
    assert (first["exposures"], second["exposures"]) == (["returned"] * 3, ["prompted"] * 2)
    assert store.rows("SELECT in_ranks FROM _retrieval WHERE kind = 1") == [{"in_ranks": "[3,1]"}]
    assert [row["chunk_id"] for row in store.rows("SELECT * FROM citations")] == ["d2"]
    assert len(store.rows("SELECT * FROM chunks")) == 3  # no version of its own for a re-ranked chunk


# options


@pytest.mark.parametrize(
    ("decorate", "says"),
    [
        (lambda: ragwheel.retriever(7), "retriever: got a int, allowed: a function or method"),  # type: ignore[call-overload]
        (lambda: ragwheel.retriever(Store), "got the class Store"),
        (lambda: ragwheel.retriever(nmae="x"), "got nmae, allowed: name, source, k"),  # type: ignore[call-overload]
        (lambda: ragwheel.reranker(k="k"), "reranker: got k, allowed: name, source, capture_k"),  # type: ignore[call-overload]
        (lambda: ragwheel.retriever(name=3), r"retriever\(name=3\): allowed: a string of 1 to 200"),  # type: ignore[call-overload]
        (lambda: ragwheel.retriever(source=""), r"retriever\(source=''\): allowed: a string"),
        (lambda: ragwheel.retriever(version="\ud800"), r"version='\\ud800'"),
        (lambda: ragwheel.retriever(capture_k=0), r"capture_k=0\): allowed: a whole number from 1 to 1000"),
        (lambda: ragwheel.retriever(capture_k=True), r"capture_k=True\): allowed: a whole number"),
        (lambda: ragwheel.retriever(adapter="x"), r"adapter='x'\): allowed: a function"),  # type: ignore[call-overload]
        (
            lambda: ragwheel.retriever(k="top")(lambda q, k: 0),
            "<lambda> has no such parameter; allowed: q, k",
        ),
        (
            lambda: ragwheel.retriever(check_overfetch=-1),
            r"check_overfetch=-1\): allowed: a whole number from 0",
        ),
        (lambda: ragwheel.retriever(check_overfetch=True), r"check_overfetch=True\)"),
        (lambda: ragwheel.reranker(check_overfetch=1), "reranker: got check_overfetch"),  # type: ignore[call-overload]
        (lambda: ragwheel.retriever(query="x")(lambda: 0), "allowed: none, it takes no argument"),
    ],
)
def test_a_wrong_option_is_said_while_decorating(decorate, says):
    with pytest.raises(ConfigurationError, match=says):
        decorate()


@pytest.mark.parametrize(
    ("fn", "args", "kwargs"),
    [
        (lambda query: [], ("the query",), {}),
        (lambda *, question: [], (), {"question": "the query"}),
        (lambda index, q: [], ("kb", "the query"), {}),
        (lambda index, q: [], ("kb",), {"q": "the query"}),
        (lambda anything, k=1: [], ("the query",), {}),
        (lambda *texts: [], ("the query", "another"), {}),
        (lambda **options: [], (), {"options": "the query"}),
        (lambda k=5, query="the query": [], (), {}),
    ],
)
def test_where_the_query_is(store, fn, args, kwargs):
    ragwheel.retriever(name="kb")(fn)(*args, **kwargs)
    assert store.retrieval()["query"] == "the query"


def test_the_query_can_be_named(store):
    ragwheel.retriever(query="wanted")(lambda text, wanted: [])("not this", "this")
    assert store.retrieval()["query"] == "this"


def test_a_wrong_call_raises_what_the_function_raises(store):
    wrapped = unchecked(of_kind("sync", Store()))
    with pytest.raises(TypeError, match=r"search\(\) missing 1 required positional argument: 'query'"):
        wrapped()
