"""Candidates of one crowd, cheap to train: linear adapters of many kinds, fusions with BM25, and noise."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from criterion.crowded import FOLDS, Labelled
from ragwheel.train.adapter.closed_form import ClosedForm
from ragwheel.train.adapter.examples import AdapterExamples, unit
from ragwheel.train.adapter.options import AdapterOptions
from ragwheel.train.adapter.ranking import per_query
from ragwheel.train.adapter.refine import refined
from ragwheel.train.held_out import Novelty

__all__ = ["DEFAULT", "DEPTH", "Tried", "try_all"]

Floats = npt.NDArray[np.float32]

DEPTH: Final = 100
#: The candidate that is taken where nothing speaks against it.
DEFAULT: Final = "contrastive, pull 1, 15 epochs"
_FORMS: Final = (
    *(ClosedForm("ridge", pull) for pull in (0.3, 1.0, 3.0, 10.0, 30.0)),
    *(ClosedForm("procrustes", share=share) for share in (0.25, 1.0)),
)
_LEAST: Final = 0.3  # belief in a chunk from which on it teaches
_OTHER_LEASTS: Final = (0.1, 0.5, 0.8)
_EPOCHS: Final = (2, 5, 10, 15, 25)
_FEW_EPOCHS: Final = (5, 15)
_OTHER_PULLS: Final = (10.0,)
_HALF: Final = 0.5
_SHARES: Final = (0.3, 0.5, 0.7, 0.85)
_NOISES: Final = (0.02, 0.06)


@dataclass(frozen=True)
class Tried:
    """What the candidates of one crowd rank for the train questions, and what they gain on the test's.

    Attributes:
        names: of the candidates; the first is ``base``.
        ranked: (candidates, n, 100) chunk numbers for the train questions, each question by a model that was
            not trained on its fold.
        likelihood: (candidates, n, ·) log-probability of each exposed chunk among all, as lists by question.
        truth: (candidates, test questions) nDCG@10 by people's labels, of models trained on all.
        novelty: of the train questions: whether their answers were positives of other folds.
        test_new: (test questions,) whether no relevant chunk was a positive at all.
    """

    names: list[str]
    ranked: npt.NDArray[np.int32]
    likelihood: list[npt.NDArray[np.float32]]
    truth: npt.NDArray[np.float64]
    novelty: Novelty
    test_new: npt.NDArray[np.bool_]


def try_all(labelled: Labelled, seed: int) -> Tried:
    """Train every candidate once on all questions and once without each fold; rank and measure."""
    setting, examples = labelled.setting, labelled.examples
    n = len(labelled.questions)
    parts = [np.flatnonzero(labelled.fold == fold) for fold in range(FOLDS)]
    fold_of_row = labelled.fold[examples.query]
    trainings = [_maps(labelled, np.ones(len(fold_of_row), bool), seed)]
    trainings += [_maps(labelled, fold_of_row != fold, seed) for fold in range(FOLDS)]
    test = list(setting.test)
    relevant = [setting.test[query] for query in test]
    asked, kept = setting.of(labelled.questions), setting.of(test)
    lexical = setting.words(labelled.questions), setting.words(test)
    names = ["base", *trainings[0], *(f"fusion, share {share:g} of base" for share in _SHARES)]
    ranked = np.zeros((len(names), n, DEPTH), np.int32)
    likelihood, truth = (
        [np.zeros((len(names), len(chunks)), np.float32) for chunks, _ in labelled.beliefs],
        [],
    )
    for place, name in enumerate(names):
        for fold in range(FOLDS):
            rows = parts[fold]
            scores = _scores(name, trainings[1 + fold], asked[rows], setting.documents, lexical[0][rows])
            ranked[place, rows] = _top(scores)
            log = scores / 0.05
            log = log - log.max(axis=1, keepdims=True)
            log -= np.log(np.exp(log).sum(axis=1, keepdims=True))
            for row, question in enumerate(rows):
                likelihood[question][place] = log[row, labelled.beliefs[question][0]]
        scores = _scores(name, trainings[0], kept, setting.documents, lexical[1])
        truth.append(per_query("ndcg@10", _top(scores)[:, :10], relevant))
    believed = labelled.taught(_LEAST)
    trained = np.zeros(len(believed), bool)
    for fold in range(FOLDS):
        own = fold_of_row[believed] == fold
        trained[own] = np.isin(examples.positive[believed][own], examples.positive[believed][~own])
    novelty = Novelty.of(n, examples.query[believed], trained)
    answers = examples.positive[believed]
    test_new = np.array([not np.isin(chunks, answers).any() for chunks in relevant])
    return Tried(names, ranked, likelihood, np.stack(truth), novelty, test_new)


def _maps(labelled: Labelled, kept: npt.NDArray[np.bool_], seed: int) -> Mapping[str, Floats]:
    """D by the name of each candidate, trained on the rows that are kept."""
    rows = {least: labelled.taught(least) for least in (_LEAST, *_OTHER_LEASTS)}
    parts = {least: labelled.examples.rows(some[kept[some]]) for least, some in rows.items()}
    examples = parts[_LEAST]
    maps = {str(form): form.of(examples) for form in _FORMS}
    for pull, epochs in ((1.0, _EPOCHS), *((pull, _FEW_EPOCHS) for pull in _OTHER_PULLS)):
        for epoch, change in _contrastive(examples, pull, epochs, seed):
            maps[f"contrastive, pull {pull:g}, {epoch} epochs"] = change
            if pull == 1.0:
                maps[f"half of contrastive, pull 1, {epoch} epochs"] = np.float32(_HALF) * change
    for least in _OTHER_LEASTS:
        for epoch, change in _contrastive(parts[least], 1.0, _FEW_EPOCHS, seed):
            maps[f"contrastive, pull 1, {epoch} epochs, beliefs from {least:g}"] = change
    dimension = examples.queries.shape[1]
    for size in _NOISES:
        noise = np.random.default_rng([seed, 5]).standard_normal((dimension, dimension), np.float32)
        maps[f"noise, {size:g}"] = size * noise
    return maps


def _contrastive(
    examples: AdapterExamples, pull: float, epochs: Sequence[int], seed: int
) -> Iterator[tuple[int, Floats]]:
    """The maps after so many epochs of refinement, beginning at a ridge regression."""
    options = AdapterOptions(pull=pull, epochs=max(epochs), seed=seed)
    start = ClosedForm("ridge", 3.0).of(examples)
    for epoch, change in enumerate(refined(examples, start, options), 1):
        if epoch in epochs:
            yield epoch, change


def _scores(
    name: str, maps: Mapping[str, Floats], queries: Floats, documents: Floats, words: Floats
) -> Floats:
    cosine = queries @ documents.T
    if name == "base":
        return cosine
    if name.startswith("fusion"):
        share = float(name.split()[2])
        return share * _scaled(cosine) + (1 - share) * _scaled(words)
    change = maps[name]
    return unit(queries + queries @ change) @ documents.T


def _scaled(scores: Floats) -> Floats:
    """From 0 to 1 over the first 100."""
    best = -np.partition(-scores, min(DEPTH, scores.shape[1]) - 1, axis=1)[:, :DEPTH]
    low, high = best.min(axis=1, keepdims=True), best.max(axis=1, keepdims=True)
    scaled: Floats = np.clip((scores - low) / np.maximum(high - low, 1e-9), 0, 1)
    return scaled


def _top(scores: Floats) -> npt.NDArray[np.int64]:
    k = min(DEPTH, scores.shape[1])
    near = np.sort(np.argpartition(-scores, k - 1, axis=1)[:, :k], axis=1)
    order = np.argsort(-np.take_along_axis(scores, near, axis=1), axis=1, kind="stable")
    found: npt.NDArray[np.int64] = np.take_along_axis(near, order, axis=1)
    return found
