"""Examination from items seen at several ranks: the position-based model with relevance conditioned out.

The model: an item with attractiveness g at rank k is clicked with probability theta_k * g (Craswell et al.,
An experimental comparison of click position-bias models, WSDM 2008). Given how many clicks an item got, where
it got them depends on theta alone: among ranks with n_k impressions they fall with probabilities proportional
to n_k * theta_k. Maximising that conditional likelihood needs no estimate of relevance, so that a million
items seen twice each do as well as a thousand seen often, where a model with a parameter per item is biased
(Neyman and Scott, Consistent estimates based on partially consistent observations, Econometrica 1948).

What identifies theta_k is a chain of items from rank 1 to rank k, each seen at two ranks of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from ragwheel.labels.position.cells import Cells, Floats
from ragwheel.labels.position.result import Examination, not_identifiable

__all__ = ["Ratios", "Z", "by_ratios", "informative", "solve"]

Z: Final = 1.959964
_ROUNDS: Final = 50
_CONVERGED: Final = 1e-9
_LONGEST_STEP: Final = 2.0
_FEW_QUERIES: Final = 30
_FEWEST_CLICKS: Final = 20  # at a rank, on items that are also seen at another; below nothing is said of it


@dataclass(frozen=True)
class Ratios:
    """``log_theta`` per rank with 0 for rank 1, and the covariance of the others, (ranks - 1, ranks - 1)."""

    log_theta: Floats
    covariance: Floats

    def interval(self) -> tuple[Floats, Floats]:
        """95 % limits of theta: normal on the log scale."""
        error = np.sqrt(np.maximum(np.diag(self.covariance), 0))
        spread = Z * np.concatenate([np.zeros(1), error])
        return np.exp(self.log_theta - spread), np.exp(self.log_theta + spread)


def informative(cells: Cells) -> tuple[Cells, str]:
    """The rows that say something of ranks 1, 2, … up to the last one that can be told; or why none can.

    Rows of items with clicks, seen at two or more of these ranks.
    """
    if not len(cells) or not cells.clicks.any():
        return cells.where(np.zeros(len(cells), bool)), "there are no clicks"
    ranks = int(cells.rank.max())
    impressions, clicks = cells.table(ranks)
    while ranks > 1:
        seen = impressions[:, :ranks] > 0
        useful = (seen.sum(1) > 1) & (clicks[:, :ranks].sum(1) > 0)
        enough = clicks[useful, :ranks].sum(0) >= _FEWEST_CLICKS
        reached = _reached(seen[useful])
        known = enough & reached
        last = ranks if known.all() else int(np.argmin(known))
        if last == ranks:
            return cells.where(useful[cells.item] & (cells.rank <= ranks)), ""
        ranks = last
    if not ((impressions > 0).sum(1) > 1).any():
        return cells.where(np.zeros(len(cells), bool)), "no chunk was seen at two ranks for one query"
    why = f"fewer than {_FEWEST_CLICKS} clicks tell rank 2 from rank 1"
    return cells.where(np.zeros(len(cells), bool)), why


def pbm(cells: Cells) -> Examination:
    """The position-based model, from items that happened to be seen at several ranks."""
    return by_ratios("pbm", cells)


def by_ratios(method: str, cells: Cells) -> Examination:
    """Examination by the conditional likelihood, or why it cannot be told."""
    used, why = informative(cells)
    if why:
        return not_identifiable(method, why)
    ratios = solve(used)
    low, high = ratios.interval()
    return Examination(
        method,
        tuple(np.exp(ratios.log_theta).tolist()),
        tuple(low.tolist()),
        tuple(high.tolist()),
        **counts(used),
        identifiable=True,
    )


def counts(cells: Cells) -> dict[str, Any]:
    """What an estimate was made from, for :class:`Examination`."""
    return {
        "impressions": round(float(cells.impressions.sum())),
        "clicks": round(float(cells.clicks.sum())),
        "queries": len(np.unique(cells.query)),
    }


def solve(cells: Cells) -> Ratios:
    """Newton's method on the conditional likelihood of rows from :func:`informative`.

    The covariance is the sandwich over query groups: rows of one query may depend on each other in any way.
    Of few groups that says little: no variance is then below that of independent clicks.
    """
    ranks = int(cells.rank.max())
    impressions, clicks = cells.table(ranks)
    total = clicks.sum(1)
    theta = np.zeros(ranks)
    for _ in range(_ROUNDS):
        share = _shares(impressions, theta)
        score = (clicks - total[:, None] * share).sum(0)[1:]
        step = np.linalg.lstsq(_information(share, total), score, rcond=None)[0]
        longest = float(np.abs(step).max(initial=0))
        theta[1:] += step * min(1.0, _LONGEST_STEP / max(longest, 1e-12))
        if longest < _CONVERGED:
            break
    share = _shares(impressions, theta)
    inverse = np.linalg.pinv(_information(share, total))
    spread = _cluster_scores(cells, theta, share, total, impressions)
    covariance = inverse @ spread @ inverse
    if len(np.unique(cells.query)) < _FEW_QUERIES:
        covariance = np.diag(np.maximum(np.diag(covariance), np.diag(inverse)))
    return Ratios(theta, covariance)


def _shares(impressions: Floats, log_theta: Floats) -> Floats:
    expected = impressions * np.exp(log_theta)
    return np.asarray(expected / np.maximum(expected.sum(1, keepdims=True), 1e-300))


def _information(share: Floats, total: Floats) -> Floats:
    weighted = share * total[:, None]
    return np.asarray((np.diag(weighted.sum(0)) - share.T @ weighted)[1:, 1:])


def _cluster_scores(
    cells: Cells, log_theta: Floats, share: Floats, total: Floats, impressions: Floats
) -> Floats:
    """Sum over query groups of the outer product of their scores, without the column of rank 1."""
    expected = (impressions * np.exp(log_theta)).sum(1)
    attraction = total / np.maximum(expected, 1e-300)
    off = cells.clicks - cells.impressions * np.exp(log_theta)[cells.rank - 1] * attraction[cells.item]
    _, group = np.unique(cells.query, return_inverse=True)
    group = group.reshape(-1)
    size = int(group.max()) + 1
    columns = [
        np.bincount(group, off * ((cells.rank - 1 == k) - share[cells.item, k]), size)
        for k in range(1, len(log_theta))
    ]
    scores = np.stack(columns, 1)
    return np.asarray(scores.T @ scores * (size / max(size - 1, 1)))


def _reached(seen: np.typing.NDArray[np.bool_]) -> np.typing.NDArray[np.bool_]:
    """Which ranks a chain of items connects with rank 1."""
    together = (seen.T.astype(np.float64) @ seen.astype(np.float64)) > 0
    reached = np.zeros(seen.shape[1], bool)
    reached[0] = True
    for _ in range(seen.shape[1]):
        reached = reached | together[reached].any(0)
    return reached
