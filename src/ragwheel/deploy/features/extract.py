"""Extraction of the feature matrix for a question and its candidates."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ragwheel.deploy.features.catalogue import NAMES
from ragwheel.deploy.features.tables import Experience, Tables, chunk_key
from ragwheel.deploy.features.words import Profile, numbers_in, profile, stem, words_in

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

__all__ = ["CandidateChunk", "features"]

_HEAD: Final = (
    10  # scores are compared with those of the first ten, so that the list's length does not matter
)
_LARGEST: Final = 1e150
_CLIP: Final = 4.0
_K1, _B = 1.5, 0.75
_COPY: Final = 12  # of 16 words of a sketch
_MAX_WORDS: Final = 64  # of a question
_DATES: Final = (
    "date",
    "updated",
    "updated_at",
    "modified",
    "last_modified",
    "published",
    "created_at",
    "created",
)


@dataclass(frozen=True, slots=True)
class CandidateChunk:
    """One chunk of a ranking.

    Args:
        text: the text of the chunk.
        id, source: its id and source in the store; empty if unknown.
        score: the retriever's score, of any meaning; None if there is none.
        similarity: the similarity by the encoder of the model's training; None without an encoder.
        metadata: the metadata, of which ``title`` and dates are read.
    """

    text: str
    id: str = ""
    source: str = ""
    score: float | None = None
    similarity: float | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)


def features(
    query: str, candidates: Sequence[CandidateChunk], tables: Tables, left_out: frozenset[int] = frozenset()
) -> Floats:
    """Compute the features of every candidate of a ranking.

    Args:
        query: the question.
        candidates: the candidates in the retriever's order.
        tables: the tables of the model.
        left_out: earlier questions to ignore, see :meth:`Experience.of`.

    Returns:
        (candidates, features), in the order of :data:`~ragwheel.deploy.features.catalogue.NAMES`. Missing
        values are NaN: scores that are missing or not finite, similarities without an encoder.
    """
    words = list(dict.fromkeys(words_in(query)))[:_MAX_WORDS]
    titles = [_title(candidate.metadata) for candidate in candidates]
    profiles = [profile(candidate.text, title) for candidate, title in zip(candidates, titles)]
    columns: dict[str, Any] = {}
    scores = _oriented(_numbers([candidate.score for candidate in candidates]))
    columns["score_z"], columns["score_gap"] = _relative(scores, np.arange(len(candidates)))
    ranks = np.arange(1, len(candidates) + 1)
    columns["rank"], columns["first"] = -np.log2(ranks), 1 / ranks
    columns |= _word_columns(query, words, profiles, tables)
    columns |= _chunk_columns(candidates, profiles, tables)
    keys = np.array([chunk_key(entry.source, entry.id) for entry in candidates], dtype=np.uint64)
    experience = Experience.of(tables, keys, words, left_out)
    columns |= {
        name: getattr(experience, name) for name in ("popularity", "usefulness", "asked", "asked_against")
    }
    similarities = _numbers([candidate.similarity for candidate in candidates])
    order = np.argsort(-similarities, kind="stable")
    columns["similarity_z"], columns["similarity_gap"] = _relative(similarities, order)
    return np.column_stack([columns[name] for name in NAMES]).astype(np.float64)


def _numbers(values: Sequence[float | None]) -> Floats:
    """Return values as an array; all NaN if one is missing, not finite or too large, or if all are equal."""
    numbers = np.array([math.nan if value is None else value for value in values], dtype=np.float64)
    if not (np.abs(numbers) < _LARGEST).all() or (len(numbers) > 1 and np.ptp(numbers) == 0):
        return np.full(len(numbers), math.nan)
    return numbers


def _oriented(scores: Floats) -> Floats:
    """Return scores of which higher is better: distances, which grow with the rank, are negated."""
    if len(scores) > 1 and scores[0] < scores[-1]:
        return -scores
    return scores


def _relative(values: Floats, order: NDArray[np.int64]) -> tuple[Floats, Floats]:
    """Return standard scores by the first ten in `order`, and relative distances below the best of them."""
    head = values[order[:_HEAD]]
    if not len(head) or np.isnan(head[0]):
        return values, values
    mean, deviation = float(head.mean()), float(head.std())
    spread = float(head.max()) - mean
    if deviation <= 0 or spread <= 0:
        return np.full(len(values), math.nan), np.full(len(values), math.nan)
    gap = (values - float(head.max())) / spread
    return np.clip((values - mean) / deviation, -_CLIP, _CLIP), np.clip(gap, -2 * _CLIP, 0)


def _word_columns(query: str, words: list[str], profiles: list[Profile], tables: Tables) -> dict[str, Floats]:
    n = len(profiles)
    idf = tables.idf(words)
    lengths = np.array([entry.length for entry in profiles], dtype=np.float64)
    counts = _counts([entry.counts for entry in profiles], words)
    bm25 = _bm25(counts, lengths, idf, tables.mean_length)
    stems = list(dict.fromkeys(map(stem, words)))
    by_stem = _bm25(
        _counts([entry.stems for entry in profiles], stems),
        lengths,
        tables.stem_idf(stems),
        tables.mean_length,
    )
    present = counts > 0
    whole = float(idf.sum()) or 1.0
    rarest = np.argsort(-idf, kind="stable")[:3]
    neighbours = list(pairwise(words))
    numbers = numbers_in(query)
    title = np.array([[word in entry.title for word in words] for entry in profiles]).reshape(n, len(words))
    order = np.argsort(-bm25, kind="stable")
    by_rank = np.empty(n)
    by_rank[order] = -np.log2(np.arange(1, n + 1))
    return {
        "bm25": _share_of_best(bm25),
        "bm25_share": bm25 / (whole * (_K1 + 1)),
        "bm25_rank": by_rank,
        "stems": _share_of_best(by_stem),
        "coverage": present @ idf / whole,
        "rare": present[:, rarest].mean(axis=1) if len(words) else np.zeros(n),
        "pairs": _shares(neighbours, [entry.pairs for entry in profiles]),
        "numbers": _shares(numbers, [entry.numbers for entry in profiles]),
        "title": title @ idf / whole,
        "early": np.array([_early(entry, words) for entry in profiles]),
    }


def _counts(profiles: list[dict[str, int]], words: list[str]) -> Floats:
    """Return counts of shape (profiles, words): how often each word occurs."""
    rows = [[counts.get(word, 0) for word in words] for counts in profiles]
    return np.array(rows, dtype=np.float64).reshape(len(profiles), len(words))


def _bm25(counts: Floats, lengths: Floats, idf: Floats, mean_length: float) -> Floats:
    norm = _K1 * (1 - _B + _B * lengths / max(mean_length, 1.0))
    scores: Floats = (counts * (_K1 + 1) / (counts + norm[:, None])) @ idf
    return scores


def _share_of_best(values: Floats) -> Floats:
    best = float(values.max(initial=0.0))
    return values / best if best > 0 else np.zeros(len(values))


def _shares(wanted: Sequence[Any] | frozenset[Any], sets: Sequence[frozenset[Any]]) -> Floats:
    return np.array(
        [sum(entry in some for entry in wanted) / len(wanted) if wanted else 0.0 for some in sets]
    )


def _early(entry: Profile, words: list[str]) -> float:
    first = min((entry.places[word] for word in words if word in entry.places), default=entry.length)
    return 1 / (1 + first / 10)


def _chunk_columns(
    candidates: Sequence[CandidateChunk], profiles: list[Profile], tables: Tables
) -> dict[str, Floats]:
    n = len(candidates)
    days = [_day(candidate.metadata) for candidate in candidates]
    newest = max((day for day in days if day is not None), default=0)
    copies, superseded = np.zeros(n), np.zeros(n)
    holders: dict[int, list[int]] = {}
    for row, entry in enumerate(profiles):
        shared: dict[int, int] = {}
        for word in entry.sketch:
            for other in holders.setdefault(word, []):
                shared[other] = shared.get(other, 0) + 1
            holders[word].append(row)
        for other, common in shared.items():
            if common >= min(_COPY, len(entry.sketch)):
                copies[row] = 1.0
                older = _older(row, other, days)
                if older is not None:
                    superseded[older] = 1.0
    return {
        "length": np.log1p([entry.length for entry in profiles]),
        "near_copy": copies,
        "superseded": superseded,
        "age": np.array([0.0 if day is None else math.log1p(newest - day) for day in days]),
        "source": tables.odds_of([candidate.source for candidate in candidates]),
    }


def _older(row: int, other: int, days: Sequence[int | None]) -> int | None:
    a, b = days[row], days[other]
    if a is None or b is None or a == b:
        return None
    return row if a < b else other


def _title(metadata: Mapping[str, Any]) -> str:
    title = metadata.get("title") if metadata else None
    return title if isinstance(title, str) else ""


def _day(metadata: Mapping[str, Any]) -> int | None:
    """Return the day of the first date in the metadata, counted from year 1."""
    for name in _DATES if metadata else ():
        value = metadata.get(name)
        if isinstance(value, str) and len(value) >= 10:
            try:
                return date.fromisoformat(value[:10]).toordinal()
            except ValueError:
                continue
    return None
