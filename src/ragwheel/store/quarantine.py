"""What becomes of a database that is damaged while an app runs: moved aside whole, never overwritten."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from pathlib import Path

from ragwheel.errors import StoreCorrupt, StoreForeign
from ragwheel.store import raw
from ragwheel.store.connect import SQLITE_HEADER, is_damage
from ragwheel.store.schema import APPLICATION_ID

__all__ = ["is_confirmed_damage", "move_aside"]

BESIDE = ("", "-wal", "-shm", "-journal")


def is_confirmed_damage(exc: BaseException, db: Path, *, ours: tuple[int, int] | None) -> bool:
    """Whether ``exc`` says that ``db`` is damaged, the file is one of ragwheel's, and a second look agrees.

    Args:
        exc: what using the database raised.
        db: the database.
        ours: device and inode of the file that was last merged into, when one was. A file with another
            header than SQLite's is taken for a damaged database of ours only if it is that very file.
    """
    if not isinstance(exc, (StoreCorrupt, StoreForeign)) and not is_damage(exc):
        return False
    try:
        head, found = raw.head(db, 100)
    except OSError:
        return False
    same_file = ours == found
    if not head.startswith(SQLITE_HEADER):
        return same_file and len(head) > 0
    application = int.from_bytes(head[68:72], "big")
    if application != APPLICATION_ID and not same_file:
        return False
    return _damaged(db)


def _damaged(db: Path) -> bool:
    """Ask SQLite again, on a connection of its own."""
    connection = sqlite3.connect(f"{db.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None)
    try:
        return [row[0] for row in connection.execute("PRAGMA quick_check(1)")] != ["ok"]
    except sqlite3.DatabaseError as exc:
        return is_damage(exc)
    finally:
        connection.close()


def move_aside(db: Path) -> Path:
    """Rename the database and what belongs to it to ``<db>.corrupt-<time>``; nothing is overwritten."""
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    to, n = db.with_name(f"{db.name}.corrupt-{stamp}"), 1
    while to.exists():
        n += 1
        to = db.with_name(f"{db.name}.corrupt-{stamp}-{n}")
    for suffix in BESIDE[1:]:
        with contextlib.suppress(FileNotFoundError):
            Path(f"{db}{suffix}").rename(f"{to}{suffix}")
    db.rename(to)
    return to
