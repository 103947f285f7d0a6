"""The guard: which system to use, and which never."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ragwheel.errors import ConfigurationError
from ragwheel.evaluate.criterion import judgments_needed
from ragwheel.evaluate.evaluation import Evaluation, SystemFacts
from ragwheel.evaluate.measured import compare
from ragwheel.evaluate.systems import COSTS

__all__ = ["Recommendation", "recommend"]


@dataclass(frozen=True)
class Recommendation:
    """Which system to use.

    Attributes:
        system: its name; the reference when nothing is proved to be better.
        why: sentences, the most important first.
        refused: systems that must not be used, with the reason.
        equals: those that cannot be told apart from the best one.
    """

    system: str
    why: tuple[str, ...]
    refused: dict[str, str]
    equals: tuple[str, ...] = ()


def recommend(evaluations: Evaluation | Sequence[Evaluation]) -> Recommendation:
    """Recommend the cheapest system among the proved ones that cannot be told apart.

    A system is refused when its interval lies wholly below the reference's in any evaluation, with any kind
    of label, on any slice; where there are traces, the expected gain stands for the labels inferred from
    them, which favour what was shown. It is a candidate when its verdict is *better* in the first evaluation
    that can tell. Among the candidates that cannot be told apart from the best one the cheapest is taken, by
    what using it asks for (:data:`~ragwheel.evaluate.systems.COSTS`); of those that ask for the same, the one
    with the highest mean.

    Args:
        evaluations: one, or several of the same systems against the same reference, the most important first.

    Raises:
        ConfigurationError: none was given, or they have different references.
    """
    every = [evaluations] if isinstance(evaluations, Evaluation) else list(evaluations)
    if not every or len({comparison.reference for comparison in every}) > 1:
        got = ", ".join(comparison.reference for comparison in every) or "no evaluation"
        raise ConfigurationError(f"recommend needs evaluations with one and the same reference; got {got}.")
    reference = every[0].reference
    refused = _refused(every)
    for evaluation in every:
        proved = [
            system
            for system in evaluation.systems
            if system.name not in refused and _is_better(evaluation, system.name)
        ]
        if proved:
            return _cheapest(evaluation, proved, refused)
    why = [f"Nothing is proved to be better than {reference}: keep it."]
    for evaluation in every:
        why += [
            statement
            for name in evaluation.comparisons
            if name not in refused
            for statement in _ahead(evaluation, name)
        ]
    return Recommendation(reference, tuple(why), refused)


def _ahead(evaluation: Evaluation, name: str) -> list[str]:
    """A sentence about a system that is ahead by what proves nothing, and how to prove it."""
    expected = evaluation.expected.get(name, {}).get("all")
    if expected is not None:
        if expected.low <= 0:
            return []
        judged = judgments_needed(expected, evaluation.statistics)
        text = (
            f"{name} is expected to gain {expected.mean:+.3f} nDCG@10 ({expected.low:+.3f} to "
            f"{expected.high:+.3f}) by what the traces let us believe. That is no proof: about {judged:,} "
            f"judged questions would be one (ragwheel grade), or interleaving."
        )
        return [text]
    return [
        f"{name} is ahead by labels inferred from clicks and citations ({row.difference.low:+.3f} to "
        f"{row.difference.high:+.3f} {row.measure}): let it prove itself by interleaving or explicit "
        f"judgments."
        for row in evaluation.comparisons[name].rows
        if row.labels == "inferred" and row.part == "all" and row.difference.low > 0
    ]


def _refused(evaluations: list[Evaluation]) -> dict[str, str]:
    refused: dict[str, str] = {}
    for evaluation in evaluations:
        for name, comparison in evaluation.comparisons.items():
            expected = evaluation.expected.get(name, {})
            for part, gain in expected.items():
                if gain.high < 0:
                    refused.setdefault(
                        name,
                        f"expected to lose against {evaluation.reference}, {gain.low:+.3f} to "
                        f"{gain.high:+.3f} nDCG@10{_slice(part)} of {evaluation.collection[0]} (by what the "
                        f"traces let us believe)",
                    )
            for row in comparison.rows:
                if row.labels == "inferred" and row.part in expected:
                    continue  # these labels favour what was shown; the expected gain is corrected for that
                if row.difference.high < 0:
                    refused.setdefault(
                        name,
                        f"below {evaluation.reference} by {row.difference.low:+.3f} to "
                        f"{row.difference.high:+.3f} {row.measure}{_slice(row.part)} of "
                        f"{evaluation.collection[0]} ({row.labels} labels)",
                    )
    return refused


def _slice(part: str) -> str:
    return "" if part == "all" else f" on {part} queries"


def _is_better(evaluation: Evaluation, name: str) -> bool:
    rows = evaluation.comparisons[name].rows if name in evaluation.comparisons else ()
    return any(row.verdict.word == "better" and row.part == "all" for row in rows)


def _cheapest(evaluation: Evaluation, proved: list[SystemFacts], refused: dict[str, str]) -> Recommendation:
    measure = evaluation.measure
    labels = next(label for label in evaluation.labels if label != "inferred")
    means = {facts.name: evaluation.measured[facts.name].mean(labels, measure) for facts in proved}
    best = max(proved, key=lambda measurement: (means[measurement.name], measurement.name))
    equals = [best]
    for measurement in proved:
        if measurement is not best:
            comparison = compare(
                evaluation.measured[best.name],
                evaluation.measured[measurement.name],
                measures=(measure,),
                options=evaluation.statistics,
            ).rows[0]
            if comparison.difference.low <= 0:
                equals.append(measurement)
    chosen = min(
        equals,
        key=lambda measurement: (
            COSTS.index(measurement.cost),
            -means[measurement.name],
            measurement.ms_per_query,
        ),
    )
    row = evaluation.comparisons[chosen.name].rows[0]
    why = [
        (
            f"{chosen.name} is better than {evaluation.reference}: {row.difference.mean:+.3f} {measure}, "
            f"interval {row.difference.low:+.3f} to {row.difference.high:+.3f}, {row.labels} labels, "
            f"{row.difference.queries} queries."
        )
    ]
    if chosen is not best:
        why.append(
            f"{best.name} has the highest mean ({means[best.name]:.3f} to {means[chosen.name]:.3f}), but the "
            f"two cannot be told apart, and {chosen.name} costs less ({chosen.cost} against {best.cost})."
        )
    return Recommendation(
        chosen.name, tuple(why), refused, tuple(equal.name for equal in equals if equal is not chosen)
    )
