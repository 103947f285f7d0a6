"""Which model to take: every candidate is fitted on four fifths of the questions and measured on the rest."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

import numpy as np

from ragwheel.deploy.features import FEATURES, GROUPS
from ragwheel.evaluate.criterion import CriterionOptions, Gain, expected_gain
from ragwheel.train.beliefs import LEAST
from ragwheel.train.features.linear import fit_linear
from ragwheel.train.features.matrix import Lesson
from ragwheel.train.features.trees import fit_trees, trees_available
from ragwheel.train.held_out import FEWEST, Novelty, SlicedGain

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ragwheel.deploy.features.scoring import FeatureScorer
    from ragwheel.train.features.matrix import ListMatrix

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

__all__ = ["Chosen", "FeatureRecipe", "ablate", "by_slice", "choose", "gain_on", "recipes"]

_FOLDS: Final = 5
_PENALTIES: Final = (1e-1, 1e-2, 1e-3)  # the simplest model first
_ROUNDS: Final = (60, 150)


@dataclass(frozen=True)
class FeatureRecipe:
    """A kind of model with its settings.

    Attributes:
        name: for people.
        kind: ``linear`` or ``trees``.
        fit: from what is to be learned to a scorer.
    """

    name: str
    kind: str
    fit: Callable[[Lesson], FeatureScorer]


@dataclass(frozen=True)
class Chosen:
    """The recipe that was chosen, its cross-fitted gain by slice, and those of all by name."""

    recipe: FeatureRecipe
    slices: SlicedGain
    gains: Mapping[str, Gain]

    @property
    def gain(self) -> Gain:
        """On all questions."""
        return self.slices.all


def recipes(model: str, seed: int) -> list[FeatureRecipe]:
    """The recipes of ``linear``, ``trees``, or ``auto``: both, trees where LightGBM is installed."""
    chosen: list[FeatureRecipe] = []
    if model in ("auto", "linear"):
        chosen += [
            FeatureRecipe(f"linear, penalty {l2:g}", "linear", partial(fit_linear, l2=l2))
            for l2 in _PENALTIES
        ]
    if model == "trees" or (model == "auto" and trees_available()):
        chosen += [
            FeatureRecipe(
                f"LambdaMART, {rounds} trees", "trees", partial(fit_trees, rounds=rounds, seed=seed)
            )
            for rounds in _ROUNDS
        ]
    return chosen


def fitted(matrix: ListMatrix, recipe: FeatureRecipe, lists: Ints, columns: Ints) -> FeatureScorer:
    """Fit a recipe on some lists and columns of a matrix without gaps."""
    labelled = ~np.isnan(matrix.belief)
    gains = np.where(labelled, matrix.belief, 0.0)
    # A candidate without a belief was not shown, because it ranks low: to take it for irrelevant would
    # teach the retriever's own order.
    weights = np.where(labelled, 1.0, 0.0)
    signs = np.array([FEATURES[column].sign for column in columns], dtype=np.float64)
    return recipe.fit(Lesson(matrix.take(columns), gains, weights, lists, signs))


def cross_fitted(matrix: ListMatrix, recipe: FeatureRecipe, columns: Ints) -> Floats:
    """Scores (candidates,) of every list by models that were fitted without its family."""
    scores = np.zeros(len(matrix.rows))
    folds = matrix.families % _FOLDS
    for fold in range(_FOLDS):
        inside, outside = np.flatnonzero(folds == fold), np.flatnonzero(folds != fold)
        if not len(inside) or not len(outside):
            continue
        scorer = fitted(matrix, recipe, outside, columns)
        for rows in matrix.slices(inside):
            scores[rows] = scorer(matrix.rows[rows][:, columns])
    return scores


def gain_on(
    matrix: ListMatrix, scores: Floats, lists: Ints | None = None, *, over: Floats | None = None
) -> Gain:
    """The expected gain in nDCG@10 of ordering the lists by scores.

    Args:
        matrix: of all lists.
        scores: (candidates,) of all lists.
        lists: numbers of those that count; None: all.
        over: (candidates,) other scores, whose order is the one to beat; None: the retriever's order.
    """
    base, candidate, beliefs = {}, {}, {}
    counted = np.arange(len(matrix)) if lists is None else lists
    for number, rows in zip(counted, matrix.slices(counted)):
        query = matrix.queries[number]
        documents = matrix.documents[rows]
        labelled = ~np.isnan(matrix.belief[rows])
        beliefs[query] = {
            document: float(belief)
            for document, belief, told in zip(documents, matrix.belief[rows], labelled)
            if told
        }
        base[query] = documents if over is None else _ordered(documents, over[rows])
        candidate[query] = _ordered(documents, scores[rows])
    clusters = {query: str(family) for query, family in zip(matrix.queries, matrix.families)}
    deepest = max((rows.stop - rows.start for rows in matrix.slices()), default=1)
    # A re-ranker moves nothing that is not in the list, so nothing is expected of deeper ranks. Its features
    # know which chunks were exposed before: what the relevant ones among them gain says nothing about others.
    options = CriterionOptions(depth=deepest, answerable=0.0, unseen=0.0)
    return expected_gain(beliefs, base, candidate, clusters=clusters, options=options)


def _ordered(documents: tuple[str, ...], scores: Floats) -> tuple[str, ...]:
    return tuple(documents[row] for row in np.argsort(-scores, kind="stable"))


def by_slice(matrix: ListMatrix, scores: Floats) -> SlicedGain:
    """The expected gain of cross-fitted scores in all, and by whether the answer was trained on."""
    answers = np.flatnonzero(np.nan_to_num(matrix.belief) >= LEAST)
    lists = np.searchsorted(matrix.starts, answers, side="right") - 1
    folds = matrix.families % _FOLDS
    folds_of: dict[str, set[int]] = {}
    for row, number in zip(answers, lists):
        folds_of.setdefault(matrix.documents[row], set()).add(int(folds[number]))
    trained = np.array([len(folds_of[matrix.documents[row]]) > 1 for row in answers], dtype=bool)
    novelty = Novelty.of(len(matrix), lists, trained)
    seen, unseen = (
        gain_on(matrix, scores, np.flatnonzero(part)) if part.sum() >= FEWEST else None
        for part in (novelty.seen, novelty.unseen)
    )
    return SlicedGain(gain_on(matrix, scores), seen, unseen)


def choose(
    matrix: ListMatrix,
    candidates: Iterable[FeatureRecipe],
    columns: Ints,
    tell: Callable[[str, int, int], None],
) -> Chosen:
    """Choose by the cross-fitted gain; people will ask about known and about new answers.

    So the gain on all questions and that on questions whose answer was not trained on count the same. The
    best linear model is taken, unless trees are better by more than chance and no worse for new answers:
    they learn popular chunks by heart.
    """
    every = list(candidates)
    slices: dict[str, SlicedGain] = {}
    scores: dict[str, Floats] = {}
    for done, recipe in enumerate(every):
        tell("fit", done, len(every))
        scores[recipe.name] = cross_fitted(matrix, recipe, columns)
        slices[recipe.name] = by_slice(matrix, scores[recipe.name])
    tell("fit", len(every), len(every))
    kinds = dict.fromkeys(entry.kind for entry in every)
    chosen, *rivals = (
        max((entry for entry in every if entry.kind == kind), key=lambda entry: _worth(slices[entry.name]))
        for kind in kinds
    )
    for rival in rivals:
        margin = gain_on(matrix, scores[rival.name], over=scores[chosen.name])
        if margin.low > 0 and _worth(slices[rival.name]) > _worth(slices[chosen.name]):
            chosen = rival
    return Chosen(chosen, slices[chosen.name], {name: entry.all for name, entry in slices.items()})


def _worth(slices: SlicedGain) -> float:
    """What recipes are compared by: the mean of the gain on all questions and that for new answers."""
    return slices.all.mean if slices.unseen is None else (slices.all.mean + slices.unseen.mean) / 2


def ablate(
    matrix: ListMatrix, recipe: FeatureRecipe, columns: Ints, tell: Callable[[str, int, int], None]
) -> dict[str, Gain]:
    """The cross-fitted gain without each group of features that the lists have."""
    without: dict[str, Gain] = {}
    groups = [name for name in GROUPS if any(FEATURES[column].group == name for column in columns)]
    for done, group in enumerate(groups):
        tell("ablate", done, len(groups))
        kept = np.array([column for column in columns if FEATURES[column].group != group], dtype=np.int64)
        if len(kept):
            without[group] = gain_on(matrix, cross_fitted(matrix, recipe, kept))
    tell("ablate", len(groups), len(groups))
    return without
