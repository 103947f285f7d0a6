"""Beliefs from traces compared with people's judgments: a reliability table and its calibration error."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from ibis import _

from ragwheel.labels.model.beliefs import beliefs
from ragwheel.labels.model.learning import learn
from ragwheel.labels.pipeline import GradedStore
from ragwheel.labels.policy import Policy

__all__ = ["ENOUGH", "RELEVANT", "reliability", "reliability_of"]

#: Judged pairs from which a reliability table is made.
ENOUGH: Final = 50
#: The mean grade by people from which a chunk counts as relevant.
RELEVANT: Final = 3.0
_BINS: Final = 5
_PAIR: Final = ["query_key", "chunk_version"]


def reliability(store: GradedStore, policy: Policy) -> dict[str, Any]:
    """Compare what traces alone say of the pairs that people judged with what people say.

    The model is fitted again without people's judgments, so that it is not compared with its own anchors.

    Args:
        store: a graded store.
        policy: the one it was graded by.

    Returns:
        See :func:`reliability_of`; of pairs that have judgments but no traces nothing is counted.
    """
    traces = store.evidence.filter(_.kind != "judged_human")
    people = store.evidence.filter(_.kind == "judged_human").group_by(_PAIR).agg(grade=_.strength.mean())
    engine = store.facts.engine
    both = traces.select(_PAIR).distinct().semi_join(people, _PAIR)
    judged = engine.count(both)
    if judged < ENOUGH:
        return {"judged": judged}
    believed = beliefs(store.facts, traces, policy, learn(store.facts, traces, policy))
    rows = believed.select(*_PAIR, "belief").join(people, _PAIR).order_by(_PAIR)
    pairs = engine.arrow(rows.select("belief", "grade")).to_pydict()
    return reliability_of(pairs["belief"], [grade >= RELEVANT for grade in pairs["grade"]])


def reliability_of(belief: Sequence[float], relevant: Sequence[bool]) -> dict[str, Any]:
    """Return the reliability of beliefs, as :class:`ragwheel.datasets.BuildReport` carries it.

    Args:
        belief: per pair, 0-1.
        relevant: per pair, whether people say that it is.

    Returns:
        ``judged`` (pairs), ``calibration_error`` (expected calibration error over the bins: Naeini,
        Cooper and Hauskrecht, AAAI 2015) and ``bins``: of each bin of belief that has pairs ``from``, ``to``,
        ``pairs``, the mean ``belief`` and the share that is ``relevant``.
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
        "bins": bins,
    }
