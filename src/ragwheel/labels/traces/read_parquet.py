"""Traces as Parquet partitions, of one store or many, read for a build.

The layout is in :mod:`ragwheel.labels.traces.lake`, the columns in :mod:`ragwheel.labels.traces.columns`.
Chunks and judgments are read into memory, each once however many stores have it; the large tables stay in
their files, and :mod:`ragwheel.labels.traces.union` makes one set of them on the engine.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pads

from ragwheel.labels.traces.columns import CHUNK, CHUNK_WITH_TEXT, JUDGMENT, SCHEMAS, WHOLE
from ragwheel.labels.traces.lake import Lake, damaged
from ragwheel.labels.traces.read import CHUNK_ORDER, JUDGMENT_ORDER, StoreTables

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

__all__ = ["ParquetRows", "ParquetTexts", "evalsets_of", "lake_rows", "read_parquet"]

#: How Hadoop calls what fsspec calls otherwise.
_HADOOP: Final[Mapping[str, str]] = {"s3": "s3a", "gcs": "gs"}
#: Columns that the union of many stores needs beside those of SCHEMAS.
_FOR_UNION: Final = {"retrieval": (), "turn": ("revision",), "signal": ("event_id", "received_ns")}


@dataclass(frozen=True)
class ParquetRows:
    """A table in Parquet files, read when somebody asks for rows.

    ``paths`` are the filesystem's own; of some there are copies on this machine, which are read instead.
    """

    filesystem: AbstractFileSystem
    paths: Sequence[str]
    schema: pa.Schema
    num_rows: int
    copies: Mapping[str, Path] = field(default_factory=dict)

    def dataset(self) -> pads.Dataset:
        """All files as one."""
        if not self.paths:
            return pads.dataset(self.schema.empty_table())
        there = [path for path in self.paths if path not in self.copies]
        here = [str(self.copies[path]) for path in self.paths if path in self.copies]
        sets = [
            pads.dataset(paths, schema=self.schema, format="parquet", filesystem=filesystem)
            for paths, filesystem in ((there, self.filesystem), (here, None))
            if paths
        ]
        return sets[0] if len(sets) == 1 else pads.dataset(sets)

    def urls(self) -> list[str]:
        """The files, not their copies, as Spark finds them; empty where only this process can."""
        protocols = self.filesystem.protocol
        protocol = protocols if isinstance(protocols, str) else protocols[0]
        if protocol in {"file", "local"}:
            return [f"file://{path}" for path in self.paths]
        if protocol in {"memory", "zip", "tar"}:
            return []
        return [f"{_HADOOP.get(protocol, protocol)}://{path}" for path in self.paths]


class ParquetTexts:
    """Texts of chunks by their ``text_id``, all of them in memory as Arrow holds them."""

    def __init__(self, chunks: ParquetRows) -> None:
        seen: set[int] = set()
        batches = []
        for batch in chunks.dataset().to_batches(columns=["text_id", "text"]):
            ids = batch["text_id"].to_pylist()
            fresh = []
            for text_id in ids:
                fresh.append(text_id not in seen)
                seen.add(text_id)
            batches.append(batch.filter(pa.array(fresh, pa.bool_())))
        schema = pa.schema({"text_id": pa.int64(), "text": pa.large_string()})
        table = pa.Table.from_batches([batch.cast(schema) for batch in batches], schema).combine_chunks()
        ids = table["text_id"].to_numpy()
        self._order = np.argsort(ids, kind="stable")
        self._ids = ids[self._order]
        self._texts = table["text"]

    def __call__(self, text_id: int) -> str:
        """The text; empty when there is none."""
        place = int(np.searchsorted(self._ids, text_id))
        if place == len(self._ids) or self._ids[place] != text_id:
            return ""
        return str(self._texts[int(self._order[place])].as_py())


def read_parquet(lake: Lake) -> tuple[StoreTables, ParquetTexts]:
    """The tables of a lake: the large ones left in their files, chunks and judgments in memory.

    The rows of a lake of format 2 are to be made one set by :func:`ragwheel.labels.traces.union.united`.

    Raises:
        DatasetError: a file is missing or damaged.
    """
    extra = _FOR_UNION if lake.format > 1 else {}
    schemas = {name: _schema(name, extra.get(name, ())) for name in SCHEMAS}
    rows = {name: lake_rows(lake, name, schemas[name]) for name in SCHEMAS}
    try:
        for name in SCHEMAS:
            _check(lake, name, rows[name])
        texts = ParquetTexts(rows["chunk"])
        chunks = _chunks(rows["chunk"])
        judgments = _judgments(rows["judgment"])
    except (OSError, pa.ArrowException) as exc:
        raise damaged(lake, exc) from exc
    manifests = lake.stores.values()
    tables = StoreTables(
        retrieval=rows["retrieval"],
        turn=rows["turn"],
        signal=rows["signal"],
        chunk=chunks,
        judgment=judgments,
        n_citations=sum(part["citations"] for _, _, part in lake.parts("turn")),
        schema_version=max(manifest["schema_version"] for manifest in manifests),
        spans=_spans(lake),
        from_ns=min((m["from_ns"] for m in manifests if m["from_ns"] is not None), default=None),
        until_ns=max((m["until_ns"] for m in manifests if m["until_ns"] is not None), default=None),
        stores=len(lake.stores) if lake.format > 1 else None,
    )
    return tables, texts


def lake_rows(lake: Lake, name: str, schema: pa.Schema, stores: Sequence[str] | None = None) -> ParquetRows:
    """Return a table over all stores, or some, in those columns."""
    parts = [(store, part) for store, _, part in lake.parts(name) if stores is None or store in stores]
    paths = [f"{lake.root}/{lake.current(part['file'])}" for _, part in parts]
    copies = {f"{lake.root}/{path}": copy for path, copy in lake.copies.items()}
    return ParquetRows(lake.filesystem, paths, schema, sum(part["rows"] for _, part in parts), copies)


def _schema(name: str, extra: Sequence[str]) -> pa.Schema:
    if name == "chunk":
        return CHUNK_WITH_TEXT
    return pa.schema([*SCHEMAS[name][0], *(WHOLE[name].field(column) for column in extra)])


def _spans(lake: Lake) -> dict[str, int]:
    spans: dict[str, int] = {}
    for manifest in lake.stores.values():
        for kind, n in manifest["spans"].items():
            spans[kind] = spans.get(kind, 0) + n
    return dict(sorted(spans.items()))


def _check(lake: Lake, name: str, rows: ParquetRows) -> None:
    """Raise an error unless every file is there and has as many rows as its manifest says."""
    for store, day, part in lake.parts(name):
        path = lake.current(part["file"])
        if path not in lake.files:
            whose = f" of store {store}" if store else ""
            raise FileNotFoundError(f"{path}, {part['rows']} rows of {day}{whose}, is not there")
    rewritten = any(lake.current(part["file"]) != part["file"] for _, _, part in lake.parts(name))
    n = rows.dataset().count_rows()
    if n != rows.num_rows and not (rewritten and n < rows.num_rows):
        raise pa.ArrowInvalid(f"{name}: {n} rows where the manifests say {rows.num_rows}")


def _chunks(rows: ParquetRows) -> pa.Table:
    """Every chunk version once, as the store saw it that saw it first."""
    every = rows.dataset().to_table(columns=CHUNK.names)
    return _first(
        every, "chunk_version", [("first_seen_ns", "ascending"), ("metadata", "ascending")]
    ).sort_by(list(CHUNK_ORDER))


def _judgments(rows: ParquetRows) -> pa.Table:
    """Every judgment once: a judge's latest on a query and chunk."""
    every = rows.dataset().to_table(columns=JUDGMENT.names)
    newest = [("at_ns", "descending"), ("grade", "ascending"), ("evalset", "ascending")]
    return _first(every, "judgment_id", newest).sort_by(list(JUDGMENT_ORDER))


def _first(table: pa.Table, key: str, order: list[tuple[str, str]]) -> pa.Table:
    """The first row of each key in an order."""
    table = table.sort_by([(key, "ascending"), *order])
    if not table.num_rows:
        return table
    keys = table[key].to_numpy()
    fresh = np.concatenate([[True], keys[1:] != keys[:-1]])
    return table.filter(pa.array(fresh))


def evalsets_of(judgments: pa.Table) -> list[tuple[Any, ...]]:
    """Use, query and name of every judgment of an evaluation set."""
    rows = judgments.filter(pc.is_valid(judgments["evalset"])).select(["evalset_use", "query", "evalset"])
    return [tuple(row.values()) for row in rows.to_pylist()]
