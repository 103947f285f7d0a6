"""The possible gains of improvements, measured on the captured rankings before anything is trained."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Final

from ragwheel.datasets import BuiltDataset
from ragwheel.datasets.document_ids import document_id
from ragwheel.evaluate import Collection, bm25
from ragwheel.evaluate.systems import Searcher
from ragwheel.evaluate.traces import EXPLICIT
from ragwheel.experiments.captured import CapturedQuery, ndcg, oracle, read_captured, recall
from ragwheel.labels.traces.text import query_key
from ragwheel.offline.examples import liked_questions
from ragwheel.offline.reading import number, reading, rows

__all__ = ["Headroom", "measure_headroom"]

_SHALLOW: Final = 5
#: Number of words that common embedding models (256 word pieces) read.
_READ_WORDS: Final = 190


@dataclass(frozen=True)
class Headroom:
    """Figures over the queries of train and dev that have a positive and a captured ranking.

    Attributes:
        queries: how many there are; ``asked``: distinct questions in the store, ``unanswered`` of them
            without a positive in the dataset.
        ndcg, ndcg_oracle: nDCG@10 as captured, and with the captured chunks in perfect order.
        recall, recall_oracle: recall@5 as captured, and in perfect order.
        ceiling: the share of positives that were captured, which limits every re-ranker.
        tail: the share of the captured positives in the last quarter of the captured ranks.
        depth: chunks captured per retrieval, median.
        by_words: the share of the positives outside the first five that BM25 has in its first five.
        long: the share of positives with more words than common embedding models read.
        explicit: queries with explicit judgments by people, or of an evaluation set.
        examples: questions in the dataset that have a positive, of all splits; ``liked``: those with a
            liked answer.
        signals: the share of retrievals with any signal or citation.
        failing: the queries without a positive in the first five, and all texts, for segments.
    """

    queries: int
    asked: int
    unanswered: int
    ndcg: float
    ndcg_oracle: float
    recall: float
    recall_oracle: float
    ceiling: float
    tail: float
    depth: float
    by_words: float
    long: float
    explicit: int
    examples: int
    liked: int
    signals: float
    texts: tuple[str, ...]
    failing: tuple[bool, ...]


def measure_headroom(data: BuiltDataset, db: str | Path) -> Headroom:
    """Measure the headroom from the store and the dataset; runs BM25 once and loads no model.

    Raises:
        StoreError: the database cannot be read.
    """
    captured = read_captured(data, db)
    useful = [query for query in captured if query.positives and query.ranking]
    with reading(db) as connection:
        retrievals = number(connection, "SELECT count(*) FROM retrievals WHERE kind = 'retrieval'")
        share = number(
            connection,
            "SELECT count(*) FROM (SELECT retrieval_id FROM citations WHERE matched UNION "
            "SELECT retrieval_id FROM signals WHERE retrieval_id IS NOT NULL)",
        )
        wordings = rows(connection, "SELECT DISTINCT query FROM retrievals WHERE kind = 'retrieval'")
        asked = len({query_key(row["query"]) for row in wordings} - {""})
        newest = {
            document_id(row["source"], row["chunk_id"]): str(row["text"])
            for row in rows(connection, "SELECT source, chunk_id, text FROM chunks ORDER BY first_seen_ns")
        }
    pairs = data.provenance("pairs").to_pylist()
    explicit = {row["query_key"] for row in pairs if row.get("evalset") or EXPLICIT & set(row["kinds"])}
    positives = {positive for query in useful for positive in query.positives}
    lengths = [len(newest.get(positive, "").split()) for positive in positives]
    return Headroom(
        queries=len(useful),
        asked=asked,
        unanswered=max(asked - sum(data.examples.values()), 0),
        ndcg=_mean(ndcg(query.ranking, query) for query in useful),
        ndcg_oracle=_mean(ndcg(oracle(query), query) for query in useful),
        recall=_mean(recall(query.ranking, query, _SHALLOW) for query in useful),
        recall_oracle=_mean(recall(oracle(query), query, _SHALLOW) for query in useful),
        ceiling=_mean(recall(query.ranking, query, len(query.ranking)) for query in useful),
        tail=_tail(useful),
        depth=median([len(query.ranking) for query in useful]) if useful else 0,
        by_words=_by_words(useful, newest),
        long=_mean(float(length > _READ_WORDS) for length in lengths),
        explicit=len(explicit),
        examples=sum(data.examples.values()),
        liked=len({query_key(question) for question in liked_questions(db)} & data.example_keys()),
        signals=share / retrievals if retrievals else 0.0,
        texts=tuple(query.text for query in useful),
        failing=tuple(not recall(query.ranking, query, _SHALLOW) for query in useful),
    )


def _mean(values: Iterable[float]) -> float:
    finite = [value for value in values if not math.isnan(value)]
    return sum(finite) / len(finite) if finite else 0.0


def _tail(queries: Sequence[CapturedQuery]) -> float:
    """Return the share of positives in the last ranks; if it is high, a deeper search would find more."""
    places = [
        (query.ranking.index(document) + 1) / len(query.ranking)
        for query in queries
        for document in query.positives & set(query.ranking)
    ]
    return _mean(float(position > 0.75) for position in places)


def _by_words(queries: Sequence[CapturedQuery], corpus: Mapping[str, str]) -> float:
    """Return the share of positives below the first five that BM25 has in its first five."""
    missed = [(query, query.positives - set(query.ranking[:_SHALLOW])) for query in queries]
    texts = {query.key: query.text for query, lost in missed if lost}
    if not texts or not any(text.split() for text in corpus.values()):
        return 0.0
    qrels = {
        query.key: {document: 1 for document in lost if document in corpus} or {next(iter(corpus)): 1}
        for query, lost in missed
        if lost
    }
    match = bm25().search(
        Collection(name="captured chunks", corpus=corpus, queries=texts, qrels={"inferred": qrels}),
        Searcher(40, None),
    )
    return _mean(
        float(document in match.get(query.key, ())[:_SHALLOW]) for query, lost in missed for document in lost
    )
