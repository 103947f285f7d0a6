"""Tables of a dataset folder that are one Parquet file, or a folder of files that workers wrote.

``triplets/train.parquet`` is a file where one process wrote the dataset. Where the workers of a cluster did,
it is a folder of that name with ``part-00000.parquet``, ``part-00001.parquet``, …; the rows of the table are
those of its parts in the order of their names. A part without rows is there only where the table has none.
pandas, PyArrow and Spark read both under the same name.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

__all__ = ["PARTITIONED", "drop_empty", "part_batches", "part_files", "part_name", "pattern"]

#: The layout of folders in which tables are folders of parts.
PARTITIONED: Final = 2


def part_name(number: int) -> str:
    """Return the name of a part by its number."""
    return f"part-{number:05d}.parquet"


def part_files(path: Path) -> list[Path]:
    """Return the files of a table in the order of its rows; a table that is one file is returned as it is."""
    return sorted(path.glob("part-*.parquet")) if path.is_dir() else [path]


def drop_empty(path: Path) -> None:
    """Remove the parts of a table that have no rows, but never the last part there is.

    The package ``datasets`` refuses a Parquet file without rows.
    """
    parts = part_files(path)
    empty = [part for part in parts if not pq.read_metadata(part).num_rows]
    for part in empty if len(empty) < len(parts) else empty[1:]:
        part.unlink()


def part_batches(path: Path, rows: int, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
    """Yield the rows of a table in their order, at most so many at a time.

    Raises:
        OSError: a file is missing.
        pyarrow.ArrowInvalid: a file is not Parquet.
    """
    for part in part_files(path):
        with pq.ParquetFile(part) as file:
            yield from file.iter_batches(rows, columns=columns)


def pattern(folder: Path, path: str) -> str:
    """Return a table's path inside the folder as a pattern that matches its files."""
    return f"{path}/part-*.parquet" if (folder / path).is_dir() else path
