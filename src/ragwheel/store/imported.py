"""Writing traces that another tool recorded: each span once, what came later joined to what was there.

Retrievals go through the same code as those of the journal, so that an imported row cannot be told from a
captured one. Nothing is overwritten: a row that exists gets what it lacked (its turn, its session, the texts
of its chunks), and a repeated import changes nothing.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

import msgspec

from ragwheel.journal.records import RETRIEVAL, SIGNAL, TURN, RetrievalRecord, SignalRecord, TurnRecord
from ragwheel.store.connect import check_file, connect
from ragwheel.store.exclusive import exclusive
from ragwheel.store.judging import JudgmentWriter
from ragwheel.store.merge import Merger
from ragwheel.store.rows import Batch, Numbers, SegmentState, text_hash, to_json
from ragwheel.store.transactions import transaction

__all__ = ["NO_TEXT", "ImportedChunk", "StoredRanking", "TraceWriter", "WriteOutcome", "writing_traces"]

NO_TEXT: Final = "no_text"
"""Flag of a retrieval of which some chunk has an id and no text: an import with the texts completes it."""

WriteOutcome = Literal["new", "same", "joined"]
_encode: Final = msgspec.msgpack.Encoder().encode


class ImportedChunk(NamedTuple):
    """A chunk of a stored retrieval."""

    rank: int
    chunk_id: str
    content_hash: bytes
    metadata: str | None


class StoredRanking(NamedTuple):
    """A stored retrieval, as far as feedback on one of its documents and citations of them need it."""

    span_id: bytes
    query: str
    source: str
    chunks: list[ImportedChunk]
    reranked: bool = False
    inner: bool = False


class TraceWriter:
    """Writes into the transaction of :func:`writing_traces`."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.judgments: Final = JudgmentWriter(connection)
        self.unstorable = self._replaced = 0
        self._run = connection.execute
        self._many = connection.executemany
        self._batch = Batch(connection, Numbers(), SegmentState())
        self._versions: dict[tuple[str, str, bytes], int] = {}

    def retrieval(
        self,
        record: RetrievalRecord,
        ids: list[str],
        texts: list[str],
        *,
        turn_id: bytes,
        replace: bool = False,
    ) -> WriteOutcome:
        """Write a retrieval, or complete the one that is there.

        ``turn_id`` is the turn of its trace: a record without a turn joins it where it is stored already.
        ``replace`` is for a retrieval that was written from a part of its trace: if it is another one now, it
        is written anew.
        """
        row = self._run("SELECT flags FROM _retrieval WHERE span_id = ?", (record.span_id,)).fetchone()
        if (
            record.turn_id is None
            and self._run("SELECT 1 FROM _turn WHERE span_id = ?", (turn_id,)).fetchone()
        ):
            record.turn_id = turn_id
        if row is not None:
            flags = msgspec.json.decode(row[0]) if row[0] else []
            completed = NO_TEXT in flags and NO_TEXT not in record.flags
            if not completed and not (replace and self._differs(record)):
                return self._joined(record)
            self._run("DELETE FROM _retrieval WHERE span_id = ?", (record.span_id,))
            self._replaced += 1
        record.refs, record.new = self._numbered(record.source, ids, texts)
        self._add(RETRIEVAL, record)
        return "new" if row is None else "joined"

    def discard(self, span_ids: Iterable[bytes]) -> None:
        """Remove retrievals that turned out to repeat an outer one that came later."""
        for span_id in span_ids:
            self._replaced += self._run("DELETE FROM _retrieval WHERE span_id = ?", (span_id,)).rowcount

    def turn(self, record: TurnRecord, *, replace: bool = False) -> WriteOutcome:
        """Write a turn, or complete the one that is there; retrievals of its trace that have none join it.

        ``replace`` is for a turn that was written from a part of its trace: what differs now is overwritten.
        """
        columns: dict[str, Any] = {
            "query": record.query,
            "answer": record.answer,
            "session_id": record.session_id,
            "user_id": record.user_id,
            "prompted": to_json(record.prompted),
            "citations": to_json(record.citations),
            "app": record.app or None,
        }
        if replace:
            columns |= {"start_ns": record.start_ns, "duration_ns": record.duration_ns}
        row = self._run(
            f"SELECT {', '.join(columns)} FROM _turn WHERE span_id = ?", (record.span_id,)
        ).fetchone()
        outcome: WriteOutcome = "same"
        if row is None:
            self._add(TURN, record)
            outcome = "new"
        else:
            lacking = {
                name: value
                for (name, value), stored in zip(columns.items(), row)
                if value != stored and value is not None and (replace or stored in {None, "", "[]"})
            }
            stored_citations = row[list(columns).index("citations")]
            if _matched(columns["citations"]) > _matched(stored_citations):
                lacking["citations"] = columns["citations"]
            if lacking:
                changes = ", ".join(f"{name} = ?" for name in lacking)
                self._run(
                    f"UPDATE _turn SET {changes} WHERE span_id = ?", (*lacking.values(), record.span_id)
                )
                outcome = "joined"
        self._run(
            "UPDATE _retrieval SET turn_id = ? WHERE trace_id = ? AND turn_id IS NULL",
            (record.span_id, record.trace_id),
        )
        return outcome

    def aliases(self, turn_id: bytes, trace_id: bytes, span_ids: Iterable[bytes]) -> None:
        """Remember the turn of the other spans of its trace; signals that name one of them join it."""
        rows = [(span_id, turn_id, trace_id) for span_id in span_ids]
        self._many("INSERT OR IGNORE INTO _alias (span_id, turn_id, trace_id) VALUES (?, ?, ?)", rows)
        self._many(
            "UPDATE _signal SET target_id = ?2, trace_id = ?3 WHERE target_id = ?1 AND target = 1",
            rows,
        )

    def turn_of(self, span_id: bytes) -> tuple[bytes, bytes] | None:
        """Return (turn, trace) of a span that is no retrieval, where its trace was imported."""
        row = self._run("SELECT turn_id, trace_id FROM _alias WHERE span_id = ?", (span_id,)).fetchone()
        return None if row is None else (row[0], row[1])

    def ranking(self, span_id: bytes) -> StoredRanking | None:
        """Return a stored retrieval with its chunks."""
        return next(self._rankings("r.span_id = ?", span_id), None)

    def rankings_of_trace(self, trace_id: bytes, turn_id: bytes) -> list[StoredRanking]:
        """Return the retrievals of a trace and of its turn, the outermost first."""
        rankings: list[StoredRanking] = []
        # a query for each index; only where there is a row, since asking writes what waits in the batch
        for condition, key in (
            ("r.trace_id = ? AND r.turn_id IS NULL", trace_id),
            ("r.turn_id = ?", turn_id),
        ):
            if self._run(f"SELECT 1 FROM _retrieval r WHERE {condition} LIMIT 1", (key,)).fetchone():
                rankings += self._rankings(condition, key)
        return rankings

    def answer_of(self, turn_id: bytes) -> str | None:
        """Return the answer of a stored turn; None where it has none, or there is no such turn."""
        row = self._run("SELECT answer FROM _turn WHERE span_id = ?", (turn_id,)).fetchone()
        return None if row is None else row[0]

    def prompted_of(self, turn_id: bytes) -> list[tuple[str, int]]:
        """Return the chunks of a stored turn's prompt in its order, as (retrieval id in hex, rank)."""
        row = self._run("SELECT prompted FROM _turn WHERE span_id = ?", (turn_id,)).fetchone()
        stored = msgspec.json.decode(row[0]) if row is not None and row[0] else []
        return [(str(span), int(rank)) for span, rank in stored]

    def rankings_of_turn(self, turn_id: bytes) -> list[StoredRanking]:
        """Return the retrievals of a turn, the outermost first."""
        return list(self._rankings("r.turn_id = ?", turn_id))

    def signal(self, record: SignalRecord) -> Literal["new", "same", "changed"]:
        """Write a signal by its event id; the tool's later word replaces its earlier one."""
        row = self._run(
            "SELECT kind, value, comment, chunk, rank, at_ns FROM _signal WHERE event_id = ?",
            (record.event_id,),
        ).fetchone()
        if row is None:
            self._add(SIGNAL, record)
            return "new"
        if (
            tuple(row[:5]) == (record.kind, record.value, record.comment, record.chunk, record.rank)
            or row[5] > record.at_ns
        ):
            return "same"
        self._run(
            "UPDATE _signal SET kind = ?, value = ?, comment = ?, chunk = ?, rank = ?, reason = ?, at_ns = ?"
            " WHERE event_id = ?",
            (
                record.kind,
                record.value,
                record.comment,
                record.chunk,
                record.rank,
                record.reason,
                record.at_ns,
                record.event_id,
            ),
        )
        return "changed"

    def waiting(self, tools: Iterable[str]) -> int:
        """Return how many signals of these tools are in the database without what they are about."""
        self._batch.flush()
        return sum(
            int(
                self._run(
                    "SELECT count(*) FROM unmatched_signals WHERE event_id >= ? AND event_id < ?",
                    (f"{tool}:", f"{tool};"),
                ).fetchone()[0]
            )
            for tool in tools
        )

    def finish(self) -> None:
        """Insert what was collected."""
        self._batch.flush()
        self.unstorable = self._batch.unreadable
        rows = self._batch.records - self._batch.repeated - self._replaced
        self._run(
            "INSERT INTO _account (name, n) VALUES ('imported', ?)"
            " ON CONFLICT (name) DO UPDATE SET n = n + excluded.n",
            (rows,),
        )

    def _add(self, kind: int, record: Any) -> None:
        self._batch.add(kind, memoryview(_encode(record)))

    def _numbered(
        self, source: str, ids: list[str], texts: list[str]
    ) -> tuple[list[int], list[tuple[int, str, str]]]:
        """A number for every chunk version, and the definitions of those that are new in this transaction."""
        refs, new = [], []
        for app_id, text in zip(ids, texts):
            key = (source, app_id, text_hash(text))
            number = self._versions.get(key)
            if number is None:
                number = self._versions[key] = len(self._versions)
                new.append((number, app_id, text))
            refs.append(number)
        return refs, new

    def _differs(self, record: RetrievalRecord) -> bool:
        """Whether the stored retrieval of this id is another one in what the rest of its trace decides."""
        stored = self._run(
            "SELECT r.query, r.outer_id, r.n_returned, r.in_ranks, r.flags, s.name, v.version, v.app"
            " FROM _retrieval r JOIN _retriever v USING (retriever_id) JOIN _source s USING (source_id)"
            " WHERE r.span_id = ?",
            (record.span_id,),
        ).fetchone()
        now = (
            record.query,
            record.outer_id,
            record.n_returned,
            to_json(record.in_ranks),
            to_json(record.flags or None),
            record.source,
            record.version,
            record.app,
        )
        return bool(tuple(stored) != now)

    def _joined(self, record: RetrievalRecord) -> WriteOutcome:
        changed = self._run(
            "UPDATE _retrieval SET turn_id = coalesce(turn_id, ?1), outer_id = coalesce(outer_id, ?2),"
            " session_id = coalesce(session_id, ?3), user_id = coalesce(user_id, ?4) WHERE span_id = ?5 AND ("
            " turn_id IS NULL AND ?1 IS NOT NULL OR outer_id IS NULL AND ?2 IS NOT NULL"
            " OR session_id IS NULL AND ?3 IS NOT NULL OR user_id IS NULL AND ?4 IS NOT NULL)",
            (record.turn_id, record.outer_id, record.session_id, record.user_id, record.span_id),
        ).rowcount
        return "joined" if changed else "same"

    def _rankings(self, condition: str, key: bytes) -> Iterator[StoredRanking]:
        self._batch.flush()
        heads = self._run(
            "SELECT r.id, r.span_id, r.query, s.name, r.kind, r.outer_id IS NOT NULL"
            " FROM _retrieval r JOIN _retriever v USING (retriever_id)"
            f" JOIN _source s USING (source_id) WHERE {condition}"
            " ORDER BY r.outer_id IS NOT NULL, r.start_ns, r.id",
            (key,),
        ).fetchall()
        for row_id, span_id, query, source, kind, inner in heads:
            chunks = self._run(
                "SELECT e.key + 1, c.app_id, t.hash, c.metadata FROM _retrieval r JOIN json_each(r.chunks) e"
                " JOIN _chunk c ON c.chunk_id = e.value JOIN _text t USING (text_id)"
                " WHERE r.id = ? ORDER BY e.key",
                (row_id,),
            )
            listed = [ImportedChunk(*chunk) for chunk in chunks]
            yield StoredRanking(span_id, query, source, listed, kind == 1, bool(inner))


def _matched(citations: str | None) -> int:
    """How many of some citations, as JSON, name a chunk."""
    stored = msgspec.json.decode(citations) if citations else []
    return sum(citation["retrieval"] is not None for citation in stored)


@contextlib.contextmanager
def writing_traces(db: str | Path, counts: Counter[str], *, timeout_s: float = 60.0) -> Iterator[TraceWriter]:
    """The right to write traces, in one transaction: when the block raises, nothing of it was written.

    The database is made where there is none. The journal is merged first.

    Args:
        db: the database.
        counts: gets the number of records that could not be stored.
        timeout_s: how long to wait for another process that writes.

    Raises:
        StoreError: the database cannot be written.
    """
    path = Path(db)
    check_file(path, may_be_new=True)
    with exclusive(path, timeout_s=timeout_s):
        Merger(path, busy_s=timeout_s).merge()
        with contextlib.closing(connect(path, write=True, timeout_s=timeout_s)) as connection:
            writer = TraceWriter(connection)
            with transaction(connection):
                yield writer
                writer.finish()
            if writer.unstorable:
                counts["records that could not be stored"] += writer.unstorable
