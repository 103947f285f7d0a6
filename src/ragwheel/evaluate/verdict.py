"""What may be said about a difference: better, worse, or that it can't be told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from ragwheel.evaluate.collection import Labels
from ragwheel.evaluate.criterion import Gain, judgments_needed
from ragwheel.evaluate.statistics import LEAST_QUERIES, Difference, StatisticsOptions

__all__ = ["Verdict", "judge", "judge_expected"]

Word = Literal["better", "worse", "can't tell"]
_ENOUGH: Final = 1_000_000


@dataclass(frozen=True)
class Verdict:
    """A word, and the sentence that says why."""

    word: Word
    why: str

    def __str__(self) -> str:
        return f"{self.word}: {self.why}" if self.why else self.word


def judge(difference: Difference, labels: Labels, p: float, level: float = 0.95) -> Verdict:
    """The verdict on a difference.

    *Better* needs an interval above zero, a test that agrees, and labels that say so in their own right:
    those inferred from clicks and citations favour what was shown, and what was trained on their like.
    *Worse* needs the same but holds with any labels: a warning should not wait for proof. Of fewer than ten
    queries nothing is said.

    Args:
        found: the difference of a system and what it is compared with.
        labels: who said what is relevant.
        p: of the test, corrected where several systems were compared.
        level: of the interval.
    """
    if difference.wins == difference.losses == 0:
        return Verdict("can't tell", "equal on every query")
    if difference.queries < LEAST_QUERIES:
        return Verdict("can't tell", _too_few(difference.queries))
    certain = p <= 1 - level
    if certain and difference.high < 0:
        return Verdict(
            "worse", "by inferred labels, which favour what was shown" if labels == "inferred" else ""
        )
    if certain and difference.low > 0:
        if labels != "inferred":
            return Verdict("better", "")
        return Verdict(
            "can't tell",
            "ahead, but labels inferred from clicks and citations prove nothing by themselves: judge some "
            "queries, use an evaluation set, or interleave",
        )
    return Verdict("can't tell", _what_is_missing(difference))


def _what_is_missing(difference: Difference) -> str:
    """Why a difference cannot be told, and how many queries would tell it."""
    if difference.clusters < 2 or difference.needed is None:
        groups = f"{difference.clusters} group{'' if difference.clusters == 1 else 's'}"
        return f"{difference.queries} queries in {groups} are too few"
    if difference.needed >= _ENOUGH:
        return "more than a million queries needed"
    if difference.needed == 0:
        return "too close to the edge; more queries needed"
    return f"about {_rounded(difference.needed):,} more queries needed"


def judge_expected(gain: Gain, statistics: StatisticsOptions) -> Verdict:
    """The verdict on inferred labels: they never prove *better*, and show *worse* by the expected gain.

    Args:
        gain: what the traces let us expect, see :mod:`ragwheel.evaluate.criterion`.
        statistics: how sure a proof has to be.
    """
    if gain.queries < LEAST_QUERIES:
        return Verdict("can't tell", _too_few(gain.queries))
    text = f"expected {gain.mean:+.3f} [{gain.low:+.3f}, {gain.high:+.3f}] nDCG@10 by the traces"
    if gain.high < 0:
        return Verdict("worse", text)
    if gain.mean == gain.low == gain.high == 0:
        return Verdict("can't tell", "ranked as the reference ranks")
    proof = f"about {judgments_needed(gain, statistics):,} judged questions would prove it"
    return Verdict("can't tell", f"{text}; {proof if gain.low > 0 else 'too close to tell'}")


def _too_few(queries: int) -> str:
    count = "1 query is" if queries == 1 else f"{queries} queries are"
    return f"{count} too few for a verdict, needed: {LEAST_QUERIES}"


def _rounded(n: int) -> int:
    """Two digits are all that an estimate from a sample can claim."""
    unit = int(10 ** max(len(str(n)) - 2, 0))
    return -(-n // unit) * unit
