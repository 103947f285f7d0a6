"""What the estimators of examination look at: impressions and clicks, counted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["Cells", "Floats", "Ints"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Cells:
    """Counts by (query group, item, rank), one row each; all arrays have the same length.

    An item is whatever is as relevant at one rank as at another: a chunk for a query; for the estimators that
    use interventions, the chunks of a pair of ranks.

    Attributes:
        query: number of the query group, from 0: the cluster of intervals.
        item: number of the item, from 0.
        rank: 1-based.
        impressions, clicks: counts, or sums of weights.
    """

    query: Ints
    item: Ints
    rank: Ints
    impressions: Floats
    clicks: Floats

    def __len__(self) -> int:
        return len(self.query)

    def where(self, keep: npt.NDArray[np.bool_]) -> Cells:
        """The rows that ``keep`` is true for."""
        query, item, rank = self.query[keep], self.item[keep], self.rank[keep]
        return Cells(query, item, rank, self.impressions[keep], self.clicks[keep])

    def table(self, ranks: int) -> tuple[Floats, Floats]:
        """(impressions, clicks), each of shape (items, ranks)."""
        items = int(self.item.max(initial=-1)) + 1
        place = self.item * ranks + self.rank - 1
        impressions: Floats = np.bincount(place, self.impressions, items * ranks).astype(np.float64)
        clicks: Floats = np.bincount(place, self.clicks, items * ranks).astype(np.float64)
        return impressions.reshape(items, ranks), clicks.reshape(items, ranks)
