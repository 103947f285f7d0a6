"""Adjacent swaps: rare, logged with their probability, and nothing that the app could trip over."""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from contextlib import closing

import pytest
from hypothesis import given
from hypothesis import strategies as st

import ragwheel
from ragwheel.capture.explore import adjacent_swaps
from ragwheel.errors import ConfigurationError
from ragwheel.flags import exploration_of, flags_of
from ragwheel.guard import guard
from ragwheel.store import open_store


def chunks(*ids):
    return [{"id": one, "text": f"text of {one}"} for one in ids]


@pytest.fixture
def db(tmp_path):
    path = tmp_path / "ragwheel.db"
    ragwheel.configure(db=str(path))
    return path


def read(db, sql):
    assert ragwheel.flush()
    with closing(open_store(db)) as connection:
        return connection.execute(sql).fetchall()


@given(st.integers(0, 90), st.floats(0.01, 0.5), st.randoms(use_true_random=False))
def test_no_chunk_moves_by_more_than_a_rank(n, probability, coin):
    order, moves = adjacent_swaps(n, probability, coin)
    assert sorted(order) == list(range(n))
    assert len(moves) == n
    assert all(
        base == place + {"-": 0, "u": 1, "d": -1}[move]
        for place, (base, move) in enumerate(zip(order, moves, strict=True))
    )


def test_chunks_move_as_often_as_the_docstring_says():
    coin, n = random.Random(0), 20_000
    places = Counter()
    for _ in range(n):
        order, _ = adjacent_swaps(4, 0.4, coin)
        places.update((base, place) for place, base in enumerate(order))
    assert places[0, 0] / n == pytest.approx(0.8, abs=0.02)  # an end of the list
    assert places[0, 1] / n == pytest.approx(0.2, abs=0.02)
    assert places[1, 1] / n == pytest.approx(0.6, abs=0.02)  # two neighbours
    assert places[1, 0] / n == pytest.approx(0.2, abs=0.02)
    assert places[1, 2] / n == pytest.approx(0.2, abs=0.02)


def test_the_flag_says_what_moved_and_how_likely_that_was(db):
    @ragwheel.retriever(source="kb")
    def find(query, k=4):
        return chunks(*"abcd")[:k]

    search = ragwheel.explore(find, probability=0.5, seed=1, version="v2")
    served = ["".join(chunk["id"] for chunk in search("q", k=4)) for _ in range(20)]
    rows = read(
        db,
        "SELECT source, retriever, version, n_returned, flags FROM retrievals"
        " WHERE outer_id IS NULL ORDER BY start_ns",
    )
    assert {row[:4] for row in rows} == {("kb", "explored", "v2", 4)}
    for (*_, flags), ids in zip(rows, served, strict=True):
        probability, moves = exploration_of(flags_of(flags))
        assert probability == 0.5
        bases = [place + {"-": 0, "u": 1, "d": -1}[move] for place, move in enumerate(moves)]
        assert "".join("abcd"[base] for base in bases) == ids
    assert len(set(served)) > 2
    assert search.__name__ == "find"
    again = ragwheel.explore(find, probability=0.5, seed=1)
    assert ["".join(chunk["id"] for chunk in again("q")) for _ in range(20)] == served


def test_what_was_not_swapped_is_the_very_object_of_the_retriever(db):
    given = tuple(chunks("a", "b"))
    search = ragwheel.explore(lambda query: given, probability=0.5, seed=0)
    found = [search("q") for _ in range(30)]
    assert any(one is given for one in found)
    assert {type(one) for one in found} == {tuple}
    assert {one[0]["id"] for one in found} == {"a", "b"}
    one = chunks("a")
    assert ragwheel.explore(lambda query: one, probability=0.5)("q") is one


def test_async_retrievers_and_objects_with_invoke(db):
    class Retriever:
        def invoke(self, query):
            return chunks("a", "b")

    async def find(query):
        return chunks("a", "b")

    assert len(asyncio.run(ragwheel.explore(find)("q"))) == 2
    assert len(ragwheel.explore(Retriever())("q")) == 2
    assert len(read(db, "SELECT 1 FROM retrievals WHERE flags LIKE '%explored: 0.1 %'")) == 2


def test_a_ranking_is_recorded_as_re_ranked(db):
    search = ragwheel.retriever(source="kb")(lambda query: chunks("a", "b", "c"))
    with ragwheel.turn(query="q") as turn:
        ranking = search("q")
        served = ragwheel.explore(ranking, probability=0.5, seed=3)
        turn.answer("yes [1]")
    assert sorted(chunk["id"] for chunk in served) == ["a", "b", "c"]
    assert [chunk["id"] for chunk in ranking] == ["a", "b", "c"]
    ((kind, source, query, flags),) = read(
        db, "SELECT kind, source, query, flags FROM retrievals WHERE retriever = 'explored'"
    )
    assert (kind, source, query) == ("rerank", "kb", "q")
    assert "explored: 0.5 " in json.loads(flags)[0]


def test_what_is_no_list_is_served_as_it_is(db):
    result = {"documents": []}
    before = sum(guard.counts().values())
    assert ragwheel.explore(lambda query: result)("q") is result
    assert sum(guard.counts().values()) == before + 1
    assert "explore_failed" in read(db, "SELECT flags FROM retrievals")[0][0]


def test_what_the_retriever_raises_the_app_gets(db):
    def fails(query):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        ragwheel.explore(fails)("q")
    assert read(db, "SELECT error FROM retrievals") == [("ZeroDivisionError",)]


def test_it_works_while_ragwheel_is_not_configured():
    found = ragwheel.explore(lambda query: chunks("a", "b"), probability=0.5, seed=0)("q")
    assert len(found) == 2
    ranking = ["a", "b"]
    assert sorted(ragwheel.explore(ranking)) == ranking


@pytest.mark.parametrize("probability", [0, 0.6, "often", None])
def test_a_wrong_probability_never_reaches_the_app_while_it_serves(probability):
    ranking = ["a", "b"]
    assert ragwheel.explore(ranking, probability=probability) is ranking


@pytest.mark.parametrize(
    "make",
    [
        lambda: ragwheel.explore(3),
        lambda: ragwheel.explore(len, probability=0),
        lambda: ragwheel.explore(len, probability=0.7),
        lambda: ragwheel.explore(len, probability="0.1"),
        lambda: ragwheel.explore(len, name=""),
    ],
)
def test_what_cannot_work_is_refused_at_once(make):
    with pytest.raises(ConfigurationError, match="allowed: "):
        make()


@pytest.mark.parametrize("flags", [None, "[]", '["interleaved: on"]', '["not explored: 1"]'])
def test_other_flags_say_nothing_of_moves(flags):
    assert exploration_of(flags_of(flags)) is None
