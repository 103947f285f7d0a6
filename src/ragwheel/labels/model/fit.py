"""The rates of all instruments at once, from pairs whose class nobody knows: relevant or not.

Observers with unknown error rates: Dawid and Skene, Maximum likelihood estimation of observer error-rates
using the EM algorithm, Applied Statistics 28 (1979). Four things are added. The prior depends on the mean
rank of a pair. All rates have priors of their own, and what is found is the most probable of all rates
together: steps of expectation-maximisation alone stop far from it where many shares of relevant chunks are
nearly as probable, so a quasi-Newton method takes them. Readings of one pair by one instrument are
over-dispersed: the first counts in full, further ones as under a beta-binomial (Pólya's urn), so that ten
thousand repetitions do not become certainty. And of each instrument it is counted how much other evidence
knew about its readings (:meth:`~ragwheel.labels.model.channels.Channel.inform`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Final

import numpy as np
import numpy.typing as npt

from ragwheel.labels.model.channels import Channel, Trials
from ragwheel.labels.model.minimise import minimise
from ragwheel.labels.model.parameters import parameters_of

__all__ = [
    "CERTAIN", "RANKS", "Pairs", "PriorByRank", "fit", "saturated", "scale_of", "told_apart", "towards",
]  # fmt: skip

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

#: Mean ranks are rounded, and those from here on are one; 0: the pair was in no ranking.
RANKS: Final = 20
#: A person's judgment, as a belief.
CERTAIN: Final = 0.97
_ROUNDS: Final = 200
_CONVERGED: Final = 1e-3  # of the log posterior
_FEW: Final = 200.0  # pairs up to which rates are held more strongly: the most probable ones overfit so few
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
        deviations: standard deviations of the intercept, of the slope, and of a source's share at one
            rank, in log-odds.
    """

    start: tuple[float, float]
    held: float
    unranked: float
    deviations: tuple[float, float, float] = (0.7, 0.5, 0.3)

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
    if learn:
        shares = _most_probable(pairs, channels, prior)
    before = np.clip(shares, 1e-3, 0.99)[pairs.source, pairs.rank]
    log_odds = _odds(before)
    for channel in channels:
        log_odds = log_odds + _summed(channel, len(pairs.rank))
    belief = _logistic_of(log_odds)
    anchored = ~np.isnan(pairs.known)
    belief[anchored] = np.clip(pairs.known[anchored], 1 - CERTAIN, CERTAIN)
    for channel in channels if learn else ():
        own = np.where(anchored[channel.rows.pair], 0.0, channel.readings())
        channel.inform(_logistic_of(_odds(belief)[channel.rows.pair] - own), before[channel.rows.pair])
        if isinstance(channel, Trials):
            channel.learn_types(belief)
            channel.repeat = _correlation(channel, belief, repeats.get(channel.name, 0.05))
    return belief, shares


def _most_probable(pairs: Pairs, channels: Sequence[Channel], prior: PriorByRank) -> Floats:
    """Set the rates of the channels to the most probable ones; return (sources, ranks + 1) shares.

    Where an instrument ends up saying nothing because it contradicts another one, both explanations are tried
    from the policy's point: that this one says nothing, and that the others do.
    """
    posterior = _Posterior(pairs, channels, prior)
    best = posterior.maximum(np.zeros(posterior.size))
    silent = posterior.silent(best[1])
    if any(silent) and not all(silent):
        others = [not each for each in silent]
        tried = [posterior.maximum(posterior.silencing(which)) for which in (silent, others)]
        best = min(best, *tried, key=itemgetter(0))
    if posterior.anchored.any():
        posterior.traced = posterior.beliefs(best[1])
        best = posterior.maximum(best[1])
    return posterior.put(best[1])


class _Posterior:
    """The log posterior of all parameters, each in standard deviations of its prior.

    The gradient of the log-likelihood is that of the expected log-likelihood (Fisher's identity), with the
    beliefs of the moment. Rates are learned with the beliefs of people where there are any; the share of
    relevant chunks with what traces alone say (``traced``), for which chunks people judge says nothing of it.
    """

    def __init__(self, pairs: Pairs, channels: Sequence[Channel], prior: PriorByRank) -> None:
        self._pairs, self._shares = len(pairs.rank), _Shares(pairs, prior)
        self._channels = [parameters_of(channel) for channel in channels]
        means = [self._shares.mean, *(block.mean for block in self._channels)]
        self._ends = np.cumsum([len(mean) for mean in means])[:-1]
        self._mean = np.concatenate(means)
        sd = np.concatenate([self._shares.sd, *(block.sd for block in self._channels)])
        self._sd = sd * np.sqrt(self._pairs / (self._pairs + _FEW))
        self.size = len(self._mean)
        self.anchored = ~np.isnan(pairs.known)
        people = np.clip(pairs.known[self.anchored], 1 - CERTAIN, CERTAIN)
        self._people = np.stack([1 - people, people])
        self.traced: Floats | None = None

    def _parts(self, point: Floats) -> tuple[Floats, list[Floats]]:
        shares, *channels = np.split(self._mean + self._sd * point, self._ends)
        return shares, channels

    def _logs(self, shares: Floats, channels: list[Floats]) -> tuple[Floats, Floats]:
        """Return (2, pairs) log-likelihoods of the observations and log priors of the classes."""
        logs = np.zeros((2, self._pairs))
        for block, part in zip(self._channels, channels):
            logs += block.log_likelihoods(part, self._pairs)
        return logs, self._shares.log_likelihoods(shares)

    def beliefs(self, point: Floats) -> Floats:
        """Return (2, pairs) the probabilities of irrelevance and relevance by traces alone."""
        logs, before = self._logs(*self._parts(point))
        return np.asarray(np.exp(logs + before - np.logaddexp(*(logs + before))))

    def __call__(self, point: Floats) -> tuple[float, Floats]:
        """Return the negative log posterior and its gradient."""
        shares, channels = self._parts(point)
        logs, before = self._logs(shares, channels)
        each = np.logaddexp(*(logs + before))
        masses = np.exp(logs + before - each)
        if self.traced is None:
            of_shares, total = masses, each.sum()
        else:
            at = self.anchored
            of_shares = masses.copy()
            masses[:, at], of_shares[:, at] = self._people, self.traced[:, at]
            total = each[~at].sum() + (self._people * logs[:, at]).sum() + (self.traced * before)[:, at].sum()
        slopes = [block.gradient(part, masses) for block, part in zip(self._channels, channels)]
        gradient = np.concatenate([self._shares.gradient(shares, of_shares), *slopes])
        return float(point @ point / 2 - total), point - self._sd * gradient

    def maximum(self, start: Floats) -> tuple[float, Floats]:
        """Return the negative log posterior and the point of a maximum near the start."""
        point = minimise(self, start, rounds=_ROUNDS, tolerance=_CONVERGED)
        return self(point)[0], point

    def silent(self, point: Floats) -> list[bool]:
        """Return, for each channel, whether it tells the classes nowhere apart."""
        return [block.silent(part) for block, part in zip(self._channels, self._parts(point)[1])]

    def silencing(self, which: Sequence[bool]) -> Floats:
        """Return the policy's point, but with some channels that do not tell the classes apart."""
        values = [self._shares.mean]
        values += [block.silenced() if off else block.mean for block, off in zip(self._channels, which)]
        return np.asarray((np.concatenate(values) - self._mean) / self._sd)

    def put(self, point: Floats) -> Floats:
        """Set the rates of the channels; return (sources, ranks + 1) shares."""
        shares, channels = self._parts(point)
        for block, part in zip(self._channels, channels):
            block.put(part)
        return self._shares.table(shares)


class _Shares:
    """Intercept and slope of the curve by rank, and by how much a source departs from it at each rank."""

    def __init__(self, pairs: Pairs, prior: PriorByRank) -> None:
        start = prior.table(int(pairs.source.max()) + 1 if len(pairs.source) else 1)
        level, slope, rank = prior.deviations
        self._start = _odds(start)
        self.mean = np.zeros(2 + start.size)
        self.sd = np.array([level, slope, *np.full(start.size, rank)])
        ranks = np.log(np.maximum(np.arange(start.shape[1]), 1.0))
        self._curve = np.stack([(np.arange(len(ranks)) > 0).astype(float), ranks])
        self._cell = pairs.source * start.shape[1] + pairs.rank
        self._n = np.bincount(self._cell, minlength=start.size)

    def _log_odds(self, values: Floats) -> Floats:
        departures = values[2:].reshape(self._start.shape)
        return np.asarray(np.clip(self._start + values[:2] @ self._curve + departures, -9, 9))

    def log_likelihoods(self, values: Floats) -> Floats:
        """Return (2, pairs) log probabilities of irrelevance and relevance."""
        log_odds = self._log_odds(values).ravel()[self._cell]
        return np.asarray(-np.logaddexp(0, np.stack([log_odds, -log_odds])))

    def gradient(self, values: Floats, masses: Floats) -> Floats:
        """Return the gradient of the expected log-likelihood; ``masses`` is (2, pairs)."""
        relevant = np.bincount(self._cell, masses[1], len(self._n))
        off = (relevant - self._n * _logistic_of(self._log_odds(values)).ravel()).reshape(self._start.shape)
        return np.concatenate([self._curve @ off.sum(axis=0), off.ravel()])

    def table(self, values: Floats) -> Floats:
        """Return (sources, ranks + 1) shares."""
        return _logistic_of(self._log_odds(values))


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
