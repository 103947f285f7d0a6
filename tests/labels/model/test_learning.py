"""What the label model learns from traces, and what it leaves to the policy."""

from __future__ import annotations

import math
import random
from contextlib import closing

import pytest

from ragwheel.judgments import import_evalset
from ragwheel.labels import graded, why
from ragwheel.labels.evidence.collect import collect
from ragwheel.labels.model.learning import learn, prior_model
from ragwheel.labels.policy import load_policy
from ragwheel.labels.traces.exposure import facts
from ragwheel.labels.traces.read import TextReader, read_store
from ragwheel.labels.traces.text import query_key
from ragwheel.store import open_store
from ragwheel.testing import Liars, TraceSpec, write_traces


@pytest.fixture
def learned(engine, policy):
    """The model of a database."""

    def compute(path, rules=policy):
        with closing(open_store(path)) as connection:
            known = facts(engine, read_store(connection), TextReader(connection))
            return learn(known, collect(known, rules), rules)

    return compute


def test_a_store_without_enough_readings_is_weighed_as_the_policy_says(store, learned, policy):
    asked = store.ask("a question", ["a", "b"], prompted=[1, 2], cited=[1])
    store.signal(asked, "click", "a")
    model, prior = learned(store.path), prior_model(policy)
    assert model.learned == ()
    assert model.weights.keys() == prior.weights.keys()
    for key in (("cited", 1), ("prompted_not_cited", 2), ("click", 1), ("passed_over", 1), ("thumbs_up", 0)):
        assert model.weights[key] == pytest.approx(prior.weights[key], abs=0.15), key
    assert model.priors["kb", 1] == pytest.approx(prior.priors["", 1], abs=0.3)


def test_sensitivity_and_specificity_come_out_as_the_traffic_was_made(tmp_path, learned):
    spec = TraceSpec(turns=900, queries=60, chunks=300, k=10, returned=10, zipf=0.1, seed=3)
    world = write_traces(tmp_path / "traces.db", spec)
    model = learned(tmp_path / "traces.db")
    truth = world.relevant_pairs()
    prompted, cited = [0, 0], [0, 0]
    with closing(open_store(tmp_path / "traces.db")) as connection:
        for query, chunk, was_cited in connection.execute(_PROMPTED_AND_CITED):
            relevant = (query, chunk) in truth
            prompted[relevant] += 1
            cited[relevant] += was_cited
    rate = [cited[relevant] / prompted[relevant] for relevant in (0, 1)]
    assert "citation" in model.learned
    assert model.channels["citation"].ratio == pytest.approx(math.log(rate[1] / rate[0]), abs=0.4)
    assert learned(tmp_path / "traces.db") == model, "the same store, the same model"


_PROMPTED_AND_CITED = """
    SELECT r.query, i.chunk_id, EXISTS (SELECT 1 FROM citations c WHERE c.turn_id = i.turn_id
                                           AND c.retrieval_id = i.retrieval_id AND c.rank = i.rank)
      FROM impressions i JOIN retrievals r USING (retrieval_id)
     WHERE i.was_prompted AND i.turn_id IN (SELECT turn_id FROM citations)"""


def _answered(store, judge, *, questions=40, people=4):
    """Citations that are right nine times in ten, and an LLM judge."""
    rng = random.Random(1)
    for n in range(questions):
        query, chunks = f"question number {n}", [f"q{n}a", f"q{n}b", f"q{n}c"]
        for person in range(people):
            cited = 1 if rng.random() < 0.9 else rng.choice((2, 3))
            store.ask(query, chunks, prompted=[1, 2, 3], cited=[cited], user_id=f"u{person}")
        for place, chunk in enumerate(chunks if judge else ()):
            store.judge(query, chunk, judge(rng, place), judge="robot", human=False)


def test_a_judge_who_throws_dice_is_hardly_believed(store, learned, policy):
    _answered(store, lambda rng, _place: rng.choice((0, 5)))
    found = learned(store.path)
    assert "citation" in found.learned
    says = found.weights["judged_llm", 5] - found.weights["judged_llm", 0]
    whole = 2 * policy.weights["judged_llm"]
    assert 0 <= says < 0.65 * whole, "120 readings, of which the prior counts as thirty in each class"


def test_a_judge_who_agrees_with_the_citations_is_believed_more_than_by_default(store, learned, policy):
    _answered(store, lambda _rng, place: 0 if place else 5)
    found = learned(store.path)
    assert found.weights["judged_llm", 5] > policy.weights["judged_llm"]
    assert found.weights["judged_llm", 0] < -policy.weights["judged_llm"]
    assert found.describe()["judge"]["readings"] == 120


def test_learning_can_be_switched_off(store, learned, tmp_path):
    _answered(store, lambda _rng, place: 0 if place else 5)
    file = tmp_path / "off.toml"
    file.write_text("[learning]\nenabled = false\n")
    rules = load_policy(file)
    found, prior = learned(store.path, rules), prior_model(rules)
    assert (found.learned, found.weights) == ((), prior.weights)
    assert {rank: value for (_source, rank), value in found.priors.items()} == {
        rank: value for (_source, rank), value in prior.priors.items()
    }


def test_people_anchor_what_is_learned_and_why_tells(store, learned):
    _answered(store, lambda rng, _place: rng.choice((0, 5)))
    for n in range(20):
        for place, chunk in enumerate("abc"):
            store.judge(f"question number {n}", f"q{n}{chunk}", 0 if place else 5)
    found = learned(store.path)
    assert found.anchors == 60
    (verdict,) = why(store.path, "question number 30", "q30a")
    assert verdict.model.weights == found.weights
    assert verdict.model.anchors == 60


def test_which_chunks_people_judge_does_not_move_the_share_of_relevant_ones(store, learned):
    """They judge what was cited, which is mostly right; the share of relevant chunks is no lower for it."""
    rng, right = random.Random(4), {}
    for n in range(300):
        question = n % 100
        place = right.setdefault(question, rng.randrange(3))
        cited = [at + 1 for at in range(3) if rng.random() < (0.9 if at == place else 0.05)]
        chunks = [f"q{question}{letter}" for letter in "abc"]
        store.ask(f"question number {question}", chunks, prompted=[1, 2, 3], cited=cited)
    before = learned(store.path)
    for question in range(60):
        store.judge(f"question number {question}", f"q{question}{'abc'[right[question]]}", 5)
    after = learned(store.path)
    assert after.anchors == 60
    shares = [
        sum(1 / (1 + math.exp(-model.priors["kb", rank])) for rank in (1, 2, 3)) / 3
        for model in (before, after)
    ]
    assert shares[1] == pytest.approx(shares[0], abs=0.03)


def test_judgments_of_a_test_set_teach_nothing(store, learned, tmp_path):
    _answered(store, None)
    before = learned(store.path)
    rows = [
        f"question number {n},q{n}{chunk},{0 if place else 5}"
        for n in range(20)
        for place, chunk in enumerate("abc")
    ]
    (tmp_path / "held.csv").write_text("\n".join(["query,chunk_id,grade", *rows]))
    import_evalset(store.path, tmp_path / "held.csv", use="test")
    held = learned(store.path)
    assert held.anchors == 0
    assert held.weights == before.weights
    import_evalset(store.path, _renamed(tmp_path / "held.csv"), use="train")
    assert learned(store.path).anchors == 60


def _renamed(path):
    """The same judgments of other questions, for a set of the other use."""
    text = path.read_text()
    for n in reversed(range(20)):
        text = text.replace(f"question number {n},q{n}", f"question number {n + 20},q{n + 20}")
    path.with_name("more.csv").write_text(text)
    return path.with_name("more.csv")


def test_people_who_say_something_about_everything_do_not_decide_how_far_others_are_trusted(tmp_path, policy):
    """One subject in twenty who tosses coins over all that is displayed must not silence the rest."""
    spec = TraceSpec(turns=600, queries=40, chunks=200, k=10, returned=10, zipf=0.2, users=100, seed=5)
    told, right = {}, {}
    for name, liars in (("none", None), ("liars", Liars(share=0.05))):
        world = write_traces(tmp_path / f"{name}.db", spec, liars=liars)
        rows = graded(tmp_path / f"{name}.db").to_pylist()
        truth = {(query_key(query), chunk) for query, chunk in world.relevant_pairs()}
        positives = {(row["query_key"], row["chunk_id"]) for row in rows if row["status"] == "positive"}
        told[name], right[name] = len(positives), len(positives & truth)
    assert told["none"] > 50
    assert right["liars"] >= 0.8 * right["none"]
    assert right["liars"] / told["liars"] >= 0.8
