"""Training rows that a person struck out on the review page: the next build leaves them out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import ibis
import pyarrow as pa

from ragwheel.labels.engines.engine import RelationalEngine
from ragwheel.labels.traces.struck import StruckRow

__all__ = ["Strikes"]

Chunk = tuple[str, str]


@dataclass(frozen=True)
class Strikes:
    """What was struck out.

    Attributes:
        chunks: (query group, source, chunk id) whose every row goes.
        rows: (query group, positive, negative) of single triplets.
    """

    chunks: frozenset[tuple[str, str, str]] = frozenset()
    rows: frozenset[tuple[str, Chunk, Chunk]] = frozenset()

    @classmethod
    def of(cls, struck: Iterable[StruckRow]) -> Strikes:
        """Return the strikes of all raters."""
        chunks, rows = set(), set()
        for row in struck:
            key = row.query_key
            if row.value == "positive":
                chunks.add((key, row.source, row.chunk))
            elif row.value == "negative":
                chunks.add((key, row.other_source, row.other))
            else:
                rows.add((key, (row.source, row.chunk), (row.other_source, row.other)))
        return cls(frozenset(chunks), frozenset(rows))

    def left(self, engine: RelationalEngine, graded: ibis.Table) -> ibis.Table:
        """Return the graded chunks without those that were struck out."""
        if not self.chunks:
            return graded
        columns = [list(column) for column in zip(*sorted(self.chunks))]
        names = ["query_key", "source", "chunk_id"]
        table = pa.table({name: pa.array(column, pa.string()) for name, column in zip(names, columns)})
        return graded.anti_join(engine.register("struck", table), names)
