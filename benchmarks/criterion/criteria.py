"""Criteria that can be computed from a store alone: each gives every candidate a number, higher for better.

All of them see the same: for each question of ``questions`` the chunks that were exposed, the belief in each,
and what each candidate ranks for it, trained without that question's family. ``people`` looks at people's
judgments of the same questions: no store has them, it shows what is lost for want of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from criterion.candidates import DEPTH
from ragwheel.evaluate.criterion import CriterionOptions, Gain, Moves, gain_of, rise_of
from ragwheel.train.held_out import FEWEST, Novelty, rise_by_slice

__all__ = ["CRITERIA", "Case", "promises", "scores_of"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

_DISCOUNT: Final = np.append(1 / np.log2(np.arange(2, 12)), np.zeros(DEPTH - 9))  # by rank - 1, to DEPTH + 1


@dataclass(frozen=True)
class Case:
    """One crowd on one collection.

    Attributes:
        collection, seed, app: which.
        names: of the candidates; the first is the base.
        truth: (candidates, test questions) nDCG@10 by people's labels.
        query: (pairs,) number of the question of each exposed chunk.
        belief, positive, people: (pairs,) P(relevant), whether the build took it, whether people say so.
        ranks: (candidates, pairs) from 1; DEPTH + 1 where the chunk is deeper.
        likelihood: (candidates, pairs) log-probability among all chunks.
        fold: (questions,) 0 is the part that a dev split would be.
        exposed: (questions, DEPTH) whether the chunk at this rank of the base was exposed.
        drift: (candidates, questions, DEPTH) where each candidate ranks the chunk at a rank of the base.
        people_missing: (candidates, questions) DCG@10 of relevant chunks that were never exposed.
        relevant: (questions,) how many chunks people find relevant.
        novelty: of the questions: whether their answers were positives of other folds.
        test_new: (test questions,) whether no relevant chunk was a positive in training.
    """

    collection: str
    seed: int
    app: str
    names: list[str]
    truth: Floats
    query: Ints
    belief: Floats
    positive: npt.NDArray[np.bool_]
    people: npt.NDArray[np.bool_]
    ranks: Ints
    likelihood: Floats
    fold: Ints
    exposed: npt.NDArray[np.bool_]
    drift: npt.NDArray[np.int16]
    people_missing: Floats
    relevant: Ints
    novelty: Novelty
    test_new: npt.NDArray[np.bool_]

    @property
    def gains(self) -> Floats:
        """(candidates,) the true gain over the base in nDCG@10."""
        found: Floats = self.truth.mean(axis=1) - self.truth[0].mean()
        return found


def scores_of(case: Case, criterion: str, *, dev: bool) -> Floats:
    """(candidates,) by a criterion; ``dev``: by a fifth of the questions, as a dev split has them."""
    kept = case.fold == 0 if dev else np.ones(len(case.fold), bool)
    return CRITERIA[criterion](case, kept)


def _per_question(case: Case, kept: npt.NDArray[np.bool_], values: Floats, weights: Floats) -> Floats:
    """(candidates,) means over questions of weighted sums over pairs, by the ideal DCG of the weights."""
    n = len(kept)
    amount = np.maximum(np.bincount(case.query, weights, n), 1.0)
    ideal = np.interp(amount, np.arange(11), np.cumsum([0.0, *_DISCOUNT[:10]]))
    sums = np.stack([np.bincount(case.query, row, n) for row in values * weights])
    found: Floats = (sums / ideal)[:, kept].mean(axis=1)
    return found


def _hard(case: Case, kept: npt.NDArray[np.bool_]) -> Floats:
    return _per_question(case, kept, _DISCOUNT[case.ranks - 1], case.positive.astype(float))


def _belief(case: Case, kept: npt.NDArray[np.bool_]) -> Floats:
    return _per_question(case, kept, _DISCOUNT[case.ranks - 1], case.belief)


def _condensed(case: Case, kept: npt.NDArray[np.bool_]) -> Floats:
    """Only exposed chunks are ranked."""
    ranks = np.empty_like(case.ranks)
    for row, found in zip(ranks, case.ranks, strict=True):
        order = np.lexsort((found, case.query))
        starts = np.searchsorted(case.query[order], case.query[order])
        row[order] = np.arange(len(order)) - starts + 1
    return _per_question(case, kept, _DISCOUNT[np.minimum(ranks, DEPTH + 1) - 1], case.belief)


def _log_rank(case: Case, kept: npt.NDArray[np.bool_]) -> Floats:
    weights = case.belief * kept[case.query]
    found: Floats = -(np.log(case.ranks) @ weights) / weights.sum()
    return found


def _likelihood(case: Case, kept: npt.NDArray[np.bool_]) -> Floats:
    weights = case.belief * kept[case.query]
    found: Floats = (case.likelihood @ weights) / weights.sum()
    return found


def _pairwise(case: Case, kept: npt.NDArray[np.bool_]) -> Floats:
    """Of the pairs of exposed chunks of a question, the share in the right order, weighted by belief."""
    right, whole = np.zeros(len(case.names)), 0.0
    starts = np.searchsorted(case.query, np.arange(len(kept) + 1))
    for question in np.flatnonzero(kept):
        span = slice(starts[question], starts[question + 1])
        weight = np.outer(case.belief[span], 1 - case.belief[span])
        ranks = case.ranks[:, span]
        above = (ranks[:, :, None] < ranks[:, None, :]) + 0.5 * (ranks[:, :, None] == ranks[:, None, :])
        right += (above * weight).sum(axis=(1, 2)) - 0.5 * np.trace(weight)
        whole += weight.sum() - np.trace(weight)
    return right / max(whole, 1e-9)


def _people(case: Case, kept: npt.NDArray[np.bool_]) -> Floats:
    n = len(kept)
    gained = np.stack([np.bincount(case.query, row, n) for row in _DISCOUNT[case.ranks - 1] * case.people])
    ideal = np.cumsum([0.0, *_DISCOUNT[:10]])[np.minimum(case.relevant, 10)]
    found: Floats = ((gained + case.people_missing) / np.maximum(ideal, 1))[:, kept].mean(axis=1)
    return found


def _moves(case: Case, kept: npt.NDArray[np.bool_], belief: Floats) -> list[Moves]:
    """What each candidate does to the questions that are kept."""
    pairs, number = kept[case.query], np.cumsum(kept) - 1
    query, exposed = number[case.query[pairs]], case.exposed[kept].mean(axis=0)
    return [
        Moves(
            query, belief[pairs], case.ranks[0][pairs], ranks[pairs], exposed,
            drift[kept].astype(np.int64), np.arange(kept.sum()),
        )
        for ranks, drift in zip(case.ranks, case.drift, strict=True)
    ]  # fmt: skip


def _expected(case: Case, kept: npt.NDArray[np.bool_]) -> Floats:
    return np.array([gain_of(moves, CriterionOptions()).mean for moves in _moves(case, kept, case.belief)])


def _rise(case: Case, kept: npt.NDArray[np.bool_]) -> Floats:
    return np.array([rise_of(moves, CriterionOptions()) for moves in _moves(case, kept, case.belief)])


def _by_slice(case: Case, kept: npt.NDArray[np.bool_]) -> Floats:
    novelty = Novelty(case.novelty.seen[kept], case.novelty.unseen[kept])
    every = _moves(case, kept, case.belief)
    unseen = _moves(case, kept & case.novelty.unseen, case.belief)
    return np.array(
        [
            rise_by_slice(lambda part, both=both: both[0] if part.all() else both[1], novelty)  # type: ignore[misc]
            for both in zip(every, unseen)
        ]
    )


def promises(case: Case, part: str) -> tuple[list[Gain], Floats] | None:
    """The expected gain of every candidate on a slice of the questions, and the true gains.

    Args:
        case: a crowd.
        part: ``all``, ``seen`` or ``unseen``: whether the answers were trained on.

    Returns:
        The promises, and (candidates, queries) the gains by people's labels; None where there are fewer than
        ten questions on either side.
    """
    every = np.ones(len(case.fold), bool)
    kept = {"all": every, "seen": case.novelty.seen, "unseen": case.novelty.unseen}[part]
    test = {"all": case.test_new | True, "seen": ~case.test_new, "unseen": case.test_new}[part]
    if min(kept.sum(), test.sum()) < FEWEST:
        return None
    gains = [gain_of(moves, CriterionOptions()) for moves in _moves(case, kept, case.belief)]
    return gains, (case.truth - case.truth[0])[:, test]


def _rise_of_labels(case: Case, kept: npt.NDArray[np.bool_]) -> Floats:
    belief = np.where(case.positive, np.maximum(case.belief, 0.6), 0.0)
    return np.array([rise_of(moves, CriterionOptions()) for moves in _moves(case, kept, belief)])


#: By name.
CRITERIA: Final[Mapping[str, Callable[[Case, npt.NDArray[np.bool_]], Floats]]] = {
    "nDCG of labels": _hard,
    "nDCG of beliefs": _belief,
    "condensed nDCG": _condensed,
    "pairwise": _pairwise,
    "log rank": _log_rank,
    "likelihood": _likelihood,
    "expected gain": _expected,
    "expected rise": _rise,
    "expected rise by slice": _by_slice,
    "expected rise, labels only": _rise_of_labels,
    "people": _people,
}
