"""The configs of a dataset as they are: one file a split, Parquet or JSON lines."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ragwheel.datasets.formats.lines import write_json_lines
from ragwheel.datasets.options import SPLITS
from ragwheel.errors import DatasetError

__all__ = ["CONFIGS", "write_config"]

CONFIGS = ("triplets", "positives", "ntuples", "pairs", "lists", "chunk_pairs")


def write_config(
    config: str | None, *, ending: Literal["parquet", "jsonl"] = "parquet", label_scale: float = 1
) -> Callable[[Path, Path], None]:
    """A writer of one config, ``{split}.parquet``, or of all (None), each in a folder of its name.

    ``label_scale`` multiplies the column ``label``, which is 0-1 in the dataset.
    """

    def write(dataset: Path, out: Path) -> None:
        if config is not None and not (dataset / config).is_dir():
            raise DatasetError(
                f"{dataset} has no {config}. Build it with them: "
                f"ragwheel build --out {dataset} --format st-ntuple"
            )
        for name in (config,) if config else CONFIGS:
            for split in SPLITS:
                path = dataset / name / f"{split}.parquet"
                if path.exists():
                    to = out / (f"{split}.{ending}" if config else f"{name}/{split}.{ending}")
                    _write(pq.read_table(path), to, label_scale)

    return write


def _write(table: pa.Table, to: Path, label_scale: float) -> None:
    if label_scale != 1:
        column = table.column_names.index("label")
        table = table.set_column(column, "label", pc.round(pc.multiply(table["label"], label_scale), 6))
    to.parent.mkdir(parents=True, exist_ok=True)
    if to.suffix == ".parquet":
        pq.write_table(table, to, compression="zstd")
    else:
        write_json_lines(to, (row for batch in table.to_batches() for row in batch.to_pylist()))
