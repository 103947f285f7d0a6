"""A copy of the database while apps go on writing."""

from __future__ import annotations

import os
import sqlite3
from dataclasses import dataclass
from pathlib import Path

from ragwheel.errors import StoreCorrupt, StoreError
from ragwheel.store.connect import explain, open_store

__all__ = ["BackupReport", "backup"]


@dataclass(frozen=True)
class BackupReport:
    """Where the copy is, its size, and how many retrievals it holds."""

    to: Path
    n_bytes: int
    retrievals: int


def backup(db: str | Path, to: str | Path, *, timeout_s: float = 30.0) -> BackupReport:
    """Copy the database, with the journal merged into it first, as of one moment.

    The copy is checked and synced before it gets its name; nothing is overwritten.

    Raises:
        StoreError: ``to`` exists or cannot be written, or the database cannot be used.
    """
    to = Path(to)
    if to.exists():
        raise StoreError(
            f"{to} exists already, a backup overwrites nothing. Name another: ragwheel backup FILE"
        )
    partial = to.with_name(to.name + ".partial")
    source = open_store(db, timeout_s=timeout_s)
    try:
        os.close(os.open(partial, os.O_CREAT | os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC, 0o600))
        retrievals = _copy(source, partial)
        _sync(partial)
        os.link(partial, to)  # unlike a rename, fails when somebody made it meanwhile
        _sync(to.parent)
    except (sqlite3.Error, OSError) as exc:
        raise explain(exc, to) from exc
    finally:
        source.close()
        partial.unlink(missing_ok=True)
    return BackupReport(to, to.stat().st_size, retrievals)


def _copy(source: sqlite3.Connection, to: Path) -> int:
    target = sqlite3.connect(to, isolation_level=None)
    try:
        source.backup(target)
        target.execute(
            "PRAGMA journal_mode = DELETE"
        )  # one file, whatever happens to it; WAL again when merged into
        found = [row[0] for row in target.execute("PRAGMA quick_check(3)")]
        if found != ["ok"]:
            raise StoreCorrupt(
                f"The database is damaged: {'; '.join(found)}. No backup was made; see more: ragwheel doctor"
            )
        (retrievals,) = target.execute("SELECT count(*) FROM _retrieval").fetchone()
    finally:
        target.close()
    return int(retrievals)


def _sync(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
