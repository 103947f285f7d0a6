"""Which rows go together when something is erased, and taking them out.

A turn goes with its retrievals, and with both the signals about either. Chunk versions and texts that no
remaining retrieval or judgment needs go too. All of it runs in the transaction of the caller.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from ragwheel.errors import StoreError
from ragwheel.store.erase_metadata import replace_metadata

__all__ = [
    "ErasedContent",
    "Removed",
    "Selection",
    "collect",
    "gone_texts",
    "remove",
    "select",
    "select_days",
]


@dataclass(frozen=True, slots=True)
class Selection:
    """What to erase: all that meets every condition that is given.

    Args:
        user: the user id of turns and retrievals, the subject of signals, the judge of judgments, the rater
            of reviews.
        session: the session id.
        older_than: a time (aware datetime, or Unix seconds): begun before it.
        query_matching: a regular expression (:func:`re.search`) on queries and judged queries.
        hashed: ``user`` and ``session`` are hashes of the ids (:func:`ragwheel.store.numbers.id_hash`).

    Raises:
        StoreError: no condition was given, the expression is none, or the time has no zone.
    """

    user: str | None = None
    session: str | None = None
    older_than: datetime | float | None = None
    query_matching: str | None = None
    hashed: bool = False

    def __post_init__(self) -> None:
        if (self.user, self.session, self.older_than, self.query_matching) == (None,) * 4:
            raise StoreError(
                "Nothing to erase by. Give at least one of --user, --session, --older-than, "
                "--query-matching: ragwheel erase --user ID"
            )
        if isinstance(self.older_than, datetime) and self.older_than.tzinfo is None:
            raise StoreError(
                f"older_than: got {self.older_than.isoformat()} without a time zone, expected an aware "
                f"datetime or Unix seconds. Next: datetime.now(timezone.utc) - timedelta(days=90)"
            )
        try:
            re.compile(self.query_matching or "")
        except re.error as exc:
            raise StoreError(
                f"query_matching: got {self.query_matching!r}, which is no regular expression ({exc}). "
                f"To find a text as it is, use re.escape(text). Next: ragwheel erase --query-matching PATTERN"
            ) from None

    def selects_signal(self, subject: str | None, query: str | None, at_s: float | None) -> bool:
        """Whether a signal that is in no database yet meets the conditions."""
        if self.session is not None:
            return False  # a signal belongs to a session by what it is about
        older = self.older_than
        before_s = older.timestamp() if isinstance(older, datetime) else older
        return (
            (self.user is None or self.user == subject)
            and (before_s is None or (at_s is not None and at_s < before_s))
            and (
                self.query_matching is None
                or (query is not None and re.search(self.query_matching, query) is not None)
            )
        )

    def conditions(self) -> list[tuple[str, Any]]:
        """Terms over the columns ``user``, ``session``, ``start_ns`` and ``query``, with their values."""
        found: list[tuple[str, Any]] = []
        if self.user is not None:
            found.append((f"{'id_hash(user)' if self.hashed else 'user'} = ?", self.user))
        if self.session is not None:
            found.append((f"{'id_hash(session)' if self.hashed else 'session'} = ?", self.session))
        if self.older_than is not None:
            when = self.older_than
            seconds = when.timestamp() if isinstance(when, datetime) else float(when)
            found.append(("start_ns < ?", int(seconds * 1e9)))
        if self.query_matching is not None:
            found.append(("query REGEXP ?", self.query_matching))
        return found


@dataclass(frozen=True, slots=True)
class Removed:
    """How many rows were removed; ``judgments`` counts reviews, too."""

    retrievals: int = 0
    turns: int = 0
    signals: int = 0
    judgments: int = 0
    chunks: int = 0
    texts: int = 0


@dataclass(frozen=True)
class ErasedContent:
    """What is being erased, for whoever holds copies of it.

    Attributes:
        span_ids: of the retrievals, turns and signals, as the views show them.
        queries: all queries among them, also those that others asked too.
        gone_texts: queries, answers, reasoning, chunk texts, comments and notes that stand in no row that
            stays.
        versions: chunk versions that a retrieval among them, or one that a signal is about, had: their
            numbers, and their row numbers, which earlier versions wrote into datasets.
        judged: (query, source, chunk id) of the judgments.
        first_ns: when the first of it happened (Unix nanoseconds); None when there is nothing.
    """

    span_ids: frozenset[str] = frozenset()
    queries: frozenset[str] = frozenset()
    gone_texts: frozenset[str] = frozenset()
    versions: frozenset[int] = frozenset()
    judged: frozenset[tuple[str, str, str]] = frozenset()
    first_ns: int | None = None


_DAY_NS: Final = 24 * 3600 * 10**9
_BEGIN: Final = """
DROP TABLE IF EXISTS temp.gone_turn;
DROP TABLE IF EXISTS temp.gone_retrieval;
DROP TABLE IF EXISTS temp.gone_signal;
DROP TABLE IF EXISTS temp.gone_judgment;
DROP TABLE IF EXISTS temp.gone_review;
DROP TABLE IF EXISTS temp.gone_chunk;
DROP TABLE IF EXISTS temp.touched_chunk;
DROP TABLE IF EXISTS temp.gone_text;
CREATE TEMP TABLE gone_turn (span_id BLOB PRIMARY KEY);
CREATE TEMP TABLE gone_retrieval (span_id BLOB PRIMARY KEY);
CREATE TEMP TABLE gone_signal (span_id BLOB PRIMARY KEY);
CREATE TEMP TABLE gone_judgment (id INTEGER PRIMARY KEY);
CREATE TEMP TABLE gone_review (id INTEGER PRIMARY KEY);
CREATE TEMP TABLE gone_chunk (chunk_id INTEGER PRIMARY KEY);
CREATE TEMP TABLE touched_chunk (chunk_id INTEGER PRIMARY KEY);
CREATE TEMP TABLE gone_text (text TEXT PRIMARY KEY);
"""
_RETRIEVALS: Final = (
    "SELECT span_id, turn_id, user_id AS user, session_id AS session, start_ns, query FROM _retrieval"
)
_TURNS: Final = "SELECT span_id, user_id AS user, session_id AS session, start_ns, query FROM _turn"
_SIGNALS: Final = "SELECT span_id, subject AS user, NULL AS session, at_ns AS start_ns, query FROM _signal"
_JUDGMENTS: Final = "SELECT id, judge AS user, NULL AS session, at_ns AS start_ns, query FROM _judgment"
_REVIEWS: Final = "SELECT id, rater AS user, NULL AS session, at_ns AS start_ns, query FROM _review"
_SPANS: Final = "SELECT span_id FROM gone_turn UNION ALL SELECT span_id FROM gone_retrieval"
_WRITTEN: Final = """
    SELECT query FROM _retrieval {r} UNION SELECT query FROM _turn {t} UNION SELECT answer FROM _turn {t}
    UNION SELECT reasoning FROM _turn {t} UNION SELECT query FROM _signal {s}
    UNION SELECT comment FROM _signal {s} UNION SELECT reason FROM _signal {s}
    UNION SELECT query FROM _judgment {j} UNION SELECT note FROM _judgment {j}
    UNION SELECT reason FROM _judgment {j} UNION SELECT query FROM _review {v}
    UNION SELECT note FROM _review {v}
"""


def select(connection: sqlite3.Connection, conditions: list[tuple[str, Any]]) -> None:
    """Fill the temporary tables with what meets the conditions and what belongs to it."""
    terms = " AND ".join(term for term, _ in conditions)
    values = [value for _, value in conditions]
    run = connection.execute
    for statement in _BEGIN.strip().split(";\n"):
        run(statement)
    run(f"INSERT INTO gone_turn SELECT span_id FROM ({_TURNS}) WHERE {terms}", values)
    run(
        f"INSERT OR IGNORE INTO gone_turn SELECT turn_id FROM ({_RETRIEVALS})"
        f" WHERE turn_id IS NOT NULL AND {terms}",
        values,
    )
    run(f"INSERT INTO gone_retrieval SELECT span_id FROM ({_RETRIEVALS}) WHERE {terms}", values)
    run(
        "INSERT OR IGNORE INTO gone_retrieval"
        " SELECT span_id FROM _retrieval WHERE turn_id IN (SELECT span_id FROM gone_turn)"
    )
    run(f"INSERT INTO gone_signal SELECT span_id FROM ({_SIGNALS}) WHERE {terms}", values)
    run(f"INSERT OR IGNORE INTO gone_signal SELECT span_id FROM _signal WHERE target_id IN ({_SPANS})")
    run(f"INSERT INTO gone_judgment SELECT id FROM ({_JUDGMENTS}) WHERE {terms}", values)
    run(f"INSERT INTO gone_review SELECT id FROM ({_REVIEWS}) WHERE {terms}", values)
    run(
        "INSERT OR IGNORE INTO gone_chunk SELECT e.value FROM _retrieval r, json_each(r.chunks) e"
        " WHERE e.value IS NOT NULL AND r.span_id IN (SELECT span_id FROM gone_retrieval)"
    )
    written = _WRITTEN.format(
        r="WHERE span_id IN (SELECT span_id FROM gone_retrieval)",
        t="WHERE span_id IN (SELECT span_id FROM gone_turn)",
        s="WHERE span_id IN (SELECT span_id FROM gone_signal)",
        j="WHERE id IN (SELECT id FROM gone_judgment)",
        v="WHERE id IN (SELECT id FROM gone_review)",
    )
    run(f"INSERT OR IGNORE INTO gone_text SELECT * FROM ({written}) AS t WHERE t.query IS NOT NULL")


def select_days(connection: sqlite3.Connection, days: list[int]) -> None:
    """Fill the temporary tables with the turns, retrievals and signals of some days since 1970."""
    day = f"/ {_DAY_NS} IN (SELECT value FROM json_each(?))"
    values = json.dumps(days)
    select(connection, [(f"start_ns {day}", values)])
    for table, rows, column in (
        ("gone_turn", "_turn", "start_ns"),
        ("gone_retrieval", "_retrieval", "start_ns"),
        ("gone_signal", "_signal", "at_ns"),
    ):
        connection.execute(
            f"DELETE FROM {table} WHERE span_id NOT IN (SELECT span_id FROM {rows} WHERE {column} {day})",
            (values,),
        )
    connection.execute("DELETE FROM gone_judgment")  # a judgment does not grow old


def collect(connection: sqlite3.Connection) -> ErasedContent:
    """What was selected, before it is removed; the texts among it that go are known only after."""

    def all_of(sql: str) -> list[Any]:
        return [row[0] for row in connection.execute(sql)]

    spans = f"{_SPANS} UNION ALL SELECT span_id FROM gone_signal"
    about = "SELECT target_id FROM _signal WHERE span_id IN (SELECT span_id FROM gone_signal)"
    return ErasedContent(
        span_ids=frozenset(all_of(f"SELECT lower(hex(span_id)) FROM ({spans})")),
        queries=frozenset(
            all_of(
                "SELECT query FROM _retrieval WHERE span_id IN (SELECT span_id FROM gone_retrieval)"
                " UNION SELECT query FROM _turn WHERE span_id IN (SELECT span_id FROM gone_turn)"
                f" UNION SELECT query FROM _retrieval WHERE span_id IN ({about}) OR turn_id IN ({about})"
                f" UNION SELECT query FROM _turn WHERE span_id IN ({about})"
                " UNION SELECT query FROM _signal WHERE span_id IN (SELECT span_id FROM gone_signal)"
            )
        )
        - {None},
        versions=frozenset(_versions(connection, about)),
        judged=frozenset(
            connection.execute(
                "SELECT query, source, chunk FROM _judgment WHERE id IN (SELECT id FROM gone_judgment)"
            ).fetchall()
        ),
        first_ns=connection.execute(
            "SELECT min(ns) FROM ("
            " SELECT min(start_ns) AS ns FROM _retrieval"
            "  WHERE span_id IN (SELECT span_id FROM gone_retrieval)"
            " UNION ALL SELECT min(start_ns) FROM _turn WHERE span_id IN (SELECT span_id FROM gone_turn)"
            " UNION ALL SELECT min(at_ns) FROM _signal WHERE span_id IN (SELECT span_id FROM gone_signal)"
            " UNION ALL SELECT min(at_ns) FROM _judgment WHERE id IN (SELECT id FROM gone_judgment))"
        ).fetchone()[0],
    )


def _versions(connection: sqlite3.Connection, about: str) -> Iterator[int]:
    """Yield each chunk version's row number and its number."""
    rows = connection.execute(
        "SELECT c.chunk_id, c.number FROM _chunk c WHERE c.chunk_id IN ("
        " SELECT chunk_id FROM gone_chunk UNION SELECT e.value FROM _retrieval r, json_each(r.chunks) e"
        f" WHERE e.value IS NOT NULL AND (r.span_id IN ({about}) OR r.turn_id IN ({about})))"
    )
    for numbers in rows:
        yield from numbers


def remove(connection: sqlite3.Connection, *, links: bool = True) -> Removed:
    """Delete what was selected, and what nothing needs any more then.

    With ``links``, remaining signals no longer name a removed span.

    ``touched_chunk`` holds afterwards all chunks that an erased retrieval had, also those that stay;
    ``gone_text`` holds afterwards the texts that stand in no row any more.
    """

    def run(sql: str) -> int:
        return connection.execute(sql).rowcount

    if links:
        run(f"UPDATE _signal SET other = NULL WHERE other IN (SELECT lower(hex(span_id)) FROM ({_SPANS}))")
    retrievals = run("DELETE FROM _retrieval WHERE span_id IN (SELECT span_id FROM gone_retrieval)")
    turns = run("DELETE FROM _turn WHERE span_id IN (SELECT span_id FROM gone_turn)")
    signals = run("DELETE FROM _signal WHERE span_id IN (SELECT span_id FROM gone_signal)")
    judgments = run("DELETE FROM _judgment WHERE id IN (SELECT id FROM gone_judgment)")
    judgments += run("DELETE FROM _review WHERE id IN (SELECT id FROM gone_review)")
    run("INSERT INTO touched_chunk SELECT chunk_id FROM gone_chunk")
    run(
        "DELETE FROM gone_chunk WHERE chunk_id IN (SELECT e.value FROM _retrieval r, json_each(r.chunks) e)"
        " OR chunk_id IN (SELECT c.chunk_id FROM _judgment j JOIN _source s ON s.name = j.source"
        "                   JOIN _chunk c ON c.source_id = s.source_id AND c.app_id = j.chunk)"
    )
    chunks = run("DELETE FROM _chunk WHERE chunk_id IN (SELECT chunk_id FROM gone_chunk)")
    replace_metadata(connection)
    run(
        "INSERT OR IGNORE INTO gone_text SELECT body FROM _text"
        " WHERE text_id NOT IN (SELECT text_id FROM _chunk)"
    )
    texts = run("DELETE FROM _text WHERE text_id NOT IN (SELECT text_id FROM _chunk)")
    written = _WRITTEN.format(r="", t="", s="", j="", v="")
    run(f"DELETE FROM gone_text WHERE text IN ({written} UNION ALL SELECT body FROM _text)")
    run(
        f"INSERT INTO _account VALUES ('removed', {retrievals + turns + signals})"
        " ON CONFLICT (name) DO UPDATE SET n = n + excluded.n"
    )
    return Removed(retrievals, turns, signals, judgments, chunks, texts)


def gone_texts(connection: sqlite3.Connection) -> frozenset[str]:
    """After :func:`remove`: the texts that stand in no row any more."""
    return frozenset(text for (text,) in connection.execute("SELECT text FROM gone_text"))
