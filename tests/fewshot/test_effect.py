"""Do the examples help: the three arms, the verdict, the record, and pipelines that fail."""

from __future__ import annotations

import json

import pytest
from tests.fewshot.helpers import chat_server, said

from ragwheel import fewshot, offline
from ragwheel.errors import ConfigurationError, DatasetError, ExperimentError, ModelError
from ragwheel.experiments import list_experiments
from ragwheel.fewshot.effect import NONE, RANDOM, SELECTED
from ragwheel.fewshot.metrics import exact_match, rouge_l, token_f1
from ragwheel.store.artifacts import list_artifacts

BUILD = fewshot.FewshotOptions(n=12)
OPTIONS = fewshot.EffectOptions(k=3, questions=12)


@pytest.fixture
def trial(full):
    library = fewshot.build(full.path, BUILD)
    return library, fewshot.held_out(full.path, library, OPTIONS)


def copying(question, examples):
    """A reader that repeats its first example."""
    return examples[0]["answer"] if examples else "I do not know"


def test_questions_are_held_out(trial):
    library, questions = trial
    mine = {one.question for one in library.examples}
    asked = {one.question for one in questions.asked}
    pool = {one.question for one in questions.pool}
    assert len(asked) == 12
    assert not asked & mine
    assert not pool & (mine | asked)
    assert len(questions.people) == 12


def test_examples_that_help_are_adopted_and_the_experiment_is_kept(trial, tmp_path):
    library, questions = trial
    options = fewshot.EffectOptions(k=3, questions=12, experiments=tmp_path / "experiments")
    seen = []
    found = fewshot.measure(library, questions, copying, options, progress=lambda *told: seen.append(told))
    assert found.decision == "adopt"
    assert found.means[SELECTED] > found.means[RANDOM] > found.means[NONE]
    assert found.outcomes[0].low > 0
    assert seen[-1] == ("asking", 36, 36)
    (kept,) = list_experiments(tmp_path / "experiments")
    assert kept == found.experiment
    assert (kept.kind, kept.status, kept.verdict.word) == ("fewshot", "done", "met")
    assert [one.variant for one in kept.results] == [NONE, RANDOM, SELECTED]
    assert kept.results[2].facts["library"] == library.id


def test_examples_that_help_no_more_than_random_ones_are_adopted_with_that_caveat(trial):
    library, questions = trial
    liked = {one.question: one.answer for one in questions.asked}
    found = fewshot.measure(
        library, questions, lambda question, examples: liked[question] if examples else "?", OPTIONS
    )
    assert found.decision == "adopt"
    assert not found.selection_matters
    assert "the choice of examples was not shown to matter" in found.caveat
    nearest = fewshot.measure(library, questions, copying, OPTIONS)
    assert nearest.selection_matters is (nearest.caveat == "")


def test_examples_that_do_not_help_are_not_adopted(trial):
    library, questions = trial
    same = fewshot.measure(library, questions, lambda question, examples: "always this", OPTIONS)
    assert same.decision != "adopt"
    worse = fewshot.measure(
        library, questions, lambda _, examples: "noise" if examples else "Open settings and there [1].",
        fewshot.EffectOptions(k=3, questions=12, fixed=True, metric="rouge-l"),
    )  # fmt: skip
    assert worse.decision == "reject"
    assert worse.outcomes[0].high < 0


def test_more_than_there_is_to_gain_was_expected(trial):
    library, questions = trial
    options = fewshot.EffectOptions(k=3, questions=12, expect="+.99")
    assert fewshot.measure(library, questions, copying, options).decision == "reject"
    with pytest.raises(ExperimentError, match="--expect"):
        fewshot.measure(library, questions, copying, fewshot.EffectOptions(expect="much"))


def test_nothing_is_asked_twice(trial, tmp_path):
    library, questions = trial
    options = fewshot.EffectOptions(
        k=3, questions=12, keep=tmp_path / "answers.jsonl", experiments=tmp_path / "experiments"
    )
    calls = []

    def stopped(question, examples):
        calls.append(question)
        if len(calls) == 10:
            raise KeyboardInterrupt
        return copying(question, examples)

    with pytest.raises(KeyboardInterrupt):
        fewshot.measure(library, questions, stopped, options)
    with (tmp_path / "answers.jsonl").open("a") as out:
        out.write('{"key": "cut off')
    first = fewshot.measure(library, questions, stopped, options)
    assert len(calls) == 10 + 36 - 9
    assert [one.id for one in list_experiments(tmp_path / "experiments")] == [first.experiment.id]
    again = fewshot.measure(library, questions, stopped, options)
    assert (again.scores, again.verdict) == (first.scores, first.verdict)
    assert len(calls) <= 37 + 1  # only what stood in the line that was cut off


def test_a_pipeline_that_fails(trial):
    library, questions = trial
    bad = {questions.asked[0].question}

    def failing(question, examples):
        if question in bad:
            raise RuntimeError("no such index")
        return copying(question, examples)

    found = fewshot.measure(library, questions, failing, OPTIONS)
    assert (found.failed, len(found.questions)) == (1, 11)
    bad |= {one.question for one in questions.asked}
    with pytest.raises(DatasetError, match=r"failed on 12 of 12 questions.*RuntimeError: no such index"):
        fewshot.measure(library, questions, failing, OPTIONS)
    with pytest.raises(DatasetError, match="gave a list, allowed: the answer's text"):
        fewshot.measure(library, questions, {}.get, OPTIONS)


def test_through_an_endpoint(trial):
    library, questions = trial
    with chat_server(lambda body: said(body["messages"][-2]["content"] if body["messages"][1:] else "?")) as (
        url, got,
    ):  # fmt: skip
        ask = fewshot.through_endpoint(fewshot.ChatEndpoint(url, "m"))
        found = fewshot.measure(library, questions, ask, OPTIONS)
        assert len(got) == 36
    assert found.means[SELECTED] > found.means[NONE]
    with pytest.raises(ModelError, match="cannot be reached"):
        fewshot.measure(library, questions, ask, OPTIONS)


def test_too_few_answers(traces, full):
    library = fewshot.build(full.path, fewshot.FewshotOptions(n=79, unusual_share=0))
    with pytest.raises(DatasetError, match="can be held out, needed: 5"):
        fewshot.held_out(full.path, library)


def test_options_and_metrics_that_cannot_be(trial):
    library, questions = trial
    for wrong in ({"k": 0}, {"questions": 2}, {"metric": "bleu"}):
        with pytest.raises(ConfigurationError, match="allowed"):
            fewshot.EffectOptions(**wrong)
    options = fewshot.EffectOptions(metric=lambda answer, liked: float("nan"))
    with pytest.raises(ConfigurationError, match="the metric gave nan"):
        fewshot.measure(library, questions, copying, options)


@pytest.mark.parametrize("wrong", ["json", "nope.nope:f", "json:nope", ":", "json:decoder"])
def test_a_pipeline_that_is_not_there(wrong):
    with pytest.raises(ConfigurationError, match="pipeline: "):
        fewshot.load_pipeline(wrong)


def test_a_pipeline_by_name(tmp_path, monkeypatch):
    (tmp_path / "my_fewshot_app.py").write_text(
        "class App:\n    def ask(question, examples):\n        return 'x'\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    assert fewshot.load_pipeline("my_fewshot_app:App.ask")("q", []) == "x"
    assert fewshot.load_pipeline("json:dumps") is json.dumps


def test_metrics():
    assert token_f1("run keys rotate", "Run `keys rotate`.") == 1
    assert token_f1("a b", "b c") == 0.5
    assert token_f1("", "") == 1
    assert token_f1("a", "") == 0
    assert rouge_l("a b c d", "a c d x") == 0.75
    assert rouge_l("", "a") == 0
    assert exact_match("Yes, do.", "yes do") == 1


def test_erasing_names_the_answers_and_the_next_test_begins_anew(trial, full, tmp_path):
    library, questions = trial
    kept = tmp_path / "answers.jsonl"
    options = fewshot.EffectOptions(k=3, questions=12, keep=kept)
    fewshot.measure(library, questions, copying, options)
    copied = json.loads(kept.read_text().splitlines()[1])["answer"]
    person = full._run("SELECT user_id FROM turns WHERE answer = ?", copied).fetchone()[0]
    erased = offline.erase(full.path, offline.Selection(user=person))
    assert [one.path for one in erased.retrain] == [kept]
    assert erased.still_in == (kept,)
    begun = []

    def anew(question, examples):
        begun.append(question)
        return copying(question, ())

    fewshot.measure(library, questions, anew, options)
    assert len(begun) == 36  # nothing of the old file was used
    assert copied not in kept.read_text()
    assert not any(one.stale for one in list_artifacts(full.path))
