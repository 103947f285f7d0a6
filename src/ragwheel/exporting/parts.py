"""Writing one day of a table as one Parquet file."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ragwheel.errors import DatasetError
from ragwheel.exporting.lake_folder import LakeFolder
from ragwheel.labels.traces.columns import SCHEMAS, WHOLE
from ragwheel.labels.traces.read import count_citations
from ragwheel.labels.traces.read_keys import DAY_NS, Partition
from ragwheel.typing import Progress

__all__ = ["KEYS", "Part", "date_of", "write_days"]

_BUFFER: Final = 50_000  # rows of a row group
#: The columns that identify a row of each table in a lake.
KEYS: Final[Mapping[str, str]] = {
    "retrieval": "retrieval_id",
    "turn": "turn_id",
    "signal": "signal_id",
    "chunk": "chunk_version",
    "judgment": "judgment_id",
}


def date_of(day: int) -> str:
    """Return the date of a number of days since 1970, in UTC."""
    return time.strftime("%Y-%m-%d", time.gmtime(day * 86_400))


def write_days(
    folder: LakeFolder,
    batches: Iterator[pa.RecordBatch],
    table: tuple[str, str],
    changed: Mapping[str, Partition],
    earlier: Mapping[str, Iterable[pa.RecordBatch]],
    progress: Progress | None,
) -> dict[str, dict[str, Any]]:
    """Write each changed day's rows into its file.

    Args:
        folder: the lake's folder.
        batches: the rows of the store.
        table: the table's name, and the identity of the store.
        changed: the days to write.
        earlier: for days with pruned rows, the rows that the lake has besides these.
        progress: called with the table's name, the number of changed rows written so far, and their total.

    Returns:
        The manifest's entry for each day.
    """
    name, identity = table
    parts: dict[str, Part] = {}
    written: dict[str, dict[str, Any]] = {}
    done, total = 0, sum(part.rows for part in changed.values())
    try:
        for batch in batches:
            days = pc.divide(batch[SCHEMAS[name][1]], pa.scalar(DAY_NS))
            for day in pc.unique(days).to_pylist():
                date = date_of(day)
                if date not in changed or date in written:
                    continue
                if date not in parts:
                    path = f"{name}/store={identity}/day={date}/part-{changed[date].name}.parquet"
                    parts[date] = Part(folder, path, name)
                part = parts[date]
                part.add(batch.filter(pc.equal(days, pa.scalar(day))))
                if part.rows == changed[date].rows:
                    for rows in earlier.get(date, ()):
                        part.add(rows)
                    written[date] = parts.pop(date).finish() | {"digest": changed[date].digest_name}
                    done += changed[date].rows
                    if progress is not None:
                        progress(name, done, total)
    finally:
        for part in parts.values():
            part.close()
    if len(written) != len(changed):
        raise DatasetError(
            f"{name}: {len(written)} of {len(changed)} days are whole. Nothing was changed; please "
            f"report this."
        )
    return written


class Part:
    """A partition that is being written, with the counts for its manifest entry."""

    def __init__(self, folder: LakeFolder, path: str, name: str) -> None:
        self.rows = self._citations = self._reranks = 0
        self._ends: list[int] = []
        self._folder, self._path, self._name, self._schema = folder, path, name, WHOLE[name]
        self._buffer: list[pa.RecordBatch] = []
        self._buffered = 0
        self._sink, self._unfinished = folder.begin(path)
        self._writer = pq.ParquetWriter(self._sink, self._schema, compression="zstd")

    def add(self, batch: pa.RecordBatch) -> None:
        """Add rows."""
        if not batch.num_rows:
            return
        self._buffer.append(batch)
        self.rows += batch.num_rows
        self._buffered += batch.num_rows
        times = batch[SCHEMAS[self._name][1]].to_numpy()
        self._ends += [int(np.min(times)), int(np.max(times))]
        if self._name == "turn":
            self._citations += count_citations(batch)
        if self._name == "retrieval":
            self._reranks += int(pc.sum(pc.cast(batch["reranks"], pa.int64())).as_py() or 0)
        if self._buffered >= _BUFFER:
            self._flush()

    def _flush(self) -> None:
        self._writer.write_table(pa.Table.from_batches(self._buffer, self._schema))
        self._buffer, self._buffered = [], 0

    def finish(self) -> dict[str, Any]:
        """Finish the file; return its manifest entry."""
        self._flush()
        self.close()
        self._folder.finished(self._unfinished, self._path)
        entry: dict[str, Any] = {"file": self._path, "rows": self.rows}
        if self._ends:
            entry |= {"first_ns": min(self._ends), "last_ns": max(self._ends)}
        if self._name == "turn":
            entry["citations"] = self._citations
        if self._name == "retrieval":
            entry["reranks"] = self._reranks
        return entry

    def close(self) -> None:
        """Close the file, whether or not it is complete."""
        self._writer.close()
        self._sink.close()
