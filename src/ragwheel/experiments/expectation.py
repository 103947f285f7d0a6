"""The expected effect of a change, and the verdict on it."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Final, Literal

from ragwheel.errors import ExperimentError

__all__ = ["Expectation", "ExperimentVerdict", "Gap", "Word", "decide"]

Word = Literal["met", "not met", "can't tell"]

_FORM: Final = re.compile(r"(?P<sign>[+\-−]?)(?P<number>\d+(?:\.\d+)?|\.\d+)(?P<percent>\s*%)?")
_EDGE: Final = "too close to the edge once corrected for the number of variants; more queries needed"


@dataclass(frozen=True)
class Expectation:
    """The least expected gain over the baseline.

    ``+15%`` is relative to the baseline's mean, ``+.02`` is a difference in the metric itself, and ``+0``
    asks for any significant gain. A negative expectation is for a cheaper variant that may lose at most that
    much.

    Attributes:
        amount: 0.15 for ``+15%``, 0.02 for ``+.02``.
        relative: whether the amount is a share of the baseline's mean.
    """

    amount: float
    relative: bool

    @classmethod
    def parse(cls, text: str) -> Expectation:
        """Parse ``+15%``, ``+.02``, ``+0`` or ``-1%``.

        Raises:
            ExperimentError: the text has another form.
        """
        match = _FORM.fullmatch(text.strip())
        if match is None:
            raise ExperimentError(
                f"--expect is {text!r}; expected the least difference that would make the change worth it: "
                f"+15% of the baseline, +0.02 in the metric, +0 for any sure gain, -1% for a loss that is "
                f"still fine."
            )
        amount = float(match["number"]) * (-1 if match["sign"] in ("-", "−") else 1)
        relative = bool(match["percent"])
        if not relative and abs(amount) > 1:
            raise ExperimentError(
                f"--expect is {text!r}, but no metric goes beyond 1; with a sign for percent: {text.strip()}%"
            )
        return cls(amount / 100 if relative else amount, relative)

    def criterion(self, metric: str) -> str:
        """Return the criterion as a sentence, to be written down before the run."""
        what = f"{self.amount:+.1%}" if self.relative else f"{self.amount:+.3f}"
        scale = " of the baseline's mean" if self.relative else ""
        return (
            (
                f"met when the 95 % interval of the paired difference in {metric} lies wholly at or above "
                f"{what}{scale}; not met when it lies wholly below; else it can't be told"
            )
            .replace("at or above +0.0%", "above 0")
            .replace("at or above +0.000", "above 0")
        )

    def required(self, baseline: float) -> float:
        """Return the expected difference in the metric, given the baseline's mean (or value)."""
        return self.amount * baseline if self.relative else self.amount


@dataclass(frozen=True)
class Gap:
    """A paired difference from the baseline, its 95 % interval, and the p value of the paired test.

    ``low``, ``high`` and ``p`` are None if there are too few queries.
    """

    mean: float
    low: float | None
    high: float | None
    p: float | None = None


@dataclass(frozen=True)
class ExperimentVerdict:
    """Whether the expectation was met, with a sentence that says why."""

    word: Word
    why: str = ""

    def __str__(self) -> str:
        return f"{self.word}: {self.why}" if self.why else self.word


def decide(
    beyond: Gap, queries: int, *, strict: bool = False, certain: bool = True, proof: str = ""
) -> ExperimentVerdict:
    """Return the verdict on a difference after subtraction of the expected one.

    Args:
        beyond: the paired difference minus the expectation; above 0 is more than expected.
        queries: the number of queries.
        strict: any gain was asked for, so 0 itself is not enough.
        certain: whether a test, corrected for the number of variants, is significant.
        proof: why the labels cannot prove a gain (empty: they can). *Not met* does not depend on it.

    Returns:
        The verdict. ``can't tell`` says how many more queries would be enough, since an interval narrows with
        the square root of their number.
    """
    low, mean, high = beyond.low, beyond.mean, beyond.high
    if low is None or high is None:
        return ExperimentVerdict(
            "can't tell", f"{queries} {'query is' if queries == 1 else 'queries are'} too few"
        )
    if low == high == mean == 0 and strict:
        return ExperimentVerdict("not met", "equal on every query")
    if high < 0:
        return ExperimentVerdict("not met") if certain else ExperimentVerdict("can't tell", _EDGE)
    if low > 0 or (low == 0 and not strict):
        if proof:
            return ExperimentVerdict("can't tell", proof)
        return (
            ExperimentVerdict("met")
            if certain or low == mean == high
            else ExperimentVerdict("can't tell", _EDGE)
        )
    half = (high - low) / 2
    if abs(mean) < half / 30:  # it would need about a thousand times as many
        return ExperimentVerdict(
            "can't tell", "what was seen is what was expected: more queries will hardly decide"
        )
    more = math.ceil(queries * (half / abs(mean)) ** 2) - queries
    return ExperimentVerdict("can't tell", f"about {_rounded(max(more, 1)):,} more queries needed")


def _rounded(n: int) -> int:
    """Round to two significant digits, since this is an estimate."""
    unit = int(10 ** max(len(str(n)) - 2, 0))
    return -(-n // unit) * unit
