"""The store's rows as Arrow tables: the one module of the offline half that knows the inner tables.

The public view ``impressions`` opens one JSON array per ranked chunk, which at a million retrievals is
hours of SQLite; here whole batches of arrays are decoded at once. That exposure comes out the same is
proved against the view in the tests.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import accumulate, chain
from typing import Any, Final, Protocol, TypeVar

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from ragwheel.errors import StoreCorrupt
from ragwheel.flags import exploration_of, flags_of
from ragwheel.handles import BadHandle, peek
from ragwheel.labels.traces.columns import (
    CHUNK,
    CHUNK_WITH_TEXT,
    JUDGMENT,
    RETRIEVAL,
    SCHEMAS,
    SIGNAL,
    TURN,
)
from ragwheel.labels.traces.row_ids import ChunkNumbers, span_numbers
from ragwheel.labels.traces.text import query_key
from ragwheel.store.numbers import judgment_number, text_number, text_prefix

__all__ = [
    "BATCH_ROWS",
    "CHUNK_ORDER",
    "JUDGMENT_ORDER",
    "StoreTables",
    "TableSource",
    "TextReader",
    "count_citations",
    "one_state",
    "read_batches",
    "read_store",
    "totals",
]

BATCH_ROWS: Final = 20_000
_LAST: Final = 2**63 - 1
#: The orders of tables in memory, the same from one store or many.
CHUNK_ORDER: Final = (("first_seen_ns", "ascending"), ("chunk_version", "ascending"))
JUDGMENT_ORDER: Final = (("at_ns", "ascending"), ("judgment_id", "ascending"))
T = TypeVar("T")


class _Citation(msgspec.Struct):
    retrieval: str | None = None
    rank: int | None = None


class TableSource(Protocol):
    """A table that need not be in memory: an Arrow table is one, Parquet files are another."""

    @property
    def schema(self) -> pa.Schema:
        """The columns."""

    @property
    def num_rows(self) -> int:
        """How many rows."""


@dataclass(frozen=True)
class StoreTables:
    """Everything the label stage reads, and what the manifest says about it.

    ``spans`` counts spans by kind; ``from_ns`` and ``until_ns`` are the first and last time stamps
    among them (None in an empty store). Ids are those of the public views; ``rid``, ``sid``,
    ``chunk_version``, ``text_id`` and ``judgment_id`` are the numbers of :mod:`ragwheel.store.numbers`.
    ``n_citations`` counts matched ones. ``stores``: None where the rows are those of one database;
    else of how many stores the rows are, in which replays, revisions and retractions are not resolved yet
    (see :mod:`ragwheel.labels.traces.union`).
    """

    retrieval: TableSource
    turn: TableSource
    signal: TableSource
    chunk: pa.Table
    judgment: pa.Table
    n_citations: int
    schema_version: int
    spans: dict[str, int]
    from_ns: int | None
    until_ns: int | None
    stores: int | None = None


def read_store(connection: sqlite3.Connection) -> StoreTables:
    """Read one consistent state of the store.

    Args:
        connection: from :func:`ragwheel.store.open_store`.

    Raises:
        StoreCorrupt: a packed row is not what the schema says.
    """
    with one_state(connection):
        tables = {
            name: pa.Table.from_batches(read_batches(connection, name), schema)
            for name, (schema, _) in SCHEMAS.items()
        }
        tables["chunk"] = tables["chunk"].sort_by(list(CHUNK_ORDER))
        tables["judgment"] = tables["judgment"].sort_by(list(JUDGMENT_ORDER))
        return StoreTables(**tables, n_citations=count_citations(tables["turn"]), **totals(connection))


@contextmanager
def one_state(connection: sqlite3.Connection) -> Iterator[None]:
    """A read transaction: whatever is merged meanwhile is not seen."""
    connection.execute("BEGIN")
    try:
        yield
    except msgspec.DecodeError as exc:
        raise StoreCorrupt(
            f"A row of the store is not readable: {exc}. Check the file with: ragwheel doctor"
        ) from exc
    finally:
        connection.execute("COMMIT")


def totals(connection: sqlite3.Connection) -> dict[str, Any]:
    """``schema_version``, ``spans``, ``from_ns`` and ``until_ns`` of :class:`StoreTables`."""
    (schema_version,) = connection.execute("PRAGMA user_version").fetchone()
    spans = connection.execute("SELECT kind, count(*), min(start_ns), max(start_ns) FROM spans GROUP BY kind")
    found = sorted(spans.fetchall())
    return {
        "schema_version": schema_version,
        "spans": {kind: n for kind, n, _, _ in found},
        "from_ns": min((first for *_, first, _ in found), default=None),
        "until_ns": max((last for *_, last in found), default=None),
    }


def count_citations(turns: pa.Table | pa.RecordBatch) -> int:
    """How many matched citations the turns have."""
    return int(pc.sum(pc.list_value_length(turns["citations"])).as_py() or 0)


def read_batches(
    connection: sqlite3.Connection, name: str, span: tuple[int, int] = (0, _LAST), *, whole: bool = False
) -> Iterator[pa.RecordBatch]:
    """Rows of a table of :data:`SCHEMAS` with these store's row numbers, first and last, in their order.

    With ``whole``, chunks have the columns of :data:`CHUNK_WITH_TEXT`, and signals are also those that were
    taken back, and the retractions.

    Raises:
        msgspec.DecodeError: a packed row is not what the schema says.
    """
    if name == "retrieval":
        return _retrievals(_columns(connection, _RETRIEVALS, span), ChunkNumbers(connection))
    if name == "turn":
        return _turns(_columns(connection, _TURNS, span))
    if name == "signal":
        sql = _SIGNALS.replace("_standing_signal", "_signal") if whole else _SIGNALS
        return _signals(_columns(connection, sql, span))
    if name == "chunk" and whole:
        sql = _CHUNKS.replace("c.metadata", "c.metadata, t.body", 1)
        return _chunks(_columns(connection, sql, span), CHUNK_WITH_TEXT)
    if name == "chunk":
        return _chunks(_columns(connection, _CHUNKS, span), CHUNK)
    return _judgments(_columns(connection, _JUDGMENTS, span))


class TextReader:
    """Texts of chunks by their ``text_id``, read when they are asked for."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def __call__(self, text_id: int) -> str:
        """The text; empty when the store has none."""
        first = text_prefix(text_id)
        row = self._connection.execute(
            "SELECT body FROM _text WHERE hash BETWEEN ? AND ?", (first, first + b"\xff" * 8)
        ).fetchone()
        return str(row[0]) if row else ""


_RETRIEVALS: Final = """
    SELECT r.span_id, lower(hex(r.span_id)), nullif(lower(hex(r.turn_id)), ''), r.outer_id IS NOT NULL,
           r.kind = 1, s.name, r.query, r.session_id, r.user_id, r.start_ns, r.n_returned,
           v.name || ' ' || v.version, CASE WHEN instr(r.flags, 'explored: ') THEN r.flags END,
           r.chunks, r.scores
      FROM _retrieval r JOIN _retriever v USING (retriever_id) JOIN _source s USING (source_id)
     WHERE r.id BETWEEN ? AND ? ORDER BY r.id"""
_TURNS: Final = """
    SELECT lower(hex(span_id)), session_id, user_id, start_ns, answer IS NOT NULL,
           trim(coalesce(answer, ''), char(9, 10, 13, 32)) <> '', prompted IS NOT NULL, prompted, shown,
           citations FROM _turn WHERE id BETWEEN ? AND ? ORDER BY id"""
_SIGNALS: Final = """
    SELECT span_id, lower(hex(span_id)), kind, target = 1, lower(hex(target_id)), chunk, rank, value,
           other, subject, at_ns, CASE kind WHEN 'reformulate' THEN other END, query,
           instr(coalesce(flags, ''), '"bot"') > 0
      FROM _standing_signal WHERE id BETWEEN ? AND ? ORDER BY id"""
_CHUNKS: Final = """
    SELECT c.number, s.name, c.app_id, t.hash, length(t.body), lower(hex(t.hash)), c.first_seen_ns,
           c.metadata
      FROM _chunk c JOIN _source s USING (source_id) JOIN _text t USING (text_id)
     WHERE c.chunk_id BETWEEN ? AND ? ORDER BY c.chunk_id"""
_JUDGMENTS: Final = """
    SELECT NULL, query, source, chunk, nullif(lower(hex(text_hash)), ''), grade, judge,
           judge_kind = 'human', at_ns, query, e.name, e.use
      FROM _judgment LEFT JOIN _evalset e USING (evalset_id) WHERE id BETWEEN ? AND ? ORDER BY id"""


def _columns(connection: sqlite3.Connection, sql: str, span: tuple[int, int]) -> Iterator[list[Any]]:
    cursor = connection.execute(sql, span)
    while rows := cursor.fetchmany(BATCH_ROWS):
        yield list(zip(*rows))


def _batch(columns: Sequence[Any], schema: pa.Schema) -> pa.RecordBatch:
    arrays = [
        column if isinstance(column, pa.Array) else pa.array(_flags(column, field.type), field.type)
        for column, field in zip(columns, schema)
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _flags(column: Sequence[Any], kind: pa.DataType) -> Sequence[Any]:
    return [bool(value) for value in column] if kind == pa.bool_() else column


def _signals(batches: Iterable[list[Any]]) -> Iterator[pa.RecordBatch]:
    new_id, new_key = SIGNAL.get_field_index("new_id"), SIGNAL.get_field_index("new_key")
    for columns in batches:
        columns[0] = span_numbers(columns[0])
        columns[new_id] = [_named_by(handle) for handle in columns[new_id]]
        columns[new_key] = [query_key(text) for text in columns[new_key]]
        yield _batch(columns, SIGNAL)


def _chunks(batches: Iterable[list[Any]], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    for numbers, sources, ids, hashes, *others in batches:
        yield _batch([numbers, sources, ids, list(map(text_number, hashes)), *others], schema)


def _judgments(batches: Iterable[list[Any]]) -> Iterator[pa.RecordBatch]:
    key = JUDGMENT.get_field_index("query_key")
    for columns in batches:
        _, queries, sources, chunks, _, _, judges, *_ = columns
        columns[0] = list(map(judgment_number, queries, sources, chunks, judges))
        columns[key] = [query_key(text) for text in columns[key]]
        yield _batch(columns, JUDGMENT)


def _named_by(handle: str | None) -> str | None:
    """The span that a handle names, or its id, which is what ``ragwheel.signal`` stores of a handle.

    The handle is not verified: the span must be in the store to count.
    """
    if handle and re.fullmatch("[0-9a-f]{16}", handle):
        return handle
    try:
        return peek(handle).span_id.hex() if handle else None
    except BadHandle:
        return None


def _retrievals(batches: Iterable[list[Any]], numbers: ChunkNumbers) -> Iterator[pa.RecordBatch]:
    for columns in batches:
        span_ids, *plain, versions, flags, packed_chunks, packed_scores = columns
        chunks = _unpack(packed_chunks, list[list[int | None]])
        scores: list[list[float | None]] = [
            found if found and len(found) == len(ranked) else [None] * len(ranked)
            for found, ranked in zip(_unpack(packed_scores, list[list[float | None] | None]), chunks)
        ]
        ends = [_ends(found) for found in scores]
        items = pa.StructArray.from_arrays(
            [
                _numbered(numbers, chain.from_iterable(chunks)),
                pa.array(chain.from_iterable(scores), pa.float64()),
            ],
            names=["chunk_version", "score"],
        )
        offsets = pa.array(accumulate((len(ranked) for ranked in chunks), initial=0), pa.int32())
        keys = [query_key(text) for text in plain[5]]
        explored = [exploration_of(flags_of(column)) or (None, None) for column in flags]
        packed = pa.ListArray.from_arrays(offsets, items)
        yield _batch(
            [span_numbers(span_ids), *plain, keys, versions, *zip(*explored), *zip(*ends), packed],
            RETRIEVAL,
        )


def _numbered(numbers: ChunkNumbers, rows: Iterable[int | None]) -> pa.Array:
    values, missing = numbers.of(rows)
    return pa.array(values, pa.int64(), mask=missing)


def _ends(scores: list[float | None]) -> tuple[float | None, float | None]:
    """The best and the worst score of a ranking, whichever way this retriever's scores go."""
    known = [score for score in scores if score is not None]
    if not known:
        return None, None
    low, high = min(known), max(known)
    return (high, low) if known[0] >= known[-1] else (low, high)


def _turns(batches: Iterable[list[Any]]) -> Iterator[pa.RecordBatch]:
    for *plain, prompted, shown, cited in batches:
        places = [_unpack(packed, list[list[tuple[str, int]] | None]) for packed in (prompted, shown)]
        matched = [
            [
                (one.retrieval, one.rank)
                for one in each or ()
                if one.retrieval is not None and one.rank is not None
            ]
            for each in _unpack(cited, list[list[_Citation] | None])
        ]
        yield _batch([*plain, *map(_places, places), _places(matched)], TURN)


def _places(lists: Sequence[Sequence[tuple[str, int]] | None]) -> pa.Array:
    """Lists of (retrieval, rank); none where there is none."""
    every = list(chain.from_iterable(found or () for found in lists))
    ids, ranks = zip(*every) if every else ((), ())
    items = pa.StructArray.from_arrays(
        [pa.array(ids, pa.string()), pa.array(ranks, pa.int32())], names=["retrieval_id", "rank"]
    )
    offsets = pa.array(accumulate((len(found or ()) for found in lists), initial=0), pa.int32())
    return pa.ListArray.from_arrays(offsets, items, mask=pa.array([found is None for found in lists]))


def _unpack(column: Sequence[str | None], kind: type[T]) -> T:
    """Decode a column of JSON texts as one array."""
    return msgspec.json.decode(f"[{','.join(text or 'null' for text in column)}]", type=kind)
