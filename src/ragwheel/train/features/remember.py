"""What a feature model remembers of the store: word frequencies, earlier questions, sources."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ragwheel.deploy.features import CandidateChunk, Tables, chunk_key
from ragwheel.deploy.features.words import hashed, profile, words_in

if TYPE_CHECKING:
    from ragwheel.train.beliefs import Belief

__all__ = ["remember"]

_RAREST: Final = 2  # a word in fewer chunks is looked up as unknown, which comes to the same
_HALF_LIFE_DAYS: Final = 180.0
_ROWS_A_CHUNK: Final = 50
_WORDS_A_QUESTION: Final = 32
_DAY_NS: Final = 86_400 * 10**9


def remember(
    chunks: Sequence[CandidateChunk], rows: Sequence[Belief], asked_ns: Mapping[str, int]
) -> tuple[Tables, dict[str, frozenset[int]]]:
    """Make the tables of a model.

    Args:
        chunks: of the store.
        rows: labels of the training questions; those of dev and test must not be among them.
        asked_ns: by query key, when each question was last asked.

    Returns:
        The tables, and by family the numbers of its questions in them: what is left out while the family is
        scored.
    """
    terms, stems, lengths = Counter[str](), Counter[str](), []
    for chunk in chunks:
        title = chunk.metadata.get("title")
        words = profile(chunk.text, title if isinstance(title, str) else "")
        terms.update(words.counts.keys())
        stems.update(words.stems.keys())
        lengths.append(words.length)
    texts = {row.query_key: row.query for row in rows}
    number = {key: position for position, key in enumerate(texts)}
    families: defaultdict[str, set[int]] = defaultdict(set)
    for row in rows:
        families[row.family].add(number[row.query_key])
    idf = _idf(terms, len(chunks))
    tables = Tables(
        n_documents=len(chunks),
        mean_length=float(np.mean(lengths)) if lengths else 1.0,
        **_sorted("terms", "frequencies", _frequent(terms), np.uint32),
        **_sorted("stems", "stem_frequencies", _frequent(stems), np.uint32),
        **_experience(rows, number, asked_ns),
        **_questions(list(texts.values()), idf),
        **_sorted("sources", "source_odds", _source_odds(rows), np.float32),
        prior=float(np.mean([row.belief for row in rows])) if rows else 0.5,
    )
    return tables, {name: frozenset(numbers) for name, numbers in families.items()}


def _frequent(counts: Counter[str]) -> dict[str, float]:
    return {word: count for word, count in counts.items() if count >= _RAREST}


def _sorted(keys: str, values: str, table: Mapping[str, float], kind: Any) -> dict[str, Any]:
    """A table as two arrays, sorted by the hashes of its keys."""
    rows = sorted((hashed(name), value) for name, value in table.items())
    return {
        keys: np.array([key for key, _ in rows], dtype=np.uint64),
        values: np.array([value for _, value in rows], dtype=kind),
    }


def _idf(terms: Counter[str], n: int) -> Any:
    def idf(word: str) -> float:
        df = min(n, terms.get(word, 1))
        return math.log1p((n - df + 0.5) / (df + 0.5))

    return idf


def _experience(
    rows: Sequence[Belief], number: Mapping[str, int], asked_ns: Mapping[str, int]
) -> dict[str, Any]:
    """By chunk, the questions that it was graded for; of a chunk with very many, the newest."""
    newest = max(asked_ns.values(), default=0)
    by_chunk: defaultdict[int, list[tuple[int, int, float, float]]] = defaultdict(list)
    for row in rows:
        at = asked_ns.get(row.query_key, newest)
        weight = 0.5 ** ((newest - at) / _DAY_NS / _HALF_LIFE_DAYS)
        by_chunk[chunk_key(row.source, row.chunk_id)].append((at, number[row.query_key], row.belief, weight))
    keys = sorted(by_chunk)
    kept = [sorted(by_chunk[key])[-_ROWS_A_CHUNK:] for key in keys]
    flat = [entry for some in kept for entry in some]
    return {
        "chunks": np.array(keys, dtype=np.uint64),
        "starts": np.concatenate([[0], np.cumsum([len(some) for some in kept])]).astype(np.int64),
        "question": np.array([entry[1] for entry in flat], dtype=np.int64),
        "belief": np.array([entry[2] for entry in flat], dtype=np.float32),
        "weight": np.array([entry[3] for entry in flat], dtype=np.float32),
    }


def _questions(texts: Sequence[str], idf: Any) -> dict[str, Any]:
    """The words of the earlier questions, as hashes with weights of unit length."""
    starts, terms, weights = [0], [], []
    for text in texts:
        words = list(dict.fromkeys(words_in(text)))[:_WORDS_A_QUESTION]
        values = [idf(word) for word in words]
        norm = math.sqrt(sum(value * value for value in values)) or 1.0
        terms += [hashed(word) for word in words]
        weights += [value / norm for value in values]
        starts.append(len(terms))
    return {
        "question_starts": np.array(starts, dtype=np.int64),
        "question_terms": np.array(terms, dtype=np.uint64),
        "question_weights": np.array(weights, dtype=np.float32),
    }


def _source_odds(rows: Iterable[Belief]) -> dict[str, float]:
    """Log-odds of a source's beliefs against those of all, with two questions' worth of doubt."""
    sums: defaultdict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
    for row in rows:
        sums[row.source][0] += row.belief
        sums[row.source][1] += 1
    total = sum(entry[0] for entry in sums.values()) / max(1.0, sum(entry[1] for entry in sums.values()))
    prior = min(0.99, max(0.01, total))
    odds = {}
    for source, (good, n) in sums.items():
        share = (good + 2 * prior) / (n + 2)
        odds[source] = math.log(share / (1 - share)) - math.log(prior / (1 - prior))
    return odds
