"""The store's rows as Arrow tables: the one module of the offline half that knows the inner tables.

The public view ``impressions`` opens one JSON array per ranked chunk, which at a million retrievals is
hours of SQLite; here whole batches of arrays are decoded at once. That exposure comes out the same is
proved against the view in the tests.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain
from typing import Any, Final, TypeVar

import msgspec
import pyarrow as pa

from ragwheel.capture.handles import BadHandle, parse
from ragwheel.errors import StoreCorrupt
from ragwheel.labels.text import query_key

__all__ = ["StoreTables", "TextReader", "read_store"]

_BATCH: Final = 20_000
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
        "score_best": pa.float64(),
        "score_worst": pa.float64(),
        "items": pa.list_(pa.struct({"chunk_version": pa.int64(), "score": pa.float64()})),
    }
)
_TURN: Final = pa.schema(
    {
        "turn_id": pa.string(),
        "session_id": pa.string(),
        "user_id": pa.string(),
        "start_ns": pa.int64(),
        "answered": pa.bool_(),
        "prompted_given": pa.bool_(),
    }
)
_PLACEMENT: Final = pa.schema(
    {
        "turn_id": pa.string(),
        "shown": pa.bool_(),
        "retrieval_id": pa.string(),
        "rank": pa.int32(),
        "position": pa.int32(),
    }
)
_CITATION: Final = pa.schema({"turn_id": pa.string(), "retrieval_id": pa.string(), "rank": pa.int32()})
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
    }
)


class _Citation(msgspec.Struct):
    retrieval: str | None = None
    rank: int | None = None


@dataclass(frozen=True)
class StoreTables:
    """Everything the label stage reads, and what the manifest says about it.

    ``spans`` counts spans by kind; ``from_ns`` and ``until_ns`` are the first and last time stamps
    among them (None in an empty store). Ids are those of the public views; ``rid`` and ``sid`` are the
    store's row numbers, which break ties.
    """

    retrieval: pa.Table
    turn: pa.Table
    placement: pa.Table
    citation: pa.Table
    signal: pa.Table
    chunk: pa.Table
    judgment: pa.Table
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
    connection.execute("BEGIN")
    try:
        placements: list[pa.RecordBatch] = []
        citations: list[pa.RecordBatch] = []
        turns = _turns(connection, placements, citations)
        (schema_version,) = connection.execute("PRAGMA user_version").fetchone()
        spans = connection.execute(
            "SELECT kind, count(*), min(start_ns), max(start_ns) FROM spans GROUP BY kind"
        )
        found = sorted(spans.fetchall())
        return StoreTables(
            retrieval=pa.Table.from_batches(_retrievals(connection), _RETRIEVAL),
            turn=turns,
            placement=pa.Table.from_batches(placements, _PLACEMENT),
            citation=pa.Table.from_batches(citations, _CITATION),
            signal=_plain(connection, _SIGNALS, _SIGNAL, {"new_id": _named_by, "new_key": query_key}),
            chunk=_plain(connection, _CHUNKS, _CHUNK),
            judgment=_plain(connection, _JUDGMENTS, _JUDGMENT, {"query_key": query_key}),
            schema_version=schema_version,
            spans={kind: n for kind, n, _, _ in found},
            from_ns=min((first for *_, first, _ in found), default=None),
            until_ns=max((last for *_, last in found), default=None),
        )
    except msgspec.DecodeError as exc:
        raise StoreCorrupt(
            f"A row of the store is not readable: {exc}. Check the file with: ragwheel doctor"
        ) from exc
    finally:
        connection.execute("COMMIT")


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
           s.name, r.query, r.session_id, r.user_id, r.start_ns, r.n_returned, r.chunks, r.scores
      FROM _retrieval r JOIN _retriever v USING (retriever_id) JOIN _source s USING (source_id)
     ORDER BY r.id"""
_TURNS: Final = """
    SELECT lower(hex(span_id)), session_id, user_id, start_ns, answer IS NOT NULL, prompted IS NOT NULL,
           prompted, shown, citations FROM _turn ORDER BY id"""
_SIGNALS: Final = """
    SELECT id, lower(hex(span_id)), kind, target = 1, lower(hex(target_id)), chunk, rank, value,
           other, subject, at_ns, CASE kind WHEN 'reformulate' THEN other END, query
      FROM _signal ORDER BY id"""
_CHUNKS: Final = """
    SELECT c.chunk_id, s.name, c.app_id, c.text_id, length(t.body), lower(hex(t.hash)), c.first_seen_ns
      FROM _chunk c JOIN _source s USING (source_id) JOIN _text t USING (text_id) ORDER BY c.chunk_id"""
_JUDGMENTS: Final = """
    SELECT id, query, source, chunk, nullif(lower(hex(text_hash)), ''), grade, judge,
           judge_kind = 'human', at_ns, query
      FROM _judgment ORDER BY id"""


def _columns(connection: sqlite3.Connection, sql: str) -> Iterator[list[Sequence[Any]]]:
    cursor = connection.execute(sql)
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
    connection: sqlite3.Connection,
    sql: str,
    schema: pa.Schema,
    through: Mapping[str, Callable[[str | None], str | None]] | None = None,
) -> pa.Table:
    batches = []
    for columns in _columns(connection, sql):
        for name, function in (through or {}).items():
            place = schema.get_field_index(name)
            columns[place] = [function(value) for value in columns[place]]
        batches.append(_batch(columns, schema))
    return pa.Table.from_batches(batches, schema)


def _named_by(handle: str | None) -> str | None:
    """The span that an unsigned handle names; a signed one needs the app's keys: session order decides."""
    try:
        return parse(handle).span_id.hex() if handle else None
    except BadHandle:
        return None


def _retrievals(connection: sqlite3.Connection) -> Iterator[pa.RecordBatch]:
    for columns in _columns(connection, _RETRIEVALS):
        *plain, packed_chunks, packed_scores = columns
        chunks = _unpack(packed_chunks, list[list[int]])
        scores: list[list[float | None]] = [
            found if found and len(found) == len(ranked) else [None] * len(ranked)
            for found, ranked in zip(_unpack(packed_scores, list[list[float | None] | None]), chunks)
        ]
        ends = [_ends(found) for found in scores]
        items = pa.StructArray.from_arrays(
            [
                pa.array(chain.from_iterable(chunks), pa.int64()),
                pa.array(chain.from_iterable(scores), pa.float64()),
            ],
            names=["chunk_version", "score"],
        )
        offsets = pa.array(accumulate((len(ranked) for ranked in chunks), initial=0), pa.int32())
        keys = [query_key(text) for text in plain[6]]
        packed = pa.ListArray.from_arrays(offsets, items)
        yield _batch(
            [*plain, keys, [best for best, _ in ends], [worst for _, worst in ends], packed], _RETRIEVAL
        )


def _ends(scores: list[float | None]) -> tuple[float | None, float | None]:
    """The best and the worst score of a ranking, whichever way this retriever's scores go."""
    known = [score for score in scores if score is not None]
    if not known:
        return None, None
    low, high = min(known), max(known)
    return (high, low) if known[0] >= known[-1] else (low, high)


def _turns(
    connection: sqlite3.Connection, placements: list[pa.RecordBatch], citations: list[pa.RecordBatch]
) -> pa.Table:
    batches = []
    for *plain, prompted, shown, cited in _columns(connection, _TURNS):
        batches.append(_batch(plain, _TURN))
        for was_shown, packed in ((False, prompted), (True, shown)):
            found = [
                (turn_id, was_shown, retrieval_id, rank, position)
                for turn_id, places in zip(plain[0], _unpack(packed, list[list[tuple[str, int]] | None]))
                for position, (retrieval_id, rank) in enumerate(places or (), 1)
            ]
            placements.append(_batch(list(zip(*found)) or [()] * len(_PLACEMENT), _PLACEMENT))
        matched = [
            (turn_id, one.retrieval, one.rank)
            for turn_id, each in zip(plain[0], _unpack(cited, list[list[_Citation] | None]))
            for one in each or ()
            if one.retrieval is not None and one.rank is not None
        ]
        citations.append(_batch(list(zip(*matched)) or [()] * len(_CITATION), _CITATION))
    return pa.Table.from_batches(batches, _TURN)


def _unpack(column: Sequence[str | None], kind: type[T]) -> T:
    """Decode a column of JSON texts as one array."""
    return msgspec.json.decode(f"[{','.join(text or 'null' for text in column)}]", type=kind)
