"""Records of the journal to rows of the store, a batch at a time.

A retrieval of forty chunks becomes one row. Per ranked chunk nothing happens here but two C-level
passes over its number and its metadata: the merger shares its process with an app, and every
microsecond it holds the interpreter is a microsecond that a caller may wait.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from hashlib import blake2b
from typing import Any

import msgspec

from ragwheel.journal.records import DROPS, RETRIEVAL, SIGNAL, TURN, Drops, Retrieval, Signal, TurnRecord
from ragwheel.scores import lift_scores

__all__ = ["Batch", "Numbers", "text_hash"]

_decode_retrieval = msgspec.msgpack.Decoder(Retrieval).decode
_decode_turn = msgspec.msgpack.Decoder(TurnRecord).decode
_decode_signal = msgspec.msgpack.Decoder(Signal).decode
_decode_drops = msgspec.msgpack.Decoder(Drops).decode
_encode_json = msgspec.json.Encoder().encode


def text_hash(text: str) -> bytes:
    """The content hash of a chunk's text: BLAKE2b, 16 bytes, of its UTF-8 form."""
    return blake2b(text.encode(), digest_size=16).digest()


def to_json(value: Any) -> str | None:
    """Compact JSON, None for None; NaN and infinities become null."""
    return None if value is None else _encode_json(value).decode()


class Numbers:
    """What the merger remembers between batches: row ids of sources, retrievers, and segments' chunk numbers.

    ``chunks[segment][number]`` is a chunk version's row id and ``metadata[row id]`` what it is stored
    with, against which each impression's metadata is compared.
    """

    def __init__(self) -> None:
        self.sources: dict[str, int] = {}
        self.retrievers: dict[tuple[str, str, str, str], int] = {}
        self.chunks: dict[str, dict[int, int]] = {}
        self.metadata: dict[int, dict[str, Any] | None] = {}
        self._reached: dict[str, int] = {}

    def clear(self) -> None:
        """Forget everything (after a rollback)."""
        self.__init__()  # type: ignore[misc]

    def knows(self, segment: str, position: int) -> bool:
        """Whether the numbers defined before ``position`` are known."""
        return self._reached.get(segment, 0) == position

    def reached(self, segment: str, position: int) -> None:
        """The numbers defined before ``position`` are known now."""
        self._reached[segment] = position

    def forget(self, segment: str) -> None:
        """The segment is finished."""
        self.chunks.pop(segment, None)
        self._reached.pop(segment, None)
        if not self.chunks:
            self.metadata.clear()


class Batch:
    """Rows collected from some frames of one segment, written by :meth:`write` in the caller's transaction."""

    def __init__(self, connection: sqlite3.Connection, numbers: Numbers, segment: str) -> None:
        self.records = 0
        self._connection = connection
        self._numbers = numbers
        self._chunks = numbers.chunks.setdefault(segment, {})
        self._retrievals: list[tuple[Any, ...]] = []
        self._turns: list[tuple[Any, ...]] = []
        self._signals: list[tuple[Any, ...]] = []
        self._drops: list[tuple[str, int]] = []

    def add(self, kind: int, payload: memoryview) -> None:
        """Take in one record; kinds that this version does not know are left out."""
        if kind == RETRIEVAL:
            self._retrievals.append(self._retrieval(_decode_retrieval(payload)))
        elif kind == TURN:
            self._turns.append(_turn(_decode_turn(payload)))
        elif kind == SIGNAL:
            self._signals.append(_signal(_decode_signal(payload)))
        elif kind == DROPS:
            self._drops.extend(_decode_drops(payload).reasons.items())
            return
        else:
            return
        self.records += 1

    def define(self, kind: int, payload: memoryview) -> None:
        """Only learn the chunk numbers that a record defines."""
        if kind == RETRIEVAL:
            record = _decode_retrieval(payload)
            if record.new:
                _move_scores(record)
                self._define(record, self._source(record.source))

    def write(self) -> None:
        """Write the rows; a span id or event id that is already there is left alone."""
        run = self._connection.executemany
        if self._retrievals:
            run(_INSERT_RETRIEVAL, self._retrievals)
        if self._turns:
            run(_INSERT_TURN, self._turns)
        if self._signals:
            run(_INSERT_SIGNAL, self._signals)
        if self._drops:
            run("INSERT INTO _drop VALUES (?, ?) ON CONFLICT (reason) DO UPDATE SET n = n + excluded.n", self._drops)

    def _retrieval(self, record: Retrieval) -> tuple[Any, ...]:
        _move_scores(record)
        source_id = self._source(record.source)
        if record.new:
            self._define(record, source_id)
        rows = self._chunks
        chunk_ids = [rows[number] for number in record.refs]
        return (
            record.span_id, record.trace_id, record.parent_id, record.turn_id, record.outer_id, record.kind,
            self._retriever(record, source_id), record.query, record.session_id, record.user_id,
            record.start_ns, record.duration_ns, record.top_k, record.capture_k, record.n_returned,
            to_json(chunk_ids), to_json(record.scores), self._extras(record.metadata, chunk_ids),
            to_json(record.in_ranks), record.error, to_json(record.flags or None),
        )  # fmt: skip

    def _extras(self, metadata: list[Any] | None, chunk_ids: list[int]) -> str | None:
        """Where an impression's metadata differs from its chunk version's: {rank: {key: value, or null if gone}}."""
        if metadata is None:
            return None
        known = self._numbers.metadata
        extras: dict[str, Any] = {}
        for rank, (found, chunk_id) in enumerate(zip(metadata, chunk_ids), 1):
            stored = known.get(chunk_id)
            if found != stored and (found or stored):
                found = msgspec.to_builtins(found or {})
                stored = stored or {}
                changed = {k: v for k, v in found.items() if k not in stored or stored[k] != v}
                changed.update((k, None) for k in stored if k not in found)
                if changed:
                    extras[str(rank)] = changed
        return to_json(extras or None)

    def _define(self, record: Retrieval, source_id: int) -> None:
        metadata = {}
        if record.metadata is not None:
            metadata = dict(zip(record.refs, record.metadata))
        for number, app_id, text in record.new:
            found = metadata.get(number)
            stored = msgspec.to_builtins(found) if found else None
            self._chunks[number] = self._chunk(source_id, app_id, text, stored, record.start_ns)

    def _chunk(self, source_id: int, app_id: str, text: str, metadata: dict[str, Any] | None, seen_ns: int) -> int:
        run = self._connection.execute
        digest = text_hash(text)
        row = run("SELECT text_id FROM _text WHERE hash = ?", (digest,)).fetchone()
        text_id = row[0] if row else run("INSERT INTO _text (hash, body) VALUES (?, ?)", (digest, text)).lastrowid
        key = (source_id, app_id, text_id)
        row = run(
            "SELECT chunk_id, metadata FROM _chunk WHERE source_id = ? AND app_id = ? AND text_id = ?", key
        ).fetchone()
        if row:
            chunk_id = int(row[0])
            self._numbers.metadata[chunk_id] = json.loads(row[1]) if row[1] else None
            return chunk_id
        chunk_id = int(
            run(
                "INSERT INTO _chunk (source_id, app_id, text_id, metadata, first_seen_ns) VALUES (?, ?, ?, ?, ?)",
                (*key, to_json(metadata or None), seen_ns),
            ).lastrowid
            or 0
        )
        self._numbers.metadata[chunk_id] = metadata or None
        return chunk_id

    def _source(self, name: str) -> int:
        found = self._numbers.sources.get(name)
        if found is None:
            self._connection.execute("INSERT OR IGNORE INTO _source (name) VALUES (?)", (name,))
            found = self._one("SELECT source_id FROM _source WHERE name = ?", (name,))
            self._numbers.sources[name] = found
        return found

    def _retriever(self, record: Retrieval, source_id: int) -> int:
        key = (record.source, record.name, record.version, record.app)
        found = self._numbers.retrievers.get(key)
        if found is None:
            values = (source_id, *key[1:])
            self._connection.execute(
                "INSERT OR IGNORE INTO _retriever (source_id, name, version, app) VALUES (?, ?, ?, ?)", values
            )
            found = self._one(
                "SELECT retriever_id FROM _retriever WHERE source_id = ? AND name = ? AND version = ? AND app = ?",
                values,
            )
            self._numbers.retrievers[key] = found
        return found

    def _one(self, sql: str, values: Sequence[Any]) -> int:
        return int(self._connection.execute(sql, values).fetchone()[0])


def _move_scores(record: Retrieval) -> None:
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
        record.span_id, record.trace_id, record.parent_id, record.revision, record.app, record.query, record.answer,
        record.session_id, record.user_id, record.start_ns, record.duration_ns,
        to_json(record.prompted), to_json(record.shown), to_json(record.citations), record.error,
        to_json(record.flags or None),
    )  # fmt: skip


def _signal(record: Signal) -> tuple[Any, ...]:
    return (
        record.span_id, record.trace_id, record.event_id, record.kind, record.target, record.target_id,
        record.chunk, record.rank, record.value, record.query, record.other, record.subject,
        record.at_ns, record.received_ns, to_json(record.flags or None),
    )  # fmt: skip


def _insert(table: str, columns: str) -> str:
    marks = ", ".join("?" for _ in columns.split(","))
    return f"INSERT INTO {table} ({columns}) VALUES ({marks})"


_INSERT_RETRIEVAL = (
    _insert(
        "_retrieval",
        "span_id, trace_id, parent_id, turn_id, outer_id, kind, retriever_id, query, session_id, user_id, start_ns, "
        "duration_ns, top_k, capture_k, n_returned, chunks, scores, extras, in_ranks, error, flags",
    )
    + " ON CONFLICT DO NOTHING"
)
_TURN_COLUMNS = (
    "span_id, trace_id, parent_id, revision, app, query, answer, session_id, user_id, start_ns, duration_ns, "
    "prompted, shown, citations, error, flags"
)
_INSERT_TURN = (
    _insert("_turn", _TURN_COLUMNS)
    + " ON CONFLICT (span_id) DO UPDATE SET "
    + ", ".join(f"{c} = excluded.{c}" for c in _TURN_COLUMNS.split(", ")[3:])
    + " WHERE excluded.revision > revision"
)
_INSERT_SIGNAL = (
    _insert(
        "_signal",
        "span_id, trace_id, event_id, kind, target, target_id, chunk, rank, value, query, other, subject, "
        "at_ns, received_ns, flags",
    )
    + " ON CONFLICT DO NOTHING"
)
