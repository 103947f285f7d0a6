"""A recorded turn: query, ranked chunks with exposure, citations and signals."""

from __future__ import annotations

import base64
import json
import re
import sqlite3
from pathlib import Path

from ragwheel.errors import StoreError
from ragwheel.offline.reading import reading, rows
from ragwheel.offline.views import CitationView, RankedChunk, RetrievalView, SignalView, TurnLine, TurnView
from ragwheel.store.about import count_signals, signals_about, targets_of

__all__ = ["latest", "show"]

LATEST = """
SELECT turn_id AS id, 'turn' AS kind, query, start_ns, n_citations AS citations FROM turns
UNION ALL
SELECT turn_id, 'turn', NULL, min(start_ns), 0 FROM retrievals  -- turns that have not ended yet
 WHERE turn_id IS NOT NULL AND turn_id NOT IN (SELECT turn_id FROM turns) GROUP BY turn_id
UNION ALL
SELECT retrieval_id, 'retrieval', query, start_ns, 0 FROM retrievals WHERE turn_id IS NULL
 ORDER BY start_ns DESC, id LIMIT ?
"""
FIRST_QUERIES = """
SELECT turn_id, query, count(*) AS retrievals, min(start_ns)  -- SQLite: `query` is that of the minimum's row
  FROM retrievals WHERE turn_id IN (SELECT value FROM json_each(?)) GROUP BY turn_id
"""
STARTING_WITH = """
WITH found (retrieval_id, turn_id) AS (
    SELECT NULL, turn_id FROM turns WHERE turn_id BETWEEN ?1 AND ?1 || 'g'
    UNION SELECT retrieval_id, turn_id FROM retrievals
           WHERE retrieval_id BETWEEN ?1 AND ?1 || 'g' OR turn_id BETWEEN ?1 AND ?1 || 'g'
    UNION SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]') FROM json_each(?2)
)
SELECT DISTINCT CASE WHEN turn_id IS NULL THEN 'retrieval' ELSE 'turn' END AS kind,
       coalesce(turn_id, retrieval_id) AS id
  FROM found
"""
RETRIEVALS_OF = "SELECT retrieval_id FROM retrievals WHERE turn_id = ? ORDER BY start_ns, retrieval_id"
CITATIONS_OF = """
SELECT position, marker, retrieval_id, rank, chunk_id, method, matched
  FROM citations WHERE turn_id = ? ORDER BY position
"""
RANKING_OF = """
SELECT i.rank, i.source, i.chunk_id, i.score, i.exposure, i.assumed, c.text
  FROM impressions i JOIN chunks c USING (chunk_version) WHERE i.retrieval_id = ? ORDER BY i.rank
"""


def latest(db: str | Path, n: int = 20) -> tuple[TurnLine, ...]:
    """The last ``n`` turns (and retrievals outside any turn), newest first.

    Raises :class:`~ragwheel.errors.StoreEmpty` when there is none yet.
    """
    with reading(db, require_traces=True) as connection:
        latest_rows = rows(connection, LATEST, n)
        ids = json.dumps([row["id"] for row in latest_rows])
        inside = {row["turn_id"]: row for row in rows(connection, FIRST_QUERIES, ids)}
        signals = count_signals(connection, [row["id"] for row in latest_rows])
        return tuple(_line(row, inside.get(row["id"]), signals[row["id"]]) for row in latest_rows)


def _line(row: sqlite3.Row, inside: sqlite3.Row | None, signals: int) -> TurnLine:
    """Make a line of a row of LATEST and the retrievals inside it."""
    return TurnLine(
        id=row["id"],
        kind=row["kind"],
        query=row["query"] or (inside["query"] if inside else ""),
        start_ns=row["start_ns"],
        retrievals=inside["retrievals"] if inside else int(row["kind"] == "retrieval"),
        citations=row["citations"],
        signals=signals,
    )


def show(db: str | Path, handle_or_id: str | None = None) -> TurnView:
    """Return a turn with everything that is recorded about it, by default the latest one.

    Args:
        db: the database.
        handle_or_id: a handle, or the id of a turn, a retrieval or a signal: 16 hexadecimal digits, or
            the first few of them. A retrieval inside a turn shows the whole turn.

    Raises :class:`~ragwheel.errors.StoreError` when there is no such turn, and as
    :func:`ragwheel.store.open_store` does.
    """
    with reading(db, require_traces=True) as connection:
        kind, id = _find(connection, str(db), handle_or_id)
        if kind == "turn":
            return _turn(connection, id)
        return _lone_retrieval(connection, id)


def _find(connection: sqlite3.Connection, db: str, handle_or_id: str | None) -> tuple[str, str]:
    """Return ("turn" or "retrieval", id) of the requested turn."""
    if handle_or_id is None:
        row = rows(connection, LATEST, 1)[0]
        return row["kind"], row["id"]
    prefix = _span_id(handle_or_id)
    matches = rows(connection, STARTING_WITH, prefix, json.dumps(targets_of(connection, prefix)))
    if len(matches) == 1:
        return matches[0]["kind"], matches[0]["id"]
    if matches:
        some = ", ".join(row["id"] for row in matches[:4])
        raise StoreError(
            f"{handle_or_id!r} begins {len(matches):,} ids in {db} ({some}, ...). "
            "Next: give more digits of one"
        )
    raise StoreError(
        f"{db} holds no turn, retrieval or signal {handle_or_id!r}. Allowed: a handle, or an id of 16 "
        f"hexadecimal digits. Next: ragwheel show --db {db} --list"
    )


def _span_id(handle_or_id: str) -> str:
    """Return the span id in a handle; an id or a prefix of one is returned unchanged.

    Signature and expiry of a handle are not checked, since the database can be read anyway.
    """
    text = handle_or_id.strip()
    if re.fullmatch(r"[0-9a-fA-F]{4,16}", text):
        return text.lower()
    parts = text.split(".")
    try:
        if parts[0] not in ("u1", "s1") or len(parts) < 3:
            raise ValueError("not the shape of a handle")
        body = base64.urlsafe_b64decode(parts[-2] + "=" * (-len(parts[-2]) % 4))
        if len(body) < 25:
            raise ValueError("too short")
    except ValueError:
        raise StoreError(
            f"{handle_or_id!r} is neither a handle nor an id. Allowed: what turn.handle and "
            "ragwheel.last_retrieval().handle give, or 4 to 16 hexadecimal digits. Next: ragwheel show --list"
        ) from None
    return body[1:9].hex()


def _turn(connection: sqlite3.Connection, turn_id: str) -> TurnView:
    turns = rows(connection, "SELECT * FROM turns WHERE turn_id = ?", turn_id)
    ids = [row["retrieval_id"] for row in rows(connection, RETRIEVALS_OF, turn_id)]
    retrievals = tuple(_retrieval(connection, id) for id in ids)
    citations = tuple(
        CitationView(**{**dict(row), "matched": bool(row["matched"])})
        for row in rows(connection, CITATIONS_OF, turn_id)
    )
    turn = turns[0] if turns else None  # its retrievals may be stored before the turn has ended
    return TurnView(
        turn_id=turn_id,
        query=(turn["query"] if turn else None) or (retrievals[0].query if retrievals else None),
        answer=turn["answer"] if turn else None,
        reasoning=turn["reasoning"] if turn else None,
        session_id=turn["session_id"] if turn else None,
        user_id=turn["user_id"] if turn else None,
        start_ns=turn["start_ns"] if turn else retrievals[0].start_ns,
        error=turn["error"] if turn else None,
        retrievals=retrievals,
        citations=citations,
        signals=_signals(connection, [turn_id, *ids]),
    )


def _lone_retrieval(connection: sqlite3.Connection, retrieval_id: str) -> TurnView:
    retrieval = _retrieval(connection, retrieval_id)
    who = rows(connection, "SELECT session_id, user_id FROM retrievals WHERE retrieval_id = ?", retrieval_id)[
        0
    ]
    return TurnView(
        turn_id=None,
        query=retrieval.query,
        answer=None,
        reasoning=None,
        session_id=who["session_id"],
        user_id=who["user_id"],
        start_ns=retrieval.start_ns,
        error=None,
        retrievals=(retrieval,),
        citations=(),
        signals=_signals(connection, [retrieval_id]),
    )


def _retrieval(connection: sqlite3.Connection, retrieval_id: str) -> RetrievalView:
    row = rows(connection, "SELECT * FROM retrievals WHERE retrieval_id = ?", retrieval_id)[0]
    chunks = rows(connection, RANKING_OF, retrieval_id)
    return RetrievalView(
        **{
            name: row[name]
            for name in RetrievalView.__dataclass_fields__
            if name not in ("duration_ms", "chunks")
        },
        duration_ms=row["duration_ns"] / 1e6,
        chunks=tuple(RankedChunk(**{**dict(chunk), "assumed": bool(chunk["assumed"])}) for chunk in chunks),
    )


def _signals(connection: sqlite3.Connection, ids: list[str]) -> tuple[SignalView, ...]:
    rows_about = signals_about(connection, ids)
    return tuple(
        SignalView(**{**row, "retracted": bool(row["retracted"]), "bot": bool(row["bot"])})
        for row in rows_about
    )
