"""A store, a dataset, an evaluation, a model and an experiment to report on."""

from __future__ import annotations

import pytest

from ragwheel.datasets import build
from ragwheel.evaluate import (
    EvaluateOptions,
    StatisticsOptions,
    bm25,
    captured,
    evaluate,
    read_traces,
    write_results,
)
from ragwheel.experiments import (
    ExperimentVerdict,
    Gap,
    Plan,
    Result,
    Variant,
    plan_experiment,
    write_experiment,
)
from ragwheel.models.card import ModelFacts, write_model_card
from ragwheel.report import ReportOptions, make_report
from ragwheel.testing import TraceSpec, write_traces


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """Everything that a report can be made from; only to be read."""
    root = tmp_path_factory.mktemp("report")
    db = root / "app.db"
    write_traces(db, TraceSpec(turns=600, queries=70, chunks=200, zipf=0.3, p_explicit=0.3, k=20))
    build(db, root / "dataset")
    collection = read_traces(root / "dataset", db)
    options = EvaluateOptions(
        statistics=StatisticsOptions(draws=300, seeds=(0,)), cache=None, reference="bm25"
    )
    write_results(evaluate(collection, [bm25(), captured()], options=options), collection, root / "results")
    (root / "model").mkdir()
    facts = ModelFacts("adapter", "minilm", "Apache-2.0", figures={"dev": {"base": 0.6123, "tuned": 0.661}})
    write_model_card(root / "model", facts)
    variants = (Variant("baseline"), Variant("hybrid"))
    planned = plan_experiment(
        root / "experiments", Plan("exact names are typed", "retriever=hybrid", "recall@10", "+5%", variants)
    )
    done = planned.with_results(
        Result("baseline", {"recall@10": 0.5}, 40, facts={"words_at_10": 900}),
        Result(
            "hybrid", {"recall@10": 0.6}, 40, gap=Gap(0.1, 0.02, 0.18, 0.01), verdict=ExperimentVerdict("met")
        ),
        verdict=ExperimentVerdict("met"),
    )
    write_experiment(root / "experiments", done)
    return root


@pytest.fixture(scope="session")
def options(folder):
    return ReportOptions(
        dataset=folder / "dataset",
        models=(folder / "model",),
        evaluations=(folder / "results",),
        experiments=folder / "experiments",
    )


@pytest.fixture(scope="session")
def made(folder, options):
    return make_report(folder / "app.db", options)
