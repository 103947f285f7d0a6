"""A secret of each database: the key of chunk ids that are made from redacted texts.

Without a key, the id of a short text could be found by trying. The secret is a file in the journal's folder,
which a recording process reads without SQLite, and a row of the database, which a backup carries along.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from pathlib import Path
from typing import Final

from ragwheel.errors import StoreError
from ragwheel.ids import new_span_id
from ragwheel.journal.files import hand_over, ready_folder, segment_folder
from ragwheel.store.connect import connect

__all__ = ["database_secret", "keep_secret"]

SECRET_BYTES: Final = 32


def database_secret(db: Path) -> bytes:
    """The secret of a database, made when there is none.

    Raises:
        OSError: the journal's folder cannot be read or written.
    """
    path = _path(db)
    secret = _read(path)
    if secret is not None:
        return secret
    secret = _stored(db) or os.urandom(SECRET_BYTES)
    ready_folder(db)
    fresh = path.with_name(f"secret.{new_span_id().hex()}.new")
    fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        hand_over(fd, db)
        os.write(fd, secret)
        os.fsync(fd)
        with contextlib.suppress(FileExistsError):  # another process was first: its secret counts
            os.link(fresh, path)
    finally:
        os.close(fd)
        fresh.unlink()
    return _read(path) or secret


def keep_secret(connection: sqlite3.Connection, db: Path) -> None:
    """Store the secret of the journal's folder in a database that has none, in a transaction of its own."""
    secret = _read(_path(db))
    if secret is None or connection.execute("SELECT 1 FROM _secret").fetchone() is not None:
        return
    connection.execute("INSERT INTO _secret VALUES (?)", (secret,))


def _path(db: Path) -> Path:
    return segment_folder(db) / "secret"


def _read(path: Path) -> bytes | None:
    try:
        secret = path.read_bytes()
    except FileNotFoundError:
        return None
    return secret if len(secret) == SECRET_BYTES else None


def _stored(db: Path) -> bytes | None:
    try:
        connection = connect(db, write=False)
    except StoreError:
        return None
    try:
        row = connection.execute("SELECT value FROM _secret").fetchone()
    except sqlite3.Error:  # of an earlier ragwheel, or locked
        return None
    finally:
        connection.close()
    return None if row is None else bytes(row[0])
