"""From a store to its grades: what builds, ``why``, exports and the queue of questions all call."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import ibis

from ragwheel.labels.calibration import JudgedBeliefs, cross_fitted, recalibrated
from ragwheel.labels.engines.engine import RelationalEngine
from ragwheel.labels.evidence.collect import collect
from ragwheel.labels.model.beliefs import beliefs, decided, thresholds
from ragwheel.labels.model.learned import LabelModel
from ragwheel.labels.model.learning import learn
from ragwheel.labels.policy import Policy
from ragwheel.labels.position.choose import examine
from ragwheel.labels.traces.exposure import Facts, facts
from ragwheel.labels.traces.read import StoreTables

__all__ = ["GradedStore", "grade_rows", "grade_store"]


@dataclass(frozen=True)
class GradedStore:
    """Facts, evidence, the fitted model (with thresholds) and the grades of a store, kept in the engine.

    ``judged`` compares beliefs with people's judgments.
    """

    facts: Facts
    evidence: ibis.Table
    model: LabelModel
    grades: ibis.Table
    judged: JudgedBeliefs


def grade_store(
    engine: RelationalEngine,
    tables: StoreTables,
    text_of: Callable[[int], str],
    policy: Policy,
    stage: Callable[[str], None] = lambda _stage: None,
) -> GradedStore:
    """Read exposure and evidence, fit the label model, and grade every pair.

    Args:
        engine: where it is computed.
        tables: from :func:`ragwheel.labels.traces.read.read_store` or a folder of Parquet files.
        text_of: gives the text of a ``text_id``.
        policy: priors and caps.
        stage: called with the name of each stage as it begins: exposure, evidence, grades.
    """
    stage("exposure")
    known = facts(engine, tables, text_of, bots=policy.signals.bots)
    stage("evidence")
    known = replace(known, examination=examine(known, policy))
    evidence = collect(known, policy)
    stage("grades")
    model = learn(known, evidence, policy)
    judged = cross_fitted(known, evidence, policy)
    model = replace(judged.unanchored or model, recalibration=judged.recalibration)
    believed = engine.keep("beliefs", recalibrated(beliefs(known, evidence, policy, model), policy, model))
    limits = thresholds(engine, believed, policy)
    grades = engine.keep("grades", decided(believed, policy, limits))
    model = replace(model, thresholds=limits)
    return GradedStore(known, evidence, model, grades, judged)


def grade_rows(known: Facts, evidence: ibis.Table, policy: Policy, model: LabelModel) -> ibis.Table:
    """Grade some of the evidence of a store with the model and thresholds that the whole of it gave.

    Where the model has no thresholds yet, those of this evidence.
    """
    believed = recalibrated(beliefs(known, evidence, policy, model), policy, model)
    limits = model.thresholds or thresholds(known.engine, believed, policy)
    return decided(believed, policy, limits)
