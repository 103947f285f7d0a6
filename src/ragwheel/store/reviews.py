"""What raters say on the review page: grades as judgments, everything else as rows of ``_review``."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, get_args

from ragwheel.store.connect import connect, explain
from ragwheel.store.judging import JudgmentRow, JudgmentWriter, writing_rows

__all__ = [
    "REVIEW_KINDS",
    "ChunkVersion",
    "ReviewKind",
    "ReviewRow",
    "ReviewWriter",
    "all_judgments",
    "chunk_versions",
    "judgments_of_chunk",
    "neighbours_of",
    "newest_versions",
    "questions_and_chunks",
    "rankings_by_version",
    "reading_rows",
    "recent_pairs",
    "review_rows",
    "writing_reviews",
]

ReviewKind = Literal["cannot_tell", "skip", "prefer", "strike", "guideline"]
REVIEW_KINDS: Final[tuple[ReviewKind, ...]] = get_args(ReviewKind)
_OF_CHUNKS: Final = ("cannot_tell", "skip")
_KEY: Final = (
    "kind = ? AND rater = ? AND query = ? AND source = ? AND chunk = ? AND other_source = ? AND other = ?"
)


@dataclass(frozen=True, slots=True)
class ReviewRow:
    """A row of the view ``reviews``; which columns a kind uses is said in ``docs/store.md``."""

    kind: ReviewKind
    rater: str
    at_ns: int
    query: str = ""
    source: str = ""
    chunk: str = ""
    other_source: str = ""
    other: str = ""
    value: str | None = None
    note: str | None = None

    @property
    def key(self) -> tuple[str, ...]:
        """What there is one row of."""
        return (self.kind, self.rater, self.query, self.source, self.chunk, self.other_source, self.other)


@dataclass(frozen=True, slots=True)
class ChunkVersion:
    """A chunk version for display: the beginning of its text, and how long the whole is."""

    chunk_version: int
    source: str
    chunk_id: str
    content_hash: bytes
    metadata: str | None
    length: int
    text: str


class ReviewWriter:
    """Writes in the transaction of :func:`writing_reviews`.

    A later word of the same rater on the same thing replaces the earlier one; an earlier one that arrives
    late changes nothing.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._run = connection.execute
        self._judgments = JudgmentWriter(connection)

    def grade(self, row: JudgmentRow) -> bool:
        """Write a grade in place of what the rater said of this chunk; False when that is newer."""
        at_ns = row.at_ns or self._judgments.now_ns
        if self._newest(row.judge, row.query, row.source, row.chunk_id) > at_ns:
            return False
        self._forget(row.judge, row.query, row.source, row.chunk_id, at_ns)
        self._judgments.write(row)
        return True

    def note(self, row: ReviewRow) -> bool:
        """Write a review row; False when a newer one is there. One about a chunk replaces its grade."""
        if row.kind in _OF_CHUNKS:
            if self._newest(row.rater, row.query, row.source, row.chunk) > row.at_ns:
                return False
            self._forget(row.rater, row.query, row.source, row.chunk, row.at_ns)
        cursor = self._run(
            "INSERT INTO _review (kind, rater, query, source, chunk, other_source, other, value, note, at_ns)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
            " ON CONFLICT DO UPDATE SET value = excluded.value, note = excluded.note, at_ns = excluded.at_ns"
            " WHERE excluded.at_ns >= at_ns",
            (*row.key, row.value, row.note, row.at_ns),
        )
        return cursor.rowcount > 0

    def remove(self, row: ReviewRow) -> bool:
        """Take a row back; False when there is none, or it is newer than ``at_ns``."""
        return (
            self._run(f"DELETE FROM _review WHERE {_KEY} AND at_ns <= ?", (*row.key, row.at_ns)).rowcount > 0
        )

    def undo(self, rater: str, query: str, source: str, chunk: str, at_ns: int) -> bool:
        """Take back whatever the rater said of a chunk up to then; False when there was nothing."""
        return self._forget(rater, query, source, chunk, at_ns)

    def _newest(self, rater: str, query: str, source: str, chunk: str) -> int:
        (at_ns,) = self._run(
            "SELECT max(at_ns) FROM (SELECT at_ns FROM _judgment"
            " WHERE query = ?1 AND source = ?2 AND chunk = ?3 AND judge = ?4"
            " UNION ALL SELECT at_ns FROM _review WHERE kind IN ('cannot_tell', 'skip')"
            " AND query = ?1 AND source = ?2 AND chunk = ?3 AND rater = ?4)",
            (query, source, chunk, rater),
        ).fetchone()
        return int(at_ns or 0)

    def _forget(self, rater: str, query: str, source: str, chunk: str, at_ns: int) -> bool:
        values = (query, source, chunk, rater, at_ns)
        where = "query = ? AND source = ? AND chunk = ?"
        gone = self._run(
            f"DELETE FROM _judgment WHERE {where} AND judge = ? AND at_ns <= ? AND evalset_id IS NULL", values
        ).rowcount
        gone += self._run(
            f"DELETE FROM _review WHERE {where} AND rater = ? AND at_ns <= ?"
            " AND kind IN ('cannot_tell', 'skip')",
            values,
        ).rowcount
        return gone > 0


@contextlib.contextmanager
def writing_reviews(db: str | Path, *, timeout_s: float = 5.0) -> Iterator[ReviewWriter]:
    """A writer in one transaction under the merge lock.

    Raises:
        StoreError: the database is missing or cannot be written; nothing was.
    """
    with writing_rows(db, timeout_s=timeout_s) as connection:
        yield ReviewWriter(connection)


@contextlib.contextmanager
def reading_rows(db: str | Path) -> Iterator[sqlite3.Connection]:
    """A connection that reads what is merged, with errors of ours; it does not merge the journal first."""
    path = Path(db)
    connection = connect(path, write=False)
    try:
        yield connection
    except sqlite3.Error as exc:
        raise explain(exc, path) from exc
    finally:
        connection.close()


def review_rows(
    connection: sqlite3.Connection, kind: ReviewKind, rater: str | None = None
) -> list[ReviewRow]:
    """Return the rows of a kind, the newest first; of one rater, or of all."""
    found = connection.execute(
        "SELECT kind, rater, at_ns, query, source, chunk, other_source, other, value, note FROM _review"
        " WHERE kind = ?1 AND (?2 IS NULL OR rater = ?2) ORDER BY at_ns DESC, id DESC",
        (kind, rater),
    )
    return [ReviewRow(*row) for row in found]


def recent_pairs(
    connection: sqlite3.Connection, rater: str, limit: int = -1
) -> list[tuple[str, str, str, str, float | None, str | None, str | None, int]]:
    """Return what a rater said of chunks, the newest first.

    Columns: query, source, chunk id, action (grade, cannot_tell, skip), grade, note, reason, time in ns.
    """
    return connection.execute(
        "SELECT query, source, chunk, 'grade', grade, note, reason, at_ns FROM _judgment WHERE judge = ?1"
        " UNION ALL SELECT query, source, chunk, kind, NULL, note, NULL, at_ns FROM _review"
        "  WHERE rater = ?1 AND kind IN ('cannot_tell', 'skip')"
        " ORDER BY at_ns DESC LIMIT ?2",
        (rater, limit),
    ).fetchall()


def judgments_of_chunk(
    connection: sqlite3.Connection, source: str, chunk: str
) -> list[tuple[str, str, str, float, str | None, str | None]]:
    """Return (query, judge, kind of judge, grade, note, reason) of every judgment of a chunk."""
    return connection.execute(
        "SELECT query, judge, judge_kind, grade, note, reason FROM _judgment WHERE source = ? AND chunk = ?"
        " ORDER BY judge, at_ns",
        (source, chunk),
    ).fetchall()


def chunk_versions(
    connection: sqlite3.Connection, numbers: Iterable[int], *, most: int = -1
) -> dict[int, ChunkVersion]:
    """Return chunk versions by their numbers, with at most ``most`` characters of text (-1: all)."""
    found = connection.execute(
        "SELECT c.number, s.name, c.app_id, t.hash, c.metadata, length(t.body),"
        " CASE WHEN ?2 < 0 THEN t.body ELSE substr(t.body, 1, ?2) END"
        " FROM json_each(?1) e JOIN _chunk c ON c.number = e.value JOIN _source s USING (source_id)"
        " JOIN _text t USING (text_id)",
        (json.dumps(list(numbers)), most),
    )
    return {row[0]: ChunkVersion(*row) for row in found}


def newest_versions(connection: sqlite3.Connection, source: str, ids: Iterable[str]) -> dict[str, int]:
    """Return the newest chunk version of each id of a source."""
    found = connection.execute(
        "SELECT c.app_id, c.number, max(c.chunk_id) FROM json_each(?1) e JOIN _chunk c ON c.app_id = e.value"
        " JOIN _source s USING (source_id) WHERE s.name = ?2 GROUP BY c.app_id",
        (json.dumps(list(ids)), source),
    )
    return {name: number for name, number, _ in found}


def neighbours_of(
    connection: sqlite3.Connection, source: str, ids: Iterable[str], *, most: int
) -> list[ChunkVersion]:
    """Return the newest versions of chunks of a source by id, in the order of ``ids``."""
    wanted = list(ids)
    numbers = newest_versions(connection, source, wanted)
    chunks = chunk_versions(connection, numbers.values(), most=most)
    return [chunks[numbers[name]] for name in wanted if name in numbers]


def all_judgments(connection: sqlite3.Connection) -> list[tuple[str, str, str, str, str, float, str | None]]:
    """Return (query, source, chunk, judge, kind of judge, grade, note) of judgments of no evaluation set."""
    return connection.execute(
        "SELECT query, source, chunk, judge, judge_kind, grade, note FROM _judgment WHERE evalset_id IS NULL"
        " ORDER BY id"
    ).fetchall()


def rankings_by_version(connection: sqlite3.Connection) -> Iterator[tuple[str, str, list[int]]]:
    """Yield (query, retriever and version, chunk versions by rank) of the last ranking of each."""
    numbers = dict(connection.execute("SELECT chunk_id, number FROM _chunk"))
    rows = connection.execute(
        "SELECT r.query, v.name || ' ' || v.version, r.chunks, max(r.start_ns)"
        " FROM _retrieval r JOIN _retriever v USING (retriever_id)"
        " WHERE r.outer_id IS NULL AND r.query <> '' AND r.chunks <> '[]'"
        " GROUP BY r.query, r.retriever_id ORDER BY r.query, r.retriever_id"
    )
    for query, retriever, chunks, _ in rows:
        yield query, retriever, [numbers[chunk] for chunk in json.loads(chunks) if chunk in numbers]


def questions_and_chunks(connection: sqlite3.Connection) -> tuple[list[str], list[tuple[str, str, int]]]:
    """Return every question that was asked or judged, and (source, id, newest version) of every chunk."""
    questions = connection.execute(
        "SELECT query FROM _retrieval WHERE query <> '' UNION SELECT query FROM _judgment ORDER BY 1"
    )
    chunks = connection.execute(
        "SELECT s.name, c.app_id, c.number, max(c.chunk_id) FROM _chunk c JOIN _source s USING (source_id)"
        " GROUP BY 1, 2"
    )
    return [query for (query,) in questions], [(source, chunk, number) for source, chunk, number, _ in chunks]
