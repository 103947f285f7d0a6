"""The first over-fetched calls are preceded by the app's own, and one that differs ends over-fetch."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal

import pytest

import ragwheel

CORPUS = [{"id": f"d{n}", "text": f"text {n}", "score": 1.0 - n / 100} for n in range(60)]
KINDS = ["function", "coroutine function", "generator", "async generator"]
CHANGED = ["overfetch_changed_results"]
REFUSED = ["overfetch_refused: asking for more changed what the app's own call gives"]


def of_kind(kind, search):
    """The search, called with k, as a function of another kind."""

    def function(query, k=5):
        return search(k)

    async def coroutine(query, k=5):
        await asyncio.sleep(0)
        return search(k)

    def generator(query, k=5):
        yield from search(k)

    async def async_generator(query, k=5):
        for item in search(k):
            yield item

    return dict(zip(KINDS, (function, coroutine, generator, async_generator)))[kind]


def ask(kind, decorated, **options):
    async def collect():
        return [item async for item in decorated("q", **options)]

    if kind == "async generator":
        return asyncio.run(collect())
    if kind == "coroutine function":
        return asyncio.run(decorated("q", **options))
    return list(decorated("q", **options)) if kind == "generator" else decorated("q", **options)


class Plain:
    def __init__(self):
        self.asked = []

    def __call__(self, k):
        self.asked.append(k)
        return CORPUS[:k]


class FiltersAfterwards(Plain):
    def __call__(self, k):
        return [chunk for n, chunk in enumerate(super().__call__(k)) if n % 2]


class ReordersTheCandidates(Plain):
    def __call__(self, k):
        return super().__call__(k)[::-1]


class NeverRepeats(Plain):
    """Gives what it has not given yet."""

    def __call__(self, k):
        start = sum(self.asked)
        super().__call__(k)
        return CORPUS[start : start + k]


class IgnoresK(Plain):
    def __call__(self, k):
        super().__call__(k)
        return CORPUS[:10]


class GivesOtherTexts(Plain):
    def __call__(self, k):
        return [{**chunk, "text": f"{chunk['text']} of {k}"} for chunk in super().__call__(k)]


@pytest.mark.parametrize("kind", KINDS)
def test_three_calls_are_checked_and_the_app_gets_its_own_objects(store, kind):
    def fresh(k):
        asked.append(k)
        return [dict(chunk) for chunk in CORPUS[:k]]

    asked = []
    decorated = ragwheel.retriever(k="k")(of_kind(kind, fresh))
    with ragwheel.turn() as turn:
        chunks = [ask(kind, decorated) for _ in range(5)]
        turn.prompted(chunks[0][1:2])
    assert chunks == [CORPUS[:5]] * 5
    assert asked == [5, 40] * 3 + [40] * 2
    rows = store.retrievals()
    assert [(row["n_chunks"], row["n_returned"], row["top_k"], row["flags"]) for row in rows] == [
        (40, 5, 5, [])
    ] * 5
    assert rows[0]["exposures"][:3] == ["returned", "prompted", "returned"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "backend", [FiltersAfterwards, ReordersTheCandidates, NeverRepeats, IgnoresK, GivesOtherTexts]
)
def test_a_retriever_that_answers_otherwise_when_asked_for_more_is_never_asked_again(
    store, kind, backend, caplog
):
    own = backend()(5)
    search = backend()
    decorated = ragwheel.retriever(name="kb", k="k")(of_kind(kind, search))
    with caplog.at_level(logging.WARNING, logger="ragwheel"):
        assert ask(kind, decorated) == own
        for _ in range(4):
            ask(kind, decorated)
    assert search.asked == [5, 40, 5, 5, 5, 5]
    rows = store.retrievals()
    assert [row["flags"] for row in rows] == [CHANGED, *[REFUSED] * 4]
    assert rows[0]["n_chunks"] == rows[0]["n_returned"] == len(own)
    assert [record.getMessage().partition(":")[0] for record in caplog.records] == ["kb"]


@pytest.mark.parametrize("kind", KINDS)
def test_no_check_when_the_app_says_so(store, kind):
    search = Plain()
    decorated = ragwheel.retriever(k="k", check_overfetch=0)(of_kind(kind, search))
    assert ask(kind, decorated) == CORPUS[:5]
    assert search.asked == [40]


@pytest.mark.parametrize("kind", KINDS)
def test_as_many_checks_as_the_app_says(store, kind):
    search = Plain()
    decorated = ragwheel.retriever(k="k", check_overfetch=1)(of_kind(kind, search))
    assert [ask(kind, decorated) for _ in range(3)] == [CORPUS[:5]] * 3
    assert search.asked == [5, 40, 40, 40]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("error", [ValueError("at most 10"), ConnectionError("gone")])
def test_a_larger_call_that_fails_costs_the_app_nothing(store, kind, error):
    def limited(k):
        asked.append(k)
        if k > 10:
            raise error
        return CORPUS[:k]

    asked = []
    decorated = ragwheel.retriever(k="k")(of_kind(kind, limited))
    assert [ask(kind, decorated) for _ in range(5)] == [CORPUS[:5]] * 5
    assert asked == [5, 40] * 3 + [5] * 2
    assert [row["flags"] for row in store.retrievals()] == [["overfetch_failed"]] * 5
    assert [row["error"] for row in store.retrievals()] == [None] * 5


@pytest.mark.parametrize("kind", KINDS)
def test_the_apps_own_error_comes_of_one_call(store, kind):
    def failing(k):
        asked.append(k)
        raise error

    asked, error = [], ValueError("no index")
    with pytest.raises(ValueError, match="no index") as caught:
        ask(kind, ragwheel.retriever(k="k")(of_kind(kind, failing)))
    assert caught.value is error
    assert error.__context__ is None
    assert asked == [5]
    assert store.retrieval()["error"] == "ValueError"


@pytest.mark.parametrize("kind", KINDS[:2])
def test_what_cannot_be_cut_is_never_asked_for_more(store, kind):
    class Response:
        def __init__(self, documents):
            self.documents = documents

    def search(k):
        asked.append(k)
        return Response(CORPUS[:k])

    asked = []
    decorated = ragwheel.retriever(k="k")(of_kind(kind, search))
    assert [ask(kind, decorated).documents for _ in range(3)] == [CORPUS[:5]] * 3
    assert asked == [5, 5, 5]
    assert {row["flags"][0].partition(":")[0] for row in store.retrievals()} == {"overfetch_refused"}


def test_a_list_that_the_retriever_fills_again_is_given_as_the_apps_own_call_left_it(store):
    buffer = []

    @ragwheel.retriever(k="k")
    def search(query, k=5):
        buffer[:] = CORPUS[:k]
        return buffer

    assert search("q") == CORPUS[:5]
    assert store.retrieval()["n_returned"] == 5


def test_dicts_are_checked_like_lists(store):
    @ragwheel.retriever(k="k")
    def search(query, k=5):
        return {"documents": CORPUS[:k]}

    @ragwheel.retriever(k="k")
    def filtering(query, k=5):
        return {"documents": [chunk for n, chunk in enumerate(CORPUS[:k]) if n % 2]}

    assert search("q") == {"documents": CORPUS[:5]}
    assert filtering("q") == {"documents": [CORPUS[1], CORPUS[3]]}
    first, second = store.retrievals()
    assert (first["n_chunks"], first["n_returned"], first["flags"]) == (40, 5, [])
    assert (second["n_chunks"], second["n_returned"], second["flags"]) == (2, 2, CHANGED)


def test_a_time_limit_that_ends_the_larger_call_reaches_the_app(store):
    class Limit(Exception):
        pass

    def strike(*_):
        raise Limit

    @ragwheel.retriever(k="k")
    def search(query, k=5):
        if k > 5:
            signal.raise_signal(signal.SIGUSR1)
        return CORPUS[:k]

    before = signal.signal(signal.SIGUSR1, strike)
    try:
        with pytest.raises(Limit):
            search("q")
    finally:
        signal.signal(signal.SIGUSR1, before)
    row = store.retrieval()
    assert (row["n_chunks"], row["flags"]) == (5, ["overfetch_failed"])


async def test_a_call_cancelled_during_the_larger_one_is_recorded_as_the_apps_own(store):
    reached = asyncio.Event()

    @ragwheel.retriever(k="k")
    async def search(query, k=5):
        if k > 5:
            reached.set()
            await asyncio.Future()
        return CORPUS[:k]

    task = asyncio.create_task(search("q"))
    await reached.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert store.retrieval()["n_chunks"] == 5


def test_a_generator_that_is_left_early_is_not_asked_for_more(store):
    search = Plain()
    decorated = ragwheel.retriever(k="k")(of_kind("generator", search))
    items = decorated("q")
    assert next(items) is CORPUS[0]
    items.close()
    gc.collect()
    assert search.asked == [5]
    assert store.retrieval()["n_returned"] == 1
