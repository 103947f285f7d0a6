"""Dataset folders on disk: Parquet per config and split, provenance beside it, all or nothing."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from secrets import token_hex
from types import MappingProxyType, TracebackType
from typing import Any, Final, TextIO

import pyarrow as pa
import pyarrow.parquet as pq

from ragwheel.datasets.assemble import Row
from ragwheel.datasets.options import SPLITS
from ragwheel.datasets.parts import PARTITIONED, part_name
from ragwheel.datasets.splits import Group
from ragwheel.errors import DatasetError
from ragwheel.files import sha256_of
from ragwheel.labels.negatives import GradedChunk

__all__ = [
    "LAYOUT",
    "MANIFEST",
    "PROVENANCE",
    "RowWriter",
    "TablePart",
    "check_target",
    "checksums",
    "schemas",
]

MANIFEST: Final = "manifest.json"
#: The newest layout of a folder that this version reads: 1, tables are files; 2, they are folders of parts.
#: A manifest that names none is of layout 1.
LAYOUT: Final = PARTITIONED
_BUFFER: Final = 10_000
_STRINGS: Final = pa.list_(pa.string())

#: One row per dataset row and chunk in it.
PROVENANCE: Final = pa.schema(
    {
        "row_id": pa.string(),
        "config": pa.string(),
        "split": pa.string(),
        "row": pa.int64(),
        "role": pa.string(),
        "query_key": pa.string(),
        "family": pa.string(),
        "source": pa.string(),
        "chunk_id": pa.string(),
        "chunk_version": pa.int64(),
        "grade": pa.float64(),
        "confidence": pa.float64(),
        "strategy": pa.string(),
        "closeness": pa.float64(),
        "score_gap": pa.float64(),
        "difficulty": pa.float64(),
        "weight": pa.float64(),
        "evalset": pa.string(),
        "kinds": _STRINGS,
        "reasons": _STRINGS,
        "retrieval_ids": _STRINGS,
        "turn_ids": _STRINGS,
        "signal_ids": _STRINGS,
    }
)


def schemas(negatives: int | None, *, chunk_pairs: bool = False) -> dict[str, pa.Schema]:
    """The columns of each config, as trainers expect them; the last two where asked for."""
    text, number = pa.string(), pa.float64()
    facts = {
        "triplets": pa.schema({"anchor": text, "positive": text, "negative": text}),
        "positives": pa.schema({"anchor": text, "positive": text}),
        "pairs": pa.schema({"query": text, "document": text, "label": number}),
        "lists": pa.schema({"query": text, "docs": _STRINGS, "labels": pa.list_(number)}),
    }
    if negatives is not None:
        columns = ["anchor", "positive", *(f"negative_{n}" for n in range(1, negatives + 1))]
        facts["ntuples"] = pa.schema(dict.fromkeys(columns, text))
    if chunk_pairs:
        facts["chunk_pairs"] = pa.schema({"anchor": text, "positive": text})
    return facts


@dataclass(frozen=True)
class TablePart:
    """Which part of every table a writer writes: its number, and the number of its first row in each table.

    ``first`` is by config and split; 0 where it has none.
    """

    number: int
    first: Mapping[tuple[str, str], int]


class _Table:
    """One Parquet file being written, and its JSON lines twin where asked for."""

    def __init__(self, path: Path, schema: pa.Schema, jsonl: Path | None = None) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.rows = 0
        self._buffer: list[dict[str, Any]] = []
        self._schema = schema
        self._file = pq.ParquetWriter(path, schema, compression="zstd")
        self._lines: TextIO | None = None
        if jsonl is not None:
            jsonl.parent.mkdir(parents=True, exist_ok=True)
            self._lines = jsonl.open("w", encoding="utf-8", newline="\n")

    def add(self, values: dict[str, Any]) -> int:
        self._buffer.append(values)
        self.rows += 1
        if self._lines is not None:
            self._lines.write(json.dumps(values, ensure_ascii=False) + "\n")
        if len(self._buffer) == _BUFFER:
            self._flush()
        return self.rows - 1

    def _flush(self) -> None:
        self._file.write_table(pa.Table.from_pylist(self._buffer, self._schema))
        self._buffer = []

    def close(self, *, complete: bool = True) -> None:
        if self._buffer and complete:
            self._flush()
        self._file.close()
        if self._lines is not None:
            self._lines.close()


class _PartTable:
    """One part of a table, made when there is a row for it and in its place once it is complete.

    A task that is killed or runs twice leaves nothing half-written under the part's name.
    """

    def __init__(self, path: Path, schema: pa.Schema, part: TablePart, first: int) -> None:
        self._path, self._schema, self._first = path / part_name(part.number), schema, first
        self._fresh = self._path.with_name(f".{token_hex(8)}.parquet")
        self._table: _Table | None = None

    @property
    def rows(self) -> int:
        return 0 if self._table is None else self._table.rows

    def add(self, values: dict[str, Any]) -> int:
        if self._table is None:
            self._table = _Table(self._fresh, self._schema)
        return self._first + self._table.add(values)

    def close(self, *, complete: bool = True) -> None:
        if self._table is None:
            return
        self._table.close(complete=complete)
        if complete:
            self._fresh.replace(self._path)
        else:
            self._fresh.unlink()


class RowWriter:
    """Writes rows and their provenance; a context manager that closes the files.

    ``evalsets`` names the evaluation set of a query group's key. With ``part`` that part of every table is
    written, without JSON lines; else whole tables are.
    """

    def __init__(
        self,
        folder: Path,
        configs: Mapping[str, pa.Schema],
        *,
        jsonl: bool = False,
        evalsets: Mapping[str, str] = MappingProxyType({}),
        part: TablePart | None = None,
    ) -> None:
        self._evalsets = evalsets
        self.negatives: Counter[str] = Counter()
        self._group = ""
        self._origins: dict[int, dict[str, Any]] = {}
        self._tables: dict[tuple[str, str], _Table | _PartTable] = {}
        for config, schema in configs.items():
            for split in SPLITS:
                path = folder / config / f"{split}.parquet"
                lines = folder / "jsonl" / config / f"{split}.jsonl" if jsonl else None
                self._tables[config, split] = (
                    _Table(path, schema, lines)
                    if part is None
                    else _PartTable(path, schema, part, part.first.get((config, split), 0))
                )
        path = folder / "provenance.parquet"
        self._provenance = _Table(path, PROVENANCE) if part is None else _PartTable(path, PROVENANCE, part, 0)

    @property
    def counts(self) -> dict[str, dict[str, int]]:
        """Rows by config and split."""
        counts: dict[str, dict[str, int]] = {}
        for (config, split), table in self._tables.items():
            counts.setdefault(config, {})[split] = table.rows
        return counts

    def add(self, split: str, group: Group, row: Row) -> None:
        """Write one row, and where each of its chunks comes from."""
        number = self._tables[row.config, split].add(row.values)
        parts = [row.config, group.key, *(str(chunk.chunk_version) for _, chunk in row.chunks)]
        row_id = blake2b("\x1f".join(parts).encode(), digest_size=8).hexdigest()
        record = {"row_id": row_id, "config": row.config, "split": split, "row": number}
        record |= {"weight": min(chunk.confidence for _, chunk in row.chunks)}
        best = next((chunk.closeness for role, chunk in row.chunks if role == "positive"), None)
        for role, chunk in row.chunks:
            gap = _score_gap(best, chunk.closeness) if role.startswith("negative") else None
            hard = None if gap is None else round(1 - max(gap, 0.0), 6)
            origin = self._origin(group, chunk)
            self._provenance.add({**record, "role": role, **origin, "score_gap": gap, "difficulty": hard})

    def _origin(self, group: Group, chunk: GradedChunk) -> dict[str, Any]:
        """The columns that are the same in every row of the group with this chunk."""
        if self._group != group.key:
            self._group, self._origins = group.key, {}
        origin = self._origins.get(chunk.chunk_version)
        if origin is None:
            origin = self._origins[chunk.chunk_version] = _origin(group, chunk)
            origin["evalset"] = self._evalsets.get(group.key)
        return origin

    def __enter__(self) -> RowWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        for table in (*self._tables.values(), self._provenance):
            table.close(complete=kind is None)


def _score_gap(positive: int | None, negative: int | None) -> float | None:
    """How far the negative was scored below the positive, as a share of the way from worst to best."""
    if positive is None or negative is None:
        return None
    return round((positive - negative) / 1_000_000, 6)


def _origin(group: Group, chunk: GradedChunk) -> dict[str, Any]:
    reasons = chunk.reasons
    return {
        "query_key": group.key,
        "family": group.family,
        "source": chunk.source,
        "chunk_id": chunk.chunk_id,
        "chunk_version": chunk.chunk_version,
        "grade": chunk.grade,
        "confidence": chunk.confidence,
        "strategy": chunk.strategy,
        "closeness": None if chunk.closeness is None else chunk.closeness / 1_000_000,
        "kinds": [reason.kind for reason in reasons],
        "reasons": [reason.text for reason in reasons],
        "retrieval_ids": _all(reason.retrieval_ids for reason in reasons),
        "turn_ids": _all(reason.turn_ids for reason in reasons),
        "signal_ids": _all(reason.signal_ids for reason in reasons),
    }


def _all(ids: Iterator[tuple[str, ...]]) -> list[str]:
    return list(dict.fromkeys(span_id for some in ids for span_id in some))


def check_target(out: Path) -> bool:
    """Whether ``out`` is an earlier build; False when there is nothing.

    Raises:
        DatasetError: it is something else, which is never overwritten.
    """
    if not out.exists() and not out.is_symlink():
        return False
    if out.is_dir():
        if not any(out.iterdir()):
            return False
        try:
            if json.loads((out / MANIFEST).read_text("utf-8")).get("made_by") == "ragwheel":
                return True
        except (OSError, ValueError, AttributeError):
            pass  # not one of ours: said below
    raise DatasetError(
        f"{out} exists and is not a dataset folder of ragwheel's, so it was left as it is. "
        f"Name a new folder with --out DIR, or remove that one first: rm -r {out}"
    )


def checksums(folder: Path) -> dict[str, str]:
    """SHA-256 of every file, by its path inside the folder."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): sha256_of(path) for path in paths}
