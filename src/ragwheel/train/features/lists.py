"""Training lists: what the retriever ranked for each training question, and what is believed of it."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ragwheel.deploy.features import CandidateChunk
from ragwheel.errors import DatasetError
from ragwheel.labels.traces.read import read_batches
from ragwheel.store import open_store

if TYPE_CHECKING:
    import sqlite3

    from numpy.typing import NDArray

    from ragwheel.train.beliefs import Belief

__all__ = ["RankedList", "Traffic", "read_traffic"]

_DEPTH: Final = 40


@dataclass(frozen=True, eq=False)
class RankedList:
    """One question's ranking.

    Attributes:
        query_key, family, query: of the question.
        version: of the retriever.
        candidates: in the retriever's order.
        belief: (candidates,) P(it answers the question); NaN where it was never exposed.
        confidence: (candidates,) of the beliefs; 0 where there is none.
    """

    query_key: str
    family: str
    query: str
    version: str
    candidates: tuple[CandidateChunk, ...]
    belief: NDArray[np.float64]
    confidence: NDArray[np.float64]

    def with_similarities(self, values: Sequence[float]) -> RankedList:
        """The same with the similarities of an encoder."""
        rows = tuple(replace(entry, similarity=float(value)) for entry, value in zip(self.candidates, values))
        return replace(self, candidates=rows)


@dataclass(frozen=True, eq=False)
class Traffic:
    """What the store adds to a dataset folder.

    Attributes:
        rankings: by query key, the latest ranking of the newest retriever version: (version, candidates).
        asked_ns: by query key, when the question was last asked.
        chunks: the newest text of every chunk, by source and id.
        versions: how many questions each retriever version answered.
    """

    rankings: Mapping[str, tuple[str, tuple[CandidateChunk, ...]]]
    asked_ns: Mapping[str, int]
    chunks: Mapping[tuple[str, str], CandidateChunk]
    versions: Mapping[str, int]

    def lists(self, rows: Iterable[Belief]) -> list[RankedList]:
        """The rankings of the questions that rows of the dataset speak about, in the order of their keys."""
        by_query: dict[str, list[Belief]] = {}
        for row in rows:
            by_query.setdefault(row.query_key, []).append(row)
        lists = []
        for key, some in sorted(by_query.items()):
            if key not in self.rankings:
                continue
            version, candidates = self.rankings[key]
            graded = {(row.source, row.chunk_id): row for row in some}
            own = [graded.get((entry.source, entry.id)) for entry in candidates]
            lists.append(
                RankedList(
                    key, some[0].family, some[0].query, version, candidates,
                    np.array([np.nan if entry is None else entry.belief for entry in own]),
                    np.array([0.0 if entry is None else entry.confidence for entry in own]),
                )
            )  # fmt: skip
        return lists


def read_traffic(db: str | Path, queries: frozenset[str]) -> Traffic:
    """Read the rankings of questions and all chunks.

    Args:
        db: the store that the dataset was built from.
        queries: keys of the questions whose rankings are wanted.

    Raises:
        StoreError: the database cannot be read.
        DatasetError: it holds no ranking of any of the questions.
    """
    with closing(open_store(Path(db), require_traces=True)) as connection:
        versions, chunks = _chunks(connection)
        latest = _latest(connection, queries)
    counts: dict[str, int] = defaultdict(int)
    for per_version in latest.values():
        for version in per_version:
            counts[version] += 1
    if not counts:
        raise DatasetError(
            f"{db} holds no ranking of the dataset's questions: was the dataset built from another database? "
            "Next: name its own with --db FILE"
        )
    newest = max(counts, key=lambda name: max(of[name][0] for of in latest.values() if name in of))
    rankings, asked = {}, {}
    for key, per_version in latest.items():
        asked[key] = max(at for at, _ in per_version.values())
        version = newest if newest in per_version else max(per_version, key=lambda name: per_version[name][0])
        rows = [(versions[item["chunk_version"]], item["score"]) for item in per_version[version][1]]
        distinct = {(entry.source, entry.id): replace(entry, score=score) for entry, score in reversed(rows)}
        ordered = dict.fromkeys((entry.source, entry.id) for entry, _ in rows)
        rankings[key] = version, tuple(distinct[name] for name in ordered)[:_DEPTH]
    return Traffic(rankings, asked, chunks, dict(counts))


def _chunks(
    connection: sqlite3.Connection,
) -> tuple[dict[int, CandidateChunk], dict[tuple[str, str], CandidateChunk]]:
    """Every chunk version by its number, and the newest one by source and id."""
    versions: dict[int, CandidateChunk] = {}
    newest: dict[tuple[str, str], CandidateChunk] = {}
    rows = connection.execute(
        "SELECT chunk_version, source, chunk_id, text, metadata FROM chunks "
        "ORDER BY first_seen_ns, chunk_version"
    )
    for number, source, chunk, text, metadata in rows:
        entry = CandidateChunk(text or "", chunk, source, metadata=_object(metadata))
        versions[number] = newest[source, chunk] = entry
    return versions, newest


def _object(text: str | None) -> Mapping[str, Any]:
    try:
        value = json.loads(text) if text else {}
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _latest(
    connection: sqlite3.Connection, queries: frozenset[str]
) -> dict[str, dict[str, tuple[int, list[dict[str, Any]]]]]:
    """By query key and retriever version, when the latest ranking was made and what it holds."""
    latest: dict[str, dict[str, tuple[int, list[dict[str, Any]]]]] = {}
    for batch in read_batches(connection, "retrieval"):
        columns = [
            batch.column(name).to_pylist()
            for name in ("query_key", "nested", "reranks", "version", "start_ns")
        ]
        items = batch.column("items")
        for row, (key, nested, reranks, version, start) in enumerate(zip(*columns)):
            if key not in queries or nested or reranks:
                continue
            per_version = latest.setdefault(key, {})
            if version not in per_version or per_version[version][0] <= start:
                ranked = items[row].as_py()
                if ranked:
                    per_version[version] = start, ranked
    return {key: per_version for key, per_version in latest.items() if per_version}
