"""Upgrading an export of format 1, which held a single store, to a lake of many stores."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import replace
from hashlib import blake2b
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ragwheel.exporting.lake_folder import LakeFolder
from ragwheel.exporting.parts import Part
from ragwheel.labels.traces.columns import WHOLE
from ragwheel.labels.traces.lake import FORMAT, Lake
from ragwheel.store.numbers import chunk_number, judgment_number, span_number, text_number

__all__ = ["upgrade"]


def upgrade(lake: Lake, folder: LakeFolder, connection: sqlite3.Connection) -> Lake:
    """Return the lake in format 2, to which a store is about to be exported.

    If the earlier export is of this database, the new export replaces it. Otherwise it becomes the part of
    another store. Until the caller marks the lake, the earlier export stays valid.
    """
    manifest = lake.stores[""]
    if _is_of(lake, manifest, connection):
        return replace(lake, format=FORMAT, stores={})
    identity = "was" + blake2b(repr(sorted(manifest["tables"].items())).encode(), digest_size=8).hexdigest()
    numbers = _chunk_numbers(lake, manifest)
    tables: dict[str, dict[str, Any]] = {}
    for name, parts in manifest["tables"].items():
        tables[name] = {}
        for day, old in parts.items():
            part = Part(folder, f"{name}/store={identity}/day={day}/{old['file'].rpartition('/')[2]}", name)
            for batch in _table(lake, old).to_batches():
                part.add(_converted(batch, name, numbers))
            tables[name][day] = part.finish() | {"digest": "", "erased": 0}
    fresh = {
        **{key: value for key, value in manifest.items() if key != "tables"},
        "format": FORMAT,
        "store": identity,
        "token": "",
        "tables": tables,
    }
    folder.write_store(identity, fresh)
    return replace(lake, format=FORMAT, stores={identity: fresh})


def _is_of(lake: Lake, manifest: Mapping[str, Any], connection: sqlite3.Connection) -> bool:
    """Return whether the database has retrievals of the export."""
    for old in manifest["tables"]["retrieval"].values():
        ids = _table(lake, old, ["retrieval_id"])["retrieval_id"].to_pylist()
        for retrieval_id in ids:
            sql = "SELECT 1 FROM _retrieval WHERE span_id = ?"
            if connection.execute(sql, (bytes.fromhex(retrieval_id),)).fetchone():
                return True
    return False


def _table(lake: Lake, part: Mapping[str, Any], columns: list[str] | None = None) -> pa.Table:
    with lake.filesystem.open(f"{lake.root}/{part['file']}", "rb") as file:
        return pq.ParquetFile(file).read(columns)


def _chunk_numbers(lake: Lake, manifest: Mapping[str, Any]) -> dict[int, int]:
    """Return the number of each chunk version by its row number in format 1."""
    numbers = {}
    for old in manifest["tables"]["chunk"].values():
        columns = ["chunk_version", "source", "chunk_id", "content_hash"]
        for row in _table(lake, old, columns).to_pylist():
            content = bytes.fromhex(row["content_hash"])
            numbers[row["chunk_version"]] = chunk_number(row["source"], row["chunk_id"], content)
    return numbers


def _converted(batch: pa.RecordBatch, name: str, numbers: Mapping[int, int]) -> pa.RecordBatch:
    """Return a batch with store-independent numbers, and nulls for columns that format 1 lacks."""
    rows = batch.to_pylist()
    for row in rows:
        if name == "retrieval":
            row["rid"] = span_number(bytes.fromhex(row["retrieval_id"]))
            for item in row["items"]:
                item["chunk_version"] = numbers.get(item["chunk_version"])
        elif name == "turn":
            row["revision"] = -1  # a revision that another store has takes precedence
        elif name == "signal":
            row["sid"] = span_number(bytes.fromhex(row["signal_id"]))
            row["received_ns"] = row["at_ns"]
        elif name == "chunk":
            row["chunk_version"] = numbers[row["chunk_version"]]
            row["text_id"] = text_number(bytes.fromhex(row["content_hash"]))
        else:
            row["judgment_id"] = judgment_number(row["query"], row["source"], row["chunk_id"], row["judge"])
    schema = WHOLE[name]
    columns = [pa.array([row.get(field.name) for row in rows], field.type) for field in schema]
    return pa.RecordBatch.from_arrays(columns, schema=schema)
