"""Writing judgments: one transaction under the merge lock, the same judgment twice is one row."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from ragwheel.errors import JudgmentError
from ragwheel.journal import files
from ragwheel.store.connect import check_file, connect
from ragwheel.store.exclusive import exclusive
from ragwheel.store.merge import Merger
from ragwheel.store.numbers import chunk_number
from ragwheel.store.rows import text_hash, to_json
from ragwheel.store.transactions import transaction

__all__ = ["EvalsetUse", "JudgmentRow", "JudgmentWriter", "Outcome", "writing_judgments", "writing_rows"]

EvalsetUse = Literal["train", "test"]
Outcome = Literal["new", "changed", "same", "older"]


@dataclass(frozen=True, slots=True)
class JudgmentRow:
    """A row of the view ``judgments`` to be written; ``text_hash`` names the version, where known."""

    query: str
    source: str
    chunk_id: str
    grade: float
    judge: str
    judge_kind: Literal["human", "llm"] = "human"
    note: str | None = None
    at_ns: int | None = None
    text_hash: bytes | None = None
    reason: str | None = None


class JudgmentWriter:
    """Writes judgments in the transaction of :func:`writing_judgments`; ``outcomes`` counts them."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.outcomes: Counter[Outcome] = Counter()
        self.now_ns: Final = time.time_ns()
        self._run = connection.execute

    def sources_of(self, chunk_id: str) -> list[str]:
        """The sources that have a chunk of this id."""
        sql = (
            "SELECT DISTINCT s.name FROM _chunk c JOIN _source s USING (source_id)"
            " WHERE c.app_id = ? ORDER BY 1"
        )
        return [name for (name,) in self._run(sql, (chunk_id,))]

    def chunk(self, source: str, chunk_id: str, text: str, metadata: dict[str, Any] | None = None) -> bytes:
        """Make sure that this version of the chunk is there; returns its content hash."""
        digest = text_hash(text)
        number = chunk_number(source, chunk_id, digest)
        self._run("INSERT OR IGNORE INTO _source (name) VALUES (?)", (source,))
        self._run("INSERT OR IGNORE INTO _text (hash, body) VALUES (?, ?)", (digest, text))
        self._run(
            "INSERT OR IGNORE INTO _chunk (source_id, app_id, text_id, metadata, first_seen_ns, number)"
            " SELECT s.source_id, ?, t.text_id, ?, ?, ? FROM _source s, _text t"
            "  WHERE s.name = ? AND t.hash = ?",
            (chunk_id, to_json(metadata or None), self.now_ns, number, source, digest),
        )
        return digest

    def evalset(self, name: str, use: EvalsetUse) -> int:
        """The row number of an evaluation set.

        Raises:
            JudgmentError: it was imported for the other use.
        """
        self._run(
            "INSERT OR IGNORE INTO _evalset (name, use, imported_ns) VALUES (?, ?, ?)",
            (name, use, self.now_ns),
        )
        found, known = self._run("SELECT evalset_id, use FROM _evalset WHERE name = ?", (name,)).fetchone()
        if known != use:
            raise JudgmentError(
                f"The evaluation set {name!r} was imported for {known}, so it cannot be used for {use}: an "
                f"example that was trained on tests nothing. Import other examples under another name: "
                f"ragwheel import PATH --evalset --name NAME --use {use}"
            )
        return int(found)

    def write(self, row: JudgmentRow, *, evalset_id: int | None = None) -> Outcome:
        """One judgment; a later one of the same judge on the same query and chunk replaces it."""
        key = (row.query, row.source, row.chunk_id, row.judge)
        known = self._run(
            "SELECT grade, note, text_hash, reason, at_ns, evalset_id FROM _judgment"
            " WHERE query = ? AND source = ? AND chunk = ? AND judge = ?",
            key,
        ).fetchone()
        at_ns = self.now_ns if row.at_ns is None else row.at_ns
        outcome: Outcome = "new" if known is None else "changed"
        if known is not None:
            same = (row.grade, row.note, row.text_hash, row.reason, evalset_id)
            if (*known[:4], known[5]) == same:
                outcome = "same"
            elif at_ns < known[4]:
                outcome = "older"
        if outcome in ("new", "changed"):
            self._run(
                "INSERT OR REPLACE INTO _judgment (id, query, source, chunk, judge, text_hash, grade,"
                " judge_kind, note, at_ns, evalset_id, reason) VALUES ((SELECT id FROM _judgment WHERE query"
                " = ?1 AND source = ?2 AND chunk = ?3 AND judge = ?4),"
                " ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
                (*key, row.text_hash, row.grade, row.judge_kind, row.note, at_ns, evalset_id, row.reason),
            )
        self.outcomes[outcome] += 1
        return outcome

    def remove(self, row: JudgmentRow) -> bool:
        """Take a judgment back; False when there is none."""
        key = (row.query, row.source, row.chunk_id, row.judge)
        sql = "DELETE FROM _judgment WHERE query = ? AND source = ? AND chunk = ? AND judge = ?"
        return self._run(sql, key).rowcount > 0

    def queries_of_evalsets(self, use: EvalsetUse) -> list[tuple[str, str]]:
        """(query, name of the set) of every evaluation set of that use."""
        return self._run(
            "SELECT DISTINCT j.query, e.name FROM _judgment j JOIN _evalset e USING (evalset_id)"
            " WHERE e.use = ? ORDER BY 1, 2",
            (use,),
        ).fetchall()

    def chunks(self) -> Iterable[tuple[str, str, str]]:
        """(source, chunk id, text) of every chunk version, in a fixed order."""
        return self._run(
            "SELECT s.name, c.app_id, t.body FROM _chunk c JOIN _source s USING (source_id)"
            " JOIN _text t USING (text_id) ORDER BY c.chunk_id"
        )


@contextlib.contextmanager
def writing_judgments(
    db: str | Path, *, create: bool = False, timeout_s: float = 30.0
) -> Iterator[JudgmentWriter]:
    """The right to write judgments, as :func:`writing_rows` gives it."""
    with writing_rows(db, create=create, timeout_s=timeout_s) as connection:
        yield JudgmentWriter(connection)


@contextlib.contextmanager
def writing_rows(
    db: str | Path, *, create: bool = False, timeout_s: float = 30.0
) -> Iterator[sqlite3.Connection]:
    """A connection in one transaction under the merge lock: when the block raises, nothing was written.

    Merges the journal first, so that the chunks of a running app are known. ``create`` makes the database
    where there is none.

    Raises:
        StoreError: the database is missing or cannot be written.
    """
    path = Path(db)
    check_file(path, may_be_new=create or bool(files.segments(path)))
    with exclusive(path, timeout_s=timeout_s):
        Merger(path, busy_s=timeout_s).merge()
        with (
            contextlib.closing(connect(path, write=True, timeout_s=timeout_s)) as connection,
            transaction(connection),
        ):
            yield connection
