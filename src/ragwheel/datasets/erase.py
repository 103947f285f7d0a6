"""Taking erased people and texts out of a dataset folder that was built from them.

A row goes when

* its provenance names an erased span or judgment;
* a text in it stands nowhere in the store any more;
* its query does not;
* or this cannot be ruled out: provenance keeps three examples of each kind of evidence, and where it has
  that many, an erased span about the same query and chunk may have been a fourth.

What stays may be less than other people's evidence supports: building again brings that back.
"""

from __future__ import annotations

import json
import mmap
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from ragwheel.datasets.describe import recount_card
from ragwheel.datasets.formats import write_formats
from ragwheel.datasets.options import SPLITS
from ragwheel.datasets.parts import drop_empty, part_batches, part_files
from ragwheel.datasets.reading import count_written
from ragwheel.datasets.writer import MANIFEST, checksums
from ragwheel.errors import DatasetError
from ragwheel.files import replace_folder, replacing
from ragwheel.labels.traces.text import query_key
from ragwheel.store.erase import ErasedContent

__all__ = ["ErasedRows", "Scrub", "erase_from", "files_containing", "read_manifest"]

_EXAMPLES: Final = 3
_BATCH: Final = 10_000
_IDS: Final = ("retrieval_ids", "turn_ids", "signal_ids")
_ORIGIN: Final = [
    "config",
    "split",
    "row",
    "query_key",
    "source",
    "chunk_id",
    "chunk_version",
    "kinds",
    *_IDS,
]
_JUDGED: Final = frozenset({"judged_human", "judged_llm"})

Place = tuple[str, str]  # config and split


@dataclass(frozen=True, slots=True)
class ErasedRows:
    """What was taken out of a folder: rows by config, of how many; files that have some of it left."""

    folder: Path
    rows: Mapping[str, int]
    of: Mapping[str, int]
    still_in: tuple[Path, ...] = ()

    @property
    def n(self) -> int:
        """Rows of all configs together."""
        return sum(self.rows.values())


@dataclass(frozen=True)
class Scrub:
    """What to take out.

    Args:
        gone: what is erased from the store.
        needles: byte strings that must be found nowhere afterwards.
        kept_keys: keys of the queries that stay in the store.
    """

    gone: ErasedContent
    needles: list[bytes]
    kept_keys: frozenset[str]
    keys: frozenset[str] = field(init=False)
    """Of all erased queries."""
    gone_keys: frozenset[str] = field(init=False)
    """Of those that nobody else asked."""
    judged: frozenset[tuple[str, str, str]] = field(init=False)

    def __post_init__(self) -> None:
        judged = frozenset((query_key(query), source, chunk) for query, source, chunk in self.gone.judged)
        keys = frozenset(map(query_key, self.gone.queries)) | {key for key, _, _ in judged}
        object.__setattr__(self, "keys", keys)
        object.__setattr__(self, "gone_keys", keys - self.kept_keys)
        object.__setattr__(self, "judged", judged)

    def matches(self, origin: Mapping[str, Any]) -> bool:
        """Whether a row of the provenance says that its dataset row must go."""
        gone = self.gone
        ids = [origin[name] or () for name in _IDS]
        if origin["query_key"] in self.gone_keys or any(not gone.span_ids.isdisjoint(some) for some in ids):
            return True
        if not _JUDGED.isdisjoint(origin["kinds"] or ()):
            named = (origin["query_key"], origin["source"], origin["chunk_id"])
            if named in self.judged:
                return True
        return (
            max(map(len, ids)) >= _EXAMPLES
            and origin["query_key"] in self.keys
            and origin["chunk_version"] in gone.versions
        )


def erase_from(folder: Path, scrub: Scrub, *, dry_run: bool = False) -> ErasedRows:
    """Take rows and their provenance out of a dataset folder, which is replaced whole or not at all.

    Raises:
        DatasetError: it is not a folder of ragwheel's, or cannot be read.
    """
    manifest = read_manifest(folder)
    of = {config: sum(counts.values()) for config, counts in manifest["rows"].items()}
    try:
        condemned = _condemned(folder, manifest, scrub)
        removed = dict.fromkeys(manifest["rows"], 0)
        for (config, _), rows in condemned.items():
            removed[config] += len(rows)
        keys = _keys(folder / "splits.parquet")
        if not dry_run and (any(removed.values()) or not scrub.gone_keys.isdisjoint(keys)):
            with replace_folder(folder) as fresh:
                shutil.copytree(folder, fresh, dirs_exist_ok=True, symlinks=True)
                _rewrite(fresh, manifest, condemned, scrub)
        remaining = () if dry_run else tuple(files_containing(_files(folder), scrub.needles))
    except (OSError, ValueError, KeyError, pa.ArrowException) as exc:
        raise DatasetError(
            f"{folder} cannot be read or written: {exc}. Nothing was erased. Repair it, or delete it (rm -r "
            f"{folder}) and build it again afterwards: ragwheel build --out {folder}"
        ) from exc
    return ErasedRows(folder, removed, of, remaining)


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a dataset folder, whatever became of the other files.

    Raises:
        DatasetError: it has none that ragwheel wrote.
    """
    try:
        document = json.loads((folder / MANIFEST).read_text("utf-8"))
        if document["made_by"] == "ragwheel" and isinstance(document["rows"], dict):
            return dict(document)
        why = "something else made it"
    except (OSError, ValueError, KeyError, TypeError) as exc:
        why = str(exc)
    raise DatasetError(
        f"{folder} is not a dataset folder of ragwheel's ({why}). Name one that `ragwheel build` wrote: "
        f"ragwheel erase … --dataset DIR"
    )


def _condemned(folder: Path, manifest: Mapping[str, Any], scrub: Scrub) -> dict[Place, set[int]]:
    """The numbers of the rows that must go, by config and split."""
    condemned_rows: dict[Place, set[int]] = {
        (config, split): set() for config in manifest["rows"] for split in SPLITS
    }
    for batch in part_batches(folder / "provenance.parquet", _BATCH, _ORIGIN):
        for origin in batch.to_pylist():
            if scrub.matches(origin):
                condemned_rows[origin["config"], origin["split"]].add(origin["row"])
    for (config, split), rows in condemned_rows.items():
        at = 0
        for batch in part_batches(folder / config / f"{split}.parquet", _BATCH):
            for texts in _texts(batch):
                rows.update(at + n for n, cell in texts if cell in scrub.gone.gone_texts)
            at += batch.num_rows
    return condemned_rows


def _texts(batch: pa.RecordBatch) -> Iterator[list[tuple[int, str]]]:
    """The text cells of each column, with the number of their row; those of lists too."""
    for column in batch.columns:
        if pa.types.is_string(column.type):
            yield [(n, cell) for n, cell in enumerate(column.to_pylist()) if cell is not None]
        elif pa.types.is_list(column.type) and pa.types.is_string(column.type.value_type):
            yield [(n, cell) for n, cells in enumerate(column.to_pylist()) for cell in cells or () if cell]


def _rewrite(
    folder: Path, manifest: dict[str, Any], condemned: Mapping[Place, set[int]], scrub: Scrub
) -> None:
    """Filter every file of a folder that nobody else has."""
    for (config, split), rows in condemned.items():
        _filter(folder / config / f"{split}.parquet", rows)
        _filter_lines(folder / "jsonl" / config / f"{split}.jsonl", rows)
    renamed_families = _rewrite_splits(folder / "splits.parquet", scrub.gone_keys)
    groups = _rewrite_provenance(folder / "provenance.parquet", condemned, renamed_families)
    before = manifest["rows"]
    after = {
        config: {split: n - len(condemned[config, split]) for split, n in counts.items()}
        for config, counts in before.items()
    }
    exports = folder / "exports"  # other tools' formats: written again from what is left
    if exports.is_dir():
        formats = sorted(path.name for path in exports.iterdir())
        shutil.rmtree(exports)
        write_formats(folder, exports, formats)
    recount_card(folder, before, after)
    (folder / MANIFEST).unlink()
    so_far = manifest.get("erased", {}).get("rows", {})
    manifest |= {
        "rows": after,
        "groups": groups,
        "examples": count_written(folder),
        "erased": {
            "rows": {
                config: so_far.get(config, 0) + sum(before[config].values()) - sum(after[config].values())
                for config in before
            },
            "last_ns": time.time_ns(),
        },
        "sha256": checksums(folder),
    }
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=2, ensure_ascii=False) + "\n", "utf-8")


def _filter(path: Path, rows: set[int]) -> None:
    """Write a table again without some rows."""
    at = 0
    for part in part_files(path):
        with _rewriting(part) as (source, out):
            for batch in source.iter_batches(_BATCH):
                keep = pa.array([n not in rows for n in range(at, at + batch.num_rows)], pa.bool_())
                if (kept := batch.filter(keep)).num_rows:
                    out.write_batch(kept)
                at += batch.num_rows
    drop_empty(path)


@contextmanager
def _rewriting(path: Path) -> Iterator[tuple[pq.ParquetFile, pq.ParquetWriter]]:
    """Open a Parquet file for reading, and one with the same columns that takes its place."""
    with (
        replacing(path, private=True) as fresh,
        pq.ParquetFile(path) as source,
        pq.ParquetWriter(fresh, source.schema_arrow, compression="zstd") as out,
    ):
        yield source, out


def _filter_lines(path: Path, rows: set[int]) -> None:
    if not path.is_file():
        return
    with (
        replacing(path, private=True) as fresh,
        path.open(encoding="utf-8", newline="\n") as old,
        fresh.open("w", encoding="utf-8", newline="\n") as new,
    ):
        new.writelines(line for n, line in enumerate(old) if n not in rows)


def _rewrite_provenance(
    path: Path, condemned: Mapping[Place, set[int]], renamed_families: Mapping[str, str]
) -> dict[str, int]:
    """Drop the rows of what goes and number the others anew; how many queries each split has then."""
    places = {table: _Numbers(rows) for table, rows in condemned.items()}
    keys: dict[str, set[str]] = {split: set() for split in SPLITS}
    for part in part_files(path):
        with _rewriting(part) as (source, out):
            for batch in source.iter_batches(_BATCH):
                kept = []
                for row in batch.to_pylist():
                    number = places[row["config"], row["split"]].of(row["row"])
                    if number is not None:
                        keys[row["split"]].add(row["query_key"])
                        family = renamed_families.get(row["family"], row["family"])
                        kept.append({**row, "row": number, "family": family})
                if kept:
                    out.write_table(pa.Table.from_pylist(kept, source.schema_arrow))
    drop_empty(path)
    return {split: len(keys_of_split) for split, keys_of_split in keys.items()}


class _Numbers:
    """The new number of each row that stays; rows are asked for in rising order."""

    def __init__(self, gone: Iterable[int]) -> None:
        self._gone = sorted(gone)
        self._set = set(self._gone)
        self._before = 0

    def of(self, row: int) -> int | None:
        if row in self._set:
            return None
        while self._before < len(self._gone) and self._gone[self._before] < row:
            self._before += 1
        return row - self._before


def _keys(path: Path) -> frozenset[str]:
    return frozenset(pq.read_table(path, columns=["query_key"])["query_key"].to_pylist())


def _rewrite_splits(path: Path, gone_keys: frozenset[str]) -> dict[str, str]:
    """Drop gone queries; a family named after one is named after the first that stays: old -> new name."""
    tables = {part: _without(pq.read_table(part), gone_keys) for part in part_files(path)}
    renamed_families: dict[str, str] = {}
    for kept in tables.values():
        for row in kept.select(["query_key", "family"]).to_pylist():
            if row["family"] in gone_keys:
                renamed_families.setdefault(row["family"], row["query_key"])
    for part, kept in tables.items():
        families = [renamed_families.get(family, family) for family in kept["family"].to_pylist()]
        column = kept.schema.get_field_index("family")
        renamed = kept.set_column(column, "family", pa.array(families, pa.string()))
        pq.write_table(renamed, part, compression="zstd")
    drop_empty(path)
    return renamed_families


def _without(table: pa.Table, gone_keys: frozenset[str]) -> pa.Table:
    return table.filter(
        pa.array([key not in gone_keys for key in table["query_key"].to_pylist()], pa.bool_())
    )


def _files(folder: Path) -> Iterator[Path]:
    """All files of a folder, and of what an earlier command that was killed left beside it."""
    for place in (folder, *sorted(folder.parent.glob(f".{folder.name}.*"))):
        yield from sorted(path for path in place.rglob("*") if path.is_file())


def files_containing(paths: Iterable[Path], needles: list[bytes]) -> Iterator[Path]:
    """The files in which one of the needles stands: in the raw bytes, and in the cells of Parquet files."""
    for path in paths:
        if needles and path.stat().st_size and (_in_bytes(path, needles) or _in_cells(path, needles)):
            yield path


def _in_bytes(path: Path, needles: list[bytes]) -> bool:
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return any(content.find(needle) >= 0 for needle in needles)


def _in_cells(path: Path, needles: list[bytes]) -> bool:
    if path.suffix != ".parquet":
        return False
    for batch in pq.ParquetFile(path).iter_batches(_BATCH):
        for texts in _texts(batch):
            together = "\0".join(cell for _, cell in texts).encode()
            if any(needle in together for needle in needles):
                return True
    return False
