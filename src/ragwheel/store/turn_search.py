"""Turns by words, session and what happened in them: for the review page."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

__all__ = ["TURN_CONDITIONS", "TurnSearch", "TurnSummary", "search_turns"]

_SIGNALLED: Final = """
id IN (SELECT lower(hex(CASE WHEN g.target = 1 THEN g.target_id
                             ELSE coalesce((SELECT turn_id FROM _retrieval r WHERE r.span_id = g.target_id),
                                           g.target_id) END))
         FROM _standing_signal g WHERE {0})"""
#: What can be told of a turn by its rows alone: name -> SQL term.
TURN_CONDITIONS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "disliked": _SIGNALLED.format(
            "g.kind IN ('thumbs_down', 'delete', 'abandon') OR g.kind = 'rating' AND g.value <= 1"
        ),
        "liked": _SIGNALLED.format("g.kind = 'thumbs_up' OR g.kind = 'rating' AND g.value >= 4"),
        "reformulated": _SIGNALLED.format("g.kind = 'reformulate'"),
        "unmatched citation": (
            "EXISTS (SELECT 1 FROM json_each(coalesce(citations, '[]')) e"
            " WHERE json_extract(e.value, '$.retrieval') IS NULL)"
        ),
        "error": "error IS NOT NULL",
        "no answer": "kind = 'turn' AND answer IS NULL",
    }
)
_LINES: Final = """
WITH line AS (
    SELECT lower(hex(t.span_id)) AS id, 'turn' AS kind,
           coalesce(t.query, (SELECT r.query FROM _retrieval r WHERE r.turn_id = t.span_id LIMIT 1), '')
               AS query,
           t.answer, t.start_ns, t.session_id, t.user_id, t.citations, t.error
      FROM _turn t
    UNION ALL
    SELECT lower(hex(span_id)), 'retrieval', query, NULL, start_ns, session_id, user_id, NULL, error
      FROM _retrieval WHERE turn_id IS NULL AND outer_id IS NULL
)
SELECT id, kind, substr(query, 1, 400), start_ns, session_id, user_id,
       coalesce(json_array_length(citations), 0), error
  FROM line
 WHERE start_ns < :before
   AND (:text = '' OR instr(lower(query), lower(:text)) OR instr(lower(coalesce(answer, '')), lower(:text)))
   AND (:session = '' OR session_id = :session)
   AND (:user = '' OR user_id = :user)
   AND (:ids IS NULL OR id IN (SELECT value FROM json_each(:ids)))
   AND {condition}
 ORDER BY start_ns DESC, id LIMIT :limit
"""


@dataclass(frozen=True)
class TurnSearch:
    """What to look for.

    Args:
        text: in the question or the answer, upper or lower case.
        session, user: exact ids; empty for any.
        condition: a name of :data:`TURN_CONDITIONS`; empty for none.
        ids: only these turns (or retrievals outside any); None for all.
        before_ns: begun before this time.
        limit: at most so many.
    """

    text: str = ""
    session: str = ""
    user: str = ""
    condition: str = ""
    ids: Iterable[str] | None = None
    before_ns: int = 2**63 - 1
    limit: int = 50


@dataclass(frozen=True, slots=True)
class TurnSummary:
    """A turn, or a retrieval outside any, in a list."""

    id: str
    kind: str
    query: str
    start_ns: int
    session_id: str | None
    user_id: str | None
    citations: int
    error: str | None


def search_turns(connection: sqlite3.Connection, search: TurnSearch) -> list[TurnSummary]:
    """Return the turns that meet every condition, the newest first."""
    rows = connection.execute(
        _LINES.format(condition=TURN_CONDITIONS.get(search.condition, "1")),
        {
            "before": search.before_ns,
            "text": search.text,
            "session": search.session,
            "user": search.user,
            "ids": None if search.ids is None else json.dumps(list(search.ids)),
            "limit": search.limit,
        },
    )
    return [TurnSummary(*row) for row in rows]
