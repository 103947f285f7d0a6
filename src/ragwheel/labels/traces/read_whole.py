"""Rows of the store with all that it knows of them: the columns of :data:`WHOLE`, for partitions."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Final

import pyarrow as pa

from ragwheel.labels.traces.columns import SCHEMAS, WHOLE
from ragwheel.labels.traces.read import BATCH_ROWS, read_batches

__all__ = ["read_whole"]

#: The columns of WHOLE that are not in SCHEMAS, with the rows in the same order.
_REST: Final = {
    "retrieval": """
        SELECT lower(hex(r.trace_id)), nullif(lower(hex(r.parent_id)), ''),
               nullif(lower(hex(r.outer_id)), ''), v.name, v.version, v.app, r.duration_ns, r.top_k,
               r.capture_k, r.extras, r.in_ranks, r.error, r.flags
          FROM _retrieval r JOIN _retriever v USING (retriever_id) JOIN _source s USING (source_id)
         WHERE r.id BETWEEN ? AND ? ORDER BY r.id""",
    "turn": """
        SELECT lower(hex(trace_id)), nullif(lower(hex(parent_id)), ''), revision, app, query, answer,
               reasoning, duration_ns, citations, error, flags
          FROM _turn WHERE id BETWEEN ? AND ? ORDER BY id""",
    "signal": """
        SELECT lower(hex(trace_id)), event_id, query, received_ns, flags, comment, reason
          FROM _signal WHERE id BETWEEN ? AND ? ORDER BY id""",
    "judgment": """
        SELECT judge_kind, note, reason
          FROM _judgment LEFT JOIN _evalset e USING (evalset_id) WHERE id BETWEEN ? AND ? ORDER BY id""",
}


def read_whole(connection: sqlite3.Connection, name: str, span: tuple[int, int]) -> Iterator[pa.RecordBatch]:
    """Yield the rows of a table with these store's row numbers, first and last, in the columns of WHOLE."""
    batches = read_batches(connection, name, span, whole=True)
    if name not in _REST:
        yield from batches
        return
    schema = WHOLE[name]
    types = [field.type for field in schema][len(SCHEMAS[name][0]) :]
    cursor = connection.execute(_REST[name], span)
    for batch in batches:
        rows = cursor.fetchmany(BATCH_ROWS)
        rest = [pa.array(column, kind) for column, kind in zip(zip(*rows), types, strict=True)]
        yield pa.RecordBatch.from_arrays([*batch.columns, *rest], schema=schema)
