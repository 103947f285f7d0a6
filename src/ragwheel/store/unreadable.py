"""Retrievals of whose results nothing could be read: how many, of which source and why."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from ragwheel.semconv import UNREADABLE_FLAG

__all__ = ["UnreadableRetrievals", "not_counted", "unreadable_retrievals"]

_COUNTS: Final = """
SELECT r.source, substr(flag.value, ?) AS reason, count(*),
       (SELECT count(*) FROM retrievals AS every WHERE every.source = r.source)
  FROM retrievals AS r, json_each(r.flags) AS flag
 WHERE instr(r.flags, ?) AND substr(flag.value, 1, ?) = ?
 GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2
"""


@dataclass(frozen=True, slots=True)
class UnreadableRetrievals:
    """Retrievals of one source that could not be read for one reason, of ``total`` of that source."""

    source: str
    reason: str
    retrievals: int
    total: int


def unreadable_retrievals(connection: sqlite3.Connection) -> list[UnreadableRetrievals]:
    """Return the counts by source and reason, the largest first."""
    length = len(UNREADABLE_FLAG)
    values = (length + 1, UNREADABLE_FLAG, length, UNREADABLE_FLAG)
    return [UnreadableRetrievals(*row) for row in connection.execute(_COUNTS, values)]


def not_counted(unreadable: Sequence[UnreadableRetrievals]) -> str:
    """Return a sentence that says what they cost and what to do; empty without any."""
    if not unreadable:
        return ""
    named = ", ".join(
        f"{each.retrievals:,} of {each.total:,} of {each.source} ({each.reason})" for each in unreadable
    )
    return (
        f"The results of these retrievals could not be read, so that they make no rows: {named}. See what is "
        'read: ragwheel probe MODULE:FUNCTION "a question"; then say how to read it with adapter= or '
        "ragwheel.reads()."
    )
