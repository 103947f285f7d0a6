"""Signals by what they are about: the rows of the views ``signals`` and ``unmatched_signals``, found by key.

The views work out of every signal what it is about before a condition on that can be applied, which at a
million signals is minutes. Here the index on the target finds the few signals first.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

__all__ = ["count_signals", "signals_about", "targets_of"]

_BATCH: Final = 500
_COLUMNS: Final = (
    "kind", "retrieval_id", "rank", "chunk_id", "value", "query", "other", "subject", "reason", "comment",
    "signal_reason", "retracted", "bot", "at_ns",
)  # fmt: skip

#: The columns of the views, those of the one or of the other by whether the signal is matched.
_ABOUT: Final = """
SELECT g.kind,
       nullif(lower(hex(CASE WHEN g.state IN ('matched', 'retracted') AND r.id IS NOT NULL THEN r.span_id
                             WHEN g.target = 0 THEN g.target_id END)), '') AS retrieval_id,
       coalesce(g.matched_rank, g.rank) AS rank,
       coalesce(c.app_id, g.chunk) AS chunk_id,
       g.value, g.query, g.other,
       CASE WHEN g.state IN ('matched', 'retracted')
            THEN coalesce(g.subject, r.user_id,
                          (SELECT user_id FROM _turn u WHERE g.target = 1 AND u.span_id = g.target_id),
                          (SELECT user_id FROM _retrieval o WHERE g.target = 0 AND o.span_id = g.target_id))
            ELSE g.subject END AS subject,
       CASE WHEN g.state NOT IN ('matched', 'retracted') THEN g.state END AS reason,
       g.comment, g.reason, g.state = 'retracted', instr(coalesce(g.flags, ''), '"bot"') > 0, g.at_ns, g.id
  FROM _signal_state g
  LEFT JOIN _retrieval r ON r.id = g.retrieval LEFT JOIN _chunk c ON c.chunk_id = g.chunk_row
 WHERE g.target_id IN ({marks}) AND g.state <> 'retraction'
"""
_COUNTED: Final = """
WITH asked (id) AS (VALUES {marks}),
     place (id, target_id) AS (
         SELECT id, id FROM asked
         UNION SELECT a.id, r.span_id FROM asked a JOIN _retrieval r ON r.turn_id = a.id
     )
SELECT lower(hex(p.id)), count(*)
  FROM place p CROSS JOIN _signal_state g ON g.target_id = p.target_id
 WHERE g.state = 'matched' GROUP BY p.id
"""
_TARGETS: Final = """
SELECT nullif(lower(hex(CASE WHEN r.id IS NOT NULL THEN r.span_id
                             WHEN g.target = 0 THEN g.target_id END)), ''),
       nullif(lower(hex(coalesce(CASE g.target WHEN 1 THEN g.target_id END, r.turn_id,
              (SELECT turn_id FROM _retrieval o WHERE g.target = 0 AND o.span_id = g.target_id)))), '')
  FROM _signal_state g LEFT JOIN _retrieval r ON r.id = g.retrieval
 WHERE g.span_id BETWEEN ? AND ? AND g.state = 'matched'
"""


def signals_about(connection: sqlite3.Connection, ids: Sequence[str]) -> list[dict[str, Any]]:
    """Every signal whose target is one of these retrievals or turns, in the order of their times.

    Keys: kind, retrieval_id, rank, chunk_id, value, query, other, subject, at_ns, comment, ``signal_reason``,
    ``retracted``: whether the person took it back, ``bot``: whether a known robot sent it, and ``reason``:
    why it is unmatched, None for a matched one. Retractions that took something back are no rows of their
    own.
    """
    found: list[tuple[Any, ...]] = []
    for keys in _batches(ids):
        found += map(tuple, connection.execute(_ABOUT.format(marks=", ".join("?" * len(keys))), keys))
    found.sort(key=lambda row: (row[-2], row[0], row[-1]))
    return [dict(zip(_COLUMNS, row)) for row in found]


def count_signals(connection: sqlite3.Connection, ids: Sequence[str]) -> Counter[str]:
    """How many matched signals each of these turns, and retrievals outside any, has."""
    found = Counter[str]()
    for keys in _batches(ids):
        rows = connection.execute(_COUNTED.format(marks=", ".join(["(?)"] * len(keys))), keys)
        found.update({row[0]: row[1] for row in rows})
    return found


def targets_of(connection: sqlite3.Connection, prefix: str) -> list[tuple[str | None, str | None]]:
    """Retrieval and turn of every matched signal whose id begins so; up to 16 hexadecimal digits."""
    ends = [bytes.fromhex(prefix.ljust(16, digit)) for digit in "0f"]
    return [(row[0], row[1]) for row in connection.execute(_TARGETS, ends)]


def _batches(ids: Iterable[str]) -> Iterator[list[bytes]]:
    keys = [bytes.fromhex(id) for id in ids]
    return (keys[start : start + _BATCH] for start in range(0, len(keys), _BATCH))
