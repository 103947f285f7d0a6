"""Trust bias: people click what stands first even when it is irrelevant.

The model of Agarwal et al. (Addressing trust bias for unbiased learning-to-rank, WWW 2019): who examines rank
k clicks a relevant item with probability epsilon+_k and an irrelevant one with epsilon-_k. Clicks are then an
affine function of relevance, alpha_k * g + beta_k, and no inverse propensity alone can undo it (Vardasbi,
Oosterhuis and de Rijke, When inverse propensity scoring does not work: affine corrections for unbiased
learning to rank, CIKM 2020): subtract beta_k, divide by alpha_k.

Estimated here by EM over a hidden relevant-or-not of every item that is seen repeatedly. What is identified
is theta_k * epsilon+_k and theta_k * epsilon-_k; theta alone needs epsilon+ to be known, or the same at all
ranks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from ragwheel.labels.position.cells import Cells, Floats
from ragwheel.labels.position.ratios import counts
from ragwheel.labels.position.result import Examination, not_identifiable

__all__ = ["Affine", "fit_affine", "trust"]

_ROUNDS: Final = 500
_REFIT_ROUNDS: Final = 40
_CONVERGED: Final = 1e-6
_REPLICATES: Final = 30
_FEWEST_CLICKS: Final = 100
_FEWEST_SEEN: Final = 10.0  # impressions per item, in the mean: below, classes of items cannot be told apart


@dataclass(frozen=True)
class Affine:
    """Probability of a click by rank, (ranks,): on what is relevant, and on what is not.

    ``belief`` is the probability of each item to be relevant.
    """

    relevant: Floats
    irrelevant: Floats
    belief: Floats

    @property
    def alpha(self) -> Floats:
        """What relevance adds."""
        return self.relevant - self.irrelevant

    @property
    def beta(self) -> Floats:
        """What is clicked anyway."""
        return self.irrelevant


def trust(cells: Cells, *, epsilon_plus: Sequence[float] | None = None, seed: int = 0) -> Examination:
    """Examination relative to rank 1 where clicks are trusted too much, or why it cannot be told.

    Args:
        cells: counts by item and rank.
        epsilon_plus: where it is known, per rank: how often what is examined and relevant is clicked. None:
            the same at all ranks.
        seed: of the bootstrap over query groups.
    """
    ranks = int(cells.rank.max(initial=1))
    items = len(np.unique(cells.item))
    clicks = np.bincount(cells.rank - 1, cells.clicks, ranks)
    if clicks.min() < _FEWEST_CLICKS:
        return not_identifiable("trust", f"{clicks.min():.0f} clicks at a rank, {_FEWEST_CLICKS} needed")
    if cells.impressions.sum() < _FEWEST_SEEN * items:
        return not_identifiable("trust", "queries hardly repeat, so that relevance stays unknown")
    sure = np.ones(ranks) if epsilon_plus is None else np.asarray(epsilon_plus, float)[:ranks]
    found = fit_affine(cells)
    theta = _relative(found.relevant / sure)
    draws = [
        _relative(again.relevant / sure)
        for again in (fit_affine(cells, weights=w, start=found) for w in _bootstrap(cells, seed))
    ]
    spread = 1.959964 * np.stack(draws).std(0, ddof=1)
    return Examination(
        "trust",
        tuple(theta.tolist()),
        tuple(np.maximum(theta - spread, 0).tolist()),
        tuple((theta + spread).tolist()),
        **counts(cells),
        identifiable=True,
        false_clicks=tuple((found.irrelevant / found.relevant).tolist()),
    )


def fit_affine(cells: Cells, *, weights: Floats | None = None, start: Affine | None = None) -> Affine:
    """EM for two classes of items; ``weights`` per item (None: all one), ``start`` to go on from."""
    ranks = int(cells.rank.max())
    impressions, clicks = cells.table(ranks)
    weights = np.ones(len(impressions)) if weights is None else weights
    skipped = impressions - clicks
    if start is None:
        rate = clicks.sum(0) / np.maximum(impressions.sum(0), 1e-300)
        over = clicks.sum(1) > impressions @ rate
        belief = np.where(over, 0.9, 0.1)
    else:
        belief = start.belief
    depth = np.round(impressions @ np.arange(ranks) / np.maximum(impressions.sum(1), 1e-300)).astype(np.int64)
    size = np.bincount(depth, weights, ranks)
    relevant = irrelevant = np.zeros(ranks)
    for _ in range(_ROUNDS if start is None else _REFIT_ROUNDS):
        before = relevant
        relevant, irrelevant = (
            np.clip(
                ((share * weights) @ clicks + 0.5) / ((share * weights) @ impressions + 1), 1e-6, 1 - 1e-6
            )
            for share in (belief, 1 - belief)
        )
        prior = (np.bincount(depth, belief * weights, ranks) + 1) / (size + 2)
        odds = (
            np.log(prior / (1 - prior))[depth]
            + clicks @ np.log(relevant / irrelevant)
            + skipped @ np.log((1 - relevant) / (1 - irrelevant))
        )
        belief = 1 / (1 + np.exp(-np.clip(odds, -50, 50)))
        if float(np.abs(relevant - before).max()) < _CONVERGED:
            break
    if relevant.sum() < irrelevant.sum():
        return Affine(irrelevant, relevant, 1 - belief)
    return Affine(relevant, irrelevant, belief)


def _relative(values: Floats) -> Floats:
    return np.asarray(values / values[0])


def _bootstrap(cells: Cells, seed: int) -> list[Floats]:
    """Weights per item of the Bayesian bootstrap over query groups (Rubin, Annals of Statistics 9, 1981)."""
    draw = np.random.default_rng(seed)
    of_query = np.zeros(int(cells.item.max()) + 1, np.int64)
    of_query[cells.item] = cells.query
    size = int(cells.query.max()) + 1
    return [draw.standard_exponential(size)[of_query] for _ in range(_REPLICATES)]
