"""Expectation-maximisation over pairs whose class nobody knows: relevant or not.

Observers with unknown error rates: Dawid and Skene, Maximum likelihood estimation of observer error-rates
using the EM algorithm, Applied Statistics 28 (1979). Three things are added. The prior depends on the mean
rank of a pair. Readings of one pair by one instrument are over-dispersed: the first counts in full, further
ones as under a beta-binomial (Pólya's urn), so that ten thousand repetitions do not become certainty. And
what the traces cannot tell apart keeps its prior (:class:`~ragwheel.labels.model.channels.Shrinkage`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from ragwheel.labels.model.channels import Channel, Trials

__all__ = [
    "CERTAIN", "RANKS", "Pairs", "PriorByRank", "fit", "saturated", "scale_of", "told_apart", "towards",
]  # fmt: skip

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

#: Mean ranks are rounded, and those from here on are one; 0: the pair was in no ranking.
RANKS: Final = 20
#: A person's judgment, as a belief.
CERTAIN: Final = 0.97
_ROUNDS: Final = 60
_CONVERGED: Final = 1e-4
_LEAST_SCALE: Final = 4.0  # log-odds beyond the first reading from which further ones count clearly less
_HELD: Final = 100.0  # readings that a learned correlation is shrunk to its prior by


@dataclass(frozen=True)
class Pairs:
    """What is known of each pair before any observation.

    Attributes:
        rank: (pairs,) the rounded mean rank, 0 to :data:`RANKS`.
        source: (pairs,) a number per source.
        known: (pairs,) what people judged as a belief, nan where nobody did.
    """

    rank: Ints
    source: Ints
    known: Floats


@dataclass
class PriorByRank:
    """The share of relevant chunks by mean rank: a logistic curve in log rank, and what departs from it.

    Attributes:
        start: intercept and slope that the curve is held to.
        held: pairs that a source's share at one rank is shrunk to the curve by.
        unranked: the share among pairs that stand in no ranking.
    """

    start: tuple[float, float]
    held: float
    unranked: float

    def table(self, sources: int) -> Floats:
        """Return (sources, ranks + 1) the shares before anything is learned."""
        ranks = np.log(np.maximum(np.arange(RANKS + 1), 1))
        curve = 1 / (1 + np.exp(-(self.start[0] + self.start[1] * ranks)))
        curve[0] = self.unranked
        return np.tile(curve, (sources, 1))

    def learned(self, pairs: Pairs, belief: Floats) -> Floats:
        """Return (sources, ranks + 1) the shares given beliefs."""
        size, sources = RANKS + 1, int(pairs.source.max()) + 1
        flat = pairs.source * size + pairs.rank
        n = np.bincount(flat, minlength=sources * size).reshape(sources, size).astype(float)
        relevant = np.bincount(flat, belief, sources * size).reshape(sources, size)
        curve = _logistic(n.sum(axis=0)[1:], relevant.sum(axis=0)[1:], np.array(self.start))
        overall = np.concatenate([[self.unranked], curve])
        return np.asarray((relevant + self.held * overall) / (n + self.held))


def _logistic(n: Floats, relevant: Floats, start: Floats) -> Floats:
    """Fit a logistic curve in log rank by Newton's method, held to its start; return (ranks,) shares."""
    x = np.stack([np.ones(len(n)), np.log(np.arange(1, len(n) + 1))], axis=1)
    theta = start.copy()
    for _ in range(15):
        share = 1 / (1 + np.exp(-(x @ theta)))
        gradient = x.T @ (relevant - n * share) - 2.0 * (theta - start)
        curvature = (x * (n * share * (1 - share))[:, None]).T @ x + 2.0 * np.eye(2)
        theta = theta + np.clip(np.linalg.solve(curvature, gradient), -2, 2)
    return np.asarray(1 / (1 + np.exp(-(x @ theta))))


def saturated(total: Floats, most: Floats, scale: float) -> Floats:
    """Return what readings add up to: the strongest in full, the rest with diminishing weight.

    Args:
        total: (pairs,) the sum of the readings of one sign, 0 or more.
        most: (pairs,) the strongest of them.
        scale: log-odds beyond the strongest from which further readings count less.
    """
    return np.asarray(most + scale * np.log1p((total - most) / scale))


def fit(
    pairs: Pairs, channels: Sequence[Channel], prior: PriorByRank, repeats: dict[str, float], *, learn: bool
) -> tuple[Floats, Floats]:
    """Learn the rates of the channels, in place, and the prior by rank.

    Args:
        pairs, channels: what was observed.
        prior: of relevance by rank.
        repeats: correlation of two readings of a pair by a channel, 0-1, before anything is learned.
        learn: False leaves the rates at their priors.

    Returns:
        (pairs,) beliefs, and (sources, ranks + 1) the shares by rank.
    """
    shares = prior.table(int(pairs.source.max()) + 1 if len(pairs.source) else 1)
    for channel in channels:
        channel.repeat = repeats.get(channel.name, 0.05)
    belief = np.full(len(pairs.rank), 0.5)
    anchored = ~np.isnan(pairs.known)
    for number in range(_ROUNDS):
        before = np.clip(shares, 1e-3, 0.99)[pairs.source, pairs.rank]
        log_odds = np.log(before / (1 - before))
        for channel in channels:
            log_odds += _summed(channel, len(belief))
        traced = _logistic_of(log_odds)
        now = traced.copy()
        now[anchored] = np.clip(pairs.known[anchored], 1 - CERTAIN, CERTAIN)
        moved = float(np.abs(now - belief).max(initial=0.0))
        belief = now
        if moved < _CONVERGED or not learn:
            break
        free = np.where(anchored, traced, belief)  # what people choose to judge says nothing of the share
        shares = towards(prior.table(len(shares)), prior.learned(pairs, free), told_apart(channels))
        for channel in channels:
            own = np.where(anchored[channel.rows.pair], 0.0, channel.readings())
            channel.inform(_logistic_of(_odds(belief)[channel.rows.pair] - own), before[channel.rows.pair])
            channel.learn(belief)
            if number > 3 and isinstance(channel, Trials):
                channel.repeat = _correlation(channel, belief, repeats.get(channel.name, 0.05))
    return belief, shares


def told_apart(channels: Sequence[Channel]) -> float:
    """Return how far the channels can tell the classes apart, 0-1: that of the one that knows most.

    Where none can, a smaller share of relevant chunks and a higher rate among them explain the same counts,
    and the share would drift to nothing.
    """
    return max((channel.trust for channel in channels), default=0.0)


def towards(start: Floats, learned: Floats, part: float) -> Floats:
    """Return shares that are ``part`` of the way from ``start`` to ``learned``, in log-odds."""
    log_odds = _odds(start) + part * (_odds(learned) - _odds(start))
    return _logistic_of(log_odds)


def scale_of(channel: Channel) -> float:
    """Return the scale of :func:`saturated` for a channel: how fast further readings lose weight."""
    precision = (1 - channel.repeat) / max(channel.repeat, 1e-6)
    if isinstance(channel, Trials) and len(channel.rows.count):
        seen = np.bincount(channel.rows.band, channel.rows.count, channel.rates.shape[1])
        difference = float((channel.rates[1] - channel.rates[0]) @ seen / max(seen.sum(), 1e-9))
    else:
        difference = 0.5
    return max(precision * difference, _LEAST_SCALE)


def _summed(channel: Channel, size: int) -> Floats:
    """Return (pairs,) what a channel says of each pair."""
    readings, weight, pair = channel.readings(), channel.rows.weight, channel.rows.pair
    scale, total = scale_of(channel), np.zeros(size)
    for sign in (1.0, -1.0):
        signed = np.maximum(sign * readings, 0.0)
        most = np.zeros(size)
        np.maximum.at(most, pair, np.minimum(weight, 1.0) * signed)
        total += sign * saturated(np.maximum(np.bincount(pair, weight * signed, size), most), most, scale)
    return total


def _correlation(channel: Trials, belief: Floats, prior: float) -> float:
    """Return the correlation of two readings of a pair given its class, by moments over sure pairs."""
    rows, size = channel.rows, len(belief)
    n = np.bincount(rows.pair, rows.count, size)
    sure = (n > 2.5) & (np.abs(belief - 0.5) > 0.4)
    above = below = 0.0
    for z, mass in enumerate((1 - belief, belief)):
        rate = channel.rates[z][rows.band]
        off = np.bincount(rows.pair, rows.count * (channel.event - rate), size)
        spread = np.bincount(rows.pair, rows.count * rate * (1 - rate), size)
        above += float((mass * (off**2 - spread))[sure].sum())
        below += float((mass * np.maximum(n - 1, 0) * spread)[sure].sum())
    return float(np.clip((above + _HELD * prior) / (below + _HELD), 0.005, 0.4))


def _odds(belief: Floats) -> Floats:
    clipped = np.clip(belief, 1e-9, 1 - 1e-9)
    return np.asarray(np.log(clipped / (1 - clipped)))


def _logistic_of(log_odds: Floats) -> Floats:
    return np.asarray(1 / (1 + np.exp(-np.clip(log_odds, -40, 40))))
