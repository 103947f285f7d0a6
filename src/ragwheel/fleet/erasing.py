"""Erasing a person from a lake: from the partitions of every store, also those of servers that are gone.

The erasure is written into the lake first. A store that is exported later, and still has the person's rows,
erases them from its database before it exports (:mod:`ragwheel.exporting.lake_erasures`). The lake remembers
a hash of the id, not the id.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ragwheel.errors import DatasetError, StoreError, StoreMissing
from ragwheel.exporting.lake_folder import LakeFolder, lake_errors
from ragwheel.exporting.parts import KEYS
from ragwheel.labels.traces.columns import SCHEMAS
from ragwheel.labels.traces.lake import FORMAT, Lake, located, open_lake
from ragwheel.store.erase import Selection
from ragwheel.store.numbers import id_hash
from ragwheel.typing import StageProgress

__all__ = ["LakeErasure", "erase_from_lake"]

_ROUNDS: Final = 5


@dataclass(frozen=True)
class LakeErasure:
    """What was erased from a lake, or with ``dry_run`` would be: rows by table, of how many stores."""

    lake: str
    rows: dict[str, int]
    files: int
    stores: tuple[str, ...]
    dry_run: bool


@dataclass
class _ErasedKeys:
    """The keys of rows to erase, by table; ``spans`` are the turns and retrievals among them."""

    keys: dict[str, set[Any]] = field(default_factory=lambda: {name: set() for name in SCHEMAS})

    @property
    def spans(self) -> set[Any]:
        return self.keys["turn"] | self.keys["retrieval"]

    def __bool__(self) -> bool:
        return any(self.keys.values())


def erase_from_lake(
    lake: str | Path, selection: Selection, *, dry_run: bool = False, progress: StageProgress | None = None
) -> LakeErasure:
    """Erase the records of a person or a session from every store's partitions, and from later exports.

    An interrupted erasure can be repeated. Datasets and models that were made from the lake are not changed:
    build and train them again.

    Args:
        lake: a folder or URL that ``ragwheel export traces`` wrote.
        selection: a user, a session, or both.
        dry_run: count only, and change nothing.
        progress: called with the name of each step.

    Raises:
        StoreError: something else than a user or a session is selected.
        DatasetError: the lake cannot be read or written.
        ConfigurationError: the URL cannot be reached.
    """
    if selection.older_than is not None or selection.query_matching is not None or selection.hashed:
        raise StoreError(
            "From a lake a user or a session can be erased, nothing by age or query. "
            "Next: ragwheel erase --user ID --lake URL"
        )
    tell = progress or _no_progress
    filesystem, root = located(lake)
    rows, files, stores = dict.fromkeys(SCHEMAS, 0), 0, set[str]()
    with lake_errors(root):
        opened = open_lake(filesystem, root)
        if not opened.stores:
            raise StoreMissing(f"There are no traces at {lake}. Nothing was erased.")
        if opened.format == 1:
            raise DatasetError(
                f"{lake} was written by an earlier ragwheel. Bring it up to date first: "
                f"ragwheel export traces --out {lake}"
            )
        folder = LakeFolder(filesystem, root)
        if not dry_run:
            tell("writing the erasure for later exports")
            _remember(folder, selection)
        for _ in range(_ROUNDS):
            tell("looking for it in all stores")
            gone = _selected(opened, selection)
            if not gone:
                break
            for name in SCHEMAS:
                for store, path, table in _holding(opened, name, gone):
                    kept = _without(table, name, gone)
                    rows[name] += table.num_rows - kept.num_rows
                    files += 1
                    stores.add(store)
                    if not dry_run:
                        tell(f"rewriting {path}")
                        _rewrite(opened, folder, path, kept)
            if dry_run:
                break
            opened = open_lake(filesystem, root)  # a store may have exported in the meantime
        else:
            raise DatasetError(
                f"Stores go on exporting the erased rows to {root}: servers with an earlier ragwheel do not "
                f"apply_erasures erasures. Upgrade them, then run the same command again"
            )
    return LakeErasure(str(lake), rows, files, tuple(sorted(stores)), dry_run)


def _remember(folder: LakeFolder, selection: Selection) -> None:
    """Write the erasure for later exports: hashes of the ids, and the time up to which records are erased."""
    content = {"user": id_hash(selection.user), "session": id_hash(selection.session)}
    name = "-".join(value for value in content.values() if value)
    folder.write_erasure(name, {"format": FORMAT, **content, "until_ns": time.time_ns()})


def _tables(lake: Lake, name: str, columns: list[str]) -> Iterator[tuple[str, str, pa.Table]]:
    """Yield the store, the path and some columns of every file of a table."""
    for store, _, part in lake.parts(name):
        path = lake.current(part["file"])
        with lake.filesystem.open(f"{lake.root}/{path}", "rb") as file:
            yield store, path, pq.ParquetFile(file).read(columns)


def _selected(lake: Lake, selection: Selection) -> _ErasedKeys:
    """Return the keys to erase: turns with their retrievals and the signals about either, as in the store."""
    gone = _ErasedKeys()

    def meets(user: str | None, session: str | None) -> bool:
        return (selection.user is None or selection.user == user) and (
            selection.session is None or selection.session == session
        )

    turns = gone.keys["turn"]
    heads = []
    for _, _, table in _tables(lake, "turn", ["turn_id", "user_id", "session_id"]):
        turns.update(row["turn_id"] for row in table.to_pylist() if meets(row["user_id"], row["session_id"]))
    for _, _, table in _tables(lake, "retrieval", ["retrieval_id", "turn_id", "user_id", "session_id"]):
        for row in table.to_pylist():
            heads.append((row["retrieval_id"], row["turn_id"]))
            if meets(row["user_id"], row["session_id"]):
                gone.keys["retrieval"].add(row["retrieval_id"])
                if row["turn_id"] is not None:
                    turns.add(row["turn_id"])
    gone.keys["retrieval"].update(retrieval for retrieval, turn in heads if turn in turns)
    spans = gone.spans
    for _, _, table in _tables(lake, "signal", ["signal_id", "target_id", "subject"]):
        gone.keys["signal"].update(
            row["signal_id"]
            for row in table.to_pylist()
            if row["target_id"] in spans or meets(row["subject"], None)
        )
    for _, _, table in _tables(lake, "judgment", ["judgment_id", "judge"]):
        gone.keys["judgment"].update(
            row["judgment_id"] for row in table.to_pylist() if meets(row["judge"], None)
        )
    gone.keys["chunk"] = _unneeded(lake, gone) if gone else set()
    return gone


def _unneeded(lake: Lake, gone: _ErasedKeys) -> set[int]:
    """Return the chunk versions that only erased retrievals had and that have no judgment."""
    touched, needed = set[int](), set[int]()
    for _, _, table in _tables(lake, "retrieval", ["retrieval_id", "items"]):
        out = np.array([key in gone.keys["retrieval"] for key in table["retrieval_id"].to_pylist()], np.bool_)
        for going, keys in ((True, touched), (False, needed)):
            items = table["items"].filter(pa.array(out == going))
            flat = [chunk.flatten().field("chunk_version") for chunk in items.chunks]
            keys.update(key for some in flat for key in some.unique().to_pylist() if key is not None)
    judged = set()
    for _, _, table in _tables(lake, "judgment", ["judgment_id", "source", "chunk_id"]):
        judged |= {
            (row["source"], row["chunk_id"])
            for row in table.to_pylist()
            if row["judgment_id"] not in gone.keys["judgment"]
        }
    unneeded = touched - needed
    for _, _, table in _tables(lake, "chunk", ["chunk_version", "source", "chunk_id"]):
        for row in table.to_pylist():
            if (row["source"], row["chunk_id"]) in judged:
                unneeded.discard(row["chunk_version"])
    return unneeded


def _holding(lake: Lake, name: str, gone: _ErasedKeys) -> Iterator[tuple[str, str, pa.Table]]:
    """Yield the store, the path and the rows of every file with rows to erase."""
    columns = [KEYS[name], *(["other"] if name == "signal" else [])]
    for store, path, keys in _tables(lake, name, columns):
        held = not gone.keys[name].isdisjoint(keys[KEYS[name]].to_pylist())
        if held or (name == "signal" and not gone.spans.isdisjoint(keys["other"].to_pylist())):
            with lake.filesystem.open(f"{lake.root}/{path}", "rb") as file:
                yield store, path, pq.ParquetFile(file).read()


def _without(table: pa.Table, name: str, gone: _ErasedKeys) -> pa.Table:
    keys = table[KEYS[name]].to_pylist()
    table = table.filter(pa.array([key not in gone.keys[name] for key in keys], pa.bool_()))
    if name == "signal":
        spans = gone.spans
        for column in ("other", "new_id"):
            values = [None if value in spans else value for value in table[column].to_pylist()]
            position = table.schema.get_field_index(column)
            table = table.set_column(position, column, pa.array(values, pa.string()))
    return table


def _rewrite(lake: Lake, folder: LakeFolder, path: str, kept: pa.Table) -> None:
    """Write a file under its next name, then remove the files that it replaces."""
    base, _, number = path.removesuffix(".parquet").rpartition("-e")
    stem, count = (base, int(number)) if base and number.isdigit() else (path.removesuffix(".parquet"), 0)
    fresh = f"{stem}-e{count + 1}.parquet"
    sink, unfinished = folder.begin(fresh)
    with sink:
        pq.write_table(kept, sink, compression="zstd")
    folder.finished(unfinished, fresh)
    folder.publish()
    folder.remove(other for other in lake.variants(f"{stem}.parquet") if other != fresh)


def _no_progress(_stage: str) -> None:
    """Take progress that no caller asked for."""
