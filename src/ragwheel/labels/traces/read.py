"""The store's rows as Arrow tables: the one module of the offline half that knows the inner tables.

The public view ``impressions`` opens one JSON array per ranked chunk, which at a million retrievals is
hours of SQLite; here whole batches of arrays are decoded at once. That exposure comes out the same is
proved against the view in the tests.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import accumulate, chain
from types import MappingProxyType
from typing import Any, Final, Protocol, TypeVar

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from ragwheel.errors import StoreCorrupt
from ragwheel.flags import exploration_of, flags_of
from ragwheel.handles import BadHandle, peek
from ragwheel.labels.traces.text import query_key

__all__ = [
    "CHUNK_WITH_TEXT",
    "SCHEMAS",
    "StoreTables",
    "TableSource",
    "TextReader",
    "count_citations",
    "one_state",
    "read_batches",
    "read_store",
    "totals",
]

_BATCH: Final = 20_000
_LAST: Final = 2**63 - 1
T = TypeVar("T")

_RETRIEVAL: Final = pa.schema(
    {
        "rid": pa.int64(),
        "retrieval_id": pa.string(),
        "turn_id": pa.string(),
        "nested": pa.bool_(),
        "reranks": pa.bool_(),
        "source": pa.string(),
        "query": pa.string(),
        "session_id": pa.string(),
        "user_id": pa.string(),
        "start_ns": pa.int64(),
        "n_returned": pa.int32(),
        "query_key": pa.string(),
        "version": pa.string(),
        "swap_probability": pa.float64(),
        "moves": pa.string(),
        "score_best": pa.float64(),
        "score_worst": pa.float64(),
        "items": pa.list_(pa.struct({"chunk_version": pa.int64(), "score": pa.float64()})),
    }
)
_PLACES: Final = pa.list_(pa.struct({"retrieval_id": pa.string(), "rank": pa.int32()}))
_TURN: Final = pa.schema(
    {
        "turn_id": pa.string(),
        "session_id": pa.string(),
        "user_id": pa.string(),
        "start_ns": pa.int64(),
        "answered": pa.bool_(),
        "answer_has_text": pa.bool_(),
        "prompted_given": pa.bool_(),
        "prompted": _PLACES,
        "shown": _PLACES,
        "citations": _PLACES,
    }
)
_SIGNAL: Final = pa.schema(
    {
        "sid": pa.int64(),
        "signal_id": pa.string(),
        "kind": pa.string(),
        "about_turn": pa.bool_(),
        "target_id": pa.string(),
        "chunk": pa.string(),
        "rank": pa.int32(),
        "value": pa.float64(),
        "other": pa.string(),
        "subject": pa.string(),
        "at_ns": pa.int64(),
        "new_id": pa.string(),
        "new_key": pa.string(),
        "bot": pa.bool_(),
    }
)
_CHUNK: Final = pa.schema(
    {
        "chunk_version": pa.int64(),
        "source": pa.string(),
        "chunk_id": pa.string(),
        "text_id": pa.int64(),
        "length": pa.int64(),
        "content_hash": pa.string(),
        "first_seen_ns": pa.int64(),
        "metadata": pa.string(),
    }
)
_JUDGMENT: Final = pa.schema(
    {
        "judgment_id": pa.int64(),
        "query": pa.string(),
        "source": pa.string(),
        "chunk_id": pa.string(),
        "content_hash": pa.string(),
        "grade": pa.float64(),
        "judge": pa.string(),
        "human": pa.bool_(),
        "at_ns": pa.int64(),
        "query_key": pa.string(),
        "evalset": pa.string(),
        "evalset_use": pa.string(),
    }
)
CHUNK_WITH_TEXT: Final = _CHUNK.append(pa.field("text", pa.string()))
#: The tables by name, with the column that says when.
SCHEMAS: Final[Mapping[str, tuple[pa.Schema, str]]] = MappingProxyType(
    {
        "retrieval": (_RETRIEVAL, "start_ns"),
        "turn": (_TURN, "start_ns"),
        "signal": (_SIGNAL, "at_ns"),
        "chunk": (_CHUNK, "first_seen_ns"),
        "judgment": (_JUDGMENT, "at_ns"),
    }
)


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
    among them (None in an empty store). Ids are those of the public views; ``rid`` and ``sid`` are the
    store's row numbers, which break ties. ``n_citations`` counts matched ones.
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
    connection: sqlite3.Connection, name: str, span: tuple[int, int] = (0, _LAST), *, texts: bool = False
) -> Iterator[pa.RecordBatch]:
    """Rows of a table of :data:`SCHEMAS` with these store's row numbers, first and last, in their order.

    With ``texts``, chunks have the columns of :data:`CHUNK_WITH_TEXT`.

    Raises:
        msgspec.DecodeError: a packed row is not what the schema says.
    """
    if name == "retrieval":
        return _retrievals(_columns(connection, _RETRIEVALS, span))
    if name == "turn":
        return _turns(_columns(connection, _TURNS, span))
    if name == "signal":
        derived: Mapping[str, Callable[[str | None], str | None]] = {
            "new_id": _named_by,
            "new_key": query_key,
        }
        return _plain(_columns(connection, _SIGNALS, span), _SIGNAL, derived)
    if name == "chunk" and texts:
        sql = _CHUNKS.replace("c.metadata", "c.metadata, t.body", 1)
        return _plain(_columns(connection, sql, span), CHUNK_WITH_TEXT)
    if name == "chunk":
        return _plain(_columns(connection, _CHUNKS, span), _CHUNK)
    return _plain(_columns(connection, _JUDGMENTS, span), _JUDGMENT, {"query_key": query_key})


class TextReader:
    """Texts of chunks by their ``text_id``, read when they are asked for."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def __call__(self, text_id: int) -> str:
        """The text; empty when the store has none."""
        row = self._connection.execute("SELECT body FROM _text WHERE text_id = ?", (text_id,)).fetchone()
        return str(row[0]) if row else ""


_RETRIEVALS: Final = """
    SELECT r.id, lower(hex(r.span_id)), nullif(lower(hex(r.turn_id)), ''), r.outer_id IS NOT NULL, r.kind = 1,
           s.name, r.query, r.session_id, r.user_id, r.start_ns, r.n_returned,
           v.name || ' ' || v.version, CASE WHEN instr(r.flags, 'explored: ') THEN r.flags END,
           r.chunks, r.scores
      FROM _retrieval r JOIN _retriever v USING (retriever_id) JOIN _source s USING (source_id)
     WHERE r.id BETWEEN ? AND ? ORDER BY r.id"""
_TURNS: Final = """
    SELECT lower(hex(span_id)), session_id, user_id, start_ns, answer IS NOT NULL,
           trim(coalesce(answer, ''), char(9, 10, 13, 32)) <> '', prompted IS NOT NULL, prompted, shown,
           citations FROM _turn WHERE id BETWEEN ? AND ? ORDER BY id"""
_SIGNALS: Final = """
    SELECT id, lower(hex(span_id)), kind, target = 1, lower(hex(target_id)), chunk, rank, value,
           other, subject, at_ns, CASE kind WHEN 'reformulate' THEN other END, query,
           instr(coalesce(flags, ''), '"bot"') > 0
      FROM _standing_signal WHERE id BETWEEN ? AND ? ORDER BY id"""
_CHUNKS: Final = """
    SELECT c.chunk_id, s.name, c.app_id, c.text_id, length(t.body), lower(hex(t.hash)), c.first_seen_ns,
           c.metadata
      FROM _chunk c JOIN _source s USING (source_id) JOIN _text t USING (text_id)
     WHERE c.chunk_id BETWEEN ? AND ? ORDER BY c.chunk_id"""
_JUDGMENTS: Final = """
    SELECT id, query, source, chunk, nullif(lower(hex(text_hash)), ''), grade, judge,
           judge_kind = 'human', at_ns, query, e.name, e.use
      FROM _judgment LEFT JOIN _evalset e USING (evalset_id) WHERE id BETWEEN ? AND ? ORDER BY id"""


def _columns(connection: sqlite3.Connection, sql: str, span: tuple[int, int]) -> Iterator[list[Any]]:
    cursor = connection.execute(sql, span)
    while rows := cursor.fetchmany(_BATCH):
        yield list(zip(*rows))


def _batch(columns: Sequence[Any], schema: pa.Schema) -> pa.RecordBatch:
    arrays = [
        column if isinstance(column, pa.Array) else pa.array(_flags(column, field.type), field.type)
        for column, field in zip(columns, schema)
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _flags(column: Sequence[Any], kind: pa.DataType) -> Sequence[Any]:
    return [bool(value) for value in column] if kind == pa.bool_() else column


def _plain(
    found: Iterable[list[Any]],
    schema: pa.Schema,
    through: Mapping[str, Callable[[str | None], str | None]] | None = None,
) -> Iterator[pa.RecordBatch]:
    for columns in found:
        for name, function in (through or {}).items():
            place = schema.get_field_index(name)
            columns[place] = [function(value) for value in columns[place]]
        yield _batch(columns, schema)


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


def _retrievals(found: Iterable[list[Any]]) -> Iterator[pa.RecordBatch]:
    for columns in found:
        *plain, versions, flags, packed_chunks, packed_scores = columns
        chunks = _unpack(packed_chunks, list[list[int | None]])
        scores: list[list[float | None]] = [
            found if found and len(found) == len(ranked) else [None] * len(ranked)
            for found, ranked in zip(_unpack(packed_scores, list[list[float | None] | None]), chunks)
        ]
        ends = [_ends(score) for score in scores]
        items = pa.StructArray.from_arrays(
            [
                pa.array(chain.from_iterable(chunks), pa.int64()),
                pa.array(chain.from_iterable(scores), pa.float64()),
            ],
            names=["chunk_version", "score"],
        )
        offsets = pa.array(accumulate((len(ranked) for ranked in chunks), initial=0), pa.int32())
        keys = [query_key(text) for text in plain[6]]
        explored = [exploration_of(flags_of(column)) or (None, None) for column in flags]
        packed = pa.ListArray.from_arrays(offsets, items)
        yield _batch(
            [*plain, keys, versions, *zip(*explored), *zip(*ends), packed],
            _RETRIEVAL,
        )


def _ends(scores: list[float | None]) -> tuple[float | None, float | None]:
    """The best and the worst score of a ranking, whichever way this retriever's scores go."""
    known = [score for score in scores if score is not None]
    if not known:
        return None, None
    low, high = min(known), max(known)
    return (high, low) if known[0] >= known[-1] else (low, high)


def _turns(found: Iterable[list[Any]]) -> Iterator[pa.RecordBatch]:
    for *plain, prompted, shown, cited in found:
        places = [_unpack(packed, list[list[tuple[str, int]] | None]) for packed in (prompted, shown)]
        matched = [
            [
                (one.retrieval, one.rank)
                for one in each or ()
                if one.retrieval is not None and one.rank is not None
            ]
            for each in _unpack(cited, list[list[_Citation] | None])
        ]
        yield _batch([*plain, *map(_places, places), _places(matched)], _TURN)


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
