"""What a test of examples takes and gives: options, held-out questions, outcomes."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from ragwheel.errors import ConfigurationError
from ragwheel.experiments import Experiment, ExperimentVerdict
from ragwheel.fewshot.examples import Example
from ragwheel.fewshot.metrics import METRICS, Metric

__all__ = ["LEAST_QUESTIONS", "RISK", "EffectOptions", "HeldOut", "Outcome", "Trial"]

#: Fewest held-out questions of a test.
LEAST_QUESTIONS: Final = 5
#: Largest p value that counts as shown.
RISK: Final = 0.05


@dataclass(frozen=True)
class EffectOptions:
    """How to test.

    Args:
        k: examples in a prompt.
        questions: at most so many held-out ones.
        metric: ``f1``, ``rouge-l``, ``exact``, or a function ``metric(answer, liked_answer)``.
        fixed: the first k examples of the library for every question, instead of those nearest to it.
        expect: the least gain over no examples that is worth it: ``+0`` any sure one, ``+5%``, ``+.02``.
        near_copy: questions this similar to an example's are not asked: it would be memory.
        seed: of the draws.
        name: of what answers, for the record and for ``keep``.
        experiments: a folder of experiments: hypothesis and criterion are sealed there before anything is
            asked, and ``ragwheel experiment`` lists it.
        keep: a file for the answers as they come; the same call again goes on from there. The database
            remembers it: ``ragwheel erase`` names it, and the next call begins it anew.
    """

    k: int = 4
    questions: int = 50
    metric: str | Metric = "f1"
    fixed: bool = False
    expect: str = "+0"
    near_copy: float = 0.9
    seed: int = 0
    name: str = "pipeline"
    experiments: str | Path | None = None
    keep: str | Path | None = None

    def __post_init__(self) -> None:
        """Raise ConfigurationError for what cannot be."""
        if self.k < 1 or self.questions < LEAST_QUESTIONS:
            raise ConfigurationError(
                f"few-shot test: got k={self.k}, questions={self.questions}; "
                f"allowed: k from 1, questions from {LEAST_QUESTIONS}"
            )
        if isinstance(self.metric, str) and self.metric not in METRICS:
            raise ConfigurationError(
                f"metric: got {self.metric!r}, allowed: {', '.join(METRICS)}, or a function "
                "(answer, liked) -> number"
            )


@dataclass(frozen=True)
class HeldOut:
    """Questions that no example has, and the pool that random examples are drawn from.

    Attributes:
        asked: question and liked answer, as examples.
        people: who asked each: questions of one person are not independent.
        pool: liked answers that are neither asked about nor in the library.
        db: the database that they are from; it remembers the file of the answers for ``ragwheel erase``.
    """

    asked: tuple[Example, ...]
    people: tuple[str, ...]
    pool: tuple[Example, ...]
    db: Path | None = None


@dataclass(frozen=True)
class Outcome:
    """A paired difference ``a - b`` of the metric: mean, 95 % interval over people, corrected p value."""

    a: str
    b: str
    mean: float
    low: float
    high: float
    p: float


@dataclass(frozen=True)
class Trial:
    """What came out.

    Attributes:
        verdict: whether selected examples bring what was expected over none.
        outcomes: selected against none (it decides), selected against random (does the selection matter).
        means: of the metric, by arm.
        questions: those that were asked in every arm.
        scores: every single value: ``scores[arm][i]`` belongs to ``questions[i]``.
        failed: questions left out because the pipeline raised.
        experiment: the record that was kept; None where no folder was given.
    """

    verdict: ExperimentVerdict
    outcomes: tuple[Outcome, Outcome]
    means: dict[str, float]
    questions: tuple[str, ...]
    scores: dict[str, tuple[float, ...]] = field(repr=False)
    failed: int = 0
    experiment: Experiment | None = None

    @property
    def selection_matters(self) -> bool:
        """True when selected examples were shown to be better than random ones."""
        against_random = self.outcomes[1]
        return against_random.low > 0 and against_random.p <= RISK

    @property
    def caveat(self) -> str:
        """What limits the decision; empty when nothing does."""
        if self.decision != "adopt" or self.selection_matters:
            return ""
        return (
            "Examples help, but the choice of examples was not shown to matter: against random examples the "
            "difference is {0.mean:+.3f} [{0.low:+.3f}, {0.high:+.3f}].".format(self.outcomes[1])
        )

    @property
    def decision(self) -> Literal["adopt", "reject", "undecided"]:
        """What the verdict means for the prompt."""
        return _DECISIONS[self.verdict.word]


_DECISIONS: Final[dict[str, Literal["adopt", "reject", "undecided"]]] = {
    "met": "adopt",
    "not met": "reject",
    "can't tell": "undecided",
}
