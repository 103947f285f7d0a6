"""The collection of one's own traces: every chunk ever seen, and the held-out grades of a built dataset."""

from __future__ import annotations

import json
import sqlite3
from collections import defaultdict
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, Final, Literal

from ragwheel.datasets import BuiltDataset, open_dataset
from ragwheel.datasets.document_ids import document_id
from ragwheel.errors import DatasetError, LeakError
from ragwheel.evaluate.beliefs import beliefs_by_document, policy_of
from ragwheel.evaluate.collection import ChunkFacts, Collection, Labels, check_leaks
from ragwheel.evaluate.runs import Ranking
from ragwheel.labels.evidence.kinds import KINDS
from ragwheel.labels.traces.text import query_key
from ragwheel.store import open_store

__all__ = ["EXPLICIT", "read_traces"]

#: Kinds of evidence in which a person says outright what a chunk is worth.
EXPLICIT: Final = frozenset(
    {"judged_human", *(name for name, kind in KINDS.items() if kind.channel == "explicit")}
)
_POSITIVE: Final = 3

Clustering = Literal["family", "session"]
#: Query key, retriever version, retrieval id and session of a retrieval.
Asked = tuple[str, str, str, str | None]


def read_traces(
    dataset: str | Path, db: str | Path, *, split: str = "test", clustering: Clustering = "family"
) -> Collection:
    """The held-out queries of a built dataset over the chunks of the store that it was built from.

    A chunk stands in the corpus once, with the newest text that was seen. A query counts as *explicit* with
    what people said outright about its chunks, as *evalset* with what an imported evaluation set says, and
    as *inferred* with all of its grades when a positive among them comes from clicks, citations or an LLM
    judge.

    Args:
        dataset: the folder that ``ragwheel build`` wrote.
        db: the store that it was built from.
        split: ``test``, or ``dev`` while trying things out.
        clustering: whether queries of one family, or also those asked in one session, are one cluster.

    Raises:
        DatasetError: the folder is not a dataset's, the split is empty, or it was built from another store.
        StoreError: the database cannot be read.
        LeakError: a query of the split is in train too.
    """
    data = open_dataset(dataset)
    pairs = data.provenance("pairs", split).to_pylist()
    if not pairs:
        raise DatasetError(
            f"The split {split!r} of {data.folder} is empty, so there is nothing to measure on; its queries: "
            f"{dict(data.manifest.get('groups', {}))}. It fills with more traffic: ragwheel status --db {db}"
        )
    queries = _queries(data, split)
    trained = data.provenance("pairs", "train").to_pylist()
    check_leaks(_queries(data, "train"), queries, str(data.folder))
    _check_families(trained, pairs, data)
    with closing(open_store(Path(db), require_traces=True)) as connection:
        corpus, chunks, ages = _corpus(connection)
        # of several versions of a chunk the grade of the newest one is kept
        pairs.sort(key=lambda row: (ages.get(row["chunk_version"], -1), row["chunk_version"]))
        qrels, notes = _judged(pairs)
        asked = _asked(connection, queries)
        captured = _captured(connection, asked)
    return Collection(
        name=f"{data.folder.name} ({split})",
        corpus=corpus,
        queries=queries,
        qrels=qrels,
        positive=_POSITIVE,
        clusters=_clusters(pairs, asked if clustering == "session" else []),
        seen=frozenset(_document(row) for row in trained if _grade(row) >= _POSITIVE),
        captured=captured,
        notes=notes,
        dataset_id=data.id,
        beliefs=beliefs_by_document(db, queries, policy=policy_of(data)) if "inferred" in qrels else {},
        chunks=chunks,
    )


def _queries(data: BuiltDataset, split: str) -> dict[str, str]:
    texts = data.rows("pairs", split)["query"].to_pylist()
    places = data.provenance("pairs", split)
    return {key: texts[row] for key, row in zip(places["query_key"].to_pylist(), places["row"].to_pylist())}


def _check_families(trained: list[dict[str, Any]], tested: list[dict[str, Any]], data: BuiltDataset) -> None:
    shared = {row["family"] for row in trained} & {row["family"] for row in tested}
    if shared:
        raise LeakError(
            f"{data.folder}: {len(shared)} families of near-identical queries are both trained on and "
            f"tested, for example {min(shared)!r}. Build again: ragwheel build --out {data.folder}"
        )


def _document(row: Mapping[str, Any]) -> str:
    return document_id(row["source"], row["chunk_id"])


def _grade(row: Mapping[str, Any]) -> int:
    """A whole number of 0-5: 0 for what the build took for a negative, 3 or more for positives only."""
    if row["strategy"]:
        return 0
    grade = float(row["grade"])
    return round(grade) if grade >= _POSITIVE else min(round(grade), _POSITIVE - 1)


def _judged(
    pairs: list[dict[str, Any]],
) -> tuple[dict[Labels, dict[str, dict[str, int]]], tuple[str, ...]]:
    every: defaultdict[str, dict[str, int]] = defaultdict(dict)
    explicit: dict[Labels, defaultdict[str, dict[str, int]]] = {
        "explicit": defaultdict(dict),
        "evalset": defaultdict(dict),
    }
    guessed: set[str] = set()
    for row in pairs:
        query, document, grade = row["query_key"], _document(row), _grade(row)
        own = explicit["evalset" if row.get("evalset") else "explicit"][query]
        every[query][document] = grade
        own.pop(document, None)
        if EXPLICIT & set(row["kinds"]):
            own[document] = grade
        elif grade >= _POSITIVE:
            guessed.add(query)
    inferred = {query: grades for query, grades in every.items() if query in guessed}
    by_labels: dict[Labels, dict[str, dict[str, int]]] = {
        labels: {q: grades for q, grades in by_query.items() if max(grades.values(), default=0) >= _POSITIVE}
        for labels, by_query in (*explicit.items(), ("inferred", inferred))
    }
    left_out = len(every) - len(set().union(*by_labels.values()))
    notes = (f"{left_out} queries without a relevant chunk are left out",) if left_out else ()
    return {labels: qrels for labels, qrels in by_labels.items() if qrels}, notes


def _corpus(
    connection: sqlite3.Connection,
) -> tuple[dict[str, str], dict[str, ChunkFacts], dict[int, int]]:
    """Return text and facts of each chunk's newest version, and each version's place in the order of ages."""
    corpus, chunks, ages = {}, {}, {}
    rows = connection.execute(
        "SELECT source, chunk_id, text, metadata, chunk_version FROM chunks"
        " ORDER BY first_seen_ns, chunk_version"
    )
    for age, (source, chunk, text, metadata, version) in enumerate(rows):
        document = document_id(source, chunk)
        corpus[document] = text
        chunks[document] = ChunkFacts(source, chunk, json.loads(metadata) if metadata else {})
        ages[version] = age
    return corpus, chunks, ages


def _asked(connection: sqlite3.Connection, queries: Mapping[str, str]) -> list[Asked]:
    """Every retrieval for the queries, oldest first."""
    rows = connection.execute(
        "SELECT query, version, retrieval_id, session_id FROM retrievals WHERE outer_id IS NULL "
        "AND kind = 'retrieval' AND error IS NULL ORDER BY start_ns, retrieval_id"
    )
    keyed = ((query_key(query), version, retrieval, session) for query, version, retrieval, session in rows)
    return [row for row in keyed if row[0] in queries]


def _captured(connection: sqlite3.Connection, asked: list[Asked]) -> dict[str, dict[str, tuple[str, ...]]]:
    """The latest ranking of every query, by retriever version; under the empty name by whichever version."""
    latest: dict[str, dict[str, str]] = {}
    for key, version, retrieval, _ in asked:
        for name in dict.fromkeys(("", version)):
            latest.setdefault(name, {})[key] = retrieval
    rankings: dict[str, tuple[str, ...]] = {}
    for retrieval in {retrieval_id for by_query in latest.values() for retrieval_id in by_query.values()}:
        rows = connection.execute(
            "SELECT source, chunk_id, score FROM impressions WHERE retrieval_id = ? ORDER BY rank",
            (retrieval,),
        )
        scores: dict[str, float | None] = {}
        for source, chunk, score in rows:
            scores.setdefault(document_id(source, chunk), score)
        rankings[retrieval] = _as_captured(scores)
    return {
        version: {key: rankings[retrieval] for key, retrieval in by_query.items()}
        for version, by_query in latest.items()
    }


def _as_captured(scores: Mapping[str, float | None]) -> tuple[str, ...]:
    """A ranking in its own order, with scores where the retriever gave one for each chunk."""
    scored = [(document, score) for document, score in scores.items() if score is not None]
    return Ranking.of(scored) if len(scored) == len(scores) else tuple(scores)


def _clusters(pairs: list[dict[str, Any]], asked: list[Asked]) -> dict[str, str]:
    """The family of each query; those that share a session among ``asked`` become one."""
    family = {row["query_key"]: str(row["family"]) for row in pairs}
    parent = {name: name for name in family.values()}

    def root(name: str) -> str:
        while parent[name] != name:
            parent[name] = name = parent[parent[name]]
        return name

    first: dict[str, str] = {}
    for key, _, _, session in asked:
        if session is not None and key in family:
            family_root, other = root(first.setdefault(session, family[key])), root(family[key])
            parent[max(family_root, other)] = min(family_root, other)
    return {key: root(name) for key, name in family.items()}
