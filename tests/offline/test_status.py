"""Counts, and the way to the next milestone."""

from __future__ import annotations

import pytest

import ragwheel
from ragwheel import offline
from ragwheel.errors import StoreMissing
from ragwheel.offline.examples import ExampleCounts
from ragwheel.offline.milestones import Supply, milestones
from ragwheel.testing.traces import TraceSpec, write_traces


@ragwheel.retriever(name="kb", k="k")
def search(query: str, k: int = 2):
    return [{"id": f"c{n}", "text": f"text {n}", "score": 1 / n} for n in range(1, 6)][:k]


def supply(*, examples: int = 0, test: int = 0, liked: int = 0, **given: int) -> Supply:
    counts = dict.fromkeys(Supply.__dataclass_fields__, 0) | given
    return Supply(**counts | {"examples": ExampleCounts(examples, test=test, liked=liked)})


def test_counts_of_a_small_database(tmp_path):
    db = tmp_path / "app.db"
    ragwheel.configure(db=db)
    with ragwheel.turn("what is tea?", session_id="s1", user_id="u1") as turn:
        search("what is tea?")
        turn.answer("Leaves [1], and nothing [9].")
    retrieval = turn.retrievals[-1].handle
    assert ragwheel.signal(retrieval, "click", chunk="c1")
    assert ragwheel.signal(retrieval, "dwell", chunk="c1", value=12.5)
    assert ragwheel.signal(turn.handle, "thumbs_up")
    search("alone")
    with pytest.raises(ZeroDivisionError):
        failing("boom")
    ragwheel.shutdown()

    found = offline.status(db)
    assert (found.turns, found.answered, found.sessions) == (1, 1, 1)
    assert (found.retrievals, found.failed) == (3, 1)
    assert (found.citations, found.citations_unmatched) == (2, 1)
    assert found.signals == {"click": 1, "dwell": 1, "thumbs_up": 1}
    assert found.signals_unmatched == {}
    assert found.chunks == found.chunk_versions == 5
    assert found.examples == 1
    assert found.first_ns is not None
    assert found.first_ns <= found.last_ns


@ragwheel.retriever
def failing(query: str) -> list[str]:
    raise ZeroDivisionError


def test_a_signal_that_matches_nothing_is_counted_apart(tmp_path):
    db = tmp_path / "app.db"
    ragwheel.configure(db=db)
    search("tea?")
    handle = ragwheel.last_retrieval().handle
    ragwheel.shutdown()
    ragwheel.configure(db=db)
    ragwheel.signal(handle, "click", chunk="never served")
    ragwheel.shutdown()
    found = offline.status(db)
    assert found.signals == {}
    assert sum(found.signals_unmatched.values()) == 1
    assert found.examples == 0


def test_volume(tmp_path):
    db = tmp_path / "app.db"
    world = write_traces(db, TraceSpec(turns=300, queries=50))
    found = offline.status(db)
    assert (found.turns, found.retrievals) == (300, 300)
    assert 0 < found.examples <= len(world.queries)
    assert [m.reached for m in found.milestones] == [m.have >= m.need for m in found.milestones]
    assert found.milestones[-1].have == found.examples


def test_database_without_traces_is_no_error(tmp_path):
    db = tmp_path / "app.db"
    write_traces(db, TraceSpec(turns=0))
    found = offline.status(db)
    assert (found.turns, found.examples, found.first_ns) == (0, 0, None)
    assert "ragwheel.configure" in found.next_milestone.advice[0]


def test_missing_database(tmp_path):
    with pytest.raises(StoreMissing, match="ragwheel demo"):
        offline.status(tmp_path / "none.db")
    assert list(tmp_path.iterdir()) == []


def test_ladder():
    assert [m.need for m in milestones(supply())] == [20, 30, 1_000, 6_000]
    reached = milestones(
        supply(
            retrievals=900, turns=900, answered=900, citations=900, signals=9, examples=300, test=30, liked=30
        )
    )
    assert [m.reached for m in reached] == [True, True, False, False]
    assert reached[0].advice == ()
    assert reached[2].missing == 700


def test_a_rung_counts_the_examples_that_it_needs_and_says_how_they_come_about():
    evaluation, fewshot, tuning, _ = milestones(
        supply(retrievals=900, turns=9, examples=150, test=15, liked=3)
    )
    assert (evaluation.have, fewshot.have, tuning.have) == (15, 3, 150)
    assert "a tenth of the questions is kept for testing" in evaluation.advice[-1]
    assert "ask for a thumbs-up on answers" in fewshot.advice[-1]
    assert "examples in the test split" in evaluation.purpose


@pytest.mark.parametrize(
    ("counts", "says"),
    [
        ({}, ["nothing is recorded yet"]),
        ({"retrievals": 9}, ["ragwheel.turn(question)", "no signals yet"]),
        ({"retrievals": 9, "turns": 9}, ["turn.answer(text)", "no signals yet"]),
        ({"retrievals": 9, "turns": 9, "answered": 9}, ["carry no citations", "no signals yet"]),
        (
            {
                "retrievals": 9,
                "turns": 9,
                "answered": 9,
                "citations": 9,
                "citations_unmatched": 5,
                "signals": 1,
            },
            ["5 of 9 citations point at nothing retrieved"],
        ),
        (
            {
                "retrievals": 9,
                "turns": 9,
                "answered": 9,
                "citations": 9,
                "signals": 1,
                "signals_unmatched": 4,
            },
            ["4 signals match no chunk"],
        ),
        (
            {"retrievals": 100, "turns": 9, "answered": 9, "citations": 9, "signals": 5, "examples": 10},
            ["about 9,900 more retrievals, at 10.0 an example"],
        ),
    ],
)
def test_advice_names_the_cheapest_way(counts, says):
    advice = milestones(supply(**counts))[2].advice
    assert len(advice) == len(says)
    for step, words in zip(advice, says, strict=True):
        assert words in step
