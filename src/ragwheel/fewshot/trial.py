"""The options, the held-out questions and the outcomes of a test of examples."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from ragwheel.errors import ConfigurationError
from ragwheel.experiments import Experiment, ExperimentVerdict
from ragwheel.fewshot.examples import Example
from ragwheel.fewshot.metrics import METRICS, Metric

__all__ = ["LEAST_QUESTIONS", "RISK", "EffectOptions", "HeldOut", "Outcome", "Trial"]

#: Least number of held-out questions in a test.
LEAST_QUESTIONS: Final = 5
#: The significance level of a test.
RISK: Final = 0.05


@dataclass(frozen=True)
class EffectOptions:
    """The options of a test.

    Args:
        k: the number of examples in a prompt.
        questions: the largest number of held-out questions.
        metric: ``f1``, ``rouge-l``, ``exact``, or a function ``metric(answer, liked_answer)``.
        fixed: use the library's first k examples for every question, instead of the nearest ones.
        expect: the least worthwhile gain over no examples: ``+0`` for any significant one, ``+5%``, ``+.02``.
        near_copy: questions with this similarity to an example's are not asked, since they test memory only.
        seed: the seed of random draws.
        name: the name of the pipeline, for the record and for ``keep``.
        experiments: a folder of experiments, where hypothesis and criterion are sealed before the test;
            ``ragwheel experiment`` lists it.
        keep: a file that caches answers, so that an interrupted test can be resumed. It is registered in the
            database: ``ragwheel erase`` names it, and the next test empties it.
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
    """Held-out questions, and the pool from which random examples are drawn.

    Attributes:
        asked: the questions with their liked answers, as examples.
        people: the person who asked each question; questions of one person are not independent.
        pool: liked answers that are neither asked about nor in the library.
        db: the database that they are from, where the file of cached answers is registered.
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
    """The result of a test.

    Attributes:
        verdict: whether selected examples bring the expected gain over none.
        outcomes: selected against none, which decides, and selected against random.
        means: the mean of the metric by arm.
        questions: the questions that were answered in every arm.
        scores: the metric: ``scores[arm][i]`` belongs to ``questions[i]``.
        failed: the number of questions left out because the pipeline raised.
        experiment: the record of the experiment; None without a folder.
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
        """Whether selected examples are significantly better than random ones."""
        against_random = self.outcomes[1]
        return against_random.low > 0 and against_random.p <= RISK

    @property
    def caveat(self) -> str:
        """A limitation of the decision; empty if there is none."""
        if self.decision != "adopt" or self.selection_matters:
            return ""
        return (
            "Examples help, but the choice of examples was not shown to matter: against random examples the "
            "difference is {0.mean:+.3f} [{0.low:+.3f}, {0.high:+.3f}].".format(self.outcomes[1])
        )

    @property
    def decision(self) -> Literal["adopt", "reject", "undecided"]:
        """The consequence of the verdict for the prompt."""
        return _DECISIONS[self.verdict.word]


_DECISIONS: Final[dict[str, Literal["adopt", "reject", "undecided"]]] = {
    "met": "adopt",
    "not met": "reject",
    "can't tell": "undecided",
}
