"""Records of the journal to rows of the store, a batch at a time.

A retrieval of forty chunks becomes one row. Per ranked chunk nothing happens here but two C-level
passes over its number and its metadata: the merger shares its process with an app, and every
microsecond it holds the interpreter is a microsecond that a caller may wait.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Collection, Sequence
from hashlib import blake2b
from typing import Any, Final

import msgspec

from ragwheel.guard import guard
from ragwheel.journal.records import (
    DROPS,
    OPEN,
    RETRIEVAL,
    REVISION,
    SIGNAL,
    TURN,
    Drops,
    RetrievalRecord,
    SignalRecord,
    TurnRecord,
)
from ragwheel.scores import lift_scores
from ragwheel.store.numbers import chunk_number

__all__ = ["Batch", "Numbers", "SegmentState", "text_hash"]

Row = tuple[Any, ...]

BAD_RECORD: Final = (
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    AttributeError,
    OverflowError,
    RecursionError,
    sqlite3.InterfaceError,
    sqlite3.ProgrammingError,
    sqlite3.IntegrityError,
    sqlite3.DataError,
)
"""What comes of a record that is not as it should be: msgspec's errors are ValueErrors, and SQLite's are
those about a value, not about the database."""

_decode_retrieval = msgspec.msgpack.Decoder(RetrievalRecord).decode
_decode_turn = msgspec.msgpack.Decoder(TurnRecord).decode
_decode_signal = msgspec.msgpack.Decoder(SignalRecord).decode
_decode_drops = msgspec.msgpack.Decoder(Drops).decode
_encode_json = msgspec.json.Encoder().encode


def text_hash(text: str) -> bytes:
    """The content hash of a chunk's text: BLAKE2b, 16 bytes, of its UTF-8 form."""
    return blake2b(text.encode(), digest_size=16).digest()


def to_json(value: Any) -> str | None:
    """Compact JSON, None for None; NaN and infinities become null."""
    return None if value is None else _encode_json(value).decode()


class SegmentState:
    """What the merger knows of a segment: the chunk version (row id) behind each number it defined so far.

    ``metadata`` has what each of those versions is stored with, against which every impression's
    metadata is compared. Both end with the segment, which bounds them.
    """

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Know nothing yet."""
        self.reached = 0
        self.chunks: dict[int, int] = {}
        self.metadata: dict[int | None, dict[str, Any] | None] = {}


class Numbers:
    """Row ids that the merger remembers from batch to batch: of sources, retrievers and segments' chunks."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Forget everything: after a rollback, or when the database is not the one they came from."""
        self.sources: dict[str, int] = {}
        self.retrievers: dict[tuple[str, str, str, str], int] = {}
        self._segments: dict[str, SegmentState] = {}

    def segment(self, name: str) -> SegmentState:
        """What is known of a segment, nothing at first."""
        return self._segments.setdefault(name, SegmentState())

    def keep(self, names: Collection[str]) -> None:
        """Forget the segments that are none of ``names``."""
        for name in self._segments.keys() - names:
            del self._segments[name]


class Batch:
    """Records of one segment to rows, in the caller's transaction; complete after :meth:`flush`.

    Retrievals are inserted together: one at a time, the app and the merger hand the interpreter to each
    other several times per record.

    Each record is counted once: ``records`` were taken in, of which ``repeated`` made no row because their
    span or event was there already; ``revisions`` changed the row of an earlier record; ``unreadable`` could
    not be taken in: one bad record never holds up the others.
    """

    def __init__(self, connection: sqlite3.Connection, numbers: Numbers, segment: SegmentState) -> None:
        self.records = self.repeated = self.revisions = self.unreadable = 0
        self._connection = connection
        self._numbers = numbers
        self._segment = segment
        self._retrievals: list[Row] = []

    def add(self, kind: int, payload: memoryview) -> None:
        """Take in one record."""
        run = self._connection.execute
        try:
            if kind == RETRIEVAL:
                self._retrievals.append(self._retrieval(_decode_retrieval(payload)))
                self.records += 1
            elif kind in {TURN, REVISION}:
                self._add_turn(kind, _decode_turn(payload))
            elif kind == SIGNAL:
                inserted = run(_INSERT_SIGNAL, _signal(_decode_signal(payload))).rowcount
                self.records += 1
                self.repeated += 1 - inserted
            elif kind == DROPS:
                self._connection.executemany(_ADD_DROP, _decode_drops(payload).reasons.items())
            elif kind != OPEN:
                raise ValueError(f"unknown kind of record: {kind}")
        except BAD_RECORD as exc:
            self._bad(exc)

    def _add_turn(self, kind: int, record: TurnRecord) -> None:
        """Insert or revise a turn. A revision whose first record never came makes the row itself."""
        run = self._connection.execute
        exists = run("SELECT 1 FROM _turn WHERE span_id = ?", (record.span_id,)).fetchone() is not None
        run(_INSERT_TURN, _turn(record))
        if kind == REVISION and exists:
            self.revisions += 1
        else:
            self.records += 1
            self.repeated += exists

    def flush(self) -> None:
        """Insert what :meth:`add` collected; one by one where one of them cannot be inserted."""
        rows, self._retrievals = self._retrievals, []
        before, unreadable = self._connection.total_changes, 0
        try:
            self._connection.executemany(_INSERT_RETRIEVAL, rows)
        except (
            BAD_RECORD
        ):  # which one it is shows below; those before it are there already, which is no conflict
            for row in rows:
                try:
                    self._connection.execute(_INSERT_RETRIEVAL, row)
                except BAD_RECORD as exc:
                    unreadable += 1
                    self._bad(exc)
        self.records -= unreadable
        self.repeated += len(rows) - unreadable - (self._connection.total_changes - before)

    def define(self, kind: int, payload: memoryview) -> None:
        """Only learn the chunk numbers that a record defines."""
        if kind != RETRIEVAL:
            return
        with contextlib.suppress(*BAD_RECORD):  # counted when it was merged
            record = _decode_retrieval(payload)
            if record.new:
                _move_scores(record)
                self._define(record)

    def _bad(self, exc: Exception) -> None:
        self.unreadable += 1
        guard.warn_once(
            f"merge.unreadable.{type(exc).__name__}",
            f"ragwheel could not take a record into the database: {type(exc).__name__}: {exc}. It is "
            f"counted, and the segment it stands in is kept with the ending .damaged.",
        )

    def _retrieval(self, record: RetrievalRecord) -> Row:
        _move_scores(record)
        source_id = self._source(record.source)
        if record.new:
            self._define(record)
        chunk_ids = list(map(self._segment.chunks.get, record.refs))
        if None in chunk_ids:  # the record that defined it is damaged
            record.flags = (*record.flags, "chunk_lost")
        return (
            record.span_id, record.trace_id, record.parent_id, record.turn_id, record.outer_id, record.kind,
            self._retriever(record, source_id), record.query, record.session_id, record.user_id,
            record.start_ns, record.duration_ns, record.top_k, record.capture_k, record.n_returned,
            to_json(chunk_ids), to_json(record.scores), self._extras(record.metadata, chunk_ids),
            to_json(record.in_ranks), record.error, to_json(record.flags or None),
        )  # fmt: skip

    def _extras(self, metadata: list[Any] | None, chunk_ids: list[int | None]) -> str | None:
        """{rank: {key: value, or null if gone}} where an impression's metadata differs from its version's."""
        if metadata is None:
            return None
        known = self._segment.metadata
        if metadata == list(map(known.get, chunk_ids)):
            return None
        extras: dict[str, Any] = {}
        for rank, (given, chunk_id) in enumerate(zip(metadata, chunk_ids), 1):
            stored = known.get(chunk_id)
            if given != stored and (given or stored):
                found, stored = _plain(given), stored or {}
                changed = {k: v for k, v in found.items() if k not in stored or stored[k] != v}
                changed.update((k, None) for k in stored if k not in found)
                if changed:
                    extras[str(rank)] = changed
        return to_json(extras or None)

    def _define(self, record: RetrievalRecord) -> None:
        metadata = dict(zip(record.refs, record.metadata)) if record.metadata is not None else {}
        for number, app_id, text in record.new:
            self._segment.chunks[number] = self._chunk(
                record.source, app_id, text, _plain(metadata.get(number)), record.start_ns
            )

    def _chunk(self, source: str, app_id: str, text: str, metadata: dict[str, Any], seen_ns: int) -> int:
        run = self._connection.execute
        digest = text_hash(text)
        row = run("SELECT text_id FROM _text WHERE hash = ?", (digest,)).fetchone()
        if row is None:
            row = (run("INSERT INTO _text (hash, body) VALUES (?, ?)", (digest, text)).lastrowid,)
        text_id = row[0]
        key = (self._source(source), app_id, text_id)
        row = run(
            "SELECT chunk_id, metadata, first_seen_ns FROM _chunk"
            " WHERE source_id = ? AND app_id = ? AND text_id = ?",
            key,
        ).fetchone()
        if row:
            chunk_id = int(row[0])
            if seen_ns < row[2]:  # segments of several processes are not merged in the order of time
                run("UPDATE _chunk SET first_seen_ns = ? WHERE chunk_id = ?", (seen_ns, chunk_id))
            self._segment.metadata[chunk_id] = json.loads(row[1]) if row[1] else None
            return chunk_id
        chunk_id = int(
            run(
                _INSERT_CHUNK,
                (*key, to_json(metadata or None), seen_ns, chunk_number(source, app_id, digest)),
            ).lastrowid
            or 0
        )
        self._segment.metadata[chunk_id] = metadata or None
        return chunk_id

    def _source(self, name: str) -> int:
        source = self._numbers.sources.get(name)
        if source is None:
            self._connection.execute("INSERT OR IGNORE INTO _source (name) VALUES (?)", (name,))
            source = self._one("SELECT source_id FROM _source WHERE name = ?", (name,))
            self._numbers.sources[name] = source
        return source

    def _retriever(self, record: RetrievalRecord, source_id: int) -> int:
        key = (record.source, record.name, record.version, record.app)
        retriever = self._numbers.retrievers.get(key)
        if retriever is None:
            values = (source_id, *key[1:])
            self._connection.execute(
                "INSERT OR IGNORE INTO _retriever (source_id, name, version, app) VALUES (?, ?, ?, ?)", values
            )
            retriever = self._one(
                "SELECT retriever_id FROM _retriever"
                " WHERE source_id = ? AND name = ? AND version = ? AND app = ?",
                values,
            )
            self._numbers.retrievers[key] = retriever
        return retriever

    def _one(self, sql: str, values: Sequence[Any]) -> int:
        return int(self._connection.execute(sql, values).fetchone()[0])


def _plain(metadata: Any) -> dict[str, Any]:
    """Metadata as JSON will have it: string keys, no bytes or dates; {} when there is none."""
    if not metadata:
        return {}
    try:
        plain = msgspec.to_builtins(metadata, str_keys=True)
    except (ValueError, TypeError):  # keys that JSON has no word for
        plain = str(metadata)
    return plain if type(plain) is dict else {"metadata": plain}


def _move_scores(record: RetrievalRecord) -> None:
    """A score that the retriever left in the metadata becomes the retrieval's."""
    if record.scores is not None or record.metadata is None:
        return
    lifted = lift_scores(record.metadata)
    if lifted is not None:
        key, record.scores = lifted
        for found in record.metadata:
            if type(found) is dict:
                found.pop(key, None)


def _turn(record: TurnRecord) -> tuple[Any, ...]:
    return (
        record.span_id, record.trace_id, record.parent_id, record.revision, record.app, record.query,
        record.answer, record.session_id, record.user_id, record.start_ns, record.duration_ns,
        to_json(record.prompted), to_json(record.shown), to_json(record.citations), record.error,
        to_json(record.flags or None), record.reasoning,
    )  # fmt: skip


def _signal(record: SignalRecord) -> tuple[Any, ...]:
    return (
        record.span_id, record.trace_id, record.event_id, record.kind, record.target, record.target_id,
        record.chunk, record.rank, record.value, record.query, record.other, record.subject,
        record.at_ns, record.received_ns, to_json(record.flags or None), record.comment, record.reason,
    )  # fmt: skip


_INSERT_CHUNK = (
    "INSERT INTO _chunk (source_id, app_id, text_id, metadata, first_seen_ns, number)"
    " VALUES (?, ?, ?, ?, ?, ?)"
)
_ADD_DROP = "INSERT INTO _drop VALUES (?, ?) ON CONFLICT (reason) DO UPDATE SET n = n + excluded.n"


def _insert(table: str, columns: str) -> str:
    marks = ", ".join("?" for _ in columns.split(","))
    return f"INSERT INTO {table} ({columns}) VALUES ({marks})"


_INSERT_RETRIEVAL = (
    _insert(
        "_retrieval",
        "span_id, trace_id, parent_id, turn_id, outer_id, kind, retriever_id, query, session_id, user_id, "
        "start_ns, duration_ns, top_k, capture_k, n_returned, chunks, scores, extras, in_ranks, error, flags",
    )
    + " ON CONFLICT DO NOTHING"
)
_TURN_COLUMNS = (
    "span_id, trace_id, parent_id, revision, app, query, answer, session_id, user_id, start_ns, duration_ns, "
    "prompted, shown, citations, error, flags, reasoning"
)


def _upsert_turn(columns: str) -> str:
    """A turn may be written more than once: the highest revision stays."""
    newer = ", ".join(f"{c} = excluded.{c}" for c in columns.split(", ")[3:])
    insert = _insert("_turn", columns)
    return f"{insert} ON CONFLICT (span_id) DO UPDATE SET {newer} WHERE excluded.revision > revision"


_INSERT_TURN = _upsert_turn(_TURN_COLUMNS)
_INSERT_SIGNAL = (
    _insert(
        "_signal",
        "span_id, trace_id, event_id, kind, target, target_id, chunk, rank, value, query, other, subject, "
        "at_ns, received_ns, flags, comment, reason",
    )
    + " ON CONFLICT DO NOTHING"
)
