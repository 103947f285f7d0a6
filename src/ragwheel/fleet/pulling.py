"""Reading a lake of many stores into one database."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from ragwheel.errors import DatasetError, StoreError, StoreMissing
from ragwheel.labels.engines.engine import DuckDBEngine
from ragwheel.labels.traces.columns import WHOLE
from ragwheel.labels.traces.lake import Lake, located, open_lake
from ragwheel.labels.traces.read_parquet import lake_rows, read_parquet
from ragwheel.labels.traces.steady import steady
from ragwheel.labels.traces.union import distinct_rows
from ragwheel.store.assemble import StoreFiller
from ragwheel.typing import Progress

__all__ = ["PulledLake", "pull"]


@dataclass(frozen=True)
class PulledLake:
    """A lake that was read into a database: its path, the number of stores, and its rows by table."""

    db: Path
    stores: int
    rows: dict[str, int]


def pull(lake: str | Path, db: str | Path, *, progress: Progress | None = None) -> PulledLake:
    """Read a lake into a new database; rows that several stores have are read once.

    The database is a copy for reading. It may be given to everything that reads a database; on one machine
    and for many commands that is cheaper than reading the lake each time.

    Args:
        lake: a folder or URL that ``ragwheel export traces`` wrote.
        db: a new file.
        progress: called with a table's name and how many of its rows are copied, of how many.

    Raises:
        StoreError: the file is there already, or there are no traces.
        DatasetError: the lake cannot be read.
        ConfigurationError: the URL cannot be reached.
    """
    db = Path(db)
    if db.exists():
        raise StoreError(f"{db} exists already and was left as it is. Name a new file.")
    opened = open_lake(*located(lake))
    if not opened.stores:
        raise StoreMissing(f"There are no traces at {lake}. Export some: ragwheel export traces --out {lake}")
    if opened.format == 1:
        raise DatasetError(
            f"{lake} was written by an earlier ragwheel and can only be built from: ragwheel build "
            f"--from-parquet {lake}. Bring it up to date with: ragwheel export traces --out {lake}"
        )
    with steady(opened) as copied:
        rows = _fill(copied, db, progress or _no_progress)
    return PulledLake(db, len(opened.stores), rows)


def _fill(lake: Lake, db: Path, report: Progress) -> dict[str, int]:
    """Copy every row once into a new database; return the numbers of rows by table."""
    tables, text_of = read_parquet(lake)
    with DuckDBEngine() as engine, StoreFiller(db) as filler:
        rows = {}
        chunks = tables.chunk.to_pylist()
        filler.add_chunks({**row, "text": text_of(row["text_id"])} for row in chunks)
        report("chunk", len(chunks), len(chunks))
        retrievals, turns, signals = distinct_rows(
            engine, *(lake_rows(lake, name, WHOLE[name]) for name in ("retrieval", "turn", "signal")),
            stores=len(lake.stores),
        )  # fmt: skip
        judgments = _judgments(lake)
        filler.add_judgments(judgments)
        for name, table, order, add in (
            ("retrieval", retrievals, ["start_ns", "retrieval_id"], _retrievals(filler)),
            ("turn", turns, ["start_ns", "turn_id"], filler.add_turns),
            ("signal", signals, ["received_ns", "at_ns", "signal_id"], filler.add_signals),
        ):
            kept = engine.keep(f"pulled_{name}", table)
            done, total = 0, engine.count(kept)
            for batch in engine.batches(kept.order_by(order), 20_000):
                add(_rows_of(batch) if name == "retrieval" else batch.to_pylist())
                done += batch.num_rows
                report(name, done, total)
            rows[name] = total
            engine.drop(f"pulled_{name}")
    return {**rows, "chunk": len(chunks), "judgment": len(judgments)}


def _retrievals(filler: StoreFiller) -> Callable[[Any], None]:
    return filler.add_retrievals


def _rows_of(batch: pa.RecordBatch) -> Iterator[dict[str, Any]]:
    """Yield retrievals with their chunks and scores as plain lists."""
    items = batch["items"]
    offsets = items.offsets.to_pylist()
    flat = items.values
    versions, scores = flat.field("chunk_version").to_pylist(), flat.field("score").to_pylist()
    heads = batch.drop_columns(["items"]).to_pylist()
    for row, start, end in zip(heads, offsets, offsets[1:]):
        yield {**row, "chunks": versions[start:end], "scores": scores[start:end]}


def _judgments(lake: Lake) -> list[dict[str, Any]]:
    """Yield every judgment once: a judge's latest for a query and chunk."""
    table = lake_rows(lake, "judgment", WHOLE["judgment"]).dataset().to_table()
    rows = table.sort_by([("at_ns", "ascending"), ("judgment_id", "ascending")]).to_pylist()
    return list({row["judgment_id"]: row for row in rows}.values())


def _no_progress(_table: str, _done: int, _total: int) -> None:
    """Take progress that no caller asked for."""
