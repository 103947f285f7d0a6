"""What a build has labelled: graded query groups with their splits, read in the order of the dataset."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import ibis

from ragwheel.datasets.group_rows import ORDER, GroupTables, LabelledGroup, group_rows, read_groups
from ragwheel.datasets.query_splits import QuerySplits
from ragwheel.datasets.strikes import Strikes
from ragwheel.labels.engines.engine import RelationalEngine
from ragwheel.labels.model.learned import LabelModel
from ragwheel.labels.negatives import ChunkCorpus, Encoder
from ragwheel.labels.negatives.corpus_file import corpus_chunks
from ragwheel.labels.policy import Policy
from ragwheel.labels.traces.exposure import Facts
from ragwheel.labels.traces.read import StoreTables

__all__ = ["Labelled"]


@dataclass
class Labelled:
    """Graded query groups with their splits, ready to be written."""

    engine: RelationalEngine
    tables: StoreTables
    splits: QuerySplits
    evidence: dict[str, int]
    grades: dict[str, int]
    grades_table: ibis.Table
    assigned: ibis.Table
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

    def group_tables(self) -> GroupTables:
        """Return the tables that rows are made of."""
        return GroupTables(self.assigned, self.graded, self.reasons, self.ranked)

    def read(self) -> Iterator[LabelledGroup]:
        """Yield the query groups that have a graded chunk, in the order of the dataset."""
        stream = group_rows(self.group_tables()).order_by(*ORDER)
        return read_groups(self.engine.batches(stream), self.text_of)

    def corpus(self) -> ChunkCorpus:
        """Return all chunks that were ever seen, for mining."""
        return ChunkCorpus(list(corpus_chunks(self.tables.chunk)), self.text_of, self.encoder)
