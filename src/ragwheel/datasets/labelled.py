"""What a build has labelled: graded query groups with their splits, read in the order of the dataset."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, Final

import ibis
import pyarrow as pa
from ibis import _

from ragwheel.datasets.splits import Group
from ragwheel.datasets.strikes import Strikes
from ragwheel.labels.engines.engine import RelationalEngine
from ragwheel.labels.model.learned import LabelModel
from ragwheel.labels.negatives import ChunkCorpus, CorpusChunk, Encoder, Finder, GradedChunk
from ragwheel.labels.policy import Policy
from ragwheel.labels.reasons import Reason, reason_of
from ragwheel.labels.traces.exposure import Facts
from ragwheel.labels.traces.read import StoreTables

__all__ = ["Labelled"]

_GROUPS: Final = 1_000  # query groups of which the ranked chunks are in memory at once


@dataclass
class Labelled:
    """Graded query groups with their splits, ready to be written."""

    engine: RelationalEngine
    tables: StoreTables
    groups: list[tuple[str, Group]]
    splits: dict[str, str]
    evidence: dict[str, int]
    grades: dict[str, int]
    grades_table: ibis.Table
    graded: ibis.Table
    reasons: ibis.Table
    text_of: Callable[[int], str]
    known: Facts
    ranked: ibis.Table
    policy: Policy
    strikes: Strikes
    model: LabelModel
    encoder: Encoder | None = None
    reliability: Mapping[str, Any] = field(default_factory=dict)
    dropped: Counter[str] = field(default_factory=Counter)

    def chunks(self) -> Iterator[tuple[int, list[GradedChunk]]]:
        """The place of each group in ``groups`` and its chunks: graded, then found in the corpus."""
        finder = Finder(_corpus(self.tables, self.text_of, self.encoder), self.policy, self.dropped)
        versions = self.ranked.group_by("place").agg(versions=_.chunk_version.collect()).order_by("place")
        ranked = (row for batch in self.engine.batches(versions, _GROUPS) for row in batch.to_pylist())
        ahead = next(ranked, None)
        for number, chunks in self._graded():
            while ahead is not None and ahead["place"] < number:
                ahead = next(ranked, None)
            seen = set(ahead["versions"]) if ahead is not None and ahead["place"] == number else set()
            group = self.groups[number][1]
            mined = finder.find(group.text, chunks, seen)
            yield number, [*chunks, *(c for c in mined if (group.key, *c.key) not in self.strikes.chunks)]

    def _graded(self) -> Iterator[tuple[int, list[GradedChunk]]]:
        reasons = _by_place(
            self.engine.batches(self.reasons.order_by("place", "chunk_version", "kind", "example"))
        )
        ahead = next(reasons, None)
        for number, rows in _by_place(self.engine.batches(self.graded.order_by("place", "chunk_version"))):
            while ahead is not None and ahead[0] < number:
                ahead = next(reasons, None)
            found = _reasons(ahead[1]) if ahead is not None and ahead[0] == number else {}
            yield number, [self._chunk(row, found.get(row["chunk_version"], ())) for row in rows]

    def positives_of_similar_queries(self) -> dict[str, set[int]]:
        """For query groups with near-identical ones: the ``text_id`` of the positives of those others."""
        sizes = Counter(group.family for _, group in self.groups)
        shared = {index for index, (_, group) in enumerate(self.groups) if sizes[group.family] > 1}
        found: dict[str, dict[str, set[int]]] = {}
        positives = self.graded.filter(_.status == "positive").select("place", "text_id")
        for batch in self.engine.batches(positives) if shared else ():
            for row, text_id in zip(batch["place"].to_pylist(), batch["text_id"].to_pylist()):
                if row in shared:
                    group = self.groups[row][1]
                    found.setdefault(group.family, {}).setdefault(group.key, set()).add(text_id)
        return {
            key: set().union(*(texts for other, texts in found.get(group.family, {}).items() if other != key))
            for key, group in ((self.groups[number][1].key, self.groups[number][1]) for number in shared)
        }

    def _chunk(self, row: Mapping[str, Any], reasons: tuple[Reason, ...]) -> GradedChunk:
        values = {name: row[name] for name in _GRADED}
        return GradedChunk(text=self.text_of(row["text_id"]), reasons=reasons, **values)


_GRADED = (
    "chunk_version", "source", "chunk_id", "text_id", "status", "grade", "confidence", "strategy",
    "closeness",
)  # fmt: skip


def _by_place(batches: Iterator[pa.RecordBatch]) -> Iterator[tuple[int, list[dict[str, Any]]]]:
    rows = (row for batch in batches for row in batch.to_pylist())
    for number, rows_of_group in groupby(rows, key=lambda row: int(row["place"])):
        yield number, list(rows_of_group)


def _reasons(rows: list[dict[str, Any]]) -> dict[int, tuple[Reason, ...]]:
    found: dict[int, list[Reason]] = {}
    for (version, _kind), some in groupby(rows, key=lambda row: (row["chunk_version"], row["kind"])):
        found.setdefault(version, []).append(reason_of(some))
    return {version: tuple(reasons) for version, reasons in found.items()}


def _corpus(tables: StoreTables, text_of: Callable[[int], str], encoder: Encoder | None) -> ChunkCorpus:
    names = ("chunk_version", "source", "chunk_id", "text_id", "first_seen_ns", "metadata")
    columns = [tables.chunk[name].to_pylist() for name in names]
    return ChunkCorpus([CorpusChunk(*values) for values in zip(*columns)], text_of, encoder)
