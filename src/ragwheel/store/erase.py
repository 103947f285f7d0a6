"""Taking things out of the store for good: erasing what somebody asks to have erased, pruning what is old.

The journal is merged and emptied first, and every page that held something is overwritten, so that
afterwards the bytes are in none of the files.
"""

from __future__ import annotations

import contextlib
import re
import sqlite3
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import asdict, astuple, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Final

from ragwheel.errors import StoreError, StoreLocked
from ragwheel.journal import files
from ragwheel.store import erase_metadata, erase_proof, erase_rows
from ragwheel.store.connect import check_file, connect
from ragwheel.store.erase_lakes import ErasedKeys, mark_pruned
from ragwheel.store.erase_rows import ErasedContent, Removed, Selection
from ragwheel.store.exclusive import exclusive
from ragwheel.store.merge import Merger
from ragwheel.store.numbers import id_hash
from ragwheel.store.pending import forget_pending
from ragwheel.store.review_order import forget_order
from ragwheel.store.transactions import transaction

__all__ = [
    "DerivedDataHook",
    "EraseReport",
    "ErasedContent",
    "Selection",
    "erase",
    "erase_selected",
    "prune",
    "prune_days",
]

DAY_NS: Final = 24 * 3600 * 10**9

DerivedDataHook = Callable[[sqlite3.Connection, ErasedContent, list[bytes]], None]
"""Reaches what was made from the rows, in the transaction that removes them: an exception undoes it.

Called with what goes and with byte strings that must be found nowhere afterwards.
"""


@dataclass(frozen=True)
class EraseReport(Removed):
    """Rows that were removed, and ``still_in``: files in which some of it was found nevertheless.

    These are files that ragwheel does not write to, such as a damaged database that was moved aside.
    ``looked_for`` is how many texts and ids were looked for in the raw bytes of every file. ``echoes`` are
    chunks that stay, as ``source/id (where)``, because others were shown them, and in whose metadata or text
    an erased text stands.
    """

    still_in: tuple[Path, ...] = ()
    looked_for: int = 0
    echoes: tuple[str, ...] = ()

    def __add__(self, other: EraseReport) -> EraseReport:
        """Both counts together."""
        return EraseReport(*(mine + its for mine, its in zip(astuple(self), astuple(other), strict=True)))


def erase(
    db: str | Path,
    *,
    user: str | None = None,
    session: str | None = None,
    older_than: datetime | float | None = None,
    query_matching: str | None = None,
    timeout_s: float = 30.0,
) -> EraseReport:
    """Remove from the store and its journal what meets all the given conditions (see :class:`Selection`).

    :func:`ragwheel.offline.erase` also reaches the datasets that were built.

    Raises:
        StoreError: no condition was given, the expression is none, or the database cannot be used.
    """
    return erase_selected(db, Selection(user, session, older_than, query_matching), timeout_s=timeout_s)


def erase_selected(
    db: str | Path,
    selection: Selection,
    *,
    dry_run: bool = False,
    reach: DerivedDataHook | None = None,
    timeout_s: float = 30.0,
) -> EraseReport:
    """Remove what is selected, and reach what was made from it.

    Args:
        db: the database.
        selection: what to erase.
        dry_run: count, and leave everything as it is.
        reach: called before the removal is committed; with ``dry_run`` too.
        timeout_s: how long to wait for another process that merges or writes.

    Raises:
        StoreError: the database cannot be used.
    """
    path = files.resolved(db)
    with _opened(path, timeout_s, dry_run=dry_run, traces_too=not dry_run) as connection:
        with _erasing(connection, dry_run=dry_run):
            erase_rows.select(connection, selection.conditions())
            gone = erase_rows.collect(connection) if reach else ErasedContent()
            keys = ErasedKeys(connection)
            removed = erase_rows.remove(connection)
            keys.store()
            texts = erase_proof.sample(connection)
            wanted = erase_proof.needles(connection, texts, filter(None, (selection.user, selection.session)))
            echoes = erase_metadata.echoes(connection, texts)
            if reach is not None:
                reach(connection, replace(gone, gone_texts=erase_rows.gone_texts(connection)), wanted)
        if dry_run:
            return EraseReport(**asdict(removed), echoes=echoes)
        _overwrite(connection)
    still_in = erase_proof.found_in(erase_proof.files_of(path), wanted)
    return EraseReport(**asdict(removed), still_in=still_in, looked_for=len(wanted), echoes=echoes)


def prune(
    db: str | Path,
    *,
    max_age_days: float | None = None,
    max_bytes: int | None = None,
    dry_run: bool = False,
    timeout_s: float = 30.0,
) -> EraseReport:
    """Remove the oldest turns, retrievals and signals until the database is young and small enough.

    Judgments do not grow old and stay. With ``dry_run`` nothing is removed; for ``max_bytes`` the counts are
    an estimate then, for how much smaller the file gets is known only afterwards.

    Raises:
        StoreError: neither bound was given or one is negative, or the database cannot be used.
    """
    if max_age_days is None and max_bytes is None:
        raise StoreError(
            "Nothing to prune by. Give a bound: ragwheel prune --older-than 90d or --max-size 2GB"
        )
    if (max_age_days or 0) < 0 or (max_bytes or 0) < 0:
        raise StoreError(
            f"prune: got max_age_days={max_age_days}, max_bytes={max_bytes}, expected no negative number. "
            f"Next: ragwheel prune --older-than 90d"
        )
    path, total = files.resolved(db), EraseReport()
    oldest_ns = None if max_age_days is None else time.time_ns() - int(max_age_days * DAY_NS)
    with _opened(path, timeout_s, dry_run=dry_run) as connection:
        if dry_run:
            by_size = _cutoff(connection, path, max_bytes)
            cutoffs = [cutoff for cutoff in (oldest_ns, by_size) if cutoff is not None]
            return _prune_before(connection, max(cutoffs), dry_run=True) if cutoffs else total
        if oldest_ns is not None:
            total += _prune_before(connection, oldest_ns)
        _overwrite(connection)
        while (cutoff := _cutoff(connection, path, max_bytes)) is not None:
            total += _prune_before(connection, cutoff)
            _overwrite(connection)
    return total


@contextlib.contextmanager
def _opened(
    db: Path, timeout_s: float, *, dry_run: bool, traces_too: bool = False
) -> Iterator[sqlite3.Connection]:
    """The database with the journal merged into it and emptied, for as long as nobody else may write."""
    check_file(db, may_be_new=bool(files.segments(db)))
    with exclusive(db, timeout_s=timeout_s):
        Merger(db, busy_s=timeout_s).merge(drain=not dry_run)
        if not dry_run:
            for path in files.set_aside(db):  # nothing can be taken out of what cannot be read
                path.unlink()
            forget_order(db)
            if traces_too:
                forget_pending(db)
        with contextlib.closing(connect(db, write=True, timeout_s=timeout_s)) as connection:
            connection.create_function("REGEXP", 2, _matches, deterministic=True)
            connection.create_function("id_hash", 1, id_hash, deterministic=True)
            connection.execute("PRAGMA secure_delete = ON")
            connection.execute("PRAGMA temp_store = FILE")
            yield connection


def _matches(pattern: str, text: str | None) -> bool:
    return text is not None and re.search(pattern, text) is not None


@contextlib.contextmanager
def _erasing(connection: sqlite3.Connection, *, dry_run: bool = False) -> Iterator[None]:
    with transaction(connection, commit=not dry_run):
        yield
        connection.execute("DELETE FROM _merge")  # row ids that mergers remember hold no longer


def _prune_before(connection: sqlite3.Connection, cutoff_ns: int, *, dry_run: bool = False) -> EraseReport:
    with _erasing(connection, dry_run=dry_run):
        erase_rows.select(connection, [("start_ns < ?", cutoff_ns)])
        connection.execute("DELETE FROM gone_judgment")  # a judgment does not grow old
        mark_pruned(connection)
        return EraseReport(**asdict(erase_rows.remove(connection)))


def prune_days(
    db: str | Path,
    ready: Callable[[sqlite3.Connection], Collection[str]],
    *,
    dry_run: bool = False,
    timeout_s: float = 30.0,
) -> EraseReport:
    """Remove the turns, retrievals and signals of whole days (UTC), and nothing of other days.

    Args:
        db: the database.
        ready: given the database, with the journal merged into it, returns the days to remove
            (``2026-11-22``); nothing is added to the database until they are gone.
        dry_run: count, and leave everything as it is.
        timeout_s: how long to wait for another process that merges or writes.

    Raises:
        StoreError: the database cannot be used.
    """
    path = files.resolved(db)
    with _opened(path, timeout_s, dry_run=dry_run) as connection:
        days = [_first_ns(day) // DAY_NS for day in ready(connection)]
        if not days:
            return EraseReport()
        with _erasing(connection, dry_run=dry_run):
            erase_rows.select_days(connection, days)
            mark_pruned(connection)
            removed = EraseReport(**asdict(erase_rows.remove(connection, links=False)))
        if not dry_run:
            _overwrite(connection)
    return removed


def _first_ns(day: str) -> int:
    return int(datetime.fromisoformat(f"{day}T00:00:00+00:00").timestamp()) * 10**9


def _cutoff(connection: sqlite3.Connection, path: Path, max_bytes: int | None) -> int | None:
    """The time before which retrievals have to go for the file to fit; None when it does, or none is left."""
    size = path.stat().st_size
    (n,) = connection.execute("SELECT count(*) FROM _retrieval").fetchone()
    if max_bytes is None or size <= max_bytes or not n:
        return None
    share = min(1.0, 1.05 - max_bytes / size)
    skip = min(n - 1, int(n * share))
    sql = "SELECT start_ns FROM _retrieval ORDER BY start_ns LIMIT 1 OFFSET ?"
    return int(connection.execute(sql, (skip,)).fetchone()[0]) + 1


def _overwrite(connection: sqlite3.Connection) -> None:
    """Rewrite the file without its free pages and empty the write-ahead log."""
    connection.execute("VACUUM")
    busy, _, _ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    if busy:
        raise StoreLocked(
            "The rows are gone, but somebody is reading the database, and its write-ahead log still has "
            "them. Close the reader and run the same command again."
        )
