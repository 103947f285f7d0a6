"""Whole stores of crowds that behave in one way each, and input that teaches the model nothing or wrongly."""

from __future__ import annotations

import random
from contextlib import closing

import pytest

from ragwheel.labels.evidence.kinds import KINDS
from ragwheel.labels.model.learning import prior_model
from ragwheel.labels.pipeline import grade_store
from ragwheel.labels.traces.read import TextReader, read_store
from ragwheel.store import open_store

PLACES = [1, 2, 3, 4, 5]


@pytest.fixture
def labelled(store, engine, policy):
    """The model of the store, and its grades by (query number, chunk id)."""

    def compute():
        with closing(open_store(store.path)) as connection:
            graded = grade_store(engine, read_store(connection), TextReader(connection), policy)
            named = graded.grades.join(
                graded.facts.chunks.select("chunk_version", "chunk_id"), "chunk_version"
            )
            return graded.model, {row["chunk_id"]: row for row in engine.arrow(named).to_pylist()}

    return compute


@pytest.fixture
def traffic(store):
    """Write turns in one transaction."""
    store._run("BEGIN")
    yield store
    store._run("COMMIT")


def chunks_of(n, size=5):
    return [f"q{n}c{place}" for place in range(size)]


def ask(store, n, *, cited=None, clicked=(), person=None, **exposure):
    """Question ``n`` about five chunks of its own; ``cited`` and ``clicked`` count from 0."""
    chunks = chunks_of(n)
    exposure = exposure or {"prompted": PLACES, "shown": PLACES}
    told = {name: value for name, value in exposure.items() if value is not None}
    citations = [] if cited is None else [cited + 1]
    asked = store.ask(f"question number {n}", chunks, cited=citations, user_id=person or f"u{n}", **told)
    for place in clicked:
        store.signal(asked, "click", chunks[place])
    return asked


def commit(store):
    store._run("COMMIT")
    store._run("BEGIN")


def signs_hold(model):
    for (kind, band), weight in model.weights.items():
        if kind not in ("dwell", "bounce", "judged_llm"):
            assert weight * KINDS[kind].direction >= 0, (kind, band, weight)


def defined(model, grades):
    signs_hold(model)
    assert grades
    for row in grades.values():
        assert 0 <= row["belief"] <= 1
        assert row["status"] in ("positive", "negative", "abstain")
        assert (row["status"] == "abstain") == bool(row["reason"])


def test_on_one_off_questions_what_was_ignored_is_no_positive(traffic, labelled):
    """The right chunk is first, always cited and always clicked; four others are left alone."""
    for n in range(400):
        ask(traffic, n, cited=0, clicked=[0])
    commit(traffic)
    model, grades = labelled()
    defined(model, grades)
    status = {place: {grades[f"q{n}c{place}"]["status"] for n in range(400)} for place in range(5)}
    assert status[0] == {"positive"}
    for place in PLACES[:-1]:
        assert "positive" not in status[place], place
        assert max(grades[f"q{n}c{place}"]["belief"] for n in range(400)) < 0.5


@pytest.mark.parametrize("clicks", [True, False], ids=["with clicks", "citations alone"])
def test_one_off_questions_whose_citations_are_mostly_right_give_rows(traffic, labelled, clicks):
    rng = random.Random(4)
    right = {n: rng.choices(range(5), (8, 5, 3, 2, 2))[0] for n in range(600)}
    for n, place in right.items():
        cited = place if rng.random() < 0.9 else rng.choice([other for other in range(5) if other != place])
        chances = [0.6 if other == place else 0.08 for other in range(5)]
        clicked = [other for other, chance in enumerate(chances) if clicks and rng.random() < chance]
        ask(traffic, n, cited=cited, clicked=clicked)
    commit(traffic)
    model, grades = labelled()
    defined(model, grades)
    truth = {f"q{n}c{place}" for n, place in right.items()}
    positives = {chunk for chunk, row in grades.items() if row["status"] == "positive"}
    negatives = {chunk for chunk, row in grades.items() if row["status"] == "negative"}
    assert len(positives) >= (300 if clicks else 150)
    assert len(negatives) >= 600
    assert len(positives & truth) / len(positives) >= 0.85
    assert len(negatives - truth) / len(negatives) >= 0.95


def test_one_pattern_only_leaves_the_priors(traffic, labelled, policy):
    """Every answer cites the first chunk: that says nothing of how often citations are right."""
    for n in range(300):
        ask(traffic, n, cited=0)
    commit(traffic)
    model, grades = labelled()
    defined(model, grades)
    assert model.learned == ()
    prior = prior_model(policy)
    assert model.weights["cited", 1] == pytest.approx(prior.weights["cited", 1], abs=0.4)
    assert all(grades[f"q{n}c0"]["belief"] > grades[f"q{n}c1"]["belief"] for n in range(300))


def test_a_channel_that_is_inverted_is_not_believed_the_other_way_round(traffic, labelled):
    """People and answers agree; clicks go to whatever is wrong."""
    rng = random.Random(2)
    right = {n: rng.randrange(5) for n in range(60)}
    for n, place in right.items():
        for time in range(5):
            wrong = rng.choice([other for other in range(5) if other != place])
            asked = ask(traffic, n, cited=place, clicked=[wrong], person=f"u{n}-{time}")
            traffic.signal(asked, "thumbs_up", f"q{n}c{place}")
            traffic.signal(asked, "delete", f"q{n}c{wrong}")
    commit(traffic)
    model, grades = labelled()
    defined(model, grades)
    opening = model.channels["opening"]
    assert 0 <= opening.ratio < opening.prior_ratio / 2
    for n, place in right.items():
        best = max(chunks_of(n), key=lambda chunk: grades[chunk]["belief"])
        assert best == f"q{n}c{place}"


def test_classes_cannot_swap_even_where_people_say_that_everything_is_the_other_way_round(traffic, labelled):
    """What is cited and clicked people judge as irrelevant, and what is ignored as relevant."""
    rng = random.Random(3)
    cited = {n: rng.randrange(5) for n in range(80)}
    for n, place in cited.items():
        for time in range(3):
            ask(traffic, n, cited=place, clicked=[place], person=f"u{n}-{time}")
        if n < 40:
            for other in range(5):
                traffic.judge(f"question number {n}", f"q{n}c{other}", 0 if other == place else 5)
    commit(traffic)
    model, grades = labelled()
    signs_hold(model)
    assert model.channels["citation"].ratio < 0.5
    for n in range(40, 80):
        ignored = [grades[chunk]["belief"] for chunk in chunks_of(n) if chunk != f"q{n}c{cited[n]}"]
        assert min(ignored) > 0.02, "nobody says so surely that what was ignored is irrelevant"


def contradictory(store):
    for n in range(60):
        ask(store, n, cited=0, clicked=[4], person=f"u{n % 20}")


def all_clicks_first(store):
    for n in range(100):
        ask(store, n % 50, clicked=[0], person=f"u{n}")


def nothing_told(store):
    for n in range(60):
        ask(store, n, cited=n % 5, clicked=[n % 5], prompted=None, shown=None)


def one_subject(store):
    for n in range(60):
        ask(store, n, cited=n % 3, clicked=[n % 3], person="everybody")


def one_question(store):
    for n in range(2_000):
        ask(store, 0, cited=0, clicked=[0] if n % 3 else [1], person=f"u{n % 500}")


def two_turns(store):
    ask(store, 0, cited=0, clicked=[0])
    ask(store, 1, cited=1)


def everything_cited(store):
    for n in range(60):
        store.ask(f"question number {n}", chunks_of(n), prompted=PLACES, cited=PLACES, user_id=f"u{n}")


def every_chunk_deleted(store):
    for n in range(40):
        asked = ask(store, n)
        for chunk in chunks_of(n):
            store.signal(asked, "delete", chunk)


BAD = (
    contradictory, all_clicks_first, nothing_told, one_subject, one_question, two_turns, everything_cited,
    every_chunk_deleted,
)  # fmt: skip


@pytest.mark.parametrize("write", BAD, ids=lambda write: write.__name__)
def test_input_that_teaches_little_has_defined_results(traffic, labelled, write):
    write(traffic)
    commit(traffic)
    model, grades = labelled()
    defined(model, grades)
    assert set(model.describe()) >= set(model.learned)


def test_two_turns_are_weighed_by_the_priors(traffic, labelled, policy):
    two_turns(traffic)
    commit(traffic)
    model, grades = labelled()
    assert model.learned == ()
    prior = prior_model(policy)
    for key in (("cited", 1), ("prompted_not_cited", 1), ("click", 1), ("passed_over", 1)):
        assert model.weights[key] == pytest.approx(prior.weights[key], abs=0.2), key
    assert grades["q0c0"]["belief"] > grades["q0c1"]["belief"]


def test_contradictory_channels_are_believed_no_more_than_one_alone(traffic, labelled):
    """Answers cite the first chunk, people click the last: neither becomes as sure as if both agreed."""
    contradictory(traffic)
    for n in range(60, 120):
        ask(traffic, n, cited=0, clicked=[0], person=f"u{n % 20}")
    commit(traffic)
    _model, grades = labelled()
    for n in range(60):
        assert grades[f"q{n}c0"]["belief"] < grades[f"q{n + 60}c0"]["belief"]
        assert grades[f"q{n}c4"]["belief"] > grades[f"q{n + 60}c4"]["belief"]
