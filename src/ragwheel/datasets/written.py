"""Rows written by the workers of an engine, and what this process adds: chunk pairs, empty tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from ragwheel.datasets import workers as steps
from ragwheel.datasets.assemble import Row
from ragwheel.datasets.formats.lines import write_json_lines
from ragwheel.datasets.labelled import Labelled
from ragwheel.datasets.options import SPLITS
from ragwheel.datasets.parts import part_batches, part_name
from ragwheel.datasets.plans import RowRules
from ragwheel.datasets.splits import Group
from ragwheel.datasets.writer import RowWriter, TablePart
from ragwheel.labels.engines.workers import Workers
from ragwheel.labels.negatives.corpus_file import write_corpus

__all__ = ["RowTarget", "WrittenRows", "write_lines_of", "write_parts"]

_BATCH: Final = 10_000

ChunkPairs = Sequence[tuple[str, Group, Row]]


@dataclass(frozen=True)
class RowTarget:
    """Where rows are written: the folder, the columns of each config, the evaluation set of a query's key."""

    folder: Path
    configs: Mapping[str, pa.Schema]
    evalsets: Mapping[str, str]


@dataclass(frozen=True)
class WrittenRows:
    """How many rows were written, by config and split, and usable negatives by strategy."""

    counts: Mapping[str, Mapping[str, int]]
    negatives: Counter[str]


def write_parts(
    workers: Workers, labelled: Labelled, rules: RowRules, target: RowTarget, alike: ChunkPairs
) -> WrittenRows:
    """Have workers write the rows of all query groups, then write those of chunk pairs as the last part."""
    folder, configs, evalsets = target.folder, target.configs, target.evalsets
    with TemporaryDirectory(prefix="ragwheel-corpus-") as temporary:
        path, index = (Path(temporary) / f"{Path(temporary).name}{end}" for end in (".arrow", "-index.arrow"))
        write_corpus(path, labelled.tables.chunk, labelled.text_of)
        labelled.corpus().index.write(index)
        writer = steps.PartWriter(
            folder=folder.absolute(),
            configs=configs,
            docs_per_list=rules.policy.balance.docs_per_list,
            evalsets=evalsets,
            part_groups=steps.PART_GROUPS,
            corpus=steps.SharedCorpus(workers.share(path), workers.share(index), labelled.encoder),
        )
        rows = steps.write_on_workers(labelled.engine, workers, labelled.group_tables(), rules, writer)
    labelled.dropped.update(rows.dropped)
    with RowWriter(folder, configs, evalsets=evalsets, part=TablePart(rows.parts, {})) as last:
        for split, group, row in alike:
            last.add(split, group, row)
    counts = {
        config: {split: n + rows.counts.get(config, {}).get(split, 0) for split, n in by_split.items()}
        for config, by_split in last.counts.items()
    }
    for config, schema in configs.items():
        for split in SPLITS:
            if not counts[config][split]:
                empty = folder / config / f"{split}.parquet" / part_name(0)
                empty.parent.mkdir(parents=True, exist_ok=True)
                pq.write_table(schema.empty_table(), empty, compression="zstd")
    return WrittenRows(counts, rows.negatives)


def write_lines_of(folder: Path, configs: Mapping[str, pa.Schema]) -> None:
    """Write the JSON lines of every config from its tables, a batch of rows at a time."""
    for config in configs:
        for split in SPLITS:
            batches = part_batches(folder / config / f"{split}.parquet", _BATCH)
            rows = (row for batch in batches for row in batch.to_pylist())
            write_json_lines(folder / "jsonl" / config / f"{split}.jsonl", rows)
