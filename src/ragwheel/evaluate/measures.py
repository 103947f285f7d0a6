"""The field's measures by ir-measures, per query, and how much of a ranking nobody has judged."""

from __future__ import annotations

from typing import Any, Final

import ir_measures

from ragwheel.errors import ConfigurationError
from ragwheel.evaluate.collection import Qrels
from ragwheel.evaluate.runs import Run

__all__ = ["MEASURES", "PRIMARY", "check_measure", "per_query"]

#: ``judged@10`` is the share of the first ten that somebody judged, ``holes@10`` the number that nobody did.
MEASURES: Final = (
    "nDCG@10",
    "MRR@10",
    "MAP",
    "recall@1",
    "recall@5",
    "recall@10",
    "recall@20",
    "recall@40",
    "judged@10",
    "holes@10",
)
PRIMARY: Final = "nDCG@10"


def check_measure(name: str) -> str:
    """The measure of that name, whatever the case.

    Raises:
        ConfigurationError: there is none.
    """
    for measure in MEASURES[:-2]:
        if measure.lower() == name.lower():
            return measure
    raise ConfigurationError(f"There is no measure {name!r}; allowed: {', '.join(MEASURES[:-2])}.")


def per_query(run: Run, qrels: Qrels, positive: int = 1) -> dict[str, dict[str, float]]:
    """Every measure for every judged query; a query without a ranking counts 0.

    Args:
        run: a system's rankings.
        qrels: what they are measured against.
        positive: the grade from which a document counts for recall, MRR and MAP. nDCG takes the grades as
            gains (Järvelin & Kekäläinen 2002).

    Returns:
        Values by query id, by name of :data:`MEASURES`.
    """
    named = {_measure(name, positive): name for name in MEASURES[:-2]}
    judgments = [
        ir_measures.Qrel(q, doc, grade) for q, grades in qrels.items() for doc, grade in grades.items()
    ]
    documents = [ir_measures.ScoredDoc(*row) for row in run.scored(qrels)]
    by_measure: dict[str, dict[str, float]] = {name: dict.fromkeys(qrels, 0.0) for name in MEASURES}
    if documents:
        for value in ir_measures.iter_calc(list(named), judgments, documents):
            by_measure[named[value.measure]][value.query_id] = float(value.value)
    for query in qrels:
        first = run.rankings.get(query, ())[:10]
        judged = sum(document in qrels[query] for document in first)
        by_measure["judged@10"][query] = judged / len(first) if first else 0.0
        by_measure["holes@10"][query] = float(len(first) - judged)
    return by_measure


def _measure(name: str, positive: int) -> Any:
    kind, _, depth = name.partition("@")
    if kind == "nDCG":
        return ir_measures.nDCG @ int(depth)
    if kind == "MRR":
        return ir_measures.RR(rel=positive) @ int(depth)
    if kind == "MAP":
        return ir_measures.AP(rel=positive)
    return ir_measures.R(rel=positive) @ int(depth)
