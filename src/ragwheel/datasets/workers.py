"""Rows of a dataset made and written by the workers of an engine; this process sees counts only.

Three steps: workers plan the rows of their query groups (negatives are mined and checked); one of them goes
through all groups in their order, on whole numbers alone, for the caps on how often a chunk is used; then
workers write their parts of the dataset. The functions are those of a build in one process, and the parts
in their order have the same rows in the same order.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any, Final

import ibis
import msgspec
import pyarrow as pa
from ibis import _

from ragwheel.datasets.assemble import Candidates, Choice, RowPlan, UseCaps, planned_rows
from ragwheel.datasets.group_rows import ORDER, GroupTables, group_rows, read_groups
from ragwheel.datasets.options import SPLITS
from ragwheel.datasets.plans import PlannedGroup, RowRules, planned
from ragwheel.datasets.writer import RowWriter, TablePart
from ragwheel.errors import DatasetError
from ragwheel.labels.engines.engine import RelationalEngine
from ragwheel.labels.engines.workers import Workers
from ragwheel.labels.negatives import ChunkCorpus, Encoder
from ragwheel.labels.negatives.corpus_file import open_corpus

__all__ = ["PART_GROUPS", "PartWriter", "SharedCorpus", "WorkerRows", "write_on_workers"]

#: Query groups of one part of the dataset.
PART_GROUPS: Final = 5_000
_BATCH: Final = 500
_CONFIGS: Final = ("triplets", "positives", "pairs", "lists", "ntuples")
_COUNTS: Final = pa.list_(pa.struct({"rule": pa.string(), "n": pa.int64()}))
_PLANS: Final = pa.schema(
    {
        "place": pa.int64(),
        "part": pa.int64(),
        "split": pa.string(),
        "graded": pa.int64(),
        "positives": pa.list_(pa.int64()),
        "negatives": pa.list_(pa.int64()),
        "struck": pa.binary(),
        "has_list": pa.bool_(),
        "plan": pa.binary(),
        "dropped": _COUNTS,
        "strategies": _COUNTS,
    }
)
_CHOICES: Final = pa.schema(
    {
        "place": pa.int64(),
        "part": pa.int64(),
        "split": pa.string(),
        "choices": pa.binary(),
        **dict.fromkeys(_CONFIGS, pa.int64()),
        "dropped": _COUNTS,
    }
)
_WRITTEN: Final = pa.schema({"part": pa.int64(), "rows": pa.int64()})

Record = dict[str, Any]
Batches = Iterable[pa.RecordBatch]


@dataclass(frozen=True)
class SharedCorpus:
    """Where workers find all chunks and the index of their words, and what takes the place of BM25."""

    path: Callable[[], Path]
    index: Callable[[], Path]
    encoder: Encoder | None = None

    def open(self) -> ChunkCorpus:
        """Return the corpus, on a worker."""
        corpus = open_corpus(self.path(), self.index())
        if self.encoder is None:
            return corpus
        return ChunkCorpus(list(corpus.of.values()), corpus.text_of, self.encoder)


@dataclass(frozen=True)
class WorkerRows:
    """What workers wrote: rows by config and split, how many parts, and usable negatives by strategy."""

    counts: Mapping[str, Mapping[str, int]]
    parts: int
    negatives: Counter[str]
    dropped: Counter[str]


def write_on_workers(
    engine: RelationalEngine,
    workers: Workers,
    tables: GroupTables,
    rules: RowRules,
    target: PartWriter,
) -> WorkerRows:
    """Plan, choose and write the rows of all query groups.

    Raises:
        DatasetError: what the workers wrote is not where this process looks for it.
    """
    stream = group_rows(tables)
    stream = stream.mutate(part=(stream.place // target.part_groups).cast("int64"))
    plan = partial(_plan, rules, target)
    plans = workers.mapped("plans", stream, plan, _PLANS, by="part", order=ORDER)
    heads = plans.drop("plan", "dropped", "strategies")
    choices = workers.mapped("choices", heads, partial(_choose, rules), _CHOICES, by=None, order=["place"])
    per_part = choices.group_by("part", "split").agg(**{name: choices[name].sum() for name in _CONFIGS})
    counts = engine.arrow(per_part.order_by("part")).to_pylist()
    target = replace(target, first=_first_rows(counts))
    rows = plans.select("part", "place", "split", "plan").join(choices.select("place", "choices"), "place")
    done = workers.mapped("written", rows, target, _WRITTEN, by="part", order=["place"])
    parts = engine.arrow(done.order_by("part")).to_pylist()
    _check(target.folder, parts)
    dropped = _summed(engine, plans, "dropped") + _summed(engine, choices, "dropped")
    return WorkerRows(
        counts={
            config: {
                split: sum(int(row[config]) for row in counts if row["split"] == split) for split in SPLITS
            }
            for config in target.configs
            if config in _CONFIGS
        },
        parts=1 + max((row["part"] for row in parts), default=-1),
        negatives=_summed(engine, plans, "strategies"),
        dropped=dropped,
    )


def _plan(rules: RowRules, target: PartWriter, batches: Batches) -> Iterator[pa.RecordBatch]:
    """The first step, on a worker: query groups in, a plan for each of them out."""
    corpus, dropped = target.corpus.open(), Counter[str]()
    groups = read_groups(batches, corpus.text_of)
    rows = (
        _planned_row(group, dropped) | {"part": group.place // target.part_groups}
        for group in planned(groups, corpus, rules, dropped)
    )
    yield from _batched(rows, _PLANS)


def _planned_row(group: PlannedGroup, dropped: Counter[str]) -> Record:
    plan = group.plan
    bare = RowPlan(
        plan.group, tuple(replace(chunk, text="") for chunk in plan.graded)
    )  # workers have the texts
    row = {
        "place": group.place,
        "split": group.split,
        "graded": len(plan.graded),
        "positives": group.candidates.positives,
        "negatives": group.candidates.negatives,
        "struck": msgspec.msgpack.encode(sorted(group.candidates.struck)),
        "has_list": plan.has_list,
        "plan": msgspec.msgpack.encode(bare),
        "dropped": _counted(dropped),
        "strategies": _counted(group.strategies),
    }
    dropped.clear()
    return row


def _choose(rules: RowRules, batches: Batches) -> Iterator[pa.RecordBatch]:
    """The second step, on one worker: the plans of all groups in their order in, what is taken out."""
    dropped = Counter[str]()
    balance = rules.policy.balance
    caps = {split: UseCaps(balance, negatives=rules.negatives, dropped=dropped) for split in SPLITS}
    yield from _batched((_chosen_row(row, caps[row["split"]], dropped) for row in _rows(batches)), _CHOICES)


def _chosen_row(row: Record, caps: UseCaps, dropped: Counter[str]) -> Record:
    struck = msgspec.msgpack.decode(row["struck"], type=frozenset[tuple[int, int]])
    choices = caps.choose(Candidates(row["positives"], row["negatives"], struck))
    chosen = {
        "place": row["place"],
        "part": row["part"],
        "split": row["split"],
        "choices": msgspec.msgpack.encode(choices),
        "triplets": sum(len(choice.negatives) for choice in choices),
        "positives": len(choices),
        "pairs": row["graded"],
        "lists": int(row["has_list"]),
        "ntuples": sum(bool(choice.ntuple) for choice in choices),
        "dropped": _counted(dropped),
    }
    dropped.clear()
    return chosen


@dataclass(frozen=True)
class PartWriter:
    """The third step, on a worker: plans and choices in, one part of the dataset written for each part.

    Args:
        folder: the dataset's, on a disk that all machines see.
        configs: the columns of each config.
        docs_per_list: of the policy.
        evalsets: the evaluation set of a query group's key.
        part_groups: query groups of one part.
        corpus: where the texts are.
        first: by part, config and split, the number of the first row.
    """

    folder: Path
    configs: Mapping[str, pa.Schema]
    docs_per_list: int
    evalsets: Mapping[str, str]
    part_groups: int
    corpus: SharedCorpus
    first: Mapping[int, Mapping[tuple[str, str], int]] = field(default_factory=dict)

    def __call__(self, batches: Batches) -> Iterator[pa.RecordBatch]:
        """Write the parts that the rows belong to, and count their rows."""
        text_of = open_corpus(self.corpus.path(), self.corpus.index()).text_of
        for number, rows in groupby(_rows(batches), key=lambda row: row["part"]):
            part = TablePart(number, self.first.get(number, {}))
            with RowWriter(self.folder, self.configs, evalsets=self.evalsets, part=part) as writer:
                for row in rows:
                    plan = _with_texts(msgspec.msgpack.decode(row["plan"], type=RowPlan), text_of)
                    choices = msgspec.msgpack.decode(row["choices"], type=list[Choice])
                    for made in planned_rows(plan, choices, self.docs_per_list):
                        writer.add(row["split"], plan.group, made)
            n = sum(sum(counts.values()) for counts in writer.counts.values())
            yield pa.RecordBatch.from_pylist([{"part": number, "rows": n}], _WRITTEN)


def _with_texts(plan: RowPlan, text_of: Callable[[int], str]) -> RowPlan:
    return RowPlan(plan.group, tuple(replace(chunk, text=text_of(chunk.text_id)) for chunk in plan.graded))


def _first_rows(counts: list[Record]) -> dict[int, dict[tuple[str, str], int]]:
    """The number of the first row of every part, in each config and split; ``counts`` are ordered by part."""
    so_far: Counter[tuple[str, str]] = Counter()
    first: dict[int, dict[tuple[str, str], int]] = {}
    for row in counts:
        for config in _CONFIGS:
            first.setdefault(row["part"], {})[config, row["split"]] = so_far[config, row["split"]]
            so_far[config, row["split"]] += int(row[config])
    return first


def _check(folder: Path, parts: list[Record]) -> None:
    """Refuse a folder that the workers do not share with this process."""
    here = {path.name for path in (folder / "provenance.parquet").glob("part-*.parquet")}
    if len(here) != len(parts):
        raise DatasetError(
            f"Workers wrote {len(parts)} parts of the dataset, of which {len(here)} are in {folder.parent}. "
            f"Name a folder on a disk that all machines of the cluster see, for example on NFS: "
            f"ragwheel build --out DIR"
        )
    for unfinished in folder.rglob(".*.parquet"):  # of a task that was killed, and ran again
        unfinished.unlink()


def _rows(batches: Batches) -> Iterator[Record]:
    return (row for batch in batches for row in batch.to_pylist())


def _batched(rows: Iterable[Record], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    buffer: list[Record] = []
    for row in rows:
        buffer.append(row)
        if len(buffer) == _BATCH:
            yield pa.RecordBatch.from_pylist(buffer, schema)
            buffer = []
    yield pa.RecordBatch.from_pylist(buffer, schema)


def _counted(counts: Mapping[str, int]) -> list[Record]:
    return [{"rule": rule, "n": n} for rule, n in counts.items() if n]


def _summed(engine: RelationalEngine, table: ibis.Table, column: str) -> Counter[str]:
    rows = table.select(count=column).unnest("count")
    rows = rows.select(rule=rows["count"]["rule"], n=rows["count"]["n"])
    sums = engine.arrow(rows.group_by("rule").agg(n=_.n.sum())).to_pylist()
    return Counter({row["rule"]: int(row["n"]) for row in sums})
