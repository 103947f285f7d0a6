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
import pyarrow.parquet as pq

from ragwheel.deploy.features import CandidateChunk
from ragwheel.errors import DatasetError
from ragwheel.labels import graded
from ragwheel.labels.traces.read import read_batches
from ragwheel.store import open_store

if TYPE_CHECKING:
    import sqlite3

    from numpy.typing import NDArray

    from ragwheel.datasets import BuiltDataset

__all__ = ["Belief", "RankedList", "Traffic", "beliefs", "beliefs_of_rows", "read_traffic"]

_DEPTH: Final = 40
_TOP_GRADE: Final = 5.0


@dataclass(frozen=True)
class Belief:
    """What is believed about a question and a chunk.

    Attributes:
        query_key, family: of the question.
        query: its text.
        source, chunk_id: of the chunk.
        belief: P(the chunk answers the question).
        confidence: how sure the label is, 0-1.
    """

    query_key: str
    family: str
    query: str
    source: str
    chunk_id: str
    belief: float
    confidence: float


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


def beliefs(dataset: BuiltDataset, db: str | Path) -> dict[str, list[Belief]]:
    """What the label model believes of every exposed chunk, by split: ``train`` and ``dev``.

    The rows of the dataset are those that are sure enough to train an embedder on. A re-ranker also learns
    from doubtful chunks, as far as they are believed, and the criterion would be misled without them.

    Args:
        dataset: whose questions, in whose splits. The questions of ``test`` are left out here.
        db: the store that it was built from.

    Raises:
        StoreError: the database cannot be read.
        DatasetError: the dataset's splits cannot be read.
    """
    placed = _splits(dataset)
    rows: dict[tuple[str, str, str], Belief] = {}
    table = graded(db)
    names = ("query_key", "query", "source", "chunk_id", "belief", "confidence")
    for key, query, source, chunk, belief, confidence in zip(
        *(table[name].to_pylist() for name in names)
    ):  # by version, ascending: the newest stays
        if key in placed and belief is not None:
            rows[key, source, chunk] = Belief(
                key, placed[key][1], query, source, chunk, float(belief), float(confidence or 0.0)
            )
    found: dict[str, list[Belief]] = {"train": [], "dev": []}
    for row in rows.values():
        found[placed[row.query_key][0]].append(row)
    return found


def beliefs_of_rows(dataset: BuiltDataset) -> dict[str, list[Belief]]:
    """The same from the grades of the dataset's own pairs, for datasets that other labels were put into."""
    found: dict[str, list[Belief]] = {}
    for split in ("train", "dev"):
        texts = dataset.rows("pairs", split)["query"].to_pylist()
        rows: dict[tuple[str, str, str], Belief] = {}
        pairs = dataset.provenance("pairs", split).to_pylist()
        for row in sorted(pairs, key=lambda row: int(row["chunk_version"])):
            belief = 0.0 if row["strategy"] else min(1.0, max(0.0, row["grade"] / _TOP_GRADE))
            rows[row["query_key"], row["source"], row["chunk_id"]] = Belief(
                row["query_key"], row["family"], texts[row["row"]], row["source"], row["chunk_id"],
                belief, float(row["confidence"]),
            )  # fmt: skip
        found[split] = list(rows.values())
    return found


def _splits(dataset: BuiltDataset) -> dict[str, tuple[str, str]]:
    """Split and family of the questions of train and dev, by query key."""
    path = dataset.folder / "splits.parquet"
    try:
        rows = pq.read_table(path, columns=["query_key", "split", "family"]).to_pylist()
    except (OSError, ValueError) as error:
        raise DatasetError(f"{path} cannot be read: {error}. Build again: ragwheel build") from error
    return {
        row["query_key"]: (row["split"], row["family"]) for row in rows if row["split"] in ("train", "dev")
    }


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
