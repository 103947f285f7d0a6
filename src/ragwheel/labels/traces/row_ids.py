"""The numbers of :mod:`ragwheel.store.numbers` for many rows at once."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ragwheel.store.numbers import span_number

__all__ = ["ChunkNumbers", "span_numbers"]

Numbers = npt.NDArray[np.int64]

_CHUNKS: Final = "SELECT chunk_id, number FROM _chunk ORDER BY chunk_id"


class ChunkNumbers:
    """The number of each chunk version of a store, by its row number there."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        pairs = np.array(connection.execute(_CHUNKS).fetchall(), np.int64).reshape(-1, 2)
        self._rows, self._numbers = pairs.T.copy()

    def of(self, rows: Iterable[int | None]) -> tuple[Numbers, npt.NDArray[np.bool_]]:
        """Return the numbers of some row numbers, and where there is none (a row that is lost)."""
        wanted = np.array([-1 if row is None else row for row in rows], np.int64)
        if not len(self._rows):
            return np.zeros(len(wanted), np.int64), np.ones(len(wanted), np.bool_)
        places = np.minimum(np.searchsorted(self._rows, wanted), len(self._rows) - 1)
        return self._numbers[places], self._rows[places] != wanted

    def by_row(self) -> dict[int, int]:
        """Return the numbers as a dictionary."""
        return dict(zip(self._rows.tolist(), self._numbers.tolist()))


def span_numbers(span_ids: Sequence[Any]) -> list[int]:
    """Return the numbers of some span ids."""
    return [span_number(span_id) for span_id in span_ids]
