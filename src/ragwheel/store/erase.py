"""Taking things out of the store for good: erasing what somebody asks to have erased, pruning what is old.

Rows go together: a turn with its retrievals, and the signals about either. Chunk versions and texts that
no remaining retrieval or judgment needs go too. The journal is merged and emptied first, and every page
that held something is overwritten, so that afterwards the bytes are in none of the files.
"""

from __future__ import annotations

import contextlib
import re
import sqlite3
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from ragwheel.errors import StoreError, StoreLocked
from ragwheel.journal import files
from ragwheel.store import raw
from ragwheel.store.connect import check_file, connect, explain
from ragwheel.store.merge import Merger

__all__ = ["EraseReport", "erase", "prune"]

SAMPLE: Final = 50  # erased texts that are looked for in the raw files, the longest ones
NEEDLE_BYTES: Final = (6, 1000)
DAY_NS: Final = 24 * 3600 * 10**9


@dataclass(frozen=True)
class EraseReport:
    """Rows that were removed, and ``still_in``: files in which some of it was found nevertheless.

    These are files that ragwheel does not write to, such as a damaged database that was moved aside.
    """

    retrievals: int = 0
    turns: int = 0
    signals: int = 0
    judgments: int = 0
    chunks: int = 0
    texts: int = 0
    still_in: tuple[Path, ...] = ()

    def __add__(self, other: EraseReport) -> EraseReport:
        """Both counts together."""
        return EraseReport(
            self.retrievals + other.retrievals,
            self.turns + other.turns,
            self.signals + other.signals,
            self.judgments + other.judgments,
            self.chunks + other.chunks,
            self.texts + other.texts,
            self.still_in + other.still_in,
        )


def erase(
    db: str | Path,
    *,
    user: str | None = None,
    session: str | None = None,
    older_than: datetime | float | None = None,
    query_matching: str | None = None,
    timeout_s: float = 30.0,
) -> EraseReport:
    """Remove for good what meets all the given conditions.

    Args:
        db: the database.
        user: the user id of turns and retrievals, the subject of signals.
        session: the session id.
        older_than: a time (aware datetime, or Unix seconds): begun before it.
        query_matching: a regular expression (:func:`re.search`) on queries and judged queries.
        timeout_s: how long to wait for another process that merges or writes.

    Raises:
        StoreError: no condition was given, the expression is none, or the database cannot be used.
    """
    conditions = _conditions(user, session, older_than, query_matching)
    with _opened(Path(db), timeout_s) as connection:
        with _erasing(connection):
            _select(connection, conditions)
            needles = [text.encode() for text in (user, session) if text is not None]
            needles += _sample(connection)
            removed = _remove(connection)
        needles = [needle for needle in needles if _usable(connection, needle)]
        _overwrite(connection)
    return replace(removed, still_in=_still_in(Path(db), needles))


def prune(
    db: str | Path,
    *,
    max_age_days: float | None = None,
    max_bytes: int | None = None,
    timeout_s: float = 30.0,
) -> EraseReport:
    """Remove the oldest turns, retrievals and signals until the database is young and small enough.

    Raises:
        StoreError: neither bound was given, or the database cannot be used.
    """
    if max_age_days is None and max_bytes is None:
        raise StoreError(
            "Nothing to prune by. Give a bound: ragwheel prune --max-age-days 90 or --max-bytes N"
        )
    path, total = Path(db), EraseReport()
    with _opened(path, timeout_s) as connection:
        if max_age_days is not None:
            total += _prune_before(connection, time.time_ns() - int(max_age_days * DAY_NS))
        _overwrite(connection)
        while max_bytes is not None and (size := path.stat().st_size) > max_bytes:
            cutoff = _quantile(connection, min(1.0, 1.05 - max_bytes / size))
            if cutoff is None:
                break
            total += _prune_before(connection, cutoff)
            _overwrite(connection)
    return total


Condition = tuple[str, Any]
"""A term over the columns ``user``, ``session``, ``start_ns`` and ``query``, and its value."""


def _conditions(
    user: str | None, session: str | None, older_than: datetime | float | None, query_matching: str | None
) -> list[Condition]:
    found: list[Condition] = []
    if user is not None:
        found.append(("user = ?", user))
    if session is not None:
        found.append(("session = ?", session))
    if older_than is not None:
        seconds = older_than.timestamp() if isinstance(older_than, datetime) else float(older_than)
        found.append(("start_ns < ?", int(seconds * 1e9)))
    if query_matching is not None:
        try:
            re.compile(query_matching)
        except re.error as exc:
            raise StoreError(
                f"query_matching: got {query_matching!r}, which is no regular expression ({exc}). "
                f"To find a text as it is, use re.escape(text). Next: ragwheel erase --query-matching PATTERN"
            ) from None
        found.append(("query REGEXP ?", query_matching))
    if not found:
        raise StoreError(
            "Nothing to erase by. Give at least one of --user, --session, --older-than, --query-matching: "
            "ragwheel erase --user ID"
        )
    return found


@contextlib.contextmanager
def _opened(db: Path, timeout_s: float) -> Iterator[sqlite3.Connection]:
    """The database with the journal merged into it and emptied, for as long as nobody else may write."""
    check_file(db, may_be_new=bool(files.segments(db)))
    try:
        with files.merge_lock(db, timeout_s=timeout_s) as ours:
            if not ours:
                raise StoreLocked(
                    f"Another process has been merging into {db} for more than {timeout_s:g} s. Try again; "
                    f"if it never ends, see who it is: fuser {db}.segments/merge.lock"
                )
            Merger(db, busy_s=timeout_s).merge(drain=True)
            for path in files.set_aside(db):  # nothing can be taken out of what cannot be read
                path.unlink()
            connection = connect(db, write=True, timeout_s=timeout_s)
            try:
                connection.create_function("REGEXP", 2, _matches, deterministic=True)
                connection.execute("PRAGMA secure_delete = ON")
                connection.execute("PRAGMA temp_store = FILE")
                yield connection
            finally:
                connection.close()
    except sqlite3.Error as exc:
        raise explain(exc, db) from exc
    except OSError as exc:
        raise explain(exc, files.segment_folder(db)) from exc


def _matches(pattern: str, text: str | None) -> bool:
    return text is not None and re.search(pattern, text) is not None


@contextlib.contextmanager
def _erasing(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("DELETE FROM _merge")  # row ids that mergers remember hold no longer
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


_BEGIN = """
DROP TABLE IF EXISTS temp.gone_turn;
DROP TABLE IF EXISTS temp.gone_retrieval;
DROP TABLE IF EXISTS temp.gone_signal;
DROP TABLE IF EXISTS temp.gone_judgment;
DROP TABLE IF EXISTS temp.gone_chunk;
CREATE TEMP TABLE gone_turn (span_id BLOB PRIMARY KEY);
CREATE TEMP TABLE gone_retrieval (span_id BLOB PRIMARY KEY);
CREATE TEMP TABLE gone_signal (span_id BLOB PRIMARY KEY);
CREATE TEMP TABLE gone_judgment (id INTEGER PRIMARY KEY);
CREATE TEMP TABLE gone_chunk (chunk_id INTEGER PRIMARY KEY);
"""
_RETRIEVALS = (
    "SELECT span_id, turn_id, user_id AS user, session_id AS session, start_ns, query FROM _retrieval"
)
_TURNS = "SELECT span_id, user_id AS user, session_id AS session, start_ns, query FROM _turn"
_SIGNALS = "SELECT span_id, subject AS user, NULL AS session, at_ns AS start_ns, query FROM _signal"
_JUDGMENTS = "SELECT id, NULL AS user, NULL AS session, at_ns AS start_ns, query FROM _judgment"


def _select(connection: sqlite3.Connection, conditions: Iterable[Condition]) -> None:
    """Fill the temporary tables with what meets the conditions and what belongs to it."""
    terms = " AND ".join(term for term, _ in conditions)
    values = [value for _, value in conditions]

    def run(sql: str, *given: Any) -> None:
        connection.execute(sql, given)

    for statement in _BEGIN.strip().split(";\n"):
        run(statement)
    run(f"INSERT INTO gone_turn SELECT span_id FROM ({_TURNS}) WHERE {terms}", *values)
    run(
        f"INSERT OR IGNORE INTO gone_turn SELECT turn_id FROM ({_RETRIEVALS})"
        f" WHERE turn_id IS NOT NULL AND {terms}",
        *values,
    )
    run(f"INSERT INTO gone_retrieval SELECT span_id FROM ({_RETRIEVALS}) WHERE {terms}", *values)
    run(
        "INSERT OR IGNORE INTO gone_retrieval"
        " SELECT span_id FROM _retrieval WHERE turn_id IN (SELECT span_id FROM gone_turn)"
    )
    run(f"INSERT INTO gone_signal SELECT span_id FROM ({_SIGNALS}) WHERE {terms}", *values)
    run(
        "INSERT OR IGNORE INTO gone_signal SELECT span_id FROM _signal"
        " WHERE target_id IN (SELECT span_id FROM gone_turn UNION ALL SELECT span_id FROM gone_retrieval)"
    )
    run(f"INSERT INTO gone_judgment SELECT id FROM ({_JUDGMENTS}) WHERE {terms}", *values)
    run(
        "INSERT OR IGNORE INTO gone_chunk SELECT e.value FROM _retrieval r, json_each(r.chunks) e"
        " WHERE e.value IS NOT NULL AND r.span_id IN (SELECT span_id FROM gone_retrieval)"
    )


def _remove(connection: sqlite3.Connection) -> EraseReport:
    """Delete what was selected, and what nothing needs any more then."""

    def run(sql: str) -> int:
        return connection.execute(sql).rowcount

    run(
        "UPDATE _signal SET other = NULL WHERE other IN"
        " (SELECT lower(hex(span_id)) FROM gone_turn"
        "   UNION ALL SELECT lower(hex(span_id)) FROM gone_retrieval)"
    )
    retrievals = run("DELETE FROM _retrieval WHERE span_id IN (SELECT span_id FROM gone_retrieval)")
    turns = run("DELETE FROM _turn WHERE span_id IN (SELECT span_id FROM gone_turn)")
    signals = run("DELETE FROM _signal WHERE span_id IN (SELECT span_id FROM gone_signal)")
    judgments = run("DELETE FROM _judgment WHERE id IN (SELECT id FROM gone_judgment)")
    run(
        "DELETE FROM gone_chunk WHERE chunk_id IN (SELECT e.value FROM _retrieval r, json_each(r.chunks) e)"
        " OR chunk_id IN (SELECT c.chunk_id FROM _judgment j JOIN _source s ON s.name = j.source"
        "                   JOIN _chunk c ON c.source_id = s.source_id AND c.app_id = j.chunk)"
    )
    chunks = run("DELETE FROM _chunk WHERE chunk_id IN (SELECT chunk_id FROM gone_chunk)")
    texts = run("DELETE FROM _text WHERE text_id NOT IN (SELECT text_id FROM _chunk)")
    return EraseReport(retrievals, turns, signals, judgments, chunks, texts)


def _prune_before(connection: sqlite3.Connection, cutoff_ns: int) -> EraseReport:
    with _erasing(connection):
        _select(connection, [("start_ns < ?", cutoff_ns)])
        connection.execute("DELETE FROM gone_judgment")  # a judgment does not grow old
        return _remove(connection)


def _quantile(connection: sqlite3.Connection, share: float) -> int | None:
    """The time before which that share of the retrievals began; None when there is none."""
    (n,) = connection.execute("SELECT count(*) FROM _retrieval").fetchone()
    if not n:
        return None
    skip = min(n - 1, int(n * share))
    sql = "SELECT start_ns FROM _retrieval ORDER BY start_ns LIMIT 1 OFFSET ?"
    return int(connection.execute(sql, (skip,)).fetchone()[0]) + 1


def _overwrite(connection: sqlite3.Connection) -> None:
    """Rewrite the file without its free pages and empty the write-ahead log."""
    connection.execute("VACUUM")
    busy, _, _ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    if busy:
        raise StoreLocked(
            "The rows are gone, but somebody is reading the database, and its write-ahead log still has "
            "them. Close the reader and run the same command again."
        )


def _sample(connection: sqlite3.Connection) -> list[bytes]:
    """The longest of the texts that are about to go."""
    rows = connection.execute(
        "SELECT text FROM ("
        " SELECT query AS text FROM _retrieval WHERE span_id IN (SELECT span_id FROM gone_retrieval)"
        " UNION SELECT query FROM _turn WHERE span_id IN (SELECT span_id FROM gone_turn)"
        " UNION SELECT answer FROM _turn WHERE span_id IN (SELECT span_id FROM gone_turn)"
        " UNION SELECT query FROM _signal WHERE span_id IN (SELECT span_id FROM gone_signal))"
        " WHERE text IS NOT NULL ORDER BY length(text) DESC LIMIT ?",
        (SAMPLE,),
    )
    return [str(text).encode()[: NEEDLE_BYTES[1]] for (text,) in rows]


def _usable(connection: sqlite3.Connection, needle: bytes) -> bool:
    """Whether finding it would tell something: long enough, and in no row that stays."""
    if len(needle) < NEEDLE_BYTES[0]:
        return False
    text = needle.decode(errors="ignore")
    (kept,) = connection.execute(
        "SELECT EXISTS (SELECT 1 FROM _retrieval WHERE instr(query, ?1) OR ?1 IN (user_id, session_id))"
        " OR EXISTS (SELECT 1 FROM _turn"
        "             WHERE instr(query, ?1) OR instr(answer, ?1) OR ?1 IN (user_id, session_id))"
        " OR EXISTS (SELECT 1 FROM _signal WHERE instr(query, ?1) OR ?1 = subject)"
        " OR EXISTS (SELECT 1 FROM _judgment WHERE instr(query, ?1))"
        " OR EXISTS (SELECT 1 FROM _text WHERE instr(body, ?1))",
        (text,),
    ).fetchone()
    return not kept


def _still_in(db: Path, needles: list[bytes]) -> tuple[Path, ...]:
    """Files of this database in whose raw bytes one of the needles stands."""
    folder = files.segment_folder(db)
    candidates = [
        db,
        *sorted(db.parent.glob(f"{db.name}-*")),
        *sorted(db.parent.glob(f"{db.name}.corrupt-*")),
    ]
    candidates += sorted(folder.iterdir()) if folder.is_dir() else []
    return tuple(path for path in candidates if path.is_file() and raw.contains_any(path, needles))
