"""Beliefs compared with people's judgments, and brought into line with them; both cross-fitted.

The pairs that people judged are dealt into folds by query group. The beliefs of a fold come from a model
that has not seen its judgments, and so does the :class:`~ragwheel.labels.recalibration.Recalibration` that
they are shown with. What is used for the store's grades is fitted to all folds.

Judgments are anchors of the label model, too. That helps where traces alone cannot tell the rates, and hurts
where two classes describe the traces badly. So the model without anchors is compared with the anchored ones
on judgments that neither has seen, and the better one is used.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import Any, Final

import ibis
import numpy as np
import numpy.typing as npt
import pyarrow as pa
from ibis import _

from ragwheel.labels.model.beliefs import beliefs, certain_log_odds
from ragwheel.labels.model.learned import LabelModel
from ragwheel.labels.model.learning import learn
from ragwheel.labels.policy import Policy
from ragwheel.labels.recalibration import Recalibration, fit_recalibration
from ragwheel.labels.traces.exposure import Facts

__all__ = [
    "ENOUGH", "RELEVANT", "JudgedBeliefs", "cross_fitted", "error_by_chance", "recalibrated", "reliability",
    "reliability_of",
]  # fmt: skip

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

#: Judged pairs from which beliefs are compared and recalibrated.
ENOUGH: Final = 50
#: The mean grade by people from which a chunk counts as relevant.
RELEVANT: Final = 3.0
_FOLDS: Final = 6  # of the recalibration
_PARTS: Final = 2  # of the label model, which costs more: it is fitted once for every part
_LEAST_OF_A_KIND: Final = 5  # relevant, and irrelevant, judged pairs
_CLEARLY: Final = 2.0  # by how much the judgments have to be more probable, in log-likelihood
_BINS: Final = 5
_DRAWS: Final = 200
_PAIR: Final = ["query_key", "chunk_version"]


@dataclass(frozen=True)
class JudgedBeliefs:
    """The pairs that people judged and that have traces; the arrays are empty below :data:`ENOUGH` pairs.

    Attributes:
        count: how many there are.
        belief: (pairs,) of a model that has not seen the judgments of the pair's query group.
        relevant: (pairs,) whether people say that it is.
        afterwards: (pairs,) the beliefs recalibrated on the judgments of other query groups; ``belief`` where
            nothing is recalibrated.
        recalibration: fitted to all of them; None where it does not make unseen pairs more probable.
        unanchored: the label model without anchors, where it makes unseen pairs clearly more
            probable; else None.
    """

    count: int
    belief: Floats = field(default_factory=lambda: np.zeros(0))
    relevant: Bools = field(default_factory=lambda: np.zeros(0, np.bool_))
    afterwards: Floats = field(default_factory=lambda: np.zeros(0))
    recalibration: Recalibration | None = None
    unanchored: LabelModel | None = None


def cross_fitted(facts: Facts, evidence: ibis.Table, policy: Policy) -> JudgedBeliefs:
    """Compare beliefs with people's judgments, each by models and recalibrations that have not seen it.

    Imported evaluation sets are left out: they list what is relevant and are silent about the rest, so that
    the share of relevant pairs among them says nothing.

    Args:
        facts: of the store.
        evidence: from :func:`ragwheel.labels.evidence.collect.collect`.
        policy: the one that grades; ``[learning] recalibrate`` decides whether the recalibration is used.
    """
    engine = facts.engine
    traces = evidence.filter(_.kind != "judged_human")
    asked = evidence.filter((_.kind == "judged_human") & ~_.subject.fill_null("").startswith("evalset:"))
    grades = asked.group_by(_PAIR).agg(grade=_.strength.mean())
    table = engine.arrow(grades.semi_join(traces, _PAIR).order_by(_PAIR))
    count = table.num_rows
    if count < ENOUGH:
        return JudgedBeliefs(count)
    fold = np.array([_fold(key) for key in table["query_key"].to_pylist()])
    table = table.append_column("fold", pa.array(fold, pa.int64()))
    judged = engine.register("judged_pairs", table)
    alone = learn(facts, traces, policy)
    without = _compared([_of_pairs(facts, beliefs(facts, traces, policy, alone), judged)], policy)
    parts = [_of_part(facts, evidence, policy, judged, number) for number in range(_PARTS)]
    anchored = _compared(parts, policy)
    losses = [_log_loss(one.afterwards, one.relevant) for one in (without, anchored)]
    better = (losses[1] - losses[0]) * count > _CLEARLY
    return replace(without, unanchored=alone) if better and _varied(without.relevant) else anchored


def _fold(query_key: str) -> int:
    digest = blake2b(query_key.encode("utf-8", "surrogatepass"), digest_size=4, person=b"calibration")
    return int.from_bytes(digest.digest(), "big") % _FOLDS


def _of_part(facts: Facts, evidence: ibis.Table, policy: Policy, judged: ibis.Table, number: int) -> pa.Table:
    """Return pair, grade, fold and belief of some folds, by a model without their judgments."""
    fold = judged.filter(_.fold % _PARTS == number)
    people = evidence.filter(_.kind == "judged_human")
    traces = evidence.filter(_.kind != "judged_human")
    others = traces.union(people.anti_join(fold, "query_key"), distinct=False)
    return _of_pairs(facts, beliefs(facts, traces, policy, learn(facts, others, policy)), fold)


def _of_pairs(facts: Facts, believed: ibis.Table, judged: ibis.Table) -> pa.Table:
    rows = believed.select(*_PAIR, "belief").join(judged, _PAIR)
    return facts.engine.arrow(rows.select(*_PAIR, "grade", "fold", "belief"))


def _varied(relevant: Bools) -> bool:
    """Whether there are enough relevant and irrelevant pairs to learn something from the difference."""
    return min(int(relevant.sum()), int((~relevant).sum())) >= _LEAST_OF_A_KIND


def _compared(parts: Sequence[pa.Table], policy: Policy) -> JudgedBeliefs:
    """Compare the beliefs of some tables with people, and recalibrate each fold by the others."""
    rows = pa.concat_tables(parts).sort_by([(name, "ascending") for name in _PAIR])
    belief, fold = rows["belief"].to_numpy().astype(float), rows["fold"].to_numpy()
    relevant = rows["grade"].to_numpy() >= RELEVANT
    truth = relevant.astype(float)
    afterwards = belief.copy()
    for number in range(_FOLDS):
        held = fold == number
        if held.any() and not held.all():
            afterwards[held] = fit_recalibration(belief[~held], truth[~held]).of(belief[held])
    gained = (_log_loss(belief, relevant) - _log_loss(afterwards, relevant)) * len(belief)
    better = _varied(relevant) and gained > _CLEARLY
    if not (better and policy.learning.enabled and policy.learning.recalibrate):
        return JudgedBeliefs(len(belief), belief, relevant, belief)
    return JudgedBeliefs(len(belief), belief, relevant, afterwards, fit_recalibration(belief, truth))


def _log_loss(belief: Floats, relevant: Bools) -> float:
    truth = relevant.astype(float)
    inside = np.clip(belief, 1e-6, 1 - 1e-6)
    return float(-(truth * np.log(inside) + (1 - truth) * np.log(1 - inside)).mean())


def recalibrated(believed: ibis.Table, policy: Policy, model: LabelModel) -> ibis.Table:
    """Return the rows of :func:`ragwheel.labels.model.beliefs.beliefs` with the model's recalibration."""
    if model.recalibration is None:
        return believed
    column = model.recalibration.column(believed.belief, certain_log_odds(policy))
    return believed.mutate(belief=ibis.ifelse(believed.judged, believed.belief, column))


def reliability(judged: JudgedBeliefs) -> dict[str, Any]:
    """Return the comparison as :class:`ragwheel.datasets.BuildReport` carries it.

    Returns:
        Only ``judged``, the number of pairs, where there are too few. Else what :func:`reliability_of` gives,
        and, where beliefs were recalibrated, ``recalibrated``: ``slope``, ``intercept``, and
        ``calibration_error`` and ``bins`` of each pair after what the others taught.
    """
    if not len(judged.belief):
        return {"judged": judged.count}
    rows = reliability_of(judged.belief.tolist(), judged.relevant.tolist())
    if judged.recalibration is None:
        return rows
    after = reliability_of(judged.afterwards.tolist(), judged.relevant.tolist())
    return rows | {
        "recalibrated": {
            "slope": round(judged.recalibration.slope, 3),
            "intercept": round(judged.recalibration.intercept, 3),
            "calibration_error": after["calibration_error"],
            "bins": after["bins"],
        }
    }


def reliability_of(belief: Sequence[float], relevant: Sequence[bool]) -> dict[str, Any]:
    """Return the reliability of beliefs.

    Args:
        belief: per pair, 0-1.
        relevant: per pair, whether people say that it is.

    Returns:
        ``judged`` (pairs), ``calibration_error`` (expected calibration error over the bins: Naeini,
        Cooper and Hauskrecht, AAAI 2015), ``error_by_chance`` (see :func:`error_by_chance`) and ``bins``: of
        each bin of belief that has pairs ``from``, ``to``, ``pairs``, the mean ``belief`` and the share that
        is ``relevant``.
    """
    bins = []
    error = 0.0
    for number in range(_BINS):
        members = [n for n, value in enumerate(belief) if min(int(value * _BINS), _BINS - 1) == number]
        if not members:
            continue
        mean = sum(belief[n] for n in members) / len(members)
        share = sum(relevant[n] for n in members) / len(members)
        error += len(members) * abs(mean - share)
        bins.append(
            {
                "from": number / _BINS,
                "to": (number + 1) / _BINS,
                "pairs": len(members),
                "belief": round(mean, 4),
                "relevant": round(share, 4),
            }
        )
    return {
        "judged": len(belief),
        "calibration_error": round(error / max(len(belief), 1), 4),
        "error_by_chance": round(error_by_chance(np.array(belief, float)), 4),
        "bins": bins,
    }


def error_by_chance(belief: Floats) -> float:
    """Return the mean calibration error that so few pairs show although every belief is right."""
    if not len(belief):
        return 0.0
    rng = np.random.default_rng(0)
    number = np.minimum((belief * _BINS).astype(int), _BINS - 1)
    expected = np.bincount(number, belief, _BINS)
    errors = [
        np.abs(np.bincount(number, rng.random(len(belief)) < belief, _BINS) - expected).sum()
        for _draw in range(_DRAWS)
    ]
    return float(np.mean(errors)) / len(belief)
