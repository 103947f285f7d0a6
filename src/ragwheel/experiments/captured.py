"""The queries of a built dataset with the rankings that the app itself got for them."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ragwheel.datasets import BuiltDataset
from ragwheel.datasets.document_ids import document_id
from ragwheel.evaluate import dcg
from ragwheel.evaluate.dcg import DEPTH
from ragwheel.labels.traces.text import query_key
from ragwheel.offline.reading import reading

__all__ = ["POSITIVE", "CapturedQuery", "ndcg", "oracle", "read_captured", "recall"]

#: The least grade of a relevant chunk.
POSITIVE: Final = 3.0


@dataclass(frozen=True)
class CapturedQuery:
    """A query with its grades and its latest ranking.

    Attributes:
        key: the id of the query in the dataset.
        text: the text of the query.
        grades: grades, 0-5, by document id.
        ranking: document ids, best first; empty if the store has no ranking.
        returned: the number of documents that the app got; the others were only logged.
        asked: how many times the query was asked.
    """

    key: str
    text: str
    grades: Mapping[str, float]
    ranking: tuple[str, ...]
    returned: int
    asked: int

    @property
    def positives(self) -> frozenset[str]:
        """The ids of the relevant chunks."""
        return frozenset(document for document, grade in self.grades.items() if grade >= POSITIVE)


def read_captured(
    data: BuiltDataset, db: str | Path, splits: Sequence[str] = ("train", "dev")
) -> list[CapturedQuery]:
    """Return all queries with a grade, ordered by key.

    Args:
        data: a built dataset.
        db: the store that it was built from.
        splits: the splits to read. The default leaves out ``test``, which must not influence what is tried.

    Raises:
        StoreError: the database cannot be read.
    """
    grades: defaultdict[str, dict[str, float]] = defaultdict(dict)
    for split in splits:
        for row in data.provenance("pairs", split).to_pylist():
            document = document_id(row["source"], row["chunk_id"])
            grade = 0.0 if row["strategy"] else float(row["grade"])
            grades[row["query_key"]][document] = max(grade, grades[row["query_key"]].get(document, 0.0))
    latest: dict[str, tuple[str, str]] = {}
    asked: Counter[str] = Counter()
    with reading(db) as connection:
        for row in connection.execute(
            "SELECT query, retrieval_id FROM retrievals WHERE outer_id IS NULL AND kind = 'retrieval' "
            "AND error IS NULL ORDER BY start_ns, retrieval_id"
        ):
            key = query_key(row["query"])
            asked[key] += 1
            if key in grades:
                latest[key] = row["query"], row["retrieval_id"]
        rankings = _rankings(connection, [retrieval for _, retrieval in latest.values()])
    return [
        CapturedQuery(key, latest[key][0], key_grades, *rankings.get(latest[key][1], ((), 0)), asked[key])
        for key, key_grades in sorted(grades.items())
        if key in latest
    ]


def _rankings(connection: sqlite3.Connection, ids: list[str]) -> dict[str, tuple[tuple[str, ...], int]]:
    """Return the document ids, and how many of them the app got, by retrieval; one pass over the view."""
    ranked: defaultdict[str, dict[str, None]] = defaultdict(dict)
    returned: Counter[str] = Counter()
    for row in connection.execute(
        "SELECT retrieval_id, source, chunk_id, exposure FROM impressions "
        "WHERE retrieval_id IN (SELECT value FROM json_each(?)) ORDER BY retrieval_id, rank",
        (json.dumps(ids),),
    ):
        ranked[row["retrieval_id"]][document_id(row["source"], row["chunk_id"])] = None
        returned[row["retrieval_id"]] += row["exposure"] != "logged"
    return {query: (tuple(documents), returned[query]) for query, documents in ranked.items()}


def oracle(query: CapturedQuery, depth: int = 40) -> tuple[str, ...]:
    """Return the ranking with its first ``depth`` chunks in perfect order."""
    first = query.ranking[:depth]
    best = sorted(first, key=lambda document: (-query.grades.get(document, 0.0), first.index(document)))
    return (*best, *query.ranking[depth:])


def recall(ranking: Sequence[str], query: CapturedQuery, k: int) -> float:
    """Return the share of the positives within the first ``k``; NaN without positives."""
    hits = len(query.positives & set(ranking[:k]))
    return hits / len(query.positives) if query.positives else float("nan")


def ndcg(ranking: Sequence[str], query: CapturedQuery, k: int = DEPTH) -> float:
    """With the grades as gains (Järvelin & Kekäläinen 2002); NaN without a gain."""
    gains = [query.grades.get(document, 0.0) for document in ranking]
    return dcg.ndcg(gains, list(query.grades.values()), k)
