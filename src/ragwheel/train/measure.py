"""What a training goes by on ``dev``: nDCG@10 of its labels, or the gain that beliefs let expect."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

import numpy as np

from ragwheel.evaluate.criterion import CriterionOptions, Moves, gain_of
from ragwheel.evaluate.dcg import discount, ideal_dcg
from ragwheel.train.adapter.ranking import top
from ragwheel.train.dev import compare
from ragwheel.train.held_out import DEPTH, JointQuestions, Novelty, SlicedGain, rise_by_slice, sliced
from ragwheel.train.options import DevFigures

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ragwheel.train.held_out import HeldOutQuestions

__all__ = ["GainMeasure", "LabelMeasure", "Measure"]


class Measure(Protocol):
    """Compares a model as it is now with what it was before the training."""

    def value(self) -> float:
        """What checkpoints are chosen by; higher is better."""

    def figures(self) -> DevFigures:
        """nDCG@10 before and now."""

    def expected(self) -> SlicedGain | None:
        """The expected gain by slice; None where only labels are known."""


class LabelMeasure:
    """nDCG@10 by the labels of ``dev``.

    Args:
        score: nDCG@10 of the model as it is now, one number for each question.
        seed: of the interval.
    """

    def __init__(self, score: Callable[[], NDArray[np.float64]], seed: int) -> None:
        self._score, self._seed = score, seed
        self._before = score()

    def value(self) -> float:
        """The mean over questions."""
        return float(self._score().mean())

    def figures(self) -> DevFigures:
        """Both means, and the interval of their difference."""
        return compare(self._before, self._score(), self._seed)

    def expected(self) -> None:
        """None: labels let nothing be expected of chunks that nobody was shown."""


class GainMeasure:
    """How much higher relevant chunks are expected to come (:mod:`ragwheel.evaluate.criterion`).

    Labels of ``dev`` are few, and they favour the model that showed what they speak about. Beliefs are there
    for every exposed chunk of every question.

    Args:
        held: the questions of ``dev``.
        novelty: whether their answers were trained on.
        queries: (n, d) their vectors by the model as it is now, of unit length.
        seed: of the interval.
    """

    def __init__(
        self,
        held: HeldOutQuestions,
        novelty: Novelty,
        queries: Callable[[], NDArray[np.float32]],
        seed: int,
    ) -> None:
        self._held, self._novelty, self._queries = held, novelty, queries
        self._questions = JointQuestions((held,))
        self._options = CriterionOptions(seed=seed)

    def value(self) -> float:
        """The expected rise; 0 for the base."""
        return rise_by_slice(self._moves(), self._novelty)

    def figures(self) -> DevFigures:
        """nDCG@10 of the base by beliefs, the same with the expected gain, and the interval of the gain."""
        moves = self._moves()(np.ones(len(self._held), bool))
        gain, base = gain_of(moves, self._options), _ndcg_of_base(moves)
        return DevFigures(gain.queries, base, base + gain.mean, gain.low, gain.high)

    def expected(self) -> SlicedGain:
        """In all, and by what the training was about."""
        return sliced(self._moves(), self._novelty, self._options)

    def _moves(self) -> Callable[[NDArray[np.bool_]], Moves]:
        ranked = top(self._queries(), self._held.documents, DEPTH)
        return self._questions.moves([ranked])


def _ndcg_of_base(moves: Moves) -> float:
    """Mean nDCG@10 of the base, each exposed chunk counting as far as it is believed."""
    n = moves.queries
    total = np.bincount(moves.query, moves.belief, n)
    dcg = np.bincount(moves.query, moves.belief * discount(moves.before), n)
    return float((dcg / ideal_dcg(np.maximum(total, 1.0))).mean())
