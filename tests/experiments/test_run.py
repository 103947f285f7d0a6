"""Running: the same queries for every variant, kept as they come, decided by the criterion."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ragwheel.errors import ExperimentError
from ragwheel.experiments import Plan, plan_experiment, read_experiment
from ragwheel.experiments.run import RunOptions, run_experiment
from ragwheel.experiments.settings import parse_settings, variants_of


@pytest.fixture
def new(tmp_path):
    def make(change, *, expect="+5%", metric="recall@10", baseline=("retriever=lexical",), **given):
        variants = variants_of([change], parse_settings(baseline), **given)
        return plan_experiment(tmp_path / "kept", Plan("because", change, metric, expect, variants))

    return make


@pytest.fixture
def documents(tmp_path, collection):
    """The corpus as one text; everything after the tenth chunk shuffled away."""
    folder = tmp_path / "sources"
    folder.mkdir()
    (folder / "all.txt").write_text("\n\n".join(collection.corpus.values()))
    return folder


@pytest.fixture
def run(tmp_path, collection, quick):
    def start(experiment, *, on=None, **given):
        options = RunOptions(statistics=quick, cache=None, **given)
        return run_experiment(tmp_path / "kept", experiment.id, on or collection, options)

    return start


def test_chunk_sizes_are_compared_on_the_same_queries(new, run, documents):
    found = run(new("chunk_words=7,30", expect="-10%"), documents=documents)
    assert found.status == "done"
    assert [one.variant for one in found.results] == ["baseline", "chunk_words=7", "chunk_words=30"]
    assert {one.queries for one in found.results} == {40}
    sizes = [one.facts["documents"] for one in found.results]
    assert sizes == [3, 69, 16]
    words = [one.facts["words_at_10"] for one in found.results]
    assert words[1] < words[2] < words[0]
    assert found.results[1].gap is not None
    assert found.verdict is not None


def test_queries_whose_answer_is_not_in_the_documents_are_left_out(new, run, documents, collection):
    (documents / "all.txt").write_text("\n".join(list(collection.corpus.values())[:30]))
    found = run(new("chunk_words=7"), documents=documents)
    assert found.results[0].queries == 30
    assert found.results[0].facts["notes"] == [
        "10 of 40 queries left out: a relevant chunk is not in the documents"
    ]
    (documents / "all.txt").write_text("a cookbook")
    with pytest.raises(ExperimentError, match="are these the sources"):
        run(new("chunk_words=8"), documents=documents)


def test_a_failed_variant_is_kept_and_tried_again(new, run, tmp_path):
    experiment = new("reranker=models/nowhere")
    found = run(experiment)
    assert found.status == "failed"
    assert "nowhere" in found.result("reranker=nowhere").error
    assert found.result("baseline").means["recall@10"] == pytest.approx(0.5)
    assert str(found.verdict).startswith("can't tell: nothing to compare: ")
    assert read_experiment(tmp_path / "kept", experiment.id) == found
    assert run(experiment).status == "failed"


def test_an_interrupted_run_goes_on(new, run, documents, tmp_path):
    experiment = new("chunk_words=7")
    seen = []

    def stop(stage, done, total):
        seen.append((stage, done))
        if (stage, done) == ("experiment", 1):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(experiment, documents=documents, progress=stop)
    half = read_experiment(tmp_path / "kept", experiment.id)
    assert half.status == "running"
    assert [one.variant for one in half.results] == ["baseline"]
    kept = half.results[0].elapsed_s
    done = run(experiment, documents=documents)
    assert done.status == "done"
    assert done.results[0].elapsed_s == kept  # not measured twice


def test_other_queries_are_refused_once_begun(new, run, documents):
    experiment = new("chunk_words=7")
    run(experiment, documents=documents)
    with pytest.raises(ExperimentError, match="was begun on other queries, judgments or documents"):
        run(experiment)


@pytest.mark.parametrize(
    ("labels", "word", "why"),
    [
        ("evalset", "met", ""),
        ("explicit", "met", ""),
        ("inferred", "can't tell", "prove nothing by themselves"),
    ],
)
def test_only_labels_that_prove_something_can_say_met(new, run, documents, collection, labels, word, why):
    judged = replace(collection, qrels={labels: collection.qrels["evalset"]})
    found = run(new("chunk_words=50", expect="-99%"), on=judged, documents=documents)
    assert found.verdict.word == word
    assert why in found.verdict.why
    assert found.result("baseline").labels == labels


def test_a_loss_is_said_whatever_the_labels(new, run, documents, collection):
    judged = replace(collection, qrels={"inferred": collection.qrels["evalset"]})
    found = run(new("chunk_words=300", expect="+.9", metric="recall@1"), on=judged, documents=documents)
    assert found.verdict.word == "not met"


def test_labels_must_be_there(new, run):
    with pytest.raises(ExperimentError, match="has no explicit labels; it has: evalset"):
        run(new("chunk_words=7"), labels="explicit")


def test_what_runs_elsewhere_is_not_run_here(tmp_path, collection):
    kept = plan_experiment(tmp_path, Plan("why", "examples=pinned", "helpfulness", "+0", kind="fewshot"))
    with pytest.raises(ExperimentError, match="of the kind 'fewshot'"):
        run_experiment(tmp_path, kept.id, collection)
