"""Headroom as measured by hand, and the steps that follow from it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ragwheel.datasets import open_dataset
from ragwheel.experiments.captured import CapturedQuery, ndcg, oracle, read_captured, recall
from ragwheel.experiments.roadmap import roadmap
from ragwheel.experiments.segments import segments
from ragwheel.experiments.steps import ExperimentStep


@pytest.fixture
def one():
    return CapturedQuery("k", "text", {"a": 5.0, "b": 3.0, "x": 0.0}, ("x", "y", "b", "a"), 2, 7)


def test_the_oracle_puts_the_best_first(one):
    assert oracle(one) == ("a", "b", "x", "y")
    assert oracle(one, depth=3) == ("b", "x", "y", "a")
    assert ndcg(oracle(one), one) == pytest.approx(1)
    assert 0 < ndcg(one.ranking, one) < 1
    assert recall(one.ranking, one, 3) == 0.5
    assert recall(one.ranking, one, 4) == 1


def test_queries_come_with_the_rankings_that_the_app_got(dataset, traces):
    found = read_captured(open_dataset(dataset), traces)
    assert found
    assert all(one.ranking and 0 < one.returned <= len(one.ranking) for one in found)
    assert sum(one.asked for one in found) > len(found)
    tested = read_captured(open_dataset(dataset), traces, ("test",))
    assert not {one.key for one in found} & {one.key for one in tested}


def test_steps_carry_their_number_and_their_command(dataset, traces):
    found = roadmap(dataset, traces)
    head = found.headroom
    assert 0 < head.ndcg <= head.ndcg_oracle <= 1
    assert head.recall <= head.recall_oracle <= head.ceiling + 1e-9
    order = ["do first", "plan", "fill in", "leave"]
    places = [order.index(step.quadrant) for step in found.steps]
    assert places == sorted(places)
    assert {step.quadrant for step in found.steps} >= {"leave"}
    for step in found.steps:
        assert step.command.startswith("ragwheel ")
        assert any(sign.isdigit() for sign in step.measured), step.name
    by_name = {step.name: step for step in found.steps}
    rerank = by_name["re-rank the captured chunks"]
    assert rerank.headroom == pytest.approx(head.ndcg_oracle - head.ndcg)
    assert not rerank.needs  # fifty examples are enough to learn an order from features
    assert "more examples" in by_name["tune the embedding model"].needs
    assert any("test split is kept" in note for note in found.notes)


def test_segments_are_named_by_their_words():
    texts = [f"how to open file number {i}" for i in range(12)] + [
        f"parse json string {i}" for i in range(12)
    ]
    failing = [True] * 12 + [False] * 12
    found = segments(texts, failing)
    assert sum(len(one.members) for one in found) == 24
    assert "file" in found[0].name or "open" in found[0].name
    assert found[0].share == 1
    assert all(one.failing == 0 for one in found if "json" in one.name)
    assert segments(texts, failing) == found


def test_queries_that_are_all_alike_are_one_segment():
    (found,) = segments(["long question about water pumps"] * 30, [True] * 10 + [False] * 20)
    assert (found.name, found.failing, len(found.members)) == ("other", 10, 30)


@pytest.mark.parametrize("texts", [[], ["one"], ["a", "b", "c", "d", "e", "f"], ["", "", "", "", "", "", ""]])
def test_too_few_queries_have_no_segments(texts):
    assert segments(texts, [True] * len(texts)) == []


def test_what_needs_something_first_is_no_low_effort():
    step = ExperimentStep("x", "1", 0.5, "low", "a minute", "", "none", "ragwheel status")
    assert step.quadrant == "do first"
    assert replace(step, needs="923 more examples").quadrant == "plan"


def test_advice_to_look_deeper_shows_how_deep_the_answers_are(dataset, traces):
    (step,) = (step for step in roadmap(dataset, traces).steps if step.name == "look deeper before choosing")
    assert "capture_k" in step.cost
    assert step.command.startswith(f"ragwheel evaluate {dataset}")
