"""Which recipe makes the best map: by the expected gain on questions that its maps were not trained on.

A small dev split of labels from traces hardly tells good maps from bad ones. So every question is held out
once (cross-fitting), and what counts is how much higher relevant chunks are expected to come
(:mod:`ragwheel.evaluate.criterion`): labels alone favour the base, which showed what they speak about.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final

import numpy as np

from ragwheel.evaluate.criterion import CriterionOptions, Moves
from ragwheel.train.adapter import closed_form, ranking
from ragwheel.train.adapter.examples import AdapterExamples, unit
from ragwheel.train.adapter.options import MIN_QUERIES
from ragwheel.train.adapter.refine import refined
from ragwheel.train.held_out import (
    DEPTH,
    HeldOutQuestions,
    JointQuestions,
    Novelty,
    SlicedGain,
    rise_by_slice,
    sliced,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ragwheel.train.adapter.options import AdapterOptions
    from ragwheel.typing import Progress

    Floats = NDArray[np.float32]
    Ints = NDArray[np.int64]
    Flags = NDArray[np.bool_]

__all__ = ["CrossFit", "MapRecipe"]

_FOLDS: Final = 4
_SHARES: Final = (1.0, 0.5)
_MANY: Final = 2_000  # questions; from here on two folds say enough


@dataclass(frozen=True, slots=True)
class MapRecipe:
    """How a map is made of examples: a closed form, so many epochs of refinement, and a share of the result.

    A share below 1 draws the map towards the identity.
    """

    form: closed_form.ClosedForm
    epochs: int = 0
    share: float = 1.0

    def __str__(self) -> str:
        refinement = f", then contrastive for {self.epochs} epochs" if self.epochs else ""
        return f"{self.form}{refinement}" + (f", share {self.share:g} of it" if self.share < 1 else "")


@dataclass(frozen=True)
class _Part:
    """Questions that are held out, and the examples that a map for them is trained on.

    ``novelty``: whether the answers to the questions are positives of the rows in ``taught``.
    """

    taught: AdapterExamples
    held: HeldOutQuestions
    novelty: Novelty

    @classmethod
    def of(cls, taught: AdapterExamples, held: AdapterExamples, kept: Ints) -> _Part:
        novelty = Novelty.of(len(held.queries), held.query, np.isin(held.positive, taught.positive))
        exposed = held.exposed
        shown = np.searchsorted(kept, exposed.document)
        questions = HeldOutQuestions(held.queries, held.documents[kept], exposed.query, shown, exposed.belief)
        return cls(taught, questions, novelty)

    def ranked(self, change: Floats, *, both: bool) -> Ints:
        """(queries, 100) documents after ``q + qD``; ``both``: documents are moved, too."""
        queries, documents = self.held.queries, self.held.documents
        queries = unit(queries + queries @ change)
        if both:
            documents = unit(documents + documents @ change)
        return ranking.top(queries, documents, DEPTH)


@dataclass(frozen=True)
class CrossFit:
    """Tries recipes on held-out questions: those of dev, and each fold of train by a map of the other folds.

    A map can also learn by heart where the documents of its training questions lie, which wins on questions
    about the same documents and loses on all others (docs/adapters.md has figures). So held-out questions
    whose relevant documents it was not trained on count for themselves, where there are ten of these.
    """

    train: AdapterExamples
    parts: tuple[_Part, ...]
    options: AdapterOptions

    @classmethod
    def of(
        cls, train: AdapterExamples, dev: AdapterExamples, kept: Ints, options: AdapterOptions
    ) -> CrossFit:
        """Folds of the training questions, drawn by the seed; dev is held out as it is.

        Args:
            train, dev: numbered by the same documents.
            kept: numbers of the documents that are ranked, sorted; all exposed ones are among them.
            options: of the training.
        """
        n = len(train.queries)
        folds = 2 if n >= _MANY else _FOLDS
        fold = np.random.default_rng(options.seed).permutation(n) % folds
        parts = [_Part.of(train, dev, kept)]
        for number in range(folds if n >= 2 * MIN_QUERIES else 0):
            taught, held = (train.only(np.flatnonzero(mask)) for mask in (fold != number, fold == number))
            parts.append(_Part.of(taught, held, kept))
        return cls(train, tuple(parts), options)

    @property
    def queries(self) -> int:
        """How many questions are held out in all."""
        return sum(len(part.held) for part in self.parts)

    @cached_property
    def questions(self) -> JointQuestions:
        """The held-out questions of all parts."""
        return JointQuestions(tuple(part.held for part in self.parts))

    @cached_property
    def novelty(self) -> Novelty:
        """Of the questions of all parts."""
        parts = [part.novelty for part in self.parts]
        return Novelty(
            np.concatenate([part.seen for part in parts]), np.concatenate([part.unseen for part in parts])
        )

    def moves(self, changes: Sequence[Floats]) -> Callable[[Flags], Moves]:
        """What one map per part does to the held-out questions that are marked."""
        both = self.options.side == "both"
        return self.questions.moves(
            [part.ranked(change, both=both) for part, change in zip(self.parts, changes, strict=True)]
        )

    def gain(self, changes: Sequence[Floats]) -> SlicedGain:
        """The expected gain of one map per part."""
        return sliced(self.moves(changes), self.novelty, CriterionOptions(seed=self.options.seed))

    def score(self, changes: Sequence[Floats]) -> float:
        """How much higher relevant chunks come; -1 where they sink for questions about other documents."""
        return rise_by_slice(self.moves(changes), self.novelty)

    def best(self, what: str, progress: Progress | None) -> tuple[MapRecipe, Floats, list[Floats]]:
        """The best recipe, its map of all training rows, and its map for each part.

        The identity where none is expected to gain.
        """
        contest = _Contest(self)
        for form in closed_form.grid(self.options.method) if self.options.side == "query" else ():
            contest.enter(MapRecipe(form), [form.of(part.taught) for part in self.parts])
        if self.options.method == "contrastive":
            form, start = contest.recipe.form, contest.maps
            for epoch, maps in enumerate(self._refined(start), 1):
                if progress is not None:
                    progress(what, epoch, self.options.epochs)
                for share in _SHARES:
                    contest.enter(MapRecipe(form, epoch, share), [np.float32(share) * each for each in maps])
                if epoch - contest.recipe.epochs >= self.options.patience:
                    break
        return contest.recipe, contest.maps[0], contest.maps

    def _refined(self, begin: Sequence[Floats]) -> Iterator[list[Floats]]:
        """The maps of all parts after each epoch."""
        steps = (
            refined(part.taught, start, self.options) for part, start in zip(self.parts, begin, strict=True)
        )
        yield from map(list, zip(*steps))


class _Contest:
    """The best recipe so far, beginning with the identity, and its map for each part."""

    def __init__(self, crossed: CrossFit) -> None:
        self._crossed, self._score = crossed, 0.0
        self.recipe = MapRecipe(closed_form.IDENTITY)
        self.maps = [closed_form.IDENTITY.of(part.taught) for part in crossed.parts]

    def enter(self, recipe: MapRecipe, maps: list[Floats]) -> None:
        """Take a recipe where it is better than the best so far."""
        score = self._crossed.score(maps)
        if score > self._score:
            self.recipe, self.maps, self._score = recipe, maps, score
