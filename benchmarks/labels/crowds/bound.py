"""The Bayes-optimal labels: the posterior of somebody who knows the crowd's true rates.

It knows every rate, which people click at all, how often chunks of each grade stand at each mean rank, and
all that happened; what it does not know is which chunks are relevant. Its prior knows the mean place of a
chunk only, not how many relevant chunks a question has.
"""

from __future__ import annotations

import numpy as np

from labels.crowds.crowd import Crowd
from labels.crowds.turns import Exposures, Floats, Ints

__all__ = ["Pairs", "bayes_beliefs", "pairs_of"]

Pairs = tuple[Ints, Ints, Floats, Ints]


def pairs_of(rows: Exposures) -> Pairs:
    """The pair (question, chunk) of each row, and each pair's question, mean place and grade."""
    keys = rows.question * (rows.chunk.max() + 1) + rows.chunk
    _unique, first, pair = np.unique(keys, return_index=True, return_inverse=True)
    n = np.bincount(pair)
    return pair, rows.question[first], np.bincount(pair, rows.place) / n, rows.grade[first]


def bayes_beliefs(rows: Exposures, crowd: Crowd, top: int) -> Floats:
    """(pairs,) the probability that each pair is relevant, given all that happened and the true rates."""
    pair, _question, mean, grade = pairs_of(rows)
    size = len(mean)
    levels = np.arange(top + 1)
    bucket = np.minimum(np.round(mean), 20).astype(int)
    prior = np.full((21, top + 1), 1e-9)
    np.add.at(prior, (bucket, grade), 1.0)
    prior += 0.5 * np.bincount(grade, minlength=top + 1) / size
    log = np.log(prior / prior.sum(axis=1, keepdims=True))[bucket]
    shown = rows.place <= crowd.shown
    for level in levels:
        response = np.broadcast_to(crowd.response(np.array([level]), top), rows.place.shape)
        total = np.zeros(len(rows))
        if crowd.cites:
            rate = np.clip(
                crowd.cite_rate(response[rows.prompted], rows.place[rows.prompted]), 1e-9, 1 - 1e-9
            )
            total[rows.prompted] += np.where(rows.cited[rows.prompted], np.log(rate), np.log1p(-rate))
        if crowd.clicks:
            seen = shown & rows.clicker
            rate = np.clip(crowd.click_rate(response[seen], rows.place[seen]), 1e-9, 1 - 1e-9)
            total[seen] += np.where(rows.clicked[seen], np.log(rate), np.log1p(-rate))
            timed = ~np.isnan(rows.seconds)
            off = (
                np.log(np.maximum(rows.seconds[timed], 0.01)) - crowd.dwell_mean(response[timed])
            ) / crowd.dwell_sd
            total[timed] -= off**2 / 2
        if crowd.vote:
            up, down = crowd.vote_rates(response[shown], rows.place[shown])
            vote = rows.vote[shown]
            total[shown] += np.log(np.where(vote > 0, up, np.where(vote < 0, down, 1 - up - down)))
        log[:, level] += np.bincount(pair, total, size)
    log -= log.max(axis=1, keepdims=True)
    mass = np.exp(log)
    return np.asarray(1 - mass[:, 0] / mass.sum(axis=1))
