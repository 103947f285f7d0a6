"""The table: a row per system, kind of label and slice."""

from __future__ import annotations

import math
from typing import Any, Final

from ragwheel.evaluate.collection import Labels
from ragwheel.evaluate.evaluation import Evaluation
from ragwheel.evaluate.measures import MEASURES

__all__ = [
    "LABELS_SAY",
    "count_queries",
    "figure",
    "gap",
    "markdown",
    "shown_slices",
    "slice_says",
    "summary",
]

LABELS_SAY: Final = {
    "explicit": "labels: explicit, what people said about chunks",
    "inferred": "labels: inferred from clicks and citations",
    "evalset": "labels: an evaluation set",
}


def summary(evaluation: Evaluation) -> list[dict[str, Any]]:
    """Means by system, kind of label and slice, with the comparison where there is one."""
    return [
        {
            "labels": labels,
            "slice": part,
            "system": name,
            "queries": len(measurement.judged[labels].slice(part)),
            **{measure: measurement.mean(labels, measure, part) for measure in MEASURES},
            "compared": _compared(evaluation, name, labels, part),
        }
        for labels in evaluation.labels
        for part in evaluation.slices(labels)
        for name, measurement in evaluation.measured.items()
    ]


def _compared(evaluation: Evaluation, name: str, labels: str, part: str) -> dict[str, Any] | None:
    rows = evaluation.comparisons[name].rows if name in evaluation.comparisons else ()
    for row in rows:
        if (row.labels, row.part) == (labels, part):
            return {
                "difference": row.difference.mean,
                "low": row.difference.low,
                "high": row.difference.high,
                "p": row.p_corrected,
                "effect": row.difference.effect,
                "verdict": row.verdict.word,
                "why": row.verdict.why,
            }
    return None


def figure(value: float | None) -> str:
    """Three decimals without the zero before them, as the field prints them; a dash for none."""
    if value is None or math.isnan(value):
        return "–"
    return f"{value:.3f}".replace("0.", ".", 1) if abs(value) < 1 else f"{value:.3f}"


def gap(low: float | None, mean: float | None, high: float | None) -> str:
    """A difference with its interval: ``+.021 [+.004, +.038]``."""
    bounds = [
        f"{figure(bound) if bound is not None and bound < 0 else '+' + figure(bound)}"
        for bound in (mean, low, high)
    ]
    return f"{bounds[0]} [{bounds[1]}, {bounds[2]}]" if low is not None and not math.isnan(low) else bounds[0]


def markdown(evaluation: Evaluation) -> str:
    """The evaluation as Markdown, one table for each kind of label and slice."""
    level = f"{evaluation.statistics.level:.0%}"
    lines = [
        f"# {evaluation.collection[0]}",
        "",
        (
            f"{evaluation.documents:,} documents. Differences are in {evaluation.measure} against "
            f"`{evaluation.reference}`, query by query, with {level} intervals; p values by the paired "
            f"randomisation test, corrected for the number of systems (Holm)."
        ),
    ]
    rows = summary(evaluation)
    for labels in evaluation.labels:
        for part, words in shown_slices(evaluation, labels):
            some = [row for row in rows if (row["labels"], row["slice"]) == (labels, part)]
            lines += ["", f"## {LABELS_SAY[labels]}; {words}; {count_queries(some[0]['queries'])}", ""]
            head = ["system", *MEASURES, "difference", "p", "effect", "verdict"]
            lines += [f"| {' | '.join(head)} |", f"|---|{'---:|' * (len(head) - 2)}---|"]
            lines += [f"| {' | '.join(_cells(row))} |" for row in some]
    lines += ["", *(f"- {note}" for note in evaluation.notes)]
    return "\n".join(lines).rstrip()


def count_queries(n: int) -> str:
    """The number with its noun: ``1 query``, ``300 queries``."""
    return f"{n:,} {'query' if n == 1 else 'queries'}"


def shown_slices(evaluation: Evaluation, labels: Labels) -> list[tuple[str, str]]:
    """The slices that have a table of their own, with what each is in words.

    Where all queries are unseen, or all are seen, that slice is the whole, and the whole says so.
    """
    parts = evaluation.slices(labels)
    judged = evaluation.measured[evaluation.reference].judged[labels]
    whole = [part for part in parts if part != "all" and len(judged.slice(part)) == len(judged.slice("all"))]
    if whole:
        return [("all", f"all queries: {slice_says(whole[0])}")]
    return [(part, slice_says(part)) for part in parts]


def slice_says(part: str) -> str:
    """What a slice is, in words."""
    return {
        "all": "all queries",
        "seen": "a relevant document was a positive in training",
        "unseen": "no relevant document was a positive in training",
    }[part]


def _cells(row: dict[str, Any]) -> list[str]:
    compared = row["compared"]
    cells = ["", "", "", ""]
    if compared is not None:
        verdict = f"{compared['verdict']}: {compared['why']}" if compared["why"] else compared["verdict"]
        cells = [
            gap(compared["low"], compared["difference"], compared["high"]),
            figure(compared["p"]),
            figure(compared["effect"]),
        ]
        cells.append(verdict)
    name = str(row["system"]).replace("|", "\\|")
    return [name, *(figure(row[measure]) for measure in MEASURES), *cells]
