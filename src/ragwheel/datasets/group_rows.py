"""Everything that the rows of a dataset are made of, as one stream of rows sorted by query group.

The stream has a row for each query group, each graded chunk, each example of its reasons, each chunk
version that was ranked for the group, and each text that is relevant to a near-identical query;
``part_of_group`` says which, and the columns that a row does not need are null. Sorted, which both engines do
on disk where memory is short, it is read one query group at a time: here, or by a worker on its share.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, Final

import ibis
import numpy as np
import pyarrow as pa
from ibis import _

from ragwheel.datasets.splits import Group
from ragwheel.labels.negatives import GradedChunk
from ragwheel.labels.reasons import Reason, reason_of

__all__ = ["ORDER", "GroupTables", "LabelledGroup", "group_rows", "read_groups"]

#: By what the stream is sorted.
ORDER: Final = ("place", "part_of_group", "chunk_version", "kind", "example")

_GROUP, _SIMILAR, _RANKED, _REASON, _GRADED = range(5)
_CHUNK: Final = (
    "chunk_version", "source", "chunk_id", "text_id", "status", "grade", "confidence", "strategy",
    "closeness",
)  # fmt: skip
_EXAMPLE: Final = (
    "chunk_version", "kind", "n", "subjects", "direction", "strength", "rank", "assumed", "subject",
    "turn_id", "retrieval_id", "signal_id", "extra_id",
)  # fmt: skip
_COLUMNS: Final[Mapping[int, tuple[str, ...]]] = {
    _GROUP: ("split", "query_key", "family", "query", "first_ns"),
    _SIMILAR: ("text_id",),
    _RANKED: ("chunk_version",),
    _REASON: (*_EXAMPLE, "example"),
    _GRADED: _CHUNK,
}
_TYPES: Final[Mapping[str, str]] = {
    "place": "int64", "part_of_group": "int64", "chunk_version": "int64", "kind": "string",
    "example": "int64", "split": "string", "query_key": "string", "family": "string", "query": "string",
    "first_ns": "int64", "text_id": "int64", "source": "string", "chunk_id": "string", "status": "string",
    "grade": "float64", "confidence": "float64", "strategy": "string", "closeness": "int64", "n": "int64",
    "subjects": "int64", "direction": "int64", "strength": "float64", "rank": "int64",
    "assumed": "boolean", "subject": "string", "turn_id": "string", "retrieval_id": "string",
    "signal_id": "string", "extra_id": "string",
}  # fmt: skip


@dataclass(frozen=True)
class GroupTables:
    """Tables on the engine, each with ``place``, the number of the query group in the dataset.

    Args:
        groups: split, query_key, family, query, first_ns.
        graded: the graded chunks that may make rows.
        reasons: see :func:`ragwheel.labels.reasons.reason_rows`.
        ranked: chunk versions that were ever ranked for the need.
    """

    groups: ibis.Table
    graded: ibis.Table
    reasons: ibis.Table
    ranked: ibis.Table

    def similar(self) -> ibis.Table:
        """Return place and ``text_id`` of the positives of the other groups of the family."""
        own = self.groups.select("place", "family")
        positives = self.graded.filter(_.status == "positive").select("place", "text_id")
        of_family = positives.join(own, "place").select("family", "text_id", other="place")
        pairs = own.join(of_family, "family").filter(_.place != _.other)
        return pairs.select("place", "text_id").distinct()


@dataclass(frozen=True)
class LabelledGroup:
    """A query group with its graded chunks.

    Attributes:
        place: its number in the dataset.
        split, group: where it belongs, and what was asked.
        chunks: the graded ones, ordered by version.
        ranked: the versions that were ever ranked for the need.
        similar: ``text_id`` of the positives of near-identical queries.
    """

    place: int
    split: str
    group: Group
    chunks: list[GradedChunk]
    ranked: set[int]
    similar: set[int]


def group_rows(tables: GroupTables) -> ibis.Table:
    """Return the stream, to be sorted by :data:`ORDER`; groups of which no chunk is graded are not in it."""
    usable = tables.groups.semi_join(tables.graded, "place")
    parts = {
        _GROUP: usable,
        _SIMILAR: tables.similar(),
        _RANKED: tables.ranked,
        _REASON: tables.reasons,
        _GRADED: tables.graded,
    }
    return ibis.union(*(_widened(table, number) for number, table in parts.items()), distinct=False)


def _widened(table: ibis.Table, number: int) -> ibis.Table:
    """A table with the columns of the stream, null where it has none."""
    own = {"place", *_COLUMNS[number]}
    columns: dict[str, Any] = {
        name: table[name].cast(kind) if name in own else ibis.null(kind) for name, kind in _TYPES.items()
    }
    return table.select(**columns | {"part_of_group": ibis.literal(number, "int64")})


def read_groups(batches: Iterable[pa.RecordBatch], text_of: Callable[[int], str]) -> Iterator[LabelledGroup]:
    """Yield the query groups of a sorted stream.

    Args:
        batches: columns of :func:`group_rows`, all rows of a group together.
        text_of: gives the text of a ``text_id``.
    """
    current = _Rows(-1)
    for batch in batches:
        for rows in _by_place(batch):
            if rows.place == current.place:
                current.add(rows)
                continue
            if (group := current.labelled(text_of)) is not None:
                yield group
            current = rows
    if (group := current.labelled(text_of)) is not None:
        yield group


@dataclass
class _Rows:
    """Rows of one query group, by part of the group."""

    place: int
    parts: dict[int, list[Any]] = field(default_factory=dict)

    def add(self, more: _Rows) -> None:
        for number, rows in more.parts.items():
            self.parts.setdefault(number, []).extend(rows)

    def labelled(self, text_of: Callable[[int], str]) -> LabelledGroup | None:
        if _GROUP not in self.parts or _GRADED not in self.parts:
            return None
        (head,) = self.parts[_GROUP]
        reasons = _reasons(self.parts.get(_REASON, []))
        chunks = [
            GradedChunk(text=text_of(row["text_id"]), reasons=reasons.get(row["chunk_version"], ()), **row)
            for row in self.parts[_GRADED]
        ]
        return LabelledGroup(
            place=self.place,
            split=head["split"],
            group=Group(head["query_key"], head["family"], head["query"], head["first_ns"]),
            chunks=chunks,
            ranked=set(self.parts.get(_RANKED, ())),
            similar=set(self.parts.get(_SIMILAR, ())),
        )


def _by_place(batch: pa.RecordBatch) -> Iterator[_Rows]:
    """The rows of a batch by group, in their order; each part of the groups is decoded in one go."""
    places, numbers = batch["place"].to_numpy(), batch["part_of_group"].to_numpy()
    firsts = np.unique(places)
    rows = [_Rows(number) for number in firsts.tolist()]
    for number, columns in _COLUMNS.items():
        mask = numbers == number
        some = batch.filter(pa.array(mask)).select(columns)
        values = some[0].to_pylist() if len(columns) == 1 else some.to_pylist()
        ends = np.searchsorted(places[mask], firsts, "right").tolist()
        for group, begin, end in zip(rows, [0, *ends], ends):
            if end > begin:
                group.parts[number] = values[begin:end]
    yield from rows


def _reasons(rows: list[dict[str, Any]]) -> dict[int, tuple[Reason, ...]]:
    """The reasons of each chunk version."""
    reasons: dict[int, list[Reason]] = {}
    for (version, _kind), some in groupby(rows, key=lambda row: (row["chunk_version"], row["kind"])):
        reasons.setdefault(version, []).append(reason_of(some))
    return {version: tuple(each) for version, each in reasons.items()}
