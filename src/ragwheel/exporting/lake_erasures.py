"""Applying the erasures of a lake: a store erases those people from its database before it is exported."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any, Final

from ragwheel.labels.traces.lake import Lake, read_json
from ragwheel.offline import erase
from ragwheel.store import open_store
from ragwheel.store.erase import Selection
from ragwheel.store.numbers import id_hash

__all__ = ["apply_erasures"]

_USERS: Final = (
    "SELECT user_id FROM _retrieval UNION SELECT user_id FROM _turn UNION SELECT subject FROM _signal"
    " UNION SELECT judge FROM _judgment"
)
_SESSIONS: Final = "SELECT session_id FROM _retrieval UNION SELECT session_id FROM _turn"


def apply_erasures(lake: Lake, db: Path, *, timeout_s: float = 30.0) -> int:
    """Apply a lake's erasures to a database and its datasets; return the number of rows removed.

    Records that are newer than the erasure are kept.

    Raises:
        StoreError: the database cannot be used.
        DatasetError: an erasure cannot be read.
    """
    names = lake.erasures()
    if not names:
        return 0
    with closing(open_store(db)) as connection:
        hashes = _hashes(connection, _USERS) | _hashes(connection, _SESSIONS)
    removed = 0
    for name in names:
        erasure: dict[str, Any] = read_json(lake.filesystem, lake.root, name)
        if not {erasure["user"], erasure["session"]} - {None} <= hashes:
            continue
        until_s = erasure["until_ns"] / 1e9
        selection = Selection(erasure["user"], erasure["session"], until_s, hashed=True)
        report = erase(db, selection, timeout_s=timeout_s).store
        removed += report.retrievals + report.turns + report.signals + report.judgments
    return removed


def _hashes(connection: sqlite3.Connection, sql: str) -> set[str | None]:
    return {id_hash(value) for (value,) in connection.execute(sql)}
