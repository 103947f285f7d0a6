"""Questions that a model was not trained on: what it does to the chunks that were exposed for them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final

import numpy as np

from ragwheel.evaluate.criterion import Moves
from ragwheel.train.adapter.ranking import top

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]
    Ints = NDArray[np.int64]
    Flags = NDArray[np.bool_]

__all__ = ["DEPTH", "HeldOutQuestions", "joint_moves"]

#: How many ranks the criterion looks at.
DEPTH: Final = 100


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

    Args:
        parts: the sets of questions.
        rankings: (n, k) of each, by a model that was not trained on its questions.
        kept: (n,) of each: the questions that count.
    """
    columns: dict[str, list[NDArray[np.generic]]] = {}
    exposed, drift, start = [], [], 0
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
        start += int(counts.sum())
    query, belief, before, after = (np.concatenate(values) for values in columns.values())
    share = np.concatenate(exposed).mean(axis=0) if start else np.zeros(DEPTH)
    return Moves(query, belief, before, after, share, np.concatenate(drift), np.arange(start))
