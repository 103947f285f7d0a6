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
    "Novelty",
    "SlicedGain",
    "joint_moves",
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
        return self.ranks(self.base)

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

    def ranks(self, ranked: Ints) -> Ints:
        """(chunks,) ranks of the exposed chunks, from 1, in rankings (n, k); 101 where they are deeper."""
        hits = ranked[self.query] == self.document[:, None]
        return np.where(hits.any(axis=1), hits.argmax(axis=1) + 1, DEPTH + 1)

    def drift(self, ranked: Ints) -> Ints:
        """(n, 100) where rankings (n, k) have the document at each rank of the base model."""
        ranks = np.full((len(self), len(self.documents)), DEPTH + 1, dtype=np.int16)
        np.put_along_axis(ranks, ranked, np.arange(1, ranked.shape[1] + 1, dtype=np.int16)[None], axis=1)
        drift = np.full((len(self), DEPTH), DEPTH + 1)
        drift[:, : self.base.shape[1]] = np.take_along_axis(ranks, self.base, axis=1)
        return drift


def joint_moves(parts: Sequence[HeldOutQuestions], rankings: Sequence[Ints], kept: Sequence[Flags]) -> Moves:
    """What rankings do to the exposed chunks of several sets of held-out questions.

    Questions with the same answer are one cluster: what is won for one of them is mostly won for all.

    Args:
        parts: the sets of questions; all of them number the same documents.
        rankings: (n, k) of each, by a model that was not trained on its questions.
        kept: (n,) of each: the questions that count.
    """
    columns: dict[str, list[NDArray[np.generic]]] = {}
    exposed, drift, answers, start = [], [], [], 0
    for part, ranked, counts in zip(parts, rankings, kept, strict=True):
        number = np.cumsum(counts) - 1 + start
        rows = counts[part.query]
        for name, values in (
            ("query", number[part.query]), ("belief", part.belief),
            ("before", part.before), ("after", part.ranks(ranked)),
        ):  # fmt: skip
            columns.setdefault(name, []).append(values[rows])
        exposed.append(part.exposed[counts])
        drift.append(part.drift(ranked)[counts])
        answers.append(part.answer[counts])
        start += int(counts.sum())
    query, belief, before, after = (np.concatenate(values) for values in columns.values())
    share = np.concatenate(exposed).mean(axis=0) if start else np.zeros(DEPTH)
    answer = np.concatenate(answers)
    alone = answer < 0
    answer[alone] = -1 - np.arange(alone.sum())
    cluster = np.unique(answer, return_inverse=True)[1]
    return Moves(query, belief, before, after, share, np.concatenate(drift), cluster)
