"""Team-draft interleaving: fair, never worse than the old retriever alone, and readable afterwards."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from contextlib import closing

import pytest
from hypothesis import given
from hypothesis import strategies as st

import ragwheel
from ragwheel.capture.interleave import team_draft
from ragwheel.errors import ConfigurationError, StoreEmpty
from ragwheel.guard import guard
from ragwheel.offline import interleaving
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


RANKED = st.lists(st.sampled_from("abcdefgh"), max_size=8, unique=True)


@given(RANKED, RANKED, st.integers(1, 10), st.randoms(use_true_random=False))
def test_the_list_is_a_fair_merge(old, new, k, draw):
    served, teams = team_draft(old, new, k, lambda: draw.random() < 0.5)
    assert len(served) == len(teams) == min(k, len({*old, *new}))
    assert len(set(served)) == len(served)
    assert abs(teams.count("o") - teams.count("n")) <= 1
    for team, ranking in (("o", old), ("n", new)):  # each picks its best that is left, in its own order
        own = [chunk for chunk, of in zip(served, teams, strict=True) if of == team]
        assert own == [chunk for chunk in ranking if chunk in own]
    assert "-" not in teams.rstrip("-")


def test_equal_rankings_are_served_as_they_are_and_share_the_credit():
    draw = random.Random(0)
    credit = Counter()
    for _ in range(400):
        served, teams = team_draft("abcd", "abcd", 4, lambda: draw.random() < 0.5)
        assert served == [*"abcd"]
        credit.update(f"{rank}{team}" for rank, team in enumerate(teams))
    assert all(150 < credit[f"{rank}o"] < 250 for rank in range(4))


def test_where_each_chunk_came_from_is_recorded(db):
    @ragwheel.retriever(source="kb")
    def old(query, k=4):
        return chunks("a", "b", "c", "d")

    @ragwheel.retriever(source="kb")
    def new(query, k=4):
        return chunks("e", "f", "a", "g")

    search = ragwheel.interleave(old, new, name="exp", version="1|2")
    found = search("q", k=4)
    assert search.__name__ == "old"
    assert len(found) == 4
    rows = read(db, "SELECT source, retriever, version, outer_id IS NULL, n_returned, flags FROM retrievals")
    [outer] = [row for row in rows if row[3]]
    assert outer[:5] == ("kb", "exp", "1|2", 1, 4)
    teams = outer[5].removeprefix('["interleaved: ').removesuffix('"]')
    assert Counter(teams) == {"o": 2, "n": 2}
    assert [chunk["id"] in "bcd" for chunk in found if chunk["id"] != "a"] == [
        team == "o" for team, chunk in zip(teams, found, strict=True) if chunk["id"] != "a"
    ]
    assert sorted(row[1].rpartition(".")[2] for row in rows if not row[3]) == ["new", "old"]


def test_async_retrievers_and_objects_with_invoke(db):
    class Retriever:
        def invoke(self, query):
            return chunks("a")

    async def old(query):
        return chunks("a", "b", "c")

    async def new(query):
        return tuple(chunks("c", "b", "a"))

    assert len(asyncio.run(ragwheel.interleave(old, new, k=2)("q"))) == 2
    assert ragwheel.interleave(Retriever(), Retriever())("q") == chunks("a")
    assert isinstance(ragwheel.interleave(lambda q: tuple(chunks("a")), Retriever())("q"), tuple)


def fails(query):
    raise ZeroDivisionError


@pytest.mark.parametrize(
    ("new", "why"), [(fails, "ZeroDivisionError"), (lambda query: {"x": 1}, "not two lists")]
)
def test_what_the_new_one_breaks_the_app_does_not_feel(db, new, why):
    result = chunks("a", "b")
    before = sum(guard.counts().values())
    assert ragwheel.interleave(lambda query: result, new, name="exp")("q") is result
    assert sum(guard.counts().values()) == before + 1
    assert why in read(db, "SELECT flags FROM retrievals")[0][0]


def test_what_the_old_one_raises_the_app_gets(db):
    search = ragwheel.interleave(fails, lambda query: chunks("a"))
    with pytest.raises(ZeroDivisionError):
        search("q")
    assert read(db, "SELECT error FROM retrievals") == [("ZeroDivisionError",)]


def test_it_works_while_ragwheel_is_not_configured():
    assert ragwheel.interleave(lambda q: chunks("a"), lambda q: chunks("a"))("q") == chunks("a")


async def is_async(query):
    return []


@pytest.mark.parametrize(
    "make",
    [
        lambda: ragwheel.interleave(3, fails),
        lambda: ragwheel.interleave(fails, "new"),
        lambda: ragwheel.interleave(fails, is_async),
        lambda: ragwheel.interleave(fails, fails, k=0),
        lambda: ragwheel.interleave(fails, fails, name=""),
    ],
)
def test_what_cannot_work_is_refused_at_once(make):
    with pytest.raises(ConfigurationError, match="allowed: "):
        make()


def visit(search, *, likes, person, turns=1):
    """A person who clicks the first chunk that she likes; another likes none and is not counted."""
    for number in range(turns):
        with ragwheel.turn(user_id=person) as turn:
            found = search(f"question {number}")
        for rank, chunk in enumerate(found, 1):
            if chunk["id"] in likes:
                ragwheel.signal(turn.handle, "click", rank=rank)
                break


def test_the_better_one_wins(db):
    search = ragwheel.interleave(
        lambda q: chunks("x", "y", "z"), lambda q: chunks("good", "x", "y"), name="exp", source="kb"
    )
    for number in range(40):
        visit(search, likes={"good"}, person=f"p{number}")
    visit(search, likes=set(), person="idle", turns=3)
    ragwheel.flush()
    found = interleaving(db)
    assert (found.name, found.served, found.wins, found.losses, found.winner) == ("exp", 43, 40, 0, "new")
    assert found.p_value < 1e-9
    assert found.low > 0.5
    assert "new is better" in found.verdict
    assert found == interleaving(db, "exp")


def test_equal_ones_cannot_be_told_apart(db):
    search = ragwheel.interleave(
        lambda q: chunks("a", "b"), lambda q: chunks("b", "a"), name="exp", source="kb"
    )
    draw = random.Random(1)
    for number in range(40):
        visit(search, likes={draw.choice("ab")}, person=f"p{number % 20}")
    ragwheel.flush()
    found = interleaving(db)
    assert found.winner is None
    assert found.low < 0.5 < found.high
    assert (found.wins + found.losses + found.ties, found.people) == (40, 20)
    assert found.verdict.startswith("can't tell")


def test_one_busy_person_decides_nothing(db):
    search = ragwheel.interleave(
        lambda q: chunks("x", "y"), lambda q: chunks("good", "z"), name="exp", source="kb"
    )
    visit(search, likes={"good"}, person="liar", turns=30)
    ragwheel.flush()
    found = interleaving(db)
    assert (found.wins, found.winner, found.people, found.p_value) == (30, None, 1, 1.0)
    assert (found.low, found.high) == (0.0, 1.0)


def test_citations_count_too_and_failures_are_told(db):
    good = ragwheel.interleave(
        lambda q: chunks("x", "y"), lambda q: chunks("good", "z"), name="exp", source="kb"
    )
    with ragwheel.turn() as turn:
        found = good("q")
        turn.answer(f"So it is [{[chunk['id'] for chunk in found].index('good') + 1}].")
    ragwheel.interleave(lambda q: chunks("x"), fails, name="exp", source="kb")("q")
    ragwheel.flush()
    result = interleaving(db)
    assert (result.wins, result.losses, result.failed) == (1, 0, 1)
    assert "1 turns" in result.verdict


def test_an_experiment_that_is_not_there_is_an_error(db):
    ragwheel.start_retrieval("q", source="kb").finish(chunks("a"))
    ragwheel.flush()
    with pytest.raises(StoreEmpty, match=r"ragwheel\.interleave"):
        interleaving(db)
    ragwheel.interleave(lambda q: chunks("x"), lambda q: chunks("y"), name="exp")("q")
    ragwheel.flush()
    with pytest.raises(StoreEmpty, match="experiments: exp, asked for 'other'"):
        interleaving(db, "other")
