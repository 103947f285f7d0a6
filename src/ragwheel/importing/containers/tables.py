"""Tables of records: CSV (commas, tabs or semicolons) and Parquet."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, Final

from ragwheel.errors import ImportingError, MissingExtra

__all__ = ["csv_rows", "read_csv", "read_parquet"]

BATCH_ROWS: Final = 256
MAX_CELL_CHARS: Final = 64 * 1024 * 1024


def read_csv(
    file: IO[bytes], unreadable: Counter[str], progress: Callable[[int], None]
) -> Iterator[dict[str, Any]]:
    """Yield the rows of a CSV file as mappings from its header; rows of another width are counted."""
    with io.TextIOWrapper(file, encoding="utf-8-sig", errors="replace", newline="") as text:
        for number, row in enumerate(csv_rows(text, unreadable)):
            if number % BATCH_ROWS == 0:
                progress(file.tell())
            yield row


def csv_rows(text: IO[str], unreadable: Counter[str]) -> Iterator[dict[str, Any]]:
    """Yield the rows of CSV text; blank cells are left out.

    A row of another width than the header is counted. The delimiter is the one
    that the header holds most often. Cells may have up to 64 million characters.
    """
    header_line = text.readline()
    delimiter = max(",\t;", key=header_line.count)
    previous_limit = csv.field_size_limit(MAX_CELL_CHARS)
    try:
        names = next(csv.reader([header_line], delimiter=delimiter), [])
        reader = csv.reader(text, delimiter=delimiter)
        while True:
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error:
                unreadable["broken row of CSV"] += 1
                continue
            if not cells:
                continue
            if len(cells) != len(names):
                unreadable["wrong number of cells"] += 1
                continue
            yield {name: cell for name, cell in zip(names, cells) if cell != ""}
    finally:
        csv.field_size_limit(previous_limit)


def read_parquet(
    path: Path, unreadable: Counter[str], progress: Callable[[int], None]
) -> Iterator[dict[str, Any]]:
    """Yield the rows of a Parquet file; nulls are left out."""
    try:
        import pyarrow.lib
        import pyarrow.parquet as pq
    except ImportError:
        raise MissingExtra("Parquet files need pyarrow: pip install 'ragwheel[build]'") from None
    try:
        table = pq.ParquetFile(path)
    except (pyarrow.lib.ArrowException, OSError) as exc:
        raise ImportingError(f"{path} is a damaged Parquet file: {exc}. Nothing of it was imported.") from exc
    size, rows = path.stat().st_size, max(1, table.metadata.num_rows)
    done = 0
    batches = table.iter_batches(batch_size=BATCH_ROWS)
    while True:
        try:
            batch = next(batches, None)
        except (pyarrow.lib.ArrowException, OSError):
            unreadable["damaged row group of Parquet"] += 1
            return
        if batch is None:
            return
        done += batch.num_rows
        progress(size * done // rows)
        for row in batch.to_pylist():
            yield {name: value for name, value in row.items() if value is not None}
