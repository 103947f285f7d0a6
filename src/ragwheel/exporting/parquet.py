"""The traces of a store as Parquet partitions, one file per table and day: for Spark, DuckDB, pandas, builds.

What has not changed since the last export to the same place is left as it is (see
:mod:`ragwheel.labels.traces.read_keys`). A file is named by its content, appears whole, and counts from when
the manifest names it, which is written last.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ragwheel._version import __version__
from ragwheel.errors import DatasetError
from ragwheel.labels.traces.read import (
    CHUNK_WITH_TEXT,
    SCHEMAS,
    count_citations,
    one_state,
    read_batches,
    totals,
)
from ragwheel.labels.traces.read_keys import DAY_NS, Partition, partitions
from ragwheel.labels.traces.read_parquet import FORMAT, MANIFEST, located, read_manifest
from ragwheel.store import open_store
from ragwheel.typing import Progress

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

__all__ = ["ParquetExport", "export_parquet"]

_BUFFER: Final = 50_000  # rows of a row group
_UNFINISHED: Final = "_unfinished-"


@dataclass(frozen=True)
class ParquetExport:
    """What an export did.

    ``rows`` counts the rows of each table now there; ``written`` and ``kept`` the partitions (table and day)
    that were new or changed, and that were not; ``removed`` files that are no part of it any more.
    """

    dest: str
    rows: Mapping[str, int]
    written: int
    kept: int
    removed: int
    elapsed_s: float


def export_parquet(db: str | Path, dest: str | Path, *, progress: Progress | None = None) -> ParquetExport:
    """Write the traces of a store into a folder, or bring an earlier export up to date.

    The tables ``retrieval``, ``turn``, ``signal``, ``chunk`` (with texts) and ``judgment`` have typed
    columns: times are int64 nanoseconds, rankings lists of structs. What was erased from the
    store goes from here too. Killed or stopped anywhere, the export that was there is as it was.

    Args:
        db: the database.
        dest: a folder, or a URL of a filesystem that fsspec knows.
        progress: called with a table's name and how many of its changed rows are written, of how many.

    Raises:
        StoreError: the database cannot be read.
        DatasetError: ``dest`` has other files in it, or an export of another database or that cannot be read.
        ConfigurationError: the URL cannot be reached.
    """
    begun = time.monotonic()
    filesystem, root = located(dest)
    before = read_manifest(filesystem, root)
    folder = _Folder(filesystem, root)
    if before is None:
        folder.check_new()
    with closing(open_store(db, require_traces=True)) as connection, one_state(connection):
        if before is not None:
            _check_same_store(connection, folder, before)
        known = before["tables"] if before is not None and before["format"] == FORMAT else {}
        tables, written = {}, 0
        for name in SCHEMAS:
            wanted = partitions(connection, name)
            found = {day: part for day, part in known.get(name, {}).items() if _is(part, wanted.get(day))}
            changed = {day: part for day, part in wanted.items() if day not in found}
            made = _write(folder, _rows(connection, name, changed), name, changed, progress)
            tables[name] = dict(sorted((found | made).items()))
            written += len(changed)
        manifest = {
            "made_by": "ragwheel",
            "ragwheel": __version__,
            "format": FORMAT,
            "database": Path(db).name,
            **totals(connection),
            "tables": tables,
        }
    removed = folder.finish(manifest)
    rows = {name: sum(part["rows"] for part in parts.values()) for name, parts in tables.items()}
    kept = sum(map(len, tables.values())) - written
    return ParquetExport(str(dest), rows, written, kept, removed, time.monotonic() - begun)


def _check_same_store(connection: sqlite3.Connection, folder: _Folder, before: Mapping[str, Any]) -> None:
    """Refuse to replace the partitions of another database.

    They are told apart by the ids of the newest retrievals that the export has: span ids, which no two
    databases share unless one is a copy of the other.
    """
    parts = before["tables"].get("retrieval", {})
    exported = folder.some_ids(parts[max(parts)]["file"]) if parts else []
    if not exported:
        return
    (shared,) = connection.execute(
        "SELECT count(*) FROM retrievals WHERE retrieval_id IN (SELECT value FROM json_each(?))",
        (json.dumps(exported),),
    ).fetchone()
    if not shared:
        raise DatasetError(
            f"{folder.root} holds the traces of another database ({before.get('database', 'unnamed')}): "
            f"this one has none of its newest retrievals, and an export would remove them. Nothing was "
            f"changed. Give each database a folder of its own, or delete {folder.root} first if all of that "
            f"was erased: ragwheel export traces --out DEST"
        )


def _is(part: Mapping[str, Any], wanted: Partition | None) -> bool:
    return wanted is not None and wanted.name in part["file"]


def _rows(
    connection: sqlite3.Connection, name: str, changed: Mapping[str, Partition]
) -> Iterator[pa.RecordBatch]:
    """The rows of the changed days, and of others between them."""
    if changed:
        span = min(part.first for part in changed.values()), max(part.last for part in changed.values())
        yield from read_batches(connection, name, span, texts=True)


def _write(
    folder: _Folder,
    batches: Iterator[pa.RecordBatch],
    name: str,
    changed: Mapping[str, Partition],
    progress: Progress | None,
) -> dict[str, dict[str, Any]]:
    """Each day's rows into its file; what the manifest says of them, by day."""
    schema, time_column = SCHEMAS[name]
    files: dict[str, _File] = {}
    made: dict[str, dict[str, Any]] = {}
    done, total = 0, sum(part.rows for part in changed.values())
    try:
        for batch in batches:
            days = pc.divide(batch[time_column], pa.scalar(DAY_NS))
            for day in pc.unique(days).to_pylist():
                date = time.strftime("%Y-%m-%d", time.gmtime(day * 86_400))
                if date not in changed or date in made:
                    continue
                if date not in files:
                    path = f"{name}/day={date}/part-{changed[date].name}.parquet"
                    files[date] = _File(folder, path, CHUNK_WITH_TEXT if name == "chunk" else schema)
                file = files[date]
                file.add(batch.filter(pc.equal(days, pa.scalar(day))))
                if file.rows == changed[date].rows:
                    made[date] = files.pop(date).finish()
                    done += changed[date].rows
                    if progress is not None:
                        progress(name, done, total)
    finally:
        for file in files.values():
            file.close()
    if len(made) != len(changed):
        raise DatasetError(
            f"{name}: {len(made)} of {len(changed)} days are whole. Nothing was changed; please report this."
        )
    return made


class _File:
    """One partition being written."""

    def __init__(self, folder: _Folder, path: str, schema: pa.Schema) -> None:
        self.rows = self._citations = 0
        self._folder, self._path, self._schema = folder, path, schema
        self._buffer: list[pa.RecordBatch] = []
        self._buffered = 0
        self._sink, self._name = folder.begin(path)
        self._writer = pq.ParquetWriter(self._sink, schema, compression="zstd")

    def add(self, batch: pa.RecordBatch) -> None:
        self._buffer.append(batch)
        self.rows += batch.num_rows
        self._buffered += batch.num_rows
        if "citations" in self._schema.names:
            self._citations += count_citations(batch)
        if self._buffered >= _BUFFER:
            self._flush()

    def _flush(self) -> None:
        self._writer.write_table(pa.Table.from_batches(self._buffer, self._schema))
        self._buffer, self._buffered = [], 0

    def finish(self) -> dict[str, Any]:
        self._flush()
        self.close()
        self._folder.finished.append((self._name, self._path))
        said = {"file": self._path, "rows": self.rows}
        return said | {"citations": self._citations} if "citations" in self._schema.names else said

    def close(self) -> None:
        self._writer.close()
        self._sink.close()


class _Folder:
    """Where the files go: on a local disk under another name first, for an object appears whole anyway."""

    def __init__(self, filesystem: AbstractFileSystem, root: str) -> None:
        protocol = filesystem.protocol
        self._local = "file" in ((protocol,) if isinstance(protocol, str) else protocol)
        self._fs, self.root = filesystem, root
        self.finished: list[tuple[str, str]] = []

    def check_new(self) -> None:
        """Raise :class:`DatasetError` where something lies that no unfinished export left."""
        strange = [path for path in self._files() if not self._ours(path)]
        if strange or (self._fs.exists(self.root) and not self._fs.isdir(self.root)):
            raise DatasetError(
                f"{self.root} has other things in it and was left as it is. Name a new folder: "
                f"ragwheel export traces --out DEST"
            )

    def some_ids(self, path: str) -> list[str]:
        """Return up to 100 retrieval ids of an exported file; none where the file cannot be read."""
        try:
            with self._fs.open(f"{self.root}/{path}", "rb") as file:
                batches = pq.ParquetFile(file).iter_batches(100, columns=["retrieval_id"])
                return next((batch.column(0).to_pylist() for batch in batches), [])
        except (OSError, pa.ArrowException):
            return []

    def begin(self, path: str) -> tuple[Any, str]:
        """A file to write into, and its name for now."""
        folder, _, file = path.rpartition("/")
        name = f"{folder}/{_UNFINISHED}{file}" if self._local else path
        self._fs.makedirs(f"{self.root}/{folder}", exist_ok=True)
        return self._fs.open(f"{self.root}/{name}", "wb"), name

    def finish(self, manifest: Mapping[str, Any]) -> int:
        """Give the files their names, write the manifest, remove what it does not name; how many of those."""
        for name, path in self.finished:
            if name != path:
                Path(self.root, name).replace(Path(self.root, path))
        text = (json.dumps(manifest, indent=1) + "\n").encode()
        if self._local:
            root = Path(self.root)
            for each in (root, *root.rglob("*")):  # texts of the app's users: for their owner only
                each.chmod(0o700 if each.is_dir() else 0o600)
            unfinished = root / (_UNFINISHED + MANIFEST)
            unfinished.write_bytes(text)
            unfinished.chmod(0o600)
            unfinished.replace(root / MANIFEST)
        else:
            self._fs.pipe_file(f"{self.root}/{MANIFEST}", text)
        named = {part["file"] for parts in manifest["tables"].values() for part in parts.values()}
        gone = [path for path in self._files() if self._ours(path) and path not in named | {MANIFEST}]
        for path in gone:
            self._fs.rm_file(f"{self.root}/{path}")
        return len(gone)

    def _files(self) -> list[str]:
        """Every file below the folder, by its path inside."""
        self._fs.invalidate_cache()
        return [str(path)[len(self.root) :].lstrip("/") for path in self._fs.find(self.root)]

    @staticmethod
    def _ours(path: str) -> bool:
        folder, _, file = path.rpartition("/")
        plain = file.removeprefix(_UNFINISHED)
        of_table = folder.partition("/")[0] in SCHEMAS and plain.startswith("part-")
        return of_table or (not folder and plain == MANIFEST)
