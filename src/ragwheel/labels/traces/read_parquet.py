"""Traces as Parquet partitions: what ``ragwheel export traces`` writes, read for a build.

::

    DEST/_ragwheel.json                            what there is; written last
    DEST/retrieval/day=2026-11-22/part-….parquet   one file per table and day (UTC), named by its content

The tables are those of :mod:`ragwheel.labels.traces.read`, with the text beside every chunk.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.dataset as pads

from ragwheel.errors import ConfigurationError, DatasetError
from ragwheel.labels.traces.read import CHUNK_WITH_TEXT, SCHEMAS, StoreTables

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

__all__ = ["FORMAT", "MANIFEST", "ParquetRows", "ParquetTexts", "is_traces", "located", "parquet_evalsets",
           "read_manifest", "read_parquet"]  # fmt: skip

MANIFEST: Final = "_ragwheel.json"
#: Of the files; another one is written anew.
FORMAT: Final = 1
#: How Hadoop calls what fsspec calls otherwise.
_HADOOP: Final[Mapping[str, str]] = {"s3": "s3a", "gcs": "gs"}


@dataclass(frozen=True)
class ParquetRows:
    """A table in Parquet files, read when somebody asks for rows.

    ``paths`` are the filesystem's own.
    """

    filesystem: AbstractFileSystem
    paths: Sequence[str]
    schema: pa.Schema
    num_rows: int

    def dataset(self) -> pads.Dataset:
        """All files as one."""
        if not self.paths:
            return pads.dataset(self.schema.empty_table())
        return pads.dataset(
            list(self.paths), schema=self.schema, format="parquet", filesystem=self.filesystem
        )

    def urls(self) -> list[str]:
        """The files as Spark finds them; empty where only this process can."""
        protocols = self.filesystem.protocol
        protocol = protocols if isinstance(protocols, str) else protocols[0]
        if protocol in {"file", "local"}:
            return [f"file://{path}" for path in self.paths]
        if protocol in {"memory", "zip", "tar"}:
            return []
        return [f"{_HADOOP.get(protocol, protocol)}://{path}" for path in self.paths]


class ParquetTexts:
    """Texts of chunks by their ``text_id``, all of them in memory as Arrow holds them."""

    def __init__(self, chunks: pa.Table) -> None:
        ids = chunks["text_id"].to_numpy()
        self._order = np.argsort(ids, kind="stable")
        self._ids = ids[self._order]
        self._texts = chunks["text"]

    def __call__(self, text_id: int) -> str:
        """The text; empty when there is none."""
        place = int(np.searchsorted(self._ids, text_id))
        if place == len(self._ids) or self._ids[place] != text_id:
            return ""
        return str(self._texts[int(self._order[place])].as_py())


def is_traces(place: str | Path) -> bool:
    """Whether it names Parquet partitions rather than a database: a URL, or a folder of them."""
    return "://" in str(place) or (Path(place) / MANIFEST).is_file()


def located(place: str | Path) -> tuple[AbstractFileSystem, str]:
    """The filesystem of a folder or URL, and its path there.

    Raises:
        ConfigurationError: fsspec, or what it needs for this kind of URL, is not installed, or there is none.
    """
    try:
        from fsspec.core import url_to_fs

        filesystem, root = url_to_fs(str(place))
    except (ImportError, ValueError) as exc:
        raise ConfigurationError(
            f"{place} cannot be reached: {exc}. Expected a folder, or a URL whose fsspec package is "
            f"installed: pip install fsspec s3fs"
        ) from exc
    return filesystem, str(root).rstrip("/")


def read_manifest(filesystem: AbstractFileSystem, root: str) -> dict[str, Any] | None:
    """What an export said it wrote; None: there is no export.

    Raises:
        DatasetError: it cannot be read, or a newer ragwheel wrote it.
    """
    try:
        found: dict[str, Any] = json.loads(filesystem.cat_file(f"{root}/{MANIFEST}"))
        version = int(found["format"])
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, KeyError, TypeError) as exc:
        raise DatasetError(
            f"{root}/{MANIFEST} cannot be read: {exc!r}. Export again into a new folder: "
            f"ragwheel export traces --out DEST"
        ) from exc
    if version > FORMAT:
        raise DatasetError(
            f"{root} has format {version}, this ragwheel knows up to {FORMAT}. "
            f"Upgrade: pip install -U ragwheel"
        )
    return found


def read_parquet(
    filesystem: AbstractFileSystem, root: str, manifest: Mapping[str, Any]
) -> tuple[StoreTables, ParquetTexts]:
    """The tables of an export: the large ones left in their files, chunks and judgments in memory.

    Raises:
        DatasetError: a file is missing or damaged.
    """
    found = {name: _rows(filesystem, root, manifest, name) for name in SCHEMAS}
    try:
        for rows in found.values():
            _check(rows)
        chunks = found["chunk"].dataset().to_table().sort_by("chunk_version")
        judgments = found["judgment"].dataset().to_table().sort_by("judgment_id")
    except (OSError, pa.ArrowException) as exc:
        raise DatasetError(
            f"A file of {root} is missing or damaged: {exc}. Remove that folder and export again: "
            f"ragwheel export traces --out DEST"
        ) from exc
    tables = StoreTables(
        retrieval=found["retrieval"],
        turn=found["turn"],
        signal=found["signal"],
        chunk=chunks.drop_columns(["text"]),
        judgment=judgments,
        n_citations=sum(part["citations"] for part in manifest["tables"]["turn"].values()),
        schema_version=manifest["schema_version"],
        spans=manifest["spans"],
        from_ns=manifest["from_ns"],
        until_ns=manifest["until_ns"],
    )
    return tables, ParquetTexts(chunks)


def parquet_evalsets(
    filesystem: AbstractFileSystem, root: str, manifest: Mapping[str, Any]
) -> list[tuple[str, str, str]]:
    """Use, query and name of every judgment of an evaluation set."""
    rows = (
        _rows(filesystem, root, manifest, "judgment").dataset().to_table(["evalset_use", "query", "evalset"])
    )
    return [tuple(row.values()) for row in rows.filter(pads.field("evalset").is_valid()).to_pylist()]


def _rows(filesystem: AbstractFileSystem, root: str, manifest: Mapping[str, Any], name: str) -> ParquetRows:
    parts = manifest["tables"][name]
    schema = CHUNK_WITH_TEXT if name == "chunk" else SCHEMAS[name][0]
    paths = [f"{root}/{part['file']}" for _day, part in sorted(parts.items())]
    return ParquetRows(filesystem, paths, schema, sum(part["rows"] for part in parts.values()))


def _check(rows: ParquetRows) -> None:
    """Raise an error of Arrow's unless the files have as many rows as the manifest says."""
    n = rows.dataset().count_rows()
    if n != rows.num_rows:
        raise pa.ArrowInvalid(f"{n} rows where the manifest says {rows.num_rows}")
