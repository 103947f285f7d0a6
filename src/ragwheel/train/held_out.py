"""Questions that a model was not trained on: what it does to the chunks that were exposed for them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final

import numpy as np

from ragwheel.evaluate.criterion import CriterionOptions, Gain, Moves, gain_of, rise_of
from ragwheel.train.adapter.ranking import top

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]
    Ints = NDArray[np.int64]
    Flags = NDArray[np.bool_]

__all__ = [
    "DEPTH",
    "FEWEST",
    "HeldOutQuestions",
    "JointQuestions",
    "Novelty",
    "SlicedGain",
    "rise_by_slice",
    "sliced",
]

#: How many ranks the criterion looks at.
DEPTH: Final = 100
#: Questions of a slice; of fewer nothing is said.
FEWEST: Final = 10


@dataclass(frozen=True)
class SlicedGain:
    """The expected gain on held-out questions, in all and by what the training was about.

    A model learns most about the documents of its training questions. So the gain in all holds only where
    people go on to ask about the same documents as often as they did.

    Attributes:
        all: on all held-out questions.
        seen: on those whose answer also answers a training question; None: there are fewer than ten.
        unseen: on those whose answer does not; None: there are fewer than ten. Questions without a known
            answer are in neither.
    """

    all: Gain
    seen: Gain | None = None
    unseen: Gain | None = None

    @property
    def figures(self) -> dict[str, dict[str, float]]:
        """For a model card, by name."""
        parts = {"": self.all, ", answer trained on": self.seen, ", answer not trained on": self.unseen}
        return {f"expected gain nDCG@10{name}": asdict(part) for name, part in parts.items() if part}


@dataclass(frozen=True, eq=False)
class Novelty:
    """Which held-out questions have an answer that was trained on, and which have another.

    Attributes:
        seen, unseen: (questions,) whether each is of these; one without a known answer is of neither.
    """

    seen: Flags
    unseen: Flags

    @classmethod
    def of(cls, count: int, query: Ints, trained: Flags) -> Novelty:
        """Of ``count`` questions, from their answers.

        Args:
            count: how many questions there are.
            query: (answers,) the question of each.
            trained: (answers,) whether it is also the answer to a training question.
        """
        answered, seen = np.zeros(count, bool), np.zeros(count, bool)
        answered[query] = True
        seen[query[trained]] = True
        return cls(seen, answered & ~seen)


def sliced(moves: Callable[[Flags], Moves], novelty: Novelty, options: CriterionOptions) -> SlicedGain:
    """The expected gain in all and by slice.

    Args:
        moves: what happens to the questions that are marked.
        novelty: of the questions.
        options: of the estimate.
    """
    every = np.ones(len(novelty.seen), bool)
    seen, unseen = (
        gain_of(moves(part), options) if part.sum() >= FEWEST else None
        for part in (novelty.seen, novelty.unseen)
    )
    return SlicedGain(gain_of(moves(every), options), seen, unseen)


def rise_by_slice(moves: Callable[[Flags], Moves], novelty: Novelty) -> float:
    """What training chooses by: how much higher relevant chunks come.

    The mean of all questions and of those whose answer was not trained on: people will ask about both, in
    proportions that nobody knows. -1 where the relevant chunks of the latter sink.

    Args:
        moves: what happens to the questions that are marked.
        novelty: of the questions.
    """
    options = CriterionOptions()
    every = rise_of(moves(np.ones(len(novelty.seen), bool)), options)
    if novelty.unseen.sum() < FEWEST:
        return every
    unseen = rise_of(moves(novelty.unseen), options)  # relevant chunks of other questions say nothing here
    return -1.0 if unseen < 0 else (every + unseen) / 2


@dataclass(frozen=True, eq=False)
class HeldOutQuestions:
    """Held-out questions, the documents that are ranked for them, and the belief in what was exposed.

    Attributes:
        queries: (n, d) the base model's vectors, of unit length.
        documents: (m, d) those of all documents that are ranked.
        query, document: (chunks,) indices of each exposed chunk and of its question.
        belief: (chunks,) P(relevant), 0-1.
    """

    queries: Floats
    documents: Floats
    query: Ints
    document: Ints
    belief: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.queries)

    @cached_property
    def base(self) -> Ints:
        """(n, 100) what the base model ranks."""
        return top(self.queries, self.documents, DEPTH)

    @cached_property
    def before(self) -> Ints:
        """(chunks,) ranks by the base model."""
        return self.ranks(self.rank_table(self.base))

    @cached_property
    def exposed(self) -> Flags:
        """(n, 100) whether the document at each rank of the base model was exposed."""
        flags = np.zeros((len(self), DEPTH), bool)
        near = self.before <= DEPTH
        flags[self.query[near], self.before[near] - 1] = True
        return flags

    @cached_property
    def answer(self) -> Ints:
        """(n,) the document that is believed most; -1 where nothing was exposed."""
        answer = np.full(len(self), -1)
        order = np.argsort(self.belief, kind="stable")
        answer[self.query[order]] = self.document[order]  # the last of a question stays
        return answer

    def rank_table(self, ranked: Ints) -> NDArray[np.int16]:
        """(n, m) the rank of every document, from 1, in rankings (n, k); 101 where they are deeper."""
        table = np.full((len(self), len(self.documents)), DEPTH + 1, dtype=np.int16)
        np.put_along_axis(table, ranked, np.arange(1, ranked.shape[1] + 1, dtype=np.int16)[None], axis=1)
        return table

    def ranks(self, table: NDArray[np.int16]) -> Ints:
        """(chunks,) ranks of the exposed chunks."""
        return table[self.query, self.document].astype(np.int64)

    def drift(self, table: NDArray[np.int16]) -> NDArray[np.int16]:
        """(n, 100) the ranks of the documents that the base model has at each of its own."""
        drift = np.full((len(self), DEPTH), DEPTH + 1, dtype=np.int16)
        drift[:, : self.base.shape[1]] = np.take_along_axis(table, self.base, axis=1)
        return drift


@dataclass(frozen=True, eq=False)
class JointQuestions:
    """Several sets of held-out questions as one.

    Questions with the same answer are one cluster: what is won for one of them is mostly won for all.

    Attributes:
        parts: the sets of questions; all of them number the same documents.
    """

    parts: tuple[HeldOutQuestions, ...]

    @cached_property
    def query(self) -> Ints:
        """(chunks,) the question of each exposed chunk, numbered through all sets."""
        starts = np.cumsum([0, *(len(part) for part in self.parts)])
        return np.concatenate([part.query + start for part, start in zip(self.parts, starts)])

    @cached_property
    def belief(self) -> NDArray[np.float64]:
        """(chunks,) P(relevant) of each exposed chunk."""
        return np.concatenate([part.belief for part in self.parts])

    @cached_property
    def before(self) -> Ints:
        """(chunks,) ranks by the base model."""
        return np.concatenate([part.before for part in self.parts])

    @cached_property
    def exposed(self) -> Flags:
        """(n, 100) whether the document at each rank of the base model was exposed."""
        return np.concatenate([part.exposed for part in self.parts])

    @cached_property
    def cluster(self) -> Ints:
        """(n,) the number of each question's cluster."""
        answer = np.concatenate([part.answer for part in self.parts])
        alone = answer < 0
        answer[alone] = -1 - np.arange(alone.sum())
        cluster: Ints = np.unique(answer, return_inverse=True)[1]
        return cluster

    def moves(self, rankings: Sequence[Ints]) -> Callable[[Flags], Moves]:
        """What rankings do to the exposed chunks of the questions that are marked.

        Args:
            rankings: (n, k) of each set, by a model that was not trained on its questions.
        """
        tables = [part.rank_table(ranked) for part, ranked in zip(self.parts, rankings, strict=True)]
        after = np.concatenate([part.ranks(table) for part, table in zip(self.parts, tables)])
        drift = np.concatenate([part.drift(table) for part, table in zip(self.parts, tables)])

        def of(kept: Flags) -> Moves:
            number, rows = np.cumsum(kept) - 1, kept[self.query]
            share = self.exposed[kept].mean(axis=0) if kept.any() else np.zeros(DEPTH)
            cluster = np.unique(self.cluster[kept], return_inverse=True)[1]
            return Moves(
                number[self.query[rows]], self.belief[rows], self.before[rows], after[rows], share,
                drift[kept].astype(np.int64), cluster,
            )  # fmt: skip

        return of
