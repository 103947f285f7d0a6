"""Numbered migrations: how a database of any earlier ragwheel becomes one of this.

Step *n* takes a database from ``user_version`` *n - 1* to *n*, in the transaction of the caller.
Steps are never edited once released; the views are made anew after the last one, for they hold no data.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable
from typing import Final

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


STEPS: Final[tuple[Callable[[sqlite3.Connection], None], ...]] = (
    _first,
    _second,
    _third,
    _fourth,
    _fifth,
    _sixth,
    _seventh,
    _eighth,
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
