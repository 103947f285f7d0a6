"""Pre-registered experiments: one change and its expected effect, written down before the run.

::

    from ragwheel.experiments import Plan, plan_experiment
    from ragwheel.experiments.run import run_experiment

    experiment = plan_experiment(
        "experiments",
        Plan(
            hypothesis="our users' words differ from the documents'",
            change="embedder=models/mine",
            metric="recall@10",
            expect="+15%",
        ),
    )

Importing this package is light. :mod:`ragwheel.experiments.run` runs experiments, and
:mod:`ragwheel.experiments.roadmap` ranks the next steps. ``docs/experiments.md`` is the guide.
"""

from __future__ import annotations

from ragwheel.experiments.expectation import Expectation, ExperimentVerdict, Gap, decide
from ragwheel.experiments.record import (
    Experiment,
    Plan,
    Result,
    Variant,
    list_experiments,
    plan_experiment,
    read_experiment,
    scan_experiments,
    write_experiment,
)

__all__ = [
    "Expectation",
    "Experiment",
    "ExperimentVerdict",
    "Gap",
    "Plan",
    "Result",
    "Variant",
    "decide",
    "list_experiments",
    "plan_experiment",
    "read_experiment",
    "scan_experiments",
    "write_experiment",
]
