"""Tables of records: CSV (commas, tabs or semicolons) and Parquet."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, Final

from ragwheel.errors import ImportingError, MissingExtra
from ragwheel.lenient import csv_rows

__all__ = ["read_csv", "read_parquet"]

BATCH_ROWS: Final = 256


def read_csv(
    file: IO[bytes], unreadable: Counter[str], progress: Callable[[int], None]
) -> Iterator[dict[str, Any]]:
    """Yield the rows of a CSV file as mappings; rows of another width than the header are counted."""
    with io.TextIOWrapper(file, encoding="utf-8-sig", errors="replace", newline="") as text:
        for number, row in enumerate(csv_rows(text, unreadable)):
            if number % BATCH_ROWS == 0:
                progress(file.tell())
            yield row


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
