"""Which recipe makes the best map: by the expected gain on questions that its maps were not trained on.

A small dev split of labels from traces hardly tells good maps from bad ones. So every question is held out
once (cross-fitting), and what counts is how much higher relevant chunks are expected to come
(:mod:`ragwheel.evaluate.criterion`): labels alone favour the base, which showed what they speak about.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from ragwheel.evaluate.criterion import CriterionOptions, Gain, Moves, gain_of, rise_of
from ragwheel.train.adapter import closed_form, ranking
from ragwheel.train.adapter.examples import AdapterExamples, unit
from ragwheel.train.adapter.options import MIN_DEV_QUERIES, MIN_QUERIES
from ragwheel.train.adapter.refine import refined
from ragwheel.train.held_out import DEPTH, HeldOutQuestions, joint_moves

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ragwheel.train.adapter.options import AdapterOptions
    from ragwheel.typing import Progress

    Floats = NDArray[np.float32]
    Ints = NDArray[np.int64]

__all__ = ["CrossFit", "MapRecipe"]

_FOLDS: Final = 4
_MANY: Final = 2_000  # questions; from here on two folds say enough


@dataclass(frozen=True, slots=True)
class MapRecipe:
    """How a map is made of examples: a closed form, then so many epochs of refinement."""

    form: closed_form.ClosedForm
    epochs: int = 0

    def __str__(self) -> str:
        return f"{self.form}" + (f", then contrastive for {self.epochs} epochs" if self.epochs else "")


@dataclass(frozen=True)
class _Part:
    """Questions that are held out, and the examples that a map for them is trained on.

    ``new``: (queries,) whether no relevant document of a question was a positive of the rows in ``taught``.
    """

    taught: AdapterExamples
    held: HeldOutQuestions
    new: NDArray[np.bool_]

    @classmethod
    def of(cls, taught: AdapterExamples, held: AdapterExamples, kept: Ints) -> _Part:
        new = np.ones(len(held.queries), bool)
        new[held.query[np.isin(held.positive, taught.positive)]] = False
        exposed = held.exposed
        shown = np.searchsorted(kept, exposed.document)
        questions = HeldOutQuestions(held.queries, held.documents[kept], exposed.query, shown, exposed.belief)
        return cls(taught, questions, new)

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
    about the same documents and loses on all others (docs/adapters.md has figures). So no recipe is taken
    that lowers the relevant chunks of held-out questions whose relevant documents it was not trained on,
    where there are ten of these.
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

    def moves(self, changes: Sequence[Floats], *, new: bool = False) -> Moves:
        """What one map per part does to the held-out questions.

        Args:
            changes: D of each part.
            new: only questions about documents that the part's rows were not about.
        """
        both = self.options.side == "both"
        return joint_moves(
            [part.held for part in self.parts],
            [part.ranked(change, both=both) for part, change in zip(self.parts, changes, strict=True)],
            [part.new if new else np.ones(len(part.new), bool) for part in self.parts],
        )

    def gain(self, changes: Sequence[Floats]) -> Gain:
        """The expected gain of one map per part."""
        return gain_of(self.moves(changes), CriterionOptions(seed=self.options.seed))

    def score(self, changes: Sequence[Floats]) -> float:
        """How much higher relevant chunks come; -1 where they sink that were not trained on."""
        options = CriterionOptions()
        enough = sum(part.new.sum() for part in self.parts) >= MIN_DEV_QUERIES
        if enough and rise_of(self.moves(changes, new=True), options) < 0:
            return -1.0
        return rise_of(self.moves(changes), options)

    def best(self, what: str, progress: Progress | None) -> tuple[MapRecipe, Floats, list[Floats]]:
        """The best recipe, its map of all training rows, and its map for each part.

        The identity where none is expected to gain.
        """
        whole = closed_form.IDENTITY.of(self.train)
        maps = [whole for _ in self.parts]
        recipe, score = MapRecipe(closed_form.IDENTITY), 0.0
        for form in closed_form.grid(self.options.method) if self.options.side == "query" else ():
            tried = [form.of(part.taught) for part in self.parts]
            if (found := self.score(tried)) > score:
                recipe, score, whole, maps = MapRecipe(form), found, tried[0], tried
        if self.options.method != "contrastive":
            return recipe, whole, maps
        form = recipe.form
        for epoch, tried in enumerate(self._refined(maps), 1):
            if progress is not None:
                progress(what, epoch, self.options.epochs)
            if (found := self.score(tried)) > score:
                recipe, score, whole, maps = MapRecipe(form, epoch), found, tried[0], tried
            if epoch - recipe.epochs >= self.options.patience:
                break
        return recipe, whole, maps

    def _refined(self, begin: Sequence[Floats]) -> Iterator[list[Floats]]:
        """The maps of all parts after each epoch."""
        steps = (
            refined(part.taught, start, self.options) for part, start in zip(self.parts, begin, strict=True)
        )
        yield from map(list, zip(*steps))
