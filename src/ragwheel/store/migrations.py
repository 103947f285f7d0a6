"""Numbered migrations: how a database of any earlier ragwheel becomes one of this.

Step *n* takes a database from ``user_version`` *n - 1* to *n*, in the transaction of the caller.
Steps are never edited once released; the views are made anew after the last one, for they hold no data.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable
from typing import Final

from ragwheel.store.numbers import chunk_number
from ragwheel.store.schema import (
    ACCOUNTS,
    ALIASES,
    APPLICATION_ID,
    ARTIFACTS,
    COMMENTS,
    EVALSETS,
    EVENTS,
    REASONING,
    TABLES,
    VIEWS,
)
from ragwheel.store.schema_reviews import REVIEWS
from ragwheel.store.transactions import transaction

__all__ = ["SCHEMA_VERSION", "migrate"]


_STORES: Final = """
CREATE TABLE _store (                      -- one row
    identity TEXT NOT NULL,                -- names this store's partitions in a lake of many
    pruned INTEGER NOT NULL DEFAULT 0      -- 1: rows were pruned, which stay in a lake
);
INSERT INTO _store (identity) SELECT lower(hex(randomblob(8)));
CREATE TABLE _export (                     -- the lakes that this store was exported to
    dest TEXT PRIMARY KEY,
    token TEXT,                            -- of the latest export that ended; the lake has it too
    pending TEXT                           -- of one that has begun
);
CREATE TABLE _erased (                     -- rows erased since the first export, by their keys in a lake
    name TEXT NOT NULL,                    -- the table
    day TEXT NOT NULL,
    key TEXT NOT NULL
);
"""

_NUMBERS: Final = """
ALTER TABLE _chunk ADD COLUMN number INTEGER;  -- `chunk_version` in views: the same in every store
CREATE INDEX _chunk_number ON _chunk (number);
"""


def _statements(script: str) -> list[str]:
    """The statements of a script (``executescript`` would commit the caller's transaction)."""
    found, rest = [], ""
    for line in script.splitlines():
        rest += line + "\n"
        if sqlite3.complete_statement(rest):
            found.append(rest)
            rest = ""
    return found


def _run(connection: sqlite3.Connection, script: str) -> None:
    for statement in _statements(script):
        connection.execute(statement)


def _first(connection: sqlite3.Connection) -> None:
    _run(connection, TABLES)
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")


def _second(connection: sqlite3.Connection) -> None:
    _run(connection, ARTIFACTS)


def _third(connection: sqlite3.Connection) -> None:
    _run(connection, EVALSETS)


def _fourth(connection: sqlite3.Connection) -> None:
    _run(connection, REASONING)


def _fifth(connection: sqlite3.Connection) -> None:
    _run(connection, COMMENTS)


def _sixth(connection: sqlite3.Connection) -> None:
    _run(connection, EVENTS)
    _run(connection, ACCOUNTS)


def _seventh(connection: sqlite3.Connection) -> None:
    _run(connection, ALIASES)


def _eighth(connection: sqlite3.Connection) -> None:
    _run(connection, REVIEWS)


def _ninth(connection: sqlite3.Connection) -> None:
    _run(connection, _STORES)
    _run(connection, _NUMBERS)
    rows = connection.execute(
        "SELECT s.name, c.app_id, t.hash, c.chunk_id"
        " FROM _chunk c JOIN _source s USING (source_id) JOIN _text t USING (text_id)"
    ).fetchall()
    numbers = ((chunk_number(source, app_id, digest), row) for source, app_id, digest, row in rows)
    connection.executemany("UPDATE _chunk SET number = ? WHERE chunk_id = ?", numbers)


STEPS: Final[tuple[Callable[[sqlite3.Connection], None], ...]] = (
    _first,
    _second,
    _third,
    _fourth,
    _fifth,
    _sixth,
    _seventh,
    _eighth,
    _ninth,
)
SCHEMA_VERSION: Final = len(STEPS)


def migrate(connection: sqlite3.Connection) -> bool:
    """Bring the database up to :data:`SCHEMA_VERSION`; True when there was something to do.

    The caller holds the merge lock. All steps run in one transaction: killed in the middle, the
    database is as it was.
    """
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version >= SCHEMA_VERSION:
        return False
    with transaction(connection):
        for step in STEPS[version:]:
            step(connection)
        for name in re.findall(r"CREATE VIEW (\w+)", VIEWS):
            connection.execute(f"DROP VIEW IF EXISTS {name}")
        _run(connection, VIEWS)
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    return True
