"""Which store a database is: the name of its partitions in a lake that many stores are exported to.

The identity is made with the database and is carried along by backups. A copy that is used beside its
original would write to the same partitions, so every export leaves a random token both in the database and in
the lake: a database that does not have the lake's latest token is a copy, or an older backup, and becomes a
store of its own. The rows that both have are one in the union, for their span ids are the same.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ragwheel.errors import StoreLocked
from ragwheel.journal import files
from ragwheel.store.connect import connect
from ragwheel.store.exclusive import exclusive
from ragwheel.store.transactions import transaction

__all__ = ["Claim", "claim", "destinations", "exporting", "identity_of", "register_export", "was_pruned"]


@dataclass(frozen=True)
class Claim:
    """The right to export: under which identity, and the token that the export leaves behind.

    ``separated_from`` is the identity that the database had until now, where the lake has a later export of
    another database with it; None otherwise.
    """

    identity: str
    token: str
    separated_from: str | None = None


def identity_of(connection: sqlite3.Connection) -> str:
    """Return the identity of an open database."""
    return str(connection.execute("SELECT identity FROM _store").fetchone()[0])


def was_pruned(connection: sqlite3.Connection) -> bool:
    """Return whether rows were pruned from the database, which may still be in lakes."""
    return bool(connection.execute("SELECT pruned FROM _store").fetchone()[0])


@contextlib.contextmanager
def exporting(db: Path, *, timeout_s: float) -> Iterator[None]:
    """Hold the right to export a database: one export at a time.

    Raises:
        StoreLocked: another process has been exporting for ``timeout_s``.
    """
    with files.export_lock(files.resolved(db), timeout_s=timeout_s) as ours:
        if not ours:
            raise StoreLocked(
                f"Another process has been exporting {db} for more than {timeout_s:g} s; one export of a "
                f"database runs at a time. See which: fuser {files.segment_folder(db)}/export.lock"
            )
        yield


def claim(db: Path, dest: str, latest: str | None, *, timeout_s: float) -> Claim:
    """Begin an export: decide under which identity, and remember its token.

    Args:
        db: the database.
        dest: the lake, as its owner names it.
        latest: the token that the lake has for this database's identity; None: the lake has no such store.
        timeout_s: how long to wait for another process that merges or writes.

    Raises:
        StoreError: the database cannot be written.
    """
    token = os.urandom(8).hex()
    with _writing(db, timeout_s) as connection:
        identity = previous = identity_of(connection)
        row = connection.execute("SELECT token, pending FROM _export WHERE dest = ?", (dest,)).fetchone()
        own = set(row or ()) - {None}
        if latest is not None and latest not in own:
            identity = os.urandom(8).hex()
            connection.execute("UPDATE _store SET identity = ?", (identity,))
            connection.execute("DELETE FROM _export")
            own = set()
        connection.execute(
            "INSERT INTO _export VALUES (?, ?, ?)"
            " ON CONFLICT (dest) DO UPDATE SET token = excluded.token, pending = excluded.pending",
            (dest, latest if latest in own else None, token),
        )
    return Claim(identity, token, previous if identity != previous else None)


def register_export(db: Path, dest: str, token: str, *, timeout_s: float) -> None:
    """End an export: what the lake has now is that of this token."""
    with _writing(db, timeout_s) as connection:
        connection.execute("UPDATE _export SET token = ?, pending = NULL WHERE dest = ?", (token, dest))


def destinations(connection: sqlite3.Connection) -> dict[str, set[str]]:
    """Return the lakes that the store was exported to, each with the tokens that are its own there."""
    rows = connection.execute("SELECT dest, token, pending FROM _export").fetchall()
    return {dest: {token for token in tokens if token is not None} for dest, *tokens in rows}


@contextlib.contextmanager
def _writing(db: Path, timeout_s: float) -> Iterator[sqlite3.Connection]:
    path = files.resolved(db)
    with (
        exclusive(path, timeout_s=timeout_s),
        contextlib.closing(connect(path, write=True, timeout_s=timeout_s)) as connection,
        transaction(connection),
    ):
        yield connection
