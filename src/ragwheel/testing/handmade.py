"""A store written by hand, one question at a time: for tests of what is made of traces."""

from __future__ import annotations

import itertools
import json
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, NamedTuple

from ragwheel.store import connect
from ragwheel.store.migrations import migrate
from ragwheel.store.numbers import chunk_number
from ragwheel.store.rows import text_hash

__all__ = ["Asked", "TraceStore"]

_S: Final = 1_000_000_000


class Asked(NamedTuple):
    """Ids of a turn and its retrieval, as the views show them."""

    turn_id: str
    retrieval_id: str


class TraceStore:
    """A new database; a context manager. Every call is a minute after the one before.

    Chunks are named by their ids; a chunk's text is made up from its id, with no word in common with
    another's, unless :meth:`chunk` gave it one.
    """

    def __init__(self, path: str | Path, *, source: str = "kb", start_ns: int = 1_700_000_000 * _S) -> None:
        self.path = Path(path)
        self.now_ns = start_ns
        self._ids = itertools.count(1)
        self._texts: dict[str, str] = {}
        self._source = source
        self._connection = connect(self.path, write=True)
        migrate(self._connection)
        self._run("INSERT INTO _source VALUES (1, ?)", source)
        self._run("INSERT INTO _retriever VALUES (1, 1, ?, 'v1', '')", source)

    def chunk(self, chunk_id: str, text: str) -> int:
        """From now on the chunk has this text; returns the chunk version."""
        self._texts[chunk_id] = text
        self._version(chunk_id)
        return chunk_number(self._source, chunk_id, text_hash(text))

    def ask(
        self,
        query: str,
        ranked: Sequence[str],
        *,
        cited: Sequence[int] = (),
        answer: str | None = "An answer.",
        **given: Any,
    ) -> Asked:
        """One turn with one retrieval.

        ``cited``, and if given ``prompted`` and ``shown``, are ranks; ``reasoning`` is a text; the rest of
        ``given`` goes to :meth:`retrieve`.
        """
        turn_id = self._new_id()
        exposed = [given.pop(name, None) for name in ("prompted", "shown")]
        reasoning = given.pop("reasoning", None)
        retrieval_id = self.retrieve(query, ranked, turn_id=bytes.fromhex(turn_id), **given)
        citations = [
            {"marker": f"[{n}]", "retrieval": retrieval_id, "rank": n, "chunk": ranked[n - 1]} for n in cited
        ]
        places = [ranks if ranks is None else [[retrieval_id, n] for n in ranks] for ranks in exposed]
        self._insert(
            "_turn",
            span_id=bytes.fromhex(turn_id),
            trace_id=bytes(16),
            revision=1,
            query=query,
            answer=answer,
            reasoning=reasoning,
            session_id=given.get("session_id"),
            user_id=given.get("user_id"),
            start_ns=self.now_ns,
            duration_ns=0,
            prompted=_json(places[0]),
            shown=_json(places[1]),
            citations=_json(citations),
        )
        return Asked(turn_id, retrieval_id)

    def retrieve(
        self,
        query: str,
        ranked: Sequence[str],
        *,
        returned: int | None = None,
        scores: Sequence[float | None] | None = None,
        **columns: Any,
    ) -> str:
        """One retrieval, of which the app gets the first ``returned`` chunks (None: all).

        ``columns``: more columns of ``_retrieval`` by name.
        """
        self.now_ns += 60 * _S
        span_id = self._new_id()
        self._insert(
            "_retrieval",
            span_id=bytes.fromhex(span_id),
            trace_id=bytes(16),
            retriever_id=1,
            query=query,
            start_ns=self.now_ns,
            duration_ns=0,
            n_returned=len(ranked) if returned is None else returned,
            chunks=_json([self._version(chunk) for chunk in ranked]),
            scores=_json(scores),
            **columns,
        )
        return span_id

    def signal(
        self,
        about: Asked | str,
        kind: str,
        chunk: str | None = None,
        *,
        value: float | None = None,
        of_answer: bool = False,
        **columns: Any,
    ) -> str:
        """A signal about a retrieval, or its turn with ``of_answer``; more columns of ``_signal`` by name."""
        span_id, self.now_ns = self._new_id(), self.now_ns + 5 * _S
        target = about if isinstance(about, str) else about.turn_id if of_answer else about.retrieval_id
        self._insert(
            "_signal",
            span_id=bytes.fromhex(span_id),
            trace_id=bytes(16),
            kind=kind,
            target=int(of_answer),
            target_id=bytes.fromhex(target),
            chunk=chunk,
            value=value,
            at_ns=self.now_ns,
            received_ns=self.now_ns,
            **columns,
        )
        return span_id

    def judge(self, query: str, chunk: str, grade: float, *, judge: str = "ann", human: bool = True) -> None:
        """An explicit grade, of whichever version."""
        self._insert(
            "_judgment",
            query=query, source=self._source, chunk=chunk, grade=grade, judge=judge,
            judge_kind="human" if human else "llm", at_ns=self.now_ns,
        )  # fmt: skip

    def _version(self, chunk_id: str) -> int:
        text = self._texts.setdefault(chunk_id, " ".join(f"{chunk_id}word{n}" for n in range(12)))
        digest = text_hash(text)
        self._run("INSERT OR IGNORE INTO _text (hash, body) VALUES (?, ?)", digest, text)
        (text_id,) = self._run("SELECT text_id FROM _text WHERE hash = ?", digest).fetchone()
        self._run(
            "INSERT OR IGNORE INTO _chunk (source_id, app_id, text_id, first_seen_ns, number)"
            " VALUES (1, ?, ?, ?, ?)",
            chunk_id, text_id, self.now_ns, chunk_number(self._source, chunk_id, digest),
        )  # fmt: skip
        rows = self._run("SELECT chunk_id FROM _chunk WHERE app_id = ? AND text_id = ?", chunk_id, text_id)
        return int(rows.fetchone()[0])

    def _new_id(self) -> str:
        return f"{next(self._ids):016x}"

    def _insert(self, table: str, **columns: Any) -> None:
        marks = ", ".join("?" for _ in columns)
        self._run(f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})", *columns.values())

    def _run(self, sql: str, *values: Any) -> sqlite3.Cursor:
        return self._connection.execute(sql, values)

    def __enter__(self) -> TraceStore:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()


def _json(value: Any) -> str | None:
    return None if value is None else json.dumps(value, separators=(",", ":"))
