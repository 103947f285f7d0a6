"""What the label model estimates of each instrument: a few numbers, each with a normal prior.

The means of the priors are what the policy says, their standard deviations how far it may be wrong. Every
class here gives the log-likelihood of an instrument's rows in both classes, the gradient with respect to its
parameters given how likely each pair is relevant, and puts estimates into the instrument.
"""

from __future__ import annotations

from typing import Final, Protocol

import numpy as np
import numpy.typing as npt

from ragwheel.labels.model.cells import LAST_PLACE
from ragwheel.labels.model.channels import Channel, Grades, Lengths, Trials, Votes
from ragwheel.labels.model.shrinkage import Freedom

__all__ = ["Parameters", "parameters_of"]

Floats = npt.NDArray[np.float64]

_BANDS: Final = LAST_PLACE + 1
#: Logarithm of the place; band 0 is an unknown one, near the top.
_LOG_PLACE: Final = np.log(np.array([2.0, *range(1, _BANDS)]))
_RELEVANT: Final = 0.25  # the share of relevant chunks, where a prior of votes needs one
_LENGTH_SD: Final = np.array([0.8, 0.5, 0.35])  # of the mean, the difference of the means, the log deviation
_LEAST_ALIKE: Final = 0.01
_MOST_VOTES: Final = 3.0  # the logarithm of votes per exposure
_ALIKE: Final = 0.1  # log-odds up to which two classes count as alike


class Parameters(Protocol):
    """The parameters of one instrument."""

    mean: Floats
    sd: Floats

    def log_likelihoods(self, values: Floats, size: int) -> Floats:
        """Return (2, pairs) the log-likelihood of all rows if a pair is irrelevant, and if it is relevant."""

    def gradient(self, values: Floats, masses: Floats) -> Floats:
        """Return the gradient of the expected log-likelihood; ``masses`` is (2, pairs)."""

    def silent(self, values: Floats) -> bool:
        """Whether the instrument tells the classes nowhere apart."""

    def silenced(self) -> Floats:
        """Return the policy's values, but with classes that are alike."""

    def put(self, values: Floats) -> None:
        """Set the rates of the instrument."""


def parameters_of(channel: Channel) -> Parameters:
    """Return the parameters of an instrument."""
    freedom = channel.shrinkage.freedom
    if isinstance(channel, Trials):
        return _OfTrials(channel, freedom)
    if isinstance(channel, Lengths):
        return _OfLengths(channel)
    if isinstance(channel, Votes):
        return _OfVotes(channel, freedom)
    if isinstance(channel, Grades):
        return _OfGrades(channel)
    raise TypeError(f"no parameters are known for a {type(channel).__name__}")


def _effective(channel: Channel, count: Floats, pair: npt.NDArray[np.int64], size: int) -> Floats:
    """Return how much each row teaches: many readings of one pair are alike, so further ones less."""
    n = np.bincount(pair, count, size)
    return np.asarray(count / (1 + np.maximum(n - 1, 0) * max(channel.repeat, _LEAST_ALIKE))[pair])


class _OfTrials:
    """A level and by how much relevant chunks exceed it, a slope, what irrelevant ones add to it, places.

    Irrelevant chunks get an event nowhere more often than relevant ones.
    """

    def __init__(self, channel: Trials, freedom: Freedom) -> None:
        self._channel = channel
        rates = np.clip(channel.attention * np.array(channel.prior)[:, None], 0.003, 0.97)
        self._start = np.log(rates / (1 - rates))
        places = np.full(_BANDS, freedom.places)
        places[1] = 1e-2  # the first place is where the levels are
        self.mean = np.zeros(4 + _BANDS)
        levels = freedom.rates * np.array([0.5**0.5, 2**0.5])  # each class may be off by as much
        self.sd = np.array([*levels, freedom.slopes, freedom.trust, *places])
        self._cell = channel.rows.band * 2 + channel.event
        self._weights: Floats | None = None

    def _log_odds(self, values: Floats) -> tuple[Floats, npt.NDArray[np.bool_]]:
        """Return (2, places) log-odds of the event, and where both classes are held to be alike."""
        common = values[0] + values[2] * _LOG_PLACE + values[4:]
        half = values[1] / 2 * np.array([[-1.0], [1.0]])
        log_odds = self._start + common + half
        log_odds[0] += values[3] * _LOG_PLACE
        alike = log_odds[0] > log_odds[1]
        log_odds[0] = np.where(alike, log_odds[1], log_odds[0])
        return np.clip(log_odds, -9, 4), alike

    def _rates(self, values: Floats) -> Floats:
        return np.asarray(1 / (1 + np.exp(-self._log_odds(values)[0])))

    def _weight(self, size: int) -> Floats:
        if self._weights is None:
            rows = self._channel.rows
            self._weights = _effective(self._channel, rows.count, rows.pair, size)
        return self._weights

    def log_likelihoods(self, values: Floats, size: int) -> Floats:
        weight, pair = self._weight(size), self._channel.rows.pair
        logs = [
            np.bincount(pair, weight * np.stack([np.log1p(-rate), np.log(rate)], 1).ravel()[self._cell], size)
            for rate in self._rates(values)
        ]
        return np.stack(logs)

    def gradient(self, values: Floats, masses: Floats) -> Floats:
        weight, pair = self._weight(masses.shape[1]), self._channel.rows.pair
        log_odds, alike = self._log_odds(values)
        of_class = []
        for each, mass in zip(log_odds, masses):
            counts = np.bincount(self._cell, weight * mass[pair], 2 * _BANDS).reshape(_BANDS, 2)
            of_class.append(counts[:, 1] - counts.sum(axis=1) / (1 + np.exp(-each)))
        both = of_class[0] + of_class[1]
        low, high = np.where(alike, 0.0, of_class[0]), np.where(alike, both, of_class[1])
        gap = (high.sum() - low.sum()) / 2
        return np.array([both.sum(), gap, both @ _LOG_PLACE, low @ _LOG_PLACE, *both])

    def silent(self, values: Floats) -> bool:
        log_odds, _alike = self._log_odds(values)
        return bool((log_odds[1] - log_odds[0])[self._channel.rows.band].max(initial=0.0) < _ALIKE)

    def silenced(self) -> Floats:
        values = self.mean.copy()
        values[1] = -float(np.max(self._start[1] - self._start[0]))
        return values

    def put(self, values: Floats) -> None:
        self._channel.set_rates(self._rates(values))


class _OfLengths:
    """Mean of log seconds of irrelevant chunks, by how much relevant ones exceed it, log deviation."""

    def __init__(self, channel: Lengths) -> None:
        self._channel = channel
        low, high = channel.prior
        self.mean = np.array([low, high - low, np.log(channel.spread)])
        self.sd = _LENGTH_SD
        self._x = channel.log_seconds[channel.rows.band]

    def _off(self, values: Floats) -> tuple[Floats, float]:
        means = values[0] + np.array([0.0, max(values[1], 0.0)])
        return self._x - means[:, None], float(np.exp(2 * values[2]))

    def log_likelihoods(self, values: Floats, size: int) -> Floats:
        rows, (off, variance) = self._channel.rows, self._off(values)
        weight = _effective(self._channel, rows.count, rows.pair, size)
        logs = -(off**2) / (2 * variance) - values[2]
        return np.stack([np.bincount(rows.pair, weight * each, size) for each in logs])

    def gradient(self, values: Floats, masses: Floats) -> Floats:
        rows, (off, variance) = self._channel.rows, self._off(values)
        mass = masses[:, rows.pair] * _effective(self._channel, rows.count, rows.pair, masses.shape[1])
        pulls = (mass * off).sum(axis=1) / variance
        gap = pulls[1] if values[1] > 0 else 0.0
        return np.array([pulls.sum(), gap, float((mass * off**2).sum() / variance - mass.sum())])

    def silent(self, values: Floats) -> bool:
        return bool(values[1] < _ALIKE)

    def silenced(self) -> Floats:
        return np.array([self.mean[0], 0.0, self.mean[2]])

    def put(self, values: Floats) -> None:
        self._channel.mean = values[0] + np.array([0.0, max(values[1], 0.0)])
        self._channel.deviation = np.full(2, max(float(np.exp(values[2])), 0.2))


class _OfVotes:
    """Logarithm of how often an irrelevant chunk gets the vote, and by how much relevant ones exceed it."""

    def __init__(self, channel: Votes, freedom: Freedom) -> None:
        self._channel = channel
        rows, exposures = channel.rows, channel.exposures
        self._exposures = exposures / (1 + np.maximum(exposures - 1, 0) * max(channel.repeat, _LEAST_ALIKE))
        overall = (rows.count.sum() + 0.5) / (self._exposures.sum() + 1.0)
        low = overall / (_RELEVANT * np.exp(channel.prior) + 1 - _RELEVANT)
        self.mean = np.array([np.log(low), channel.prior])
        self.sd = np.array([freedom.rates, freedom.rates])

    def _ratio(self, values: Floats) -> float:
        return float(max(values[1], 0.0) if self._channel.prior > 0 else min(values[1], 0.0))

    def _logs(self, values: Floats) -> Floats:
        return np.asarray(np.minimum([values[0], values[0] + self._ratio(values)], _MOST_VOTES))

    def log_likelihoods(self, values: Floats, size: int) -> Floats:
        votes = np.bincount(self._channel.rows.pair, self._channel.rows.count, size)
        return np.stack([votes * log - self._exposures * np.exp(log) for log in self._logs(values)])

    def gradient(self, values: Floats, masses: Floats) -> Floats:
        votes = np.bincount(self._channel.rows.pair, self._channel.rows.count, masses.shape[1])
        off = masses @ votes - (masses @ self._exposures) * np.exp(self._logs(values))
        return np.array([off.sum(), off[1] if self._ratio(values) else 0.0])

    def silent(self, values: Floats) -> bool:
        return abs(self._ratio(values)) < _ALIKE

    def silenced(self) -> Floats:
        return np.array([self.mean[0], 0.0])

    def put(self, values: Floats) -> None:
        self._channel.ratio = self._ratio(values)


class _OfGrades:
    """Log-odds of each grade, how well the judge knows, and what single grades have beyond that."""

    def __init__(self, channel: Grades) -> None:
        self._channel = channel
        self._band = np.clip(channel.rows.band, 0, 5)
        self.mean = np.array([*np.zeros(6), 1.0, *np.zeros(6)])
        self.sd = np.array([*np.full(6, 2.0), 0.5, *np.full(6, 0.2)])

    def _logs(self, values: Floats) -> Floats:
        half = max(values[6], 0.0) * self._channel.prior / 2 + values[7:]
        logs = values[:6] + np.stack([-half, half])
        logs = logs - logs.max(axis=1, keepdims=True)
        return np.asarray(logs - np.log(np.exp(logs).sum(axis=1, keepdims=True)))

    def log_likelihoods(self, values: Floats, size: int) -> Floats:
        rows = self._channel.rows
        weight = _effective(self._channel, rows.count, rows.pair, size)
        return np.stack(
            [np.bincount(rows.pair, weight * log[self._band], size) for log in self._logs(values)]
        )

    def gradient(self, values: Floats, masses: Floats) -> Floats:
        rows = self._channel.rows
        weight = _effective(self._channel, rows.count, rows.pair, masses.shape[1])
        counts = np.stack([np.bincount(self._band, weight * mass[rows.pair], 6) for mass in masses])
        low, high = counts - counts.sum(axis=1, keepdims=True) * np.exp(self._logs(values))
        knows = float((high - low) @ self._channel.prior / 2) if values[6] > 0 else 0.0
        return np.array([*(low + high), knows, *(high - low)])

    def silent(self, values: Floats) -> bool:
        return bool(values[6] < _ALIKE)

    def silenced(self) -> Floats:
        values = self.mean.copy()
        values[6] = 0.0
        return values

    def put(self, values: Floats) -> None:
        logs = self._logs(values)
        self._channel.ratios = np.maximum.accumulate(logs[1] - logs[0])
