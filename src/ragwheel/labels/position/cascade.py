"""Click models in which what stands above decides whether a rank is looked at at all.

A person reads from the top; an item attracts a click with probability a, satisfies who clicked with
probability s, and who is not satisfied goes on with probability gamma: the dynamic Bayesian network of
Chapelle and Zhang (A dynamic Bayesian network click model for web search ranking, WWW 2009). ``dbn`` fits a,
s and gamma by EM, with the hidden states summed out exactly, rank by rank. ``sdbn`` is their simplified
model, gamma = 1, in closed form: whatever stands above the last click was looked at, and so was everything
where nobody clicked.

Examination then depends on the list; what is reported is its mean over the lists that were served.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from ragwheel.labels.position.cells import Floats, Lists
from ragwheel.labels.position.result import Examination, not_identifiable

__all__ = ["Dbn", "dbn", "fit_dbn", "sdbn"]

_ROUNDS: Final = 200
_CONVERGED: Final = 1e-5
_REPLICATES: Final = 20
_REFIT_ROUNDS: Final = 6
_FEWEST_CLICKS: Final = 100
_FEWEST_SEEN: Final = 3.0  # impressions per item, in the mean


class Dbn(NamedTuple):
    """Attraction and satisfaction per item, the probability to go on, and examination, (lists, ranks)."""

    attraction: Floats
    satisfaction: Floats
    gamma: float
    examined: Floats


def sdbn(lists: Lists, *, seed: int = 0) -> Examination:
    """Examination by the simplified model, in closed form, or why it cannot be told."""
    why = _lacks(lists)
    if why:
        return not_identifiable("sdbn", why)
    theta = _sdbn_curve(lists, np.ones(len(lists)))
    draws = [_sdbn_curve(lists, weights) for weights in _bootstrap(lists, seed)]
    return _result("sdbn", lists, theta, np.stack(draws))


def dbn(lists: Lists, *, seed: int = 0) -> Examination:
    """Examination by the full model, by EM, or why it cannot be told."""
    why = _lacks(lists)
    if why:
        return not_identifiable("dbn", why)
    found = fit_dbn(lists)
    draws = []
    for weights in _bootstrap(lists, seed):
        again = fit_dbn(lists, weights=weights, start=found, rounds=_REFIT_ROUNDS)
        draws.append(_mean(again.examined, lists, weights))
    theta = _mean(found.examined, lists, np.ones(len(lists)))
    return _result("dbn", lists, theta, np.stack(draws))


def fit_dbn(
    lists: Lists, *, weights: Floats | None = None, start: Dbn | None = None, rounds: int = _ROUNDS
) -> Dbn:
    """EM for the dynamic Bayesian network; ``weights`` per list (None: all one).

    Every item starts with one imagined impression as attractive, and one imagined click as satisfying, as
    half.
    """
    n, ranks = lists.items.shape
    weights = np.ones(n) if weights is None else weights
    there = lists.items >= 0
    item = np.where(there, lists.items, 0)
    size = int(lists.items.max()) + 1
    clicked = lists.clicks & there
    if start is None:
        attraction, satisfaction, gamma = np.full(size, 0.3), np.full(size, 0.5), 0.9
    else:
        attraction, satisfaction, gamma = start[:3]
    below = _clicks_below(clicked)
    weighted = there * weights[:, None]
    clicks = np.bincount(item.ravel(), (weighted * clicked).ravel(), size)
    examined = np.zeros((n, ranks))
    for _ in range(rounds):
        a, s = np.where(there, attraction[item], 0.0), np.where(there, satisfaction[item], 0.0)
        examined, satisfied, went_on = _posterior(a, s, gamma, clicked, below)
        looked = np.bincount(item.ravel(), (weighted * examined).ravel(), size)
        pleased = np.bincount(item.ravel(), (weighted * satisfied).ravel(), size)
        attraction = (clicks + 0.5) / (looked + 1)
        satisfaction = (pleased + 0.5) / (clicks + 1)
        could = weighted[:, :-1] * there[:, 1:] * (examined - satisfied)[:, :-1]
        before, gamma = gamma, float((weights[:, None] * there[:, 1:] * went_on).sum() / could.sum())
        if abs(gamma - before) < _CONVERGED:
            break
    return Dbn(attraction, satisfaction, gamma, examined)


def _posterior(
    a: Floats, s: Floats, gamma: float, clicked: np.typing.NDArray[np.bool_], below: Floats
) -> tuple[Floats, Floats, Floats]:
    """P(examined), P(satisfied), and P(not satisfied and went on) without the last rank, given the clicks."""
    n, ranks = a.shape
    ahead = np.ones((n, ranks + 1))  # P(clicks from here on | examined)
    for k in range(ranks - 1, -1, -1):
        stops = below[:, k + 1]  # P(clicks below | not examined): 1 where there are none
        on = gamma * ahead[:, k + 1] + (1 - gamma) * stops
        ahead[:, k] = np.where(
            clicked[:, k], a[:, k] * (s[:, k] * stops + (1 - s[:, k]) * on), (1 - a[:, k]) * on
        )
    reach = np.ones((n, ranks))  # P(clicks above and examined)
    for k in range(1, ranks):
        step = np.where(clicked[:, k - 1], a[:, k - 1] * (1 - s[:, k - 1]), 1 - a[:, k - 1])
        reach[:, k] = reach[:, k - 1] * step * gamma
    whole = np.maximum(ahead[:, :1], 1e-300)
    examined = reach * ahead[:, :ranks] / whole
    satisfied = np.where(clicked, reach * a * s * below[:, 1:] / whole, 0.0)
    return examined, satisfied, examined[:, 1:]


def _clicks_below(clicked: np.typing.NDArray[np.bool_]) -> Floats:
    """(lists, ranks + 1): 1.0 where there is no click at this rank or below."""
    none = np.logical_and.accumulate(~clicked[:, ::-1], axis=1)[:, ::-1]
    return np.concatenate([none, np.ones((len(clicked), 1), bool)], axis=1).astype(np.float64)


def _sdbn_curve(lists: Lists, weights: Floats) -> Floats:
    """Mean examination per rank: the product over what stands above of 1 - attraction * satisfaction."""
    there = lists.items >= 0
    item = np.where(there, lists.items, 0)
    size = int(lists.items.max()) + 1
    ranks = lists.items.shape[1]
    clicked = lists.clicks & there
    last = np.where(clicked.any(1), ranks - 1 - np.argmax(clicked[:, ::-1], axis=1), ranks - 1)
    looked = there & (np.arange(ranks) <= last[:, None])
    is_last = clicked & (np.arange(ranks) == last[:, None])
    seen, clicks, ends = (
        np.bincount(item.ravel(), (what * weights[:, None]).ravel(), size)
        for what in (looked, clicked, is_last)
    )
    stops = (clicks + 0.5) / (seen + 1) * (ends + 0.5) / (clicks + 1)
    goes_on = np.where(there, 1 - stops[item], 1.0)[:, :-1]
    curve = np.concatenate([np.ones((len(lists), 1)), np.cumprod(goes_on, axis=1)], axis=1)
    return _mean(curve, lists, weights)


def _mean(values: Floats, lists: Lists, weights: Floats) -> Floats:
    """Per rank, over the lists that have it."""
    weighted = (lists.items >= 0) * weights[:, None]
    return np.asarray((values * weighted).sum(0) / np.maximum(weighted.sum(0), 1e-300))


def _lacks(lists: Lists) -> str:
    """Why nothing can be told, or nothing."""
    clicks = int(lists.clicks.sum())
    if clicks < _FEWEST_CLICKS:
        return f"{clicks} clicks in whole lists, at least {_FEWEST_CLICKS} needed"
    shown = int((lists.items >= 0).sum())
    items = len(np.unique(lists.items[lists.items >= 0]))
    if shown < _FEWEST_SEEN * items:
        return "queries hardly repeat, so that attractiveness and attention cannot be told apart"
    return ""


def _bootstrap(lists: Lists, seed: int) -> list[Floats]:
    """Weights of the Bayesian bootstrap over query groups (Rubin, Annals of Statistics 9, 1981), per list."""
    draw = np.random.default_rng(seed)
    _, group = np.unique(lists.query, return_inverse=True)
    size = int(group.max()) + 1
    return [draw.standard_exponential(size)[group.reshape(-1)] for _ in range(_REPLICATES)]


def _result(method: str, lists: Lists, theta: Floats, draws: Floats) -> Examination:
    spread = 1.959964 * draws.std(0, ddof=1)
    return Examination(
        method,
        tuple((theta / theta[0]).tolist()),
        tuple(np.maximum(theta - spread, 0).tolist()),
        tuple((theta + spread).tolist()),
        impressions=int((lists.items >= 0).sum()),
        clicks=int(lists.clicks.sum()),
        queries=len(np.unique(lists.query)),
        identifiable=True,
    )
