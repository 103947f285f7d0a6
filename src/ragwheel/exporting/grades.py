"""Export of every grade of a store as one table: Parquet, CSV or JSON lines (``docs/exports.md``)."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ragwheel.errors import ConfigurationError, DatasetError
from ragwheel.files import replacing
from ragwheel.labels import graded
from ragwheel.labels.graded import STAGES
from ragwheel.typing import Progress

__all__ = ["GRADES", "GRADE_FILES", "GradesExport", "export_grades"]

#: The columns of the table, in their order.
GRADES: Final = pa.schema(
    {
        "query": pa.string(),
        "source": pa.string(),
        "chunk_id": pa.string(),
        "chunk_version": pa.int64(),
        "status": pa.string(),
        "grade": pa.float64(),
        "belief": pa.float64(),
        "confidence": pa.float64(),
        "n_evidence": pa.int64(),
        "n_subjects": pa.int64(),
        "reason": pa.string(),
    }
)
_ROWS: Final = 10_000  # written between two calls of ``progress``


@dataclass(frozen=True)
class GradesExport:
    """The result of an export of grades.

    Attributes:
        out: the file.
        rows: number of grades, one per query group and chunk version.
        queries: number of query groups.
        statuses: rows by status, in the order of their names.
    """

    out: Path
    rows: int
    queries: int
    statuses: Mapping[str, int]


def export_grades(
    db: str | Path, out: str | Path, *, policy: str | Path | None = None, progress: Progress | None = None
) -> GradesExport:
    """Write every grade of a store, including abstentions; an earlier file of this name is replaced.

    Rows are ordered by query, then by belief, highest first. The file is written atomically and can be read
    by its owner only.

    Args:
        db: the database.
        out: a file name that ends in ``.parquet``, ``.csv`` or ``.jsonl``.
        policy: a TOML file of the label policy; None: the packaged one.
        progress: called as the export goes on; if it raises, the export ends and nothing is written.

    Raises:
        ConfigurationError: the file name has another ending, or the policy cannot be used.
        StoreError: the database cannot be read.
        DatasetError: the file cannot be written.
    """
    out = Path(out)
    if out.suffix.lower() not in GRADE_FILES:
        raise ConfigurationError(
            f"Grades cannot be written as {out.name!r}; allowed: a name that ends in "
            f"{', '.join(GRADE_FILES)}. Next: ragwheel export grades --db {db} --out grades.parquet"
        )
    if out.is_dir():
        raise DatasetError(f"{out} is a folder and was left as it is. Name a file with --out FILE.")

    def stage(name: str) -> None:
        if progress is not None:
            progress(name, STAGES.index(name), len(STAGES))

    grades = graded(db, policy=policy, stage=stage)
    table = _table(grades)
    with _replacing(out) as path:
        GRADE_FILES[out.suffix.lower()](path, _batches(table, progress))
    counts = pc.value_counts(table["status"]).to_pylist()
    return GradesExport(
        out=out,
        rows=table.num_rows,
        queries=len(pc.unique(grades["query_key"])),
        statuses={row["values"]: row["counts"] for row in sorted(counts, key=lambda row: row["values"])},
    )


def _table(grades: pa.Table) -> pa.Table:
    """Return the columns of :data:`GRADES`. A negative without a reason gets its strategy as the reason."""
    stated = pc.if_else(pc.equal(pc.fill_null(grades["reason"], ""), ""), None, grades["reason"])
    columns = {name: grades[name] for name in GRADES.names if name not in ("chunk_version", "reason")}
    columns["chunk_version"] = grades["version"]
    columns["reason"] = pc.coalesce(stated, grades["strategy"])
    table = pa.table({name: columns[name] for name in GRADES.names}).cast(GRADES)
    order = [("query", "ascending"), ("belief", "descending")]
    order += [(name, "ascending") for name in ("source", "chunk_id", "chunk_version")]
    return table.sort_by(order)


def _batches(table: pa.Table, progress: Progress | None) -> Iterator[pa.RecordBatch]:
    done = 0
    for batch in table.to_batches(max_chunksize=_ROWS):
        yield batch
        done += batch.num_rows
        if progress is not None:
            progress("write", done, table.num_rows)


def _parquet(path: Path, batches: Iterator[pa.RecordBatch]) -> None:
    with pq.ParquetWriter(path, GRADES, compression="zstd") as writer:
        for batch in batches:
            writer.write_batch(batch)


def _csv(path: Path, batches: Iterator[pa.RecordBatch]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, GRADES.names)
        writer.writeheader()
        for batch in batches:
            writer.writerows(batch.to_pylist())


def _jsonl(path: Path, batches: Iterator[pa.RecordBatch]) -> None:
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for batch in batches:
            file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in batch.to_pylist())


#: How a file is written, by the ending of its name.
GRADE_FILES: Final[Mapping[str, Callable[[Path, Iterator[pa.RecordBatch]], None]]] = MappingProxyType(
    {".parquet": _parquet, ".csv": _csv, ".jsonl": _jsonl}
)


@contextmanager
def _replacing(out: Path) -> Iterator[Path]:
    """Yield a file beside ``out``. It replaces ``out`` if the block succeeds, else it is removed."""
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with replacing(out, private=True) as fresh:
            yield fresh
    except OSError as exc:
        raise DatasetError(f"{out} cannot be written: {exc.strerror or exc}.") from exc
