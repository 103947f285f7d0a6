"""What was learned of a store: log-likelihood ratios, the prior by rank, and how sure rows have to be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ragwheel.labels.recalibration import Recalibration

__all__ = ["ChannelSummary", "LabelModel", "Thresholds"]


@dataclass(frozen=True)
class ChannelSummary:
    """What is known of one instrument, for reports.

    Attributes:
        readings: how many there are.
        informed: about how many of them other evidence knew something; from these the rates were learned.
        trust: 0-1, how far what was learned replaces the policy's prior.
        ratio: the mean log-likelihood ratio of the event, learned; ``prior_ratio`` the policy's.
        repeat: correlation of two readings of one pair.
    """

    readings: int
    informed: float
    trust: float
    ratio: float
    prior_ratio: float
    repeat: float

    @property
    def learned(self) -> bool:
        """Whether the data had at least half of the say."""
        return self.trust >= 0.5

    @property
    def weak(self) -> bool:
        """Whether the data say that the instrument hardly tells relevant chunks from others."""
        return self.learned and abs(self.ratio) < min(0.4, abs(self.prior_ratio) / 2)


@dataclass(frozen=True)
class Thresholds:
    """From which belief a pair is a positive, and up to which it is a negative.

    ``expected_positive`` and ``expected_negative`` are the shares of right ones that the beliefs expect
    among them; None where there are none. ``short_of`` says which of the two precisions that the policy asks
    for was not to be had, empty where both were.
    """

    positive: float
    negative: float
    expected_positive: float | None = None
    expected_negative: float | None = None
    short_of: tuple[str, ...] = ()


@dataclass(frozen=True)
class LabelModel:
    """The fitted model.

    Attributes:
        weights: (kind, band) -> log-likelihood ratio of one observation.
        scales: instrument -> log-odds beyond the first reading from which further ones count less.
        priors: (source, rounded mean rank) -> prior log-odds; source "" for sources that were not seen.
        channels: what is known of each instrument.
        thresholds: None until beliefs are there.
        pairs: how many (query group, chunk version) were learned from.
        anchors: how many of them a person had judged.
        recalibration: what people's judgments make of the beliefs; None: nothing.
    """

    weights: Mapping[tuple[str, int], float]
    scales: Mapping[str, float]
    priors: Mapping[tuple[str, int], float]
    channels: Mapping[str, ChannelSummary] = field(default_factory=dict)
    thresholds: Thresholds | None = None
    pairs: int = 0
    anchors: int = 0
    recalibration: Recalibration | None = None

    @property
    def learned(self) -> tuple[str, ...]:
        """The instruments whose rates come from the data rather than from the policy."""
        return tuple(name for name, channel in sorted(self.channels.items()) if channel.learned)

    @property
    def weak(self) -> tuple[str, ...]:
        """The instruments that the data found to say little."""
        return tuple(name for name, channel in sorted(self.channels.items()) if channel.weak)

    def describe(self) -> dict[str, dict[str, float]]:
        """Return, per instrument, its summary with rounded numbers, for reports and manifests."""
        return {
            name: {
                "readings": channel.readings,
                "informed": round(channel.informed, 1),
                "learned_share": round(channel.trust, 3),
                "log_likelihood_ratio": round(channel.ratio, 3),
                "prior_log_likelihood_ratio": round(channel.prior_ratio, 3),
                "repeat": round(channel.repeat, 3),
            }
            for name, channel in sorted(self.channels.items())
        }
