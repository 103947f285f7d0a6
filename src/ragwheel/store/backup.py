"""A copy of the database while apps go on writing."""

from __future__ import annotations

import os
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ragwheel.errors import StoreCorrupt, StoreError
from ragwheel.files import sync
from ragwheel.journal import files
from ragwheel.store.connect import explain
from ragwheel.store.opening import open_store
from ragwheel.typing import CountProgress

__all__ = ["BackupReport", "backup"]

PAGES: Final = 4096
"""Copied between two calls of ``progress``."""


@dataclass(frozen=True)
class BackupReport:
    """Where the copy is, its size, and how many retrievals it holds."""

    to: Path
    n_bytes: int
    retrievals: int


def backup(
    db: str | Path, to: str | Path, *, timeout_s: float = 30.0, progress: CountProgress | None = None
) -> BackupReport:
    """Copy the database, with the journal merged into it first, as of one moment.

    The copy is checked (SQLite's ``integrity_check``) and synced before it gets its name, is readable by
    its owner only, and overwrites nothing.

    Args:
        db: the database; apps may go on writing.
        to: the copy, a new file.
        timeout_s: how long to wait for another process that merges or writes.
        progress: called with the pages copied so far and all of them; what it raises ends the copy.

    Raises:
        StoreError: ``to`` exists or cannot be written, or the database cannot be used.
        StoreCorrupt: the copy shows damage, so the database has it.
    """
    to = Path(to)
    if to.exists() or to.is_symlink():
        raise StoreError(
            f"{to} exists already, a backup overwrites nothing. Name another: ragwheel backup FILE"
        )
    partial = to.absolute().with_name(f".{to.name}.{os.getpid()}.partial")
    source = open_store(db, timeout_s=timeout_s)
    link: Path | None = None
    fd = -1
    try:
        os.close(os.open(partial, os.O_CREAT | os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC, 0o600))
        fd = files.hold(partial)
        link = _registered(Path(db), partial)
        retrievals = _copy(source, partial, progress)
        sync(partial)
        os.link(partial, to)  # unlike a rename, fails when somebody made it meanwhile
        sync(to.parent)
    except (sqlite3.Error, OSError) as exc:
        raise explain(exc, to) from exc
    finally:
        source.close()
        partial.unlink(missing_ok=True)
        if link is not None:
            link.unlink(missing_ok=True)
        if fd >= 0:
            files.release_segment(fd)
    return BackupReport(to, to.stat().st_size, retrievals)


def _registered(db: Path, partial: Path) -> Path | None:
    """The note that leads a later merge to what is left of this backup if it is killed; None: no note."""
    try:
        return files.register_partial(db, partial)
    except OSError:  # a database on a medium that cannot be written to: backups of that are possible, too
        return None


def _copy(source: sqlite3.Connection, to: Path, progress: CountProgress | None) -> int:
    target = sqlite3.connect(to, isolation_level=None)
    try:
        source.execute("BEGIN")  # one moment, however long the copy takes
        source.execute("SELECT count(*) FROM sqlite_master").fetchone()
        tell = None if progress is None else lambda _, left, total: progress(total - left, total)
        source.backup(target, pages=PAGES, progress=tell)
        source.execute("COMMIT")
        target.execute(
            "PRAGMA journal_mode = DELETE"
        )  # one file, whatever happens to it; WAL again when merged into
        found = [row[0] for row in target.execute("PRAGMA integrity_check(3)")]
        if found != ["ok"]:
            raise StoreCorrupt(
                f"The database is damaged: {'; '.join(found)}. No backup was made; see more: ragwheel doctor"
            )
        (retrievals,) = target.execute("SELECT count(*) FROM _retrieval").fetchone()
    finally:
        target.close()
    return int(retrievals)
