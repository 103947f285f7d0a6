"""A third class between irrelevant and relevant, where the traces ask for one.

Some chunks answer a part of the question: they are cited and opened more often than irrelevant ones, and less
often than those that answer all of it. Two classes would count them as irrelevant. Here the model is fitted
with three ordered classes, of which the middle one responds in every instrument a share of the way like
relevant chunks. It replaces the two classes only where it explains the traces better by more than its
parameters would by chance (Schwarz, Estimating the dimension of a model, Annals of Statistics 6, 1978), and
where citations and openings, as far as there are both, show it: a class that one of them alone sees is a
habit of that instrument. Only chunks that were seen many times can show it.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from ragwheel.labels.model.channels import Channel, Lengths, Trials
from ragwheel.labels.model.fit import CERTAIN, RANKS, Pairs, PriorByRank, told_apart, towards

__all__ = ["OrderedClasses", "with_middle_class"]

Floats = npt.NDArray[np.float64]

_ROUNDS: Final = 30
_CONVERGED: Final = 1e-3
_RESPONSES: Final = np.linspace(0.05, 0.95, 10)
_CLEAR: Final = (0.1, 0.9)  # responses outside are one of the two other classes
_START: Final = (0.4, 0.3)  # response of the middle class, and its share of relevant chunks
_READINGS: Final = 10.0  # citations and openings that did or did not happen, per pair
_HELD: Final = 20.0  # pairs that the share at one rank is shrunk by to the share of all


@dataclass
class OrderedClasses:
    """A fit of two or three ordered classes, without allowance for repeated readings.

    Attributes:
        channels: copies of their own; ``middle`` is set where there is a middle class.
        shares: (sources, ranks + 1) of relevant chunks, in part or fully.
        responses: of the middle class by channel, empty with two classes.
        log_likelihood: of all observations, up to a constant that any number of classes has.
    """

    channels: list[Channel]
    shares: Floats
    responses: dict[str, float]
    log_likelihood: float = -np.inf


def with_middle_class(
    pairs: Pairs, channels: Sequence[Channel], prior: PriorByRank, belief: Floats, shares: Floats
) -> OrderedClasses | None:
    """Fit three classes from where two classes ended.

    Args:
        pairs, channels: what was observed, with the rates that were learned for two classes.
        prior: of relevance by rank.
        belief, shares: from :func:`ragwheel.labels.model.fit.fit`.

    Returns:
        None where two classes do, where chunks were seen too seldom, or where the policy still has half of
        the say about an instrument.
    """
    telling = [channel for channel in channels if isinstance(channel, (Trials, Lengths))]
    readings = sum(float(channel.rows.count.sum()) for channel in telling if isinstance(channel, Trials))
    if readings < _READINGS * len(belief) or min(channel.trust for channel in telling) < 0.5:
        return None
    two = _fitted(pairs, channels, prior, belief, OrderedClasses(copy.deepcopy(list(channels)), shares, {}))
    start = dict.fromkeys((channel.name for channel in telling), _START[0])
    three = _fitted(
        pairs, channels, prior, belief, OrderedClasses(copy.deepcopy(list(channels)), shares, start)
    )
    chance = (1 + len(telling)) * np.log(len(belief)) / 2
    trials = [channel.name for channel in telling if isinstance(channel, Trials)]
    clear = all(_CLEAR[0] < three.responses[name] < _CLEAR[1] for name in trials)
    if not clear or three.log_likelihood - two.log_likelihood < chance:
        return None
    for channel in three.channels:
        channel.middle = three.responses.get(channel.name, 1.0)
    return three


def _fitted(
    pairs: Pairs, channels: Sequence[Channel], prior: PriorByRank, belief: Floats, classes: OrderedClasses
) -> OrderedClasses:
    """Learn by expectation-maximisation; the masses are of irrelevant, middle and fully relevant chunks."""
    anchored = ~np.isnan(pairs.known)
    part = np.full(len(belief), _START[1] if classes.responses else 0.0)  # of relevance that is partial
    start = prior.table(len(classes.shares))
    for _ in range(_ROUNDS):
        before = np.clip(classes.shares, 1e-3, 0.99)[pairs.source, pairs.rank]
        partial = _by_rank(pairs.rank, part * belief, belief) if classes.responses else part
        logs = _log_likelihoods(classes, len(belief))
        logs += np.log(np.stack([1 - before, before * np.maximum(partial, 1e-9), before * (1 - partial)]))
        top = logs.max(axis=0)
        mass = np.exp(logs - top)
        total = mass.sum(axis=0)
        classes.log_likelihood = float((top + np.log(total))[~anchored].sum())
        mass /= total
        part = mass[1] / np.maximum(mass[1] + mass[2], 1e-12)
        traced = 1 - mass[0]
        now = np.where(anchored, np.clip(pairs.known, 1 - CERTAIN, CERTAIN), traced)
        moved = float(np.abs(now - belief).max(initial=0.0))
        belief = now
        classes.shares = towards(start, prior.learned(pairs, traced), told_apart(channels))
        for channel in classes.channels:
            channel.learn(belief * (1 - part), 1 - belief)
            if channel.name in classes.responses:
                classes.responses[channel.name] = _response(channel, belief * part)
        if moved < _CONVERGED:
            break
    return classes


def _log_likelihoods(classes: OrderedClasses, size: int) -> Floats:
    """Return (3, pairs) what the observations of each pair are worth in each class."""
    logs = np.zeros((3, size))
    for channel in classes.channels:
        pair, weight = channel.rows.pair, channel.rows.weight
        full = channel.readings()
        partly = full
        if channel.name in classes.responses:
            partly = channel.partial(classes.responses[channel.name])
        for number, ratio in enumerate((np.zeros(len(full)), partly, full)):
            logs[number] += np.bincount(pair, weight * (channel.of_irrelevant() + ratio), size)
    return logs


def _response(channel: Channel, mass: Floats) -> float:
    """Return the response of the middle class, of a grid, that explains its observations best."""
    weight = channel.rows.weight * mass[channel.rows.pair]
    return float(max(_RESPONSES, key=lambda response: float(weight @ channel.partial(response))))


def _by_rank(rank: npt.NDArray[np.int64], partial: Floats, belief: Floats) -> Floats:
    """Return (pairs,) the share of relevant chunks that are so in part, at the rank of each."""
    some, all_ = (np.bincount(rank, values, RANKS + 1) for values in (partial, belief))
    overall = (some.sum() + 1) / (all_.sum() + 2)
    return np.asarray(((some + _HELD * overall) / (all_ + _HELD))[rank])
