"""Shipping a store to a lake at intervals, as a sidecar of a server whose disk may be lost."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from ragwheel.errors import DatasetError, RagwheelError, StoreEmpty, StoreError, StoreMissing
from ragwheel.exporting import ParquetExport, export_parquet
from ragwheel.exporting.parts import date_of
from ragwheel.labels.traces.lake import located, open_lake
from ragwheel.labels.traces.read_keys import partitions
from ragwheel.store import open_store
from ragwheel.store.erase import EraseReport, prune_days
from ragwheel.store.identity import destinations, identity_of

__all__ = ["Shipment", "prune_shipped", "ship", "ship_once"]

_AGED: tuple[str, ...] = ("retrieval", "turn", "signal")


@dataclass(frozen=True)
class Shipment:
    """One attempt to ship.

    Attributes:
        export: what was exported; None: nothing could be.
        pruned: what was removed from the database because it is safely in the lake; None: nothing was to be.
        failure: why nothing could be exported, or pruned. The next attempt tries again.
    """

    export: ParquetExport | None
    pruned: EraseReport | None = None
    failure: str | None = None


def ship(
    db: str | Path,
    dest: str | Path,
    *,
    every_s: float = 60.0,
    keep_days: float | None = None,
    stop: threading.Event | None = None,
    on_shipment: Callable[[Shipment], None] | None = None,
) -> int:
    """Export a store to a lake at intervals until ``stop`` is set, and then once more.

    The work of a killed shipper is continued by the next one for the same database. While the lake cannot be
    reached or written, nothing is removed from the database.

    Args:
        db: the database; it may not be there yet.
        dest: the lake: a folder, or a URL of a filesystem that fsspec knows.
        every_s: seconds between the starts of two exports.
        keep_days: after an export, remove days (UTC) from the database that are older than this and
            completely in the lake.
        stop: an event that ends shipping; None: it never ends.
        on_shipment: called after every attempt.

    Returns:
        The number of successful attempts.

    Raises:
        StoreError: ``every_s`` is not positive.
        ConfigurationError: the URL cannot be reached at all.
    """
    if every_s <= 0:
        raise StoreError(
            f"every_s: got {every_s:g}, expected seconds above 0. Next: ragwheel ship URL --every 60s"
        )
    located(dest)
    stop = stop or threading.Event()
    succeeded, ending = 0, False
    while True:
        begun = time.monotonic()
        shipment = ship_once(db, dest, keep_days=keep_days)
        succeeded += shipment.failure is None
        if on_shipment is not None:
            on_shipment(shipment)
        if ending:
            return succeeded
        ending = stop.wait(max(0.0, every_s - (time.monotonic() - begun)))


def ship_once(db: str | Path, dest: str | Path, *, keep_days: float | None = None) -> Shipment:
    """Export a store to a lake once, as :func:`ship` does at every interval."""
    export = None
    try:
        export = export_parquet(db, dest)
        pruned = None if keep_days is None else prune_shipped(db, max_age_days=keep_days)
    except (StoreMissing, StoreEmpty) as exc:
        return Shipment(None, None, f"nothing to ship yet: {exc}")
    except (RagwheelError, sqlite3.Error, OSError) as exc:
        return Shipment(export, None, str(exc))
    return Shipment(export, pruned)


def prune_shipped(
    db: str | Path, *, max_age_days: float, dry_run: bool = False, timeout_s: float = 30.0
) -> EraseReport:
    """Remove whole days (UTC) that are older and of which every row is in each lake the store is exported to.

    Judgments stay. A day to which a row was added since the last export stays until it is shipped.

    Raises:
        StoreError: the age is negative, the database was never exported, or cannot be used.
        DatasetError: a lake cannot be read: nothing was removed.
    """
    if max_age_days < 0:
        raise StoreError(f"prune: got an age of {max_age_days:g} days, expected 0 or more.")
    with closing(open_store(db)) as connection:
        lakes = destinations(connection)
        identity = identity_of(connection)
    if not lakes:
        raise StoreError(
            f"{db} was never exported to a lake, so nothing in it is safe to drop. Next: ragwheel ship URL "
            f"--db {db}, or prune without --shipped"
        )
    shipped = [_digests(dest, identity, tokens) for dest, tokens in lakes.items()]
    last_day = date_of(int((time.time() - max_age_days * 86_400) // 86_400))

    def ready(connection: sqlite3.Connection) -> list[str]:
        days: dict[str, bool] = {}
        for name in _AGED:
            for day, part in partitions(connection, name).items():
                safe = all(digests.get((name, day)) == part.digest_name for digests in shipped)
                days[day] = days.get(day, True) and safe
        return sorted(day for day, safe in days.items() if safe and day < last_day)

    return prune_days(db, ready, dry_run=dry_run, timeout_s=timeout_s)


def _digests(dest: str, identity: str, tokens: set[str]) -> dict[tuple[str, str], str]:
    """Return the digest of each table and day that the lake has of the store."""
    lake = open_lake(*located(dest))
    manifest = lake.stores.get(identity)
    if manifest is None or manifest["token"] not in tokens:
        raise DatasetError(
            f"{dest} does not have what this database exported last, so nothing was pruned. "
            f"Next: ragwheel export traces --out {dest}"
        )
    digests = {}
    for name in _AGED:
        for day, part in manifest["tables"][name].items():
            if lake.current(part["file"]) in lake.files:
                digests[name, day] = str(part["digest"])
    return digests
