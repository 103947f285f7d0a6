"""A database filled with the rows of exported partitions: a lake for everything that reads a store."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final

import msgspec

from ragwheel.store.connect import connect
from ragwheel.store.migrations import migrate
from ragwheel.store.rows import text_hash
from ragwheel.store.transactions import transaction

__all__ = ["StoreFiller"]

_RETRIEVAL: Final = """
    INSERT INTO _retrieval (span_id, trace_id, parent_id, turn_id, outer_id, kind, retriever_id, query,
    session_id,
        user_id, start_ns, duration_ns, top_k, capture_k, n_returned, chunks, scores, extras, in_ranks, error,
        flags)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"""
_TURN: Final = """
    INSERT INTO _turn (span_id, trace_id, parent_id, revision, app, query, answer, reasoning, session_id,
    user_id,
        start_ns, duration_ns, prompted, shown, citations, error, flags)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"""
_SIGNAL: Final = """
    INSERT OR IGNORE INTO _signal (span_id, trace_id, event_id, kind, target, target_id, chunk, rank, value,
    query,
        other, subject, at_ns, received_ns, flags, comment, reason)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"""
_JUDGMENT: Final = """
    INSERT OR REPLACE INTO _judgment (query, source, chunk, text_hash, grade, judge, judge_kind, note, at_ns,
        evalset_id, reason)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, (SELECT evalset_id FROM _evalset WHERE name = ?), ?)"""

Row = Mapping[str, Any]


class StoreFiller:
    """Fills a new database; a context manager, which commits at its end.

    Chunks have to come before the retrievals that name them. Rows are dictionaries with the columns of the
    partitions; retrievals come with their ``chunks``, the numbers of chunk versions, and their ``scores``.
    """

    def __init__(self, path: Path) -> None:
        self._connection = connect(path, write=True)
        migrate(self._connection)
        self._sources: dict[str, int] = {}
        self._retrievers: dict[tuple[Any, ...], int] = {}
        self._chunks: dict[int, int] = {}
        self._connection.execute("PRAGMA synchronous = OFF")  # a copy for reading: lost power, made again
        self._transaction = transaction(self._connection)

    def __enter__(self) -> StoreFiller:
        self._transaction.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.closing(self._connection):
            if kind is None:
                self._run(
                    "INSERT OR REPLACE INTO _account SELECT 'before', (SELECT count(*) FROM _retrieval)"
                    " + (SELECT count(*) FROM _turn) + (SELECT count(*) FROM _signal)"
                )
            self._transaction.__exit__(kind, exc, trace)

    def add_chunks(self, rows: Iterable[Row]) -> None:
        """Add chunk versions with their texts."""
        for row in rows:
            digest = text_hash(row["text"])
            stored = self._run("SELECT text_id FROM _text WHERE hash = ?", digest).fetchone()
            text_id = (
                stored[0]
                if stored
                else self._insert("INSERT INTO _text (hash, body) VALUES (?, ?)", digest, row["text"])
            )
            self._chunks[row["chunk_version"]] = self._insert(
                "INSERT INTO _chunk (source_id, app_id, text_id, metadata, first_seen_ns, number)"
                " VALUES (?, ?, ?, ?, ?, ?)",
                self._source(row["source"]), row["chunk_id"], text_id, row["metadata"], row["first_seen_ns"],
                row["chunk_version"],
            )  # fmt: skip

    def add_retrievals(self, rows: Iterable[Row]) -> None:
        """Add retrievals and re-rankings."""
        self._connection.executemany(_RETRIEVAL, map(self._retrieval, rows))

    def _retrieval(self, row: Row) -> tuple[Any, ...]:
        chunks = [self._chunks.get(number) for number in row["chunks"]]
        scores = row["scores"]
        return (
            _blob(row["retrieval_id"]), _blob(row["trace_id"]) or b"", _blob(row["parent_id"]),
            _blob(row["turn_id"]), _blob(row["outer_id"]), int(row["reranks"]), self._retriever(row),
            row["query"], row["session_id"], row["user_id"], row["start_ns"], row["duration_ns"] or 0,
            row["top_k"], row["capture_k"], row["n_returned"], _json(chunks),
            None if all(score is None for score in scores) else _json(scores),
            row["extras"], row["in_ranks"], row["error"], row["flags"],
        )  # fmt: skip

    def add_turns(self, rows: Iterable[Row]) -> None:
        """Add turns."""
        self._connection.executemany(_TURN, map(_turn, rows))

    def add_signals(self, rows: Iterable[Row]) -> None:
        """Add signals, retractions among them."""
        self._connection.executemany(_SIGNAL, map(_signal, rows))

    def add_judgments(self, rows: Sequence[Row]) -> None:
        """Add judgments, with the evaluation sets that they came with."""
        for row in rows:
            if row["evalset"] is not None:
                values = (row["evalset"], row["evalset_use"], row["at_ns"])
                self._run("INSERT OR IGNORE INTO _evalset (name, use, imported_ns) VALUES (?, ?, ?)", *values)
        self._connection.executemany(_JUDGMENT, map(_judgment, rows))

    def _source(self, name: str) -> int:
        if name not in self._sources:
            self._sources[name] = self._insert("INSERT INTO _source (name) VALUES (?)", name)
        return self._sources[name]

    def _retriever(self, row: Row) -> int:
        key = (
            self._source(row["source"]),
            row["retriever"] or "",
            row["retriever_version"] or "",
            row["app"] or "",
        )
        if key not in self._retrievers:
            sql = "INSERT INTO _retriever (source_id, name, version, app) VALUES (?, ?, ?, ?)"
            self._retrievers[key] = self._insert(sql, *key)
        return self._retrievers[key]

    def _run(self, sql: str, *values: Any) -> sqlite3.Cursor:
        return self._connection.execute(sql, values)

    def _insert(self, sql: str, *values: Any) -> int:
        return int(self._run(sql, *values).lastrowid or 0)


def _turn(row: Row) -> tuple[Any, ...]:
    answer = row["answer"] if row["answer"] is not None else "" if row["answered"] else None
    return (
        _blob(row["turn_id"]), _blob(row["trace_id"]) or b"", _blob(row["parent_id"]), row["revision"] or 0,
        row["app"] or "", row["query"], answer, row["reasoning"], row["session_id"], row["user_id"],
        row["start_ns"], row["duration_ns"] or 0, _places(row["prompted"]), _places(row["shown"]),
        row["citation_objects"], row["error"], row["flags"],
    )  # fmt: skip


def _signal(row: Row) -> tuple[Any, ...]:
    return (
        _blob(row["signal_id"]), _blob(row["trace_id"]) or b"", row["event_id"], row["kind"],
        int(row["about_turn"]), _blob(row["target_id"]), row["chunk"], row["rank"], row["value"],
        row["query"], row["other"], row["subject"], row["at_ns"], row["received_ns"] or row["at_ns"],
        row["flags"], row["comment"], row["reason"],
    )  # fmt: skip


def _judgment(row: Row) -> tuple[Any, ...]:
    kind = row["judge_kind"] or ("human" if row["human"] else "llm")
    return (
        row["query"], row["source"], row["chunk_id"], _blob(row["content_hash"]), row["grade"], row["judge"],
        kind, row["note"], row["at_ns"], row["evalset"], row["reason"],
    )  # fmt: skip


def _places(places: list[dict[str, Any]] | None) -> str | None:
    return None if places is None else _json([[place["retrieval_id"], place["rank"]] for place in places])


def _blob(text: str | None) -> bytes | None:
    return None if text is None else bytes.fromhex(text)


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()
