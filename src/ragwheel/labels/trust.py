"""How far each kind of evidence is trusted: what the policy says, or what was learned on top of it.

A :class:`Trust` is all that :func:`~ragwheel.labels.grades.grade` needs to turn evidence into beliefs: the
class prior, per channel how much repeated readings depend on each other, and per outcome and band of ranks a
log-likelihood ratio. :func:`default_trust` takes them from the policy, :mod:`ragwheel.labels.learning` learns
them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import ibis
import pyarrow as pa

from ragwheel.labels.engine import RelationalEngine
from ragwheel.labels.kinds import KINDS
from ragwheel.labels.policy import Policy

__all__ = ["BANDS", "OUTCOMES", "ChannelTrust", "Outcome", "Trust", "band_of", "default_trust", "trust_table"]

#: First ranks of the bands in which trust is learned apart: attention and trust differ by place.
BANDS: Final = (1, 2, 3, 5, 9)


@dataclass(frozen=True)
class Outcome:
    """One thing that an instrument can say of a chunk: a kind, for (+1) or against (-1)."""

    kind: str
    sign: int

    @property
    def channel(self) -> str:
        """The instrument."""
        return KINDS[self.kind].channel


#: Every outcome; an LLM's judgment has two, the kinds with a direction one.
OUTCOMES: Final = tuple(
    Outcome(name, sign)
    for name, kind in KINDS.items()
    if kind.channel
    for sign in ((kind.direction,) if kind.direction else (1, -1))
)


@dataclass(frozen=True)
class ChannelTrust:
    """What was learned of one instrument.

    ``sensitivity`` is the share of its readings of relevant chunks that speak for them, ``specificity`` the
    share of those of irrelevant chunks that speak against them; ``repeat`` the correlation of two readings of
    one chunk.
    """

    votes: int
    sensitivity: float
    specificity: float
    repeat: float


@dataclass(frozen=True)
class Trust:
    """Log-likelihood ratios and their surroundings.

    Args:
        prior_log_odds: of a chunk that has any evidence.
        repeats: channel -> correlation between two readings of the same chunk, 0-1.
        weights: (kind, sign, band) -> log-likelihood ratio, 0 or more, in the direction of the sign.
        learned: what was learned, by channel; a channel that is not in it is weighed as the policy says.
        pairs: how many (query group, chunk version) were learned from.
        anchors: how many of them a person had judged.
    """

    prior_log_odds: float
    repeats: Mapping[str, float]
    weights: Mapping[tuple[str, int, int], float]
    learned: Mapping[str, ChannelTrust] = field(default_factory=dict)
    pairs: int = 0
    anchors: int = 0

    def says(self) -> dict[str, dict[str, float]]:
        """For reports: per learned channel its votes, sensitivity, specificity and repeat, rounded."""
        return {
            channel: {
                "votes": found.votes,
                "sensitivity": round(found.sensitivity, 3),
                "specificity": round(found.specificity, 3),
                "repeat": round(found.repeat, 3),
            }
            for channel, found in sorted(self.learned.items())
        }


def default_trust(policy: Policy) -> Trust:
    """What the policy says, the same in all bands."""
    weights = {
        (outcome.kind, outcome.sign, band): policy.weights.get(outcome.kind, 0.0)
        for outcome in OUTCOMES
        for band in range(len(BANDS) + 1)
    }
    return Trust(policy.grading.prior_log_odds, dict(policy.repeats), weights)


def band_of(rank: Any) -> Any:
    """The band of a column of ranks: 0 without a rank, else 1 for the first of :data:`BANDS` and so on."""
    cases = [(rank >= first, number) for number, first in reversed(list(enumerate(BANDS, 1)))]
    return ibis.cases(*cases, else_=0).cast("int32")


def trust_table(engine: RelationalEngine, trust: Trust) -> ibis.Table:
    """kind, sign, band, weight, ``by_propensity``: not learned, so attention is divided by its propensity."""
    rows = [
        (kind, sign, band, weight, KINDS[kind].channel not in trust.learned)
        for (kind, sign, band), weight in sorted(trust.weights.items())
    ]
    kinds, signs, bands, weights, plain = zip(*rows)
    return engine.register(
        "trust",
        pa.table(
            {
                "kind": pa.array(kinds, pa.string()),
                "sign": pa.array(signs, pa.int8()),
                "band": pa.array(bands, pa.int32()),
                "weight": pa.array(weights, pa.float64()),
                "by_propensity": pa.array(plain, pa.bool_()),
            }
        ),
    )
