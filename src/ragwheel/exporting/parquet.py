"""Export of a store's traces as Parquet partitions into a lake of many stores, for Spark, DuckDB and pandas.

Partitions that have not changed since the last export to the same lake are kept (see
:mod:`ragwheel.labels.traces.read_keys`). A file is named by its content and written atomically. It becomes
part of the lake when the store's manifest, which is written last, names it. Files of other stores are not
touched.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

import pyarrow as pa

from ragwheel._version import __version__
from ragwheel.errors import DatasetError
from ragwheel.exporting.lake_erasures import apply_erasures
from ragwheel.exporting.lake_folder import LakeFolder, lake_errors
from ragwheel.exporting.lake_upgrade import upgrade
from ragwheel.exporting.parts import KEYS, Part, write_days
from ragwheel.labels.traces.columns import SCHEMAS, WHOLE
from ragwheel.labels.traces.lake import FORMAT, STORES, Lake, is_local, located, open_lake, read_json
from ragwheel.labels.traces.read import one_state
from ragwheel.labels.traces.read_keys import Partition, partitions
from ragwheel.labels.traces.read_parquet import ParquetRows
from ragwheel.labels.traces.read_whole import read_whole
from ragwheel.labels.traces.row_ids import ChunkNumbers
from ragwheel.labels.traces.struck import struck_rows, struck_to_json
from ragwheel.store import open_store
from ragwheel.store.identity import Claim, claim, exporting, identity_of, register_export, was_pruned
from ragwheel.store.numbers import judgment_number
from ragwheel.store.reviews import review_rows
from ragwheel.typing import Progress

__all__ = ["ParquetExport", "export_parquet", "lake_name"]

Announce = Callable[[list[str]], None]


@dataclass(frozen=True)
class ParquetExport:
    """The result of an export to a lake.

    ``store`` is the identity of the store in the lake. ``rows`` counts the rows of each table that the store
    now has there. ``written`` counts the partitions (table and day) that were new or changed, ``kept`` those
    that were not, and ``removed`` the files of this store that were obsolete. ``separated_from`` is the
    former identity of the database, if another database with that identity had exported in the meantime.
    ``erased`` counts rows that were erased from the database because of erasures in the lake.
    """

    dest: str
    rows: Mapping[str, int]
    written: int
    kept: int
    removed: int
    elapsed_s: float
    store: str = ""
    separated_from: str | None = None
    erased: int = 0


def export_parquet(
    db: str | Path,
    dest: str | Path,
    *,
    progress: Progress | None = None,
    announce: Announce | None = None,
    timeout_s: float = 30.0,
) -> ParquetExport:
    """Write the traces of a store into its part of a lake, or bring an earlier export up to date.

    The tables ``retrieval``, ``turn``, ``signal``, ``chunk`` (with texts) and ``judgment`` have typed
    columns: times are int64 nanoseconds, rankings are lists of structs. Rows that were erased from the store
    are removed from its part of the lake; rows that were pruned stay there. If the export is interrupted, the
    previous export stays valid.

    Args:
        db: the database.
        dest: a folder, or a URL of a filesystem that fsspec knows; it may hold other stores, too.
        progress: called with a table's name, the number of changed rows written so far, and their total.
        announce: called with the files of this store that are about to be removed.
        timeout_s: seconds to wait for another export of this database, or a merge.

    Raises:
        StoreError: the database cannot be read.
        DatasetError: ``dest`` has other files or an unreadable export in it, or the export failed and the
            previous one stays valid.
        ConfigurationError: the URL cannot be reached.
    """
    begun, db = time.monotonic(), Path(db)
    filesystem, root = located(dest)
    with lake_errors(root):
        lake = open_lake(filesystem, root)
        folder = LakeFolder(filesystem, root)
        if not lake.format:
            folder.check_new(lake)
        erased = apply_erasures(lake, db, timeout_s=timeout_s)
    with exporting(db, timeout_s=timeout_s), closing(_opened(db)) as connection:
        exported = lake.stores.get(identity_of(connection)) if lake.format > 1 else None
        claimed = claim(db, lake_name(lake), exported["token"] if exported else None, timeout_s=timeout_s)
        with lake_errors(root):
            marked = lake.format == FORMAT
            if lake.format == 1:
                lake = upgrade(lake, folder, connection)
            export = _Export(lake, folder, claimed, progress, marked)
            report = export.run(connection, db.name, announce)
        register_export(db, lake_name(lake), claimed.token, timeout_s=timeout_s)
    rows, written, kept, removed = report
    elapsed = time.monotonic() - begun
    return ParquetExport(
        str(dest), rows, written, kept, removed, elapsed, claimed.identity, claimed.separated_from, erased
    )


def lake_name(lake: Lake) -> str:
    """Return the name by which a store remembers a lake."""
    return f"file://{lake.root}" if is_local(lake.filesystem) else lake.filesystem.unstrip_protocol(lake.root)


@dataclass(frozen=True)
class _Export:
    """One export of a store; ``marked`` says whether the folder is marked as a lake already."""

    lake: Lake
    folder: LakeFolder
    claimed: Claim
    progress: Progress | None
    marked: bool

    def run(
        self, connection: sqlite3.Connection, database: str, announce: Announce | None
    ) -> tuple[dict[str, int], int, int, int]:
        identity = self.claimed.identity
        before = self.lake.stores.get(identity, {"tables": {}})["tables"]
        tables: dict[str, dict[str, Any]] = {}
        written = 0
        with one_state(connection):
            pruned = was_pruned(connection)
            for name in SCHEMAS:
                wanted, earlier = partitions(connection, name), before.get(name, {})
                erased = _erased(connection, name) if pruned else {}
                kept = {
                    day: part
                    for day, part in earlier.items()
                    if _is(part, wanted.get(day))
                    or (pruned and day not in wanted and part.get("erased", 0) == len(erased.get(day, ())))
                }
                changed = {day: part for day, part in wanted.items() if day not in kept}
                fresh = self._write(connection, name, changed, earlier if pruned else {}, erased)
                tables[name] = dict(sorted((kept | fresh).items()))
                written += len(fresh)
            (schema_version,) = connection.execute("PRAGMA user_version").fetchone()
            struck = struck_to_json(struck_rows(review_rows(connection, "strike")))
        self._check_ours()
        self.folder.write_store(
            identity,
            {
                "made_by": "ragwheel",
                "ragwheel": __version__,
                "format": FORMAT,
                "store": identity,
                "token": self.claimed.token,
                "database": database,
                "schema_version": schema_version,
                "exported_ns": time.time_ns(),
                **_totals(tables),
                "struck": struck,
                "tables": tables,
            },
        )
        if not self.marked:
            self.folder.mark()
        removed = self._clean(tables, announce)
        rows = {name: sum(part["rows"] for part in parts.values()) for name, parts in tables.items()}
        return rows, written, sum(map(len, tables.values())) - written, removed

    def _clean(self, tables: Mapping[str, Mapping[str, Mapping[str, Any]]], announce: Announce | None) -> int:
        """Remove this store's obsolete files; return how many."""
        try:
            with lake_errors(self.lake.root):
                gone = self._unnamed(tables)
                if gone and announce is not None:
                    announce(gone)
                self.folder.remove(gone)
        except DatasetError as exc:
            raise DatasetError(
                f"The export to {self.lake.root} is complete, but the files that it replaces could not be "
                f"removed: {exc.__cause__ or exc}. The next export removes them. Check the credentials, then "
                f"run the same command again"
            ) from exc
        return len(gone)

    def _write(
        self,
        connection: sqlite3.Connection,
        name: str,
        changed: dict[str, Partition],
        earlier: Mapping[str, Mapping[str, Any]],
        erased: Mapping[str, set[str]],
    ) -> dict[str, dict[str, Any]]:
        """Write the changed days. If the store was pruned, rows of those days in the lake are kept."""
        identity = self.claimed.identity
        keys = _keys(connection, name) if earlier else set()
        others = {
            day: self._others(name, earlier[day], keys | erased.get(day, set()))
            for day in earlier.keys() & (changed.keys() | erased.keys())
        }
        for day in others.keys() & changed.keys():
            changed[day] = changed[day].beside(str(earlier[day]["file"]))
        batches = _rows(connection, name, changed)
        fresh = write_days(self.folder, batches, (name, identity), changed, others, self.progress)
        for day in others.keys() - changed.keys():  # all that is left in the database was pruned
            if earlier[day].get("erased", 0) != len(erased[day]):
                label = blake2b(
                    f"{earlier[day]['file']}:{len(erased[day])}".encode(), digest_size=8
                ).hexdigest()
                part = Part(self.folder, f"{name}/store={identity}/day={day}/part-{label}.parquet", name)
                for rows in others[day]:
                    part.add(rows)
                fresh[day] = part.finish() | {"digest": ""}
        return {day: entry | {"erased": len(erased.get(day, ()))} for day, entry in fresh.items()}

    def _others(self, name: str, part: Mapping[str, Any], keys: set[str]) -> Iterator[pa.RecordBatch]:
        """Return the rows of a file of this store whose keys are not in ``keys``."""
        path = f"{self.lake.root}/{self.lake.current(part['file'])}"
        rows = ParquetRows(self.lake.filesystem, [path], WHOLE[name], part["rows"])
        for batch in rows.dataset().to_batches():
            ids = map(str, batch[KEYS[name]].to_pylist())
            yield batch.filter(pa.array([key not in keys for key in ids], pa.bool_()))

    def _check_ours(self) -> None:
        """Raise :class:`DatasetError` if a database of the same identity exported in the meantime."""
        identity = self.claimed.identity
        path = f"{STORES}/{identity}.json"
        exported = self.lake.stores.get(identity)
        if not self.lake.filesystem.exists(f"{self.lake.root}/{path}"):
            return
        now = read_json(self.lake.filesystem, self.lake.root, path)
        if exported is None or now["token"] != exported["token"]:
            raise DatasetError(
                f"Another database with the identity {identity} is exporting to {self.lake.root} at the same "
                f"time: one of them is a copy. Nothing was changed; the next export separates them: run the "
                f"same command again"
            )

    def _unnamed(self, tables: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> list[str]:
        """Return this store's files that its manifest does not name, except rewritings of named files."""
        own = f"/store={self.claimed.identity}/"
        before_stores = tuple(
            f"{name}/day=" for name in SCHEMAS
        )  # of format 1, which one store had for itself
        files = open_lake(self.lake.filesystem, self.lake.root)
        named = {files.current(part["file"]) for parts in tables.values() for part in parts.values()}
        return sorted(
            path
            for path in files.files
            if (own in path or path.startswith(before_stores)) and path not in named
        )


def _opened(db: Path) -> sqlite3.Connection:
    """Open a database for reading. It may hold signals only, as a collector's does, or have been pruned."""
    connection = open_store(db)
    filled = "SELECT " + " OR ".join(
        f"EXISTS (SELECT 1 FROM {table})" for table in ("spans", "judgments", "_export")
    )
    if connection.execute(filled).fetchone()[0]:
        return connection
    connection.close()
    return open_store(db, require_traces=True)


def _is(part: Mapping[str, Any], wanted: Partition | None) -> bool:
    return wanted is not None and wanted.digest_name == part["digest"]


def _rows(
    connection: sqlite3.Connection, name: str, changed: Mapping[str, Partition]
) -> Iterator[pa.RecordBatch]:
    """Yield the rows of the changed days, and possibly of days between them."""
    if changed:
        span = min(part.first for part in changed.values()), max(part.last for part in changed.values())
        yield from read_whole(connection, name, span)


def _totals(tables: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> dict[str, Any]:
    """Return the number of spans by kind, and the first and last time."""
    parts = {name: list(tables[name].values()) for name in ("retrieval", "turn", "signal")}
    counts = {name: sum(part["rows"] for part in some) for name, some in parts.items()}
    counts["rerank"] = sum(part["reranks"] for part in parts["retrieval"])
    counts["retrieval"] -= counts["rerank"]
    ends = [part for some in parts.values() for part in some if part["rows"]]
    return {
        "spans": {kind: n for kind, n in sorted(counts.items()) if n},
        "from_ns": min((part["first_ns"] for part in ends), default=None),
        "until_ns": max((part["last_ns"] for part in ends), default=None),
    }


def _keys(connection: sqlite3.Connection, name: str) -> set[str]:
    """Return the keys that identify the rows of a table in a lake."""
    if name == "chunk":
        return set(map(str, ChunkNumbers(connection).by_row().values()))
    if name == "judgment":
        rows = connection.execute("SELECT query, source, chunk, judge FROM _judgment")
        return {str(judgment_number(*row)) for row in rows}
    return {key for (key,) in connection.execute(f"SELECT lower(hex(span_id)) FROM _{name}")}


def _erased(connection: sqlite3.Connection, name: str) -> dict[str, set[str]]:
    """Return the keys, by day, of rows that were erased from the database since its first export."""
    erased: dict[str, set[str]] = {}
    for day, key in connection.execute("SELECT DISTINCT day, key FROM _erased WHERE name = ?", (name,)):
        erased.setdefault(day, set()).add(key)
    return erased
