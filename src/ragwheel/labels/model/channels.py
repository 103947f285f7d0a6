"""The instruments: how often each says what of relevant and of irrelevant chunks, by band.

Every channel has the same three methods: ``readings`` gives the log-likelihood ratio of each of its rows,
``learn`` updates the rates from beliefs, and ``weights`` lists what was learned. What a channel learns about
the *difference* of the classes is shrunk to its prior by ``informed``: the number of readings about which
other evidence knew something. Without any the prior stands, since the traces then cannot tell the classes
apart.

Signs are fixed: an event never speaks against a chunk that it is meant to speak for, a longer reading never
less for it than a shorter one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from ragwheel.labels.model.cells import LAST_PLACE, middle_log_seconds
from ragwheel.labels.model.shrinkage import Shrinkage

__all__ = ["Channel", "ChannelRows", "Grades", "Lengths", "Shrinkage", "Trials", "Votes", "blended"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

_LEAST, _MOST = 1e-5, 0.985  # of a rate
_LEAST_ALIKE = 0.05  # of the readings of one pair, when it is counted how much there is to learn from
_WEAKER = 2 / 3  # of what observations say where there is a middle class
_WRONG = 0.01  # at least so many times as often as relevant chunks irrelevant ones get any event


def blended(part: Floats, whole: Floats) -> Floats:
    """Return what observations say where relevant chunks are of two classes: of the weaker one mostly.

    The odds against irrelevance are decided between the irrelevant and the weaker class, since chunks of the
    stronger one are seldom in doubt.
    """
    return np.asarray(_WEAKER * part + (1 - _WEAKER) * whole)


def _masses(belief: Floats, irrelevant: Floats | None) -> tuple[Floats, Floats]:
    """Return (pairs,) the probabilities of irrelevance and of relevance."""
    return (1 - belief if irrelevant is None else irrelevant), belief


@dataclass(frozen=True)
class ChannelRows:
    """The observations of a channel: the pair's number, the kind's in the channel, the band, how many.

    ``count`` is what rates are learned from, ``weight`` how much each says.
    """

    pair: Ints
    kind: Ints
    band: Ints
    count: Floats
    weight: Floats


@dataclass
class Channel:
    """What all channels have.

    ``informed`` counts the readings that other evidence knew something about, ``trust`` (0-1) is how far the
    learned difference of the classes replaces the prior's; ``repeat`` the correlation of two readings of a
    pair; ``middle`` how far chunks of the middle class respond like relevant ones (1: there is none).
    """

    name: str
    kinds: tuple[str, ...]
    rows: ChannelRows
    shrinkage: Shrinkage
    informed: float = field(default=0.0, init=False)
    trust: float = field(default=0.0, init=False)
    repeat: float = field(default=0.0, init=False)
    middle: float = field(default=1.0, init=False)

    def readings(self) -> Floats:
        """Return (rows,) the log-likelihood ratio of one observation of each row."""
        raise NotImplementedError

    def learn(self, belief: Floats, irrelevant: Floats | None = None) -> None:
        """Update the rates.

        Args:
            belief: (pairs,) the probability that each is relevant.
            irrelevant: (pairs,) the probability that each is irrelevant; None: 1 - belief. What both leave
                over belongs to the middle class and teaches nothing here.
        """
        raise NotImplementedError

    def partial(self, response: float) -> Floats:
        """Return (rows,) the log-likelihood ratios of chunks that respond in part, 0-1."""
        return self.readings()

    def of_irrelevant(self) -> Floats:
        """Return (rows,) the log-likelihood of one observation of an irrelevant chunk, up to a constant."""
        return np.zeros(len(self.rows.pair))

    def weights(self) -> Iterator[tuple[str, int, float]]:
        """Yield kind, band and log-likelihood ratio of everything that the channel can observe."""
        raise NotImplementedError

    def inform(self, others: Floats, prior: Floats) -> None:
        """Say what the rest of the evidence believes: (rows,) probabilities with and without any evidence."""
        known = np.minimum((others - prior) ** 2 / (prior * (1 - prior)), 1.0)
        n = np.bincount(self.rows.pair, self.rows.count)[self.rows.pair]
        alike = 1 + np.maximum(n - 1, 0) * max(self.repeat, _LEAST_ALIKE)
        self.informed = float((self.rows.count * known / alike).sum())
        self.trust = self.informed / (self.informed + self.shrinkage.informed)


@dataclass
class Trials(Channel):
    """A citation or an opening: it happens or does not, by place (a position-based model with trust bias).

    The rate of class z at place r starts as attention(r) x rate(z), the position-based model (Richardson,
    Dominowska and Ragno, WWW 2007), and each place may differ as far as its data say: what irrelevant chunks
    get on the first places is trust bias (Agarwal et al., WWW 2019). All kinds but the last are the event.
    """

    prior: tuple[float, float] = (0.1, 0.5)
    attention: Floats = field(default_factory=lambda: np.ones(LAST_PLACE + 1))
    extra: Floats = field(default_factory=lambda: np.zeros(1))

    def __post_init__(self) -> None:
        self.event = self.rows.kind < len(self.kinds) - 1
        self.base = np.array(self.prior)
        self.curve = self.attention.copy()
        self.rates = np.clip(self.curve * self.base[:, None], _LEAST, _MOST)
        self.types = self.extra.copy()

    def readings(self) -> Floats:
        """Return (rows,) the log-likelihood ratio of one observation of each row."""
        happened, not_happened = self._ratios()
        typed = np.maximum(
            happened[self.rows.band] + self.types[np.minimum(self.rows.kind, len(self.types) - 1)], 0
        )
        return np.where(self.event, typed, not_happened[self.rows.band])

    def _ratios(self) -> tuple[Floats, Floats]:
        whole = self._ratios_of(1.0)
        if self.middle == 1:
            return whole
        part = self._ratios_of(self.middle)
        return blended(part[0], whole[0]), blended(part[1], whole[1])

    def _ratios_of(self, response: float) -> tuple[Floats, Floats]:
        irrelevant = self.rates[0]
        relevant = irrelevant + response * (self.rates[1] - irrelevant)
        return np.log(relevant / irrelevant), np.log((1 - relevant) / (1 - irrelevant))

    def partial(self, response: float) -> Floats:
        """Return (rows,) the log-likelihood ratios of chunks that respond only in part."""
        happened, not_happened = self._ratios_of(response)
        return np.where(self.event, happened[self.rows.band], not_happened[self.rows.band])

    def of_irrelevant(self) -> Floats:
        """Return (rows,) the log-likelihood of one observation of an irrelevant chunk."""
        rate = self.rates[0][self.rows.band]
        return np.asarray(np.where(self.event, np.log(rate), np.log1p(-rate)))

    def learn(self, belief: Floats, irrelevant: Floats | None = None) -> None:
        """Update the rates."""
        size = LAST_PLACE + 1
        events, trials = np.zeros((2, size)), np.zeros((2, size))
        for z, mass in enumerate(_masses(belief, irrelevant)):
            count = self.rows.count * mass[self.rows.pair]
            trials[z] = np.bincount(self.rows.band, count, size)
            events[z] = np.bincount(self.rows.band[self.event], count[self.event], size)
        self._learn_base(events, trials)
        pooled = np.clip(self.curve * self.base[:, None], _LEAST, 0.97)
        places = self.shrinkage.places
        rates = (self.trust * events + places * pooled) / (self.trust * trials + places)
        self.set_rates(rates)
        self.learn_types(belief, irrelevant)

    def set_rates(self, rates: Floats) -> None:
        """Set (2, places) rates, those of relevant chunks nowhere below those of irrelevant ones."""
        low, high = np.clip(rates, _LEAST, _MOST)
        low = np.maximum(low, _WRONG * high)
        high = np.maximum(high, np.minimum(low * 1.02, _MOST))
        self.rates = np.stack([np.minimum(low, high), high])

    def _learn_base(self, events: Floats, trials: Floats) -> None:
        """Fit attention by place and rate by class in turn, then hold their ratio to the prior's."""
        base, curve, rates = self.base.copy(), self.curve, self.shrinkage.rates
        some = self.shrinkage.places * self.prior[1] * 0.3
        for _ in range(20):
            curve = (events.sum(axis=0) + some * self.attention) / (
                (trials * base[:, None]).sum(axis=0) + some
            )
            curve = np.clip(curve / max(curve[1], 1e-6), 0.02, 1.5)
            seen = (trials * curve).sum(axis=1)
            base = (events.sum(axis=1) + rates * np.array(self.prior)) / (seen + rates)
            base = np.clip(base, 1e-4, 0.97)
            base[1] = max(base[1], base[0] * 1.05)
        seen = (trials * curve).sum(axis=1)
        if self.trust < 1 and seen.sum() > 0:
            relevant = seen[1] / seen.sum()
            level = relevant * self.prior[1] + (1 - relevant) * self.prior[0]
            overall = float((events.sum() + rates * level) / (seen.sum() + rates))
            prior = np.log(self.prior[1] / self.prior[0])
            ratio = np.exp(prior + self.trust * (np.log(base[1] / base[0]) - prior))
            low = overall / (relevant * ratio + 1 - relevant)
            base = np.array([low, min(low * ratio, 0.97)])
        self.base, self.curve = base, curve

    def learn_types(self, belief: Floats, irrelevant: Floats | None = None) -> None:
        """Learn how much more or less a copy or a bookmark says than a click."""
        if len(self.types) < 2:
            return
        kinds, size, some = self.rows.kind[self.event], len(self.types), self.shrinkage.rates
        overall = np.bincount(kinds, self.rows.count[self.event], size)
        if not overall.sum():
            return
        overall = overall / overall.sum()
        tilted = overall * np.exp(self.extra)
        shares = []
        expectations = (overall, tilted / tilted.sum())
        for mass, expected in zip(_masses(belief, irrelevant), expectations):
            count = (self.rows.count * mass[self.rows.pair])[self.event]
            n = np.bincount(kinds, count, size) * self.trust + some * expected
            shares.append((n + 1e-9) / (n.sum() + 1e-9 * size))
        self.types = np.where(overall > 0, np.log(shares[1] / shares[0]), self.extra)

    def weights(self) -> Iterator[tuple[str, int, float]]:
        """Yield kind, band and log-likelihood ratio of everything that the channel can observe."""
        happened, not_happened = self._ratios()
        for band in range(LAST_PLACE + 1):
            for number, kind in enumerate(self.kinds[:-1]):
                yield (
                    kind,
                    band,
                    max(float(happened[band] + self.types[min(number, len(self.types) - 1)]), 0.0),
                )
            yield self.kinds[-1], band, float(not_happened[band])


@dataclass
class Lengths(Channel):
    """Reading times: the logarithm of the seconds is normal in each class; a longer one never says less."""

    prior: tuple[float, float] = (1.0, 2.2)
    spread: float = 1.0
    bounds: tuple[float, float] = (3.0, 3.0)

    def __post_init__(self) -> None:
        self.mean = np.array(self.prior)
        self.deviation = np.full(2, self.spread)
        self.log_seconds = middle_log_seconds()

    def readings(self) -> Floats:
        """Return (rows,) the log-likelihood ratio of one observation of each row."""
        return self._curve()[self.rows.band]

    def _curve(self) -> Floats:
        whole = self._curve_of(1.0)
        return whole if self.middle == 1 else blended(self._curve_of(self.middle), whole)

    def _curve_of(self, response: float) -> Floats:
        ratio = self._log_density(response) - self._log_density(0.0)
        return np.maximum.accumulate(np.clip(ratio, -self.bounds[0], self.bounds[1]))

    def _log_density(self, response: float) -> Floats:
        mean, sd = (x[0] + response * (x[1] - x[0]) for x in (self.mean, self.deviation))
        return np.asarray(-((self.log_seconds - mean) ** 2) / (2 * sd**2) - np.log(sd))

    def partial(self, response: float) -> Floats:
        """Return (rows,) the log-likelihood ratios of chunks that respond only in part."""
        return self._curve_of(response)[self.rows.band]

    def of_irrelevant(self) -> Floats:
        """Return (rows,) the log-likelihood of one observation of an irrelevant chunk, up to a constant."""
        return self._log_density(0.0)[self.rows.band]

    def learn(self, belief: Floats, irrelevant: Floats | None = None) -> None:
        """Update the rates."""
        x, some = self.log_seconds[self.rows.band], self.shrinkage.rates
        for z, mass in enumerate(_masses(belief, irrelevant)):
            count = self.rows.count * mass[self.rows.pair] * self.trust
            n = count.sum() + some
            self.mean[z] = ((count * x).sum() + some * self.prior[z]) / n
            off = (count * (x - self.mean[z]) ** 2).sum() + some * self.spread**2
            self.deviation[z] = max(float(np.sqrt(off / n)), 0.2)
        if self.mean[1] < self.mean[0]:
            self.mean[:] = self.mean.mean()
        self.deviation = (self.deviation + np.sqrt((self.deviation**2).mean())) / 2

    def weights(self) -> Iterator[tuple[str, int, float]]:
        """Yield kind, band and log-likelihood ratio of everything that the channel can observe."""
        for band, value in enumerate(self._curve()):
            for kind in self.kinds:
                yield kind, band, float(value)


@dataclass
class Votes(Channel):
    """Something rare that a person says: only that it was said counts, not that it was not.

    ``prior`` is the log-likelihood ratio, positive or negative; ``exposures`` (pairs,) how often each pair
    could have got the vote.
    """

    prior: float = 2.5
    exposures: Floats = field(default_factory=lambda: np.zeros(0))

    def __post_init__(self) -> None:
        self.ratio = self.prior

    def readings(self) -> Floats:
        """Return (rows,) the log-likelihood ratio of one observation of each row."""
        return np.full(len(self.rows.pair), self.ratio)

    def learn(self, belief: Floats, irrelevant: Floats | None = None) -> None:
        """Update the rates."""
        masses = _masses(belief, irrelevant)
        said = [float((self.rows.count * mass[self.rows.pair]).sum()) for mass in masses]
        could = [float((self.exposures * mass).sum()) + self.shrinkage.rates for mass in masses]
        overall = sum(said) / sum(could)
        share = could[1] / sum(could)
        some = self.shrinkage.rates / 10  # expected votes that the prior is worth
        low = overall / (share * np.exp(self.prior) + 1 - share)
        rates = [
            (said[z] + some * expected / overall) / (could[z] + some / overall)
            for z, expected in enumerate((low, low * np.exp(self.prior)))
        ]
        learned = float(np.log(rates[1] / rates[0]))
        ratio = self.prior + self.trust * (learned - self.prior)
        self.ratio = max(ratio, 0.0) if self.prior > 0 else min(ratio, 0.0)

    def weights(self) -> Iterator[tuple[str, int, float]]:
        """Yield kind, band and log-likelihood ratio of everything that the channel can observe."""
        for kind in self.kinds:
            yield kind, 0, float(self.ratio)


@dataclass
class Grades(Channel):
    """An LLM's judgments: how often it gives each grade to relevant and to irrelevant chunks.

    ``prior`` is (6,) the log-likelihood ratio of grades 0 to 5; a higher grade never says less.
    """

    prior: Floats = field(default_factory=lambda: np.linspace(-2, 2, 6))

    def __post_init__(self) -> None:
        self.ratios = self.prior.copy()

    def readings(self) -> Floats:
        """Return (rows,) the log-likelihood ratio of one observation of each row."""
        return self.ratios[np.clip(self.rows.band, 0, 5)]

    def learn(self, belief: Floats, irrelevant: Floats | None = None) -> None:
        """Update the rates."""
        band, some = np.clip(self.rows.band, 0, 5), self.shrinkage.rates
        shape = np.exp(self.prior / 2)
        shares = []
        for mass, expected in zip(_masses(belief, irrelevant), (1 / shape, shape)):
            n = np.bincount(band, self.rows.count * mass[self.rows.pair], 6) * self.trust
            n = n + some * expected / expected.sum()
            shares.append(n / n.sum())
        ratios = np.log(shares[1] / shares[0])
        seen = np.bincount(band, self.rows.count, 6) * self.trust
        blended = self.prior + seen / (seen + some / 6) * (ratios - self.prior)
        self.ratios = np.maximum.accumulate(blended)

    def weights(self) -> Iterator[tuple[str, int, float]]:
        """Yield kind, band and log-likelihood ratio of everything that the channel can observe."""
        for kind in self.kinds:
            for band, value in enumerate(self.ratios):
                yield kind, band, float(value)
