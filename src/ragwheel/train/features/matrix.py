"""Training lists as one matrix: features, beliefs, and which rows belong together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from ragwheel.deploy.features import NAMES, Tables, features

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ragwheel.train.features.lists import RankedList

    Floats = NDArray[np.float64]

__all__ = ["Lesson", "ListMatrix", "fill_by_rank", "filled", "matrix_of"]

_DEPTH: Final = 40
_FIRST_FEW: Final = 3


@dataclass(frozen=True, eq=False)
class ListMatrix:
    """Rows of several lists, one after another.

    Attributes:
        rows: (candidates, features); NaN where something cannot be measured.
        belief: (candidates,) NaN where the chunk was never exposed.
        confidence: (candidates,) of the beliefs.
        starts: (lists + 1,) where each list begins.
        families: (lists,) numbers: lists of one family are never on both sides of a split.
        queries: (lists,) query keys.
        documents: (candidates,) names of the chunks.
    """

    rows: Floats
    belief: Floats
    confidence: Floats
    starts: NDArray[np.int64]
    families: NDArray[np.int64]
    queries: tuple[str, ...]
    documents: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.starts) - 1

    def take(self, columns: NDArray[np.int64]) -> ListMatrix:
        """The same with some of the features."""
        return replace(self, rows=self.rows[:, columns])

    def slices(self, lists: Sequence[int] | NDArray[np.int64] | None = None) -> list[slice]:
        """The rows of each list, or of some."""
        chosen = range(len(self)) if lists is None else lists
        return [slice(int(self.starts[entry]), int(self.starts[entry + 1])) for entry in chosen]


@dataclass(frozen=True, eq=False)
class Lesson:
    """What a model is fitted on.

    Attributes:
        matrix: without gaps.
        gains: (candidates,) what each is worth, 0-1.
        weights: (candidates,) how much each counts.
        lists: numbers of the lists to learn from.
        signs: (columns,) 1: more of it can only raise a chunk; -1: only lower it; 0: either.
    """

    matrix: ListMatrix
    gains: Floats
    weights: Floats
    lists: NDArray[np.int64]
    signs: Floats

    @property
    def slices(self) -> list[slice]:
        """The rows of each list to learn from."""
        return self.matrix.slices(self.lists)

    @property
    def lengths(self) -> list[int]:
        """How many rows of each list count."""
        return [int((self.weights[entry] > 0).sum()) for entry in self.slices]

    @property
    def rows(self) -> NDArray[np.int64]:
        """The numbers of the rows to learn from: those that count."""
        rows = np.concatenate([np.arange(entry.start, entry.stop) for entry in self.slices])
        counted: NDArray[np.int64] = rows[self.weights[rows] > 0]
        return counted


def matrix_of(
    lists: Sequence[RankedList], tables: Tables, families: Mapping[str, frozenset[int]]
) -> ListMatrix:
    """Measure every candidate of every list; a question's own family is left out of what is remembered."""
    names = {name: number for number, name in enumerate(dict.fromkeys(entry.family for entry in lists))}
    rows = [
        features(entry.query, entry.candidates, tables, families.get(entry.family, frozenset()))
        for entry in lists
    ]
    return ListMatrix(
        np.vstack(rows) if rows else np.empty((0, len(NAMES))),
        np.concatenate([entry.belief for entry in lists]) if lists else np.empty(0),
        np.concatenate([entry.confidence for entry in lists]) if lists else np.empty(0),
        np.concatenate([[0], np.cumsum([len(entry.candidates) for entry in lists])]).astype(np.int64),
        np.array([names[entry.family] for entry in lists], dtype=np.int64),
        tuple(entry.query_key for entry in lists),
        tuple(f"{chunk.source}\x1f{chunk.id}" for entry in lists for chunk in entry.candidates),
    )


def fill_by_rank(matrix: ListMatrix) -> Floats:
    """(40, features): what each feature comes to at each rank, for lists where it cannot be measured.

    Medians over the lists; the columns that were never measured are 0.
    """
    fill = np.zeros((_DEPTH, matrix.rows.shape[1]))
    ranks = np.concatenate(
        [np.arange(entry.stop - entry.start) for entry in matrix.slices()] or [np.empty(0, int)]
    )
    for rank in range(_DEPTH):
        rows = matrix.rows[ranks == rank]
        for column in range(rows.shape[1]):
            values = rows[:, column][~np.isnan(rows[:, column])] if len(rows) else np.empty(0)
            fill[rank, column] = (
                float(np.median(values)) if len(values) >= _FIRST_FEW else fill[max(rank - 1, 0), column]
            )
    return fill


def filled(rows: Floats, fill: Floats) -> Floats:
    """The rows of one list, in rank order, with gaps filled."""
    ranks = np.minimum(np.arange(len(rows)), len(fill) - 1)
    return np.where(np.isnan(rows), fill[ranks], rows)
