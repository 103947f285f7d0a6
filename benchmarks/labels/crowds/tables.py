"""Results of many crowds as Markdown tables: means, worst cases, bars, and every crowd in a row."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final

import numpy as np

from labels.crowds.crowd import Crowd
from labels.crowds.figures import CrowdResult
from labels.summary import table

__all__ = ["crowd_tables"]

SYSTEMS: Final = ("ragwheel", "naive recipe", "mine_hard_negatives", "mine_hard_negatives, 5 % margin")
ALL: Final = "all"


def crowd_tables(results: Sequence[CrowdResult]) -> str:
    """All tables."""
    names = list(dict.fromkeys(result.collection for result in results))
    groups = [(name, [result for result in results if result.collection == name]) for name in names]
    if len(groups) > 1:
        groups.append((ALL, list(results)))
    seeds = sorted({result.crowd.seed for result in results})
    head = (
        f"Crowds of the seeds {seeds[0]} to {seeds[-1]}, {results[0].turns:,} turns each: "
        "mean over crowds, and the worst crowd."
    )
    return "\n\n".join([head, _beliefs(groups), _rows(groups), _bars(results), _crowds(results)])


def _beliefs(groups: Iterable[tuple[str, Sequence[CrowdResult]]]) -> str:
    rows = []
    for name, results in groups:
        beliefs = [result.beliefs for result in results]
        rows.append(
            [
                name, str(len(results)),
                _mean_and_worst([result.ratio for result in results], min, 2),
                _mean(quality["ragwheel"].recall for quality in beliefs),
                _mean(quality["optimum"].recall for quality in beliefs),
                _mean(quality["optimum, wordings apart"].recall for quality in beliefs),
                _mean(quality["naive recipe"].recall for quality in beliefs),
                _mean_and_worst([quality["ragwheel"].ece for quality in beliefs], max, 3),
                _mean((quality["optimum"].ece for quality in beliefs), 3),
                _mean((quality["naive recipe"].ece for quality in beliefs), 3),
            ]
        )  # fmt: skip
    head = ["collection", "crowds", "recall ÷ optimum: mean; worst", "recall at 90 % precision",
            "of the optimum", "of the optimum, wordings apart", "of the naive recipe",
            "ECE of belief: mean; worst", "of the optimum", "of the naive recipe"]  # fmt: skip
    return table(head, rows)


def _rows(groups: Iterable[tuple[str, Sequence[CrowdResult]]]) -> str:
    rows = []
    for name, results in groups:
        for system in SYSTEMS:
            quality = [result.rows[system] for result in results if system in result.rows]
            if quality:
                row = [name, system]
                for kind in ("positives", "negatives", "traces"):
                    shares = [getattr(each, kind) for each in quality]
                    row += [
                        _mean_and_worst([share.value for share in shares], min, 3),
                        f"{sum(share.n for share in shares):,}",
                    ]
                rows.append(row)
    head = ["collection", "system", "precision of positives: mean; worst", "positives",
            "precision of negatives: mean; worst", "negatives", "… of those from traces: mean; worst",
            "from traces"]  # fmt: skip
    return table(head, rows)


def _bars(results: Sequence[CrowdResult]) -> str:
    ratios = [result.ratio for result in results]
    errors = [result.beliefs["ragwheel"].ece for result in results]
    positives = [result.rows["ragwheel"].positives.value for result in results]
    negatives = [result.rows["ragwheel"].negatives.value for result in results]
    bars: list[tuple[str, float, Callable[[float], bool]]] = [
        ("recall ÷ optimum, mean, ≥ 0.93", _nan(np.mean, ratios), lambda x: x >= 0.93),
        ("recall ÷ optimum, worst, ≥ 0.85", _nan(min, ratios), lambda x: x >= 0.85),
        ("ECE, mean, ≤ 0.03", _nan(np.mean, errors), lambda x: x <= 0.03),
        ("ECE, worst, ≤ 0.06", _nan(max, errors), lambda x: x <= 0.06),
        ("precision of positives, mean, ≥ 0.90", _nan(np.mean, positives), lambda x: x >= 0.90),
        ("precision of negatives, mean, ≥ 0.97", _nan(np.mean, negatives), lambda x: x >= 0.97),
    ]
    rows = [[bar, _number(value, 3), "met" if met(value) else "**missed**"] for bar, value, met in bars]
    return table(["bar", "measured", ""], rows)


def _crowds(results: Sequence[CrowdResult]) -> str:
    rows = []
    for result in sorted(results, key=lambda result: (result.collection, result.crowd.seed)):
        ours, best = result.beliefs["ragwheel"], result.beliefs["optimum"]
        made = result.rows["ragwheel"]
        rows.append(
            [
                result.collection, str(result.crowd.seed), _description(result.crowd),
                f"{result.questions:,}", _number(result.relevant / result.pairs, 2),
                f"{ours.recall:.2f}", f"{best.recall:.2f}", _number(result.ratio, 2),
                f"{ours.ece:.3f}", f"{best.ece:.3f}",
                f"{_number(made.positives.value, 3)} of {made.positives.n:,}",
                f"{_number(made.negatives.value, 3)} of {made.negatives.n:,}",
            ]
        )  # fmt: skip
    head = ["collection", "seed", "crowd", "questions", "relevant", "recall", "of the optimum", "ratio",
            "ECE", "of the optimum", "right positives", "right negatives"]  # fmt: skip
    return table(head, rows)


def _description(crowd: Crowd) -> str:
    """The channels of a crowd, and what its app does not report."""
    parts = [f"{crowd.turns_per_question:g} turns a question"]
    if crowd.cites:
        parts.append("cites")
    if crowd.clicks:
        parts.append(f"{crowd.clickers:.0%} click" + (", timed" if crowd.timed else ""))
    if crowd.vote:
        parts.append("votes")
    reported = {"prompted": crowd.tells_prompted, "shown": crowd.tells_shown}
    if not all(reported.values()):
        parts.append(" and ".join(kind for kind in reported if not reported[kind]) + " not reported")
    return "; ".join(parts)


def _mean(values: Iterable[float], digits: int = 2) -> str:
    return _number(_nan(np.mean, list(values)), digits)


def _mean_and_worst(values: Sequence[float], worst: Callable[[list[float]], float], digits: int) -> str:
    return f"{_number(_nan(np.mean, values), digits)}; {_number(_nan(worst, values), digits)}"


def _nan(figure: Callable[[list[float]], float], values: Sequence[float]) -> float:
    """A figure of the values that are numbers; nan where none is."""
    numbers = [value for value in values if not np.isnan(value)]
    return float(figure(numbers)) if numbers else float("nan")


def _number(value: float, digits: int) -> str:
    return "–" if np.isnan(value) else f"{value:.{digits}f}"
