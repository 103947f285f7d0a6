"""A model's tables of the store: word frequencies, earlier questions and sources, as hashes without texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ragwheel.deploy.features.words import hashed, stem

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Experience", "Tables", "chunk_key"]

#: Number of questions that the prior of a chunk's usefulness counts for.
PRIOR_QUESTIONS: Final = 3.0


def chunk_key(source: str, chunk_id: str) -> int:
    """Return the hash of a chunk in the tables."""
    return hashed(f"{source}\x1f{chunk_id}")


@dataclass(frozen=True, eq=False)
class Tables:
    """Arrays for the features; keys are sorted for binary search.

    Attributes:
        n_documents: number of chunks in the word statistics.
        mean_length: the mean length of these chunks in words.
        terms, frequencies: hashes of words, and their document frequencies; the rarest words are left out.
        stems, stem_frequencies: hashes and document frequencies of the words' first letters.
        chunks: keys of the chunks with experience (:func:`chunk_key`).
        starts: (chunks + 1,) the start of each chunk's rows in the next three arrays.
        question, belief, weight: per row: an earlier question, P(the chunk answers it), and its weight, which
            decreases with age.
        question_starts: (questions + 1,) the start of each question's words in the next two arrays.
        question_terms, question_weights: hashes of words; weights with unit length per question.
        sources, source_odds: hashes of sources; log-odds that a graded chunk of the source was relevant.
        prior: the mean belief over all rows.
    """

    n_documents: int
    mean_length: float
    terms: NDArray[np.uint64]
    frequencies: NDArray[np.uint32]
    stems: NDArray[np.uint64]
    stem_frequencies: NDArray[np.uint32]
    chunks: NDArray[np.uint64]
    starts: NDArray[np.int64]
    question: NDArray[np.int64]
    belief: NDArray[np.float32]
    weight: NDArray[np.float32]
    question_starts: NDArray[np.int64]
    question_terms: NDArray[np.uint64]
    question_weights: NDArray[np.float32]
    sources: NDArray[np.uint64]
    source_odds: NDArray[np.float32]
    prior: float

    def idf(self, words: Sequence[str]) -> NDArray[np.float64]:
        """Return inverse document frequencies by Lucene's formula; an unknown word counts as in one chunk."""
        return self._idf(words, self.terms, self.frequencies)

    def stem_idf(self, words: Sequence[str]) -> NDArray[np.float64]:
        """Return inverse document frequencies of the first letters of words."""
        return self._idf([stem(word) for word in words], self.stems, self.stem_frequencies)

    def _idf(
        self, words: Sequence[str], terms: NDArray[np.uint64], frequencies: NDArray[np.uint32]
    ) -> NDArray[np.float64]:
        keys = np.array([hashed(word) for word in words], dtype=np.uint64)
        df = _looked_up(terms, frequencies, keys, 1).astype(np.float64)
        df = np.minimum(df, self.n_documents)
        idf: NDArray[np.float64] = np.log1p((self.n_documents - df + 0.5) / (df + 0.5))
        return idf

    def odds_of(self, sources: Sequence[str]) -> NDArray[np.float32]:
        """Return the log-odds of sources; 0 for an unknown source."""
        keys = np.array([hashed(source) for source in sources], dtype=np.uint64)
        odds: NDArray[np.float32] = _looked_up(self.sources, self.source_odds, keys, 0.0)
        return odds

    def knows(self, key: int) -> bool:
        """Return whether there is experience with the chunk of a key."""
        wanted = np.uint64(key)
        position = int(np.searchsorted(self.chunks, wanted))
        return position < len(self.chunks) and bool(self.chunks[position] == wanted)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return all arrays by name; numbers become arrays with one element."""
        return {field.name: np.atleast_1d(np.asarray(getattr(self, field.name))) for field in fields(self)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Any]) -> Tables:
        """Make tables from the arrays that :meth:`arrays` returned.

        Raises:
            KeyError: an array is missing.
            ValueError: the arrays do not fit together.
        """
        single = {"n_documents": int, "mean_length": float, "prior": float}
        tables = cls(
            **{
                field.name: single[field.name](arrays[field.name][0])
                if field.name in single
                else arrays[field.name]
                for field in fields(cls)
            }
        )
        fits = (
            len(tables.terms) == len(tables.frequencies)
            and len(tables.stems) == len(tables.stem_frequencies)
            and len(tables.starts) == len(tables.chunks) + 1
            and len(tables.question) == len(tables.belief) == len(tables.weight) == tables.starts[-1]
            and len(tables.question_terms) == len(tables.question_weights) == tables.question_starts[-1]
            and (not len(tables.question) or tables.question.max() < len(tables.question_starts) - 1)
            and len(tables.sources) == len(tables.source_odds)
        )
        if not fits:
            raise ValueError("its tables do not fit together")
        return tables


@dataclass(frozen=True, eq=False)
class Experience:
    """Experience with candidates from earlier questions: four columns of shape (candidates,)."""

    popularity: NDArray[np.float64]
    usefulness: NDArray[np.float64]
    asked: NDArray[np.float64]
    asked_against: NDArray[np.float64]

    @classmethod
    def of(
        cls, tables: Tables, keys: NDArray[np.uint64], words: Sequence[str], left_out: frozenset[int]
    ) -> Experience:
        """Look candidates up.

        Args:
            tables: the tables of the model.
            keys: the keys of the candidates, see :func:`chunk_key`.
            words: the words of the question.
            left_out: earlier questions to ignore: in training, the question itself.
        """
        n = len(keys)
        owner, rows = _rows_of(tables, keys)
        if left_out:
            kept = ~np.isin(tables.question[rows], list(left_out))
            owner, rows = owner[kept], rows[kept]
        belief, weight = tables.belief[rows].astype(np.float64), tables.weight[rows].astype(np.float64)
        answered = np.bincount(owner, belief * weight, n)
        graded = np.bincount(owner, weight, n)
        likeness = _likeness(tables, tables.question[rows], words)
        asked, against = np.zeros(n), np.zeros(n)
        np.maximum.at(asked, owner, likeness * belief)
        np.maximum.at(against, owner, likeness * (1 - belief))
        return cls(
            np.log1p(answered),
            (answered + PRIOR_QUESTIONS * tables.prior) / (graded + PRIOR_QUESTIONS),
            asked,
            against,
        )


def _rows_of(tables: Tables, keys: NDArray[np.uint64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return pairs of a candidate's index and a row of its experience, for all rows."""
    if not len(tables.chunks):
        return np.empty(0, np.int64), np.empty(0, np.int64)
    places = np.minimum(np.searchsorted(tables.chunks, keys), len(tables.chunks) - 1)
    measured = np.flatnonzero(tables.chunks[places] == keys)
    starts, ends = tables.starts[places[measured]], tables.starts[places[measured] + 1]
    return np.repeat(measured, ends - starts), _ranges(starts, ends)


def _ranges(starts: NDArray[np.int64], ends: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the concatenated ranges from each start to its end."""
    lengths = ends - starts
    offsets = np.repeat(starts - np.concatenate([[0], np.cumsum(lengths)[:-1]]), lengths)
    ranges: NDArray[np.int64] = offsets + np.arange(int(lengths.sum()))
    return ranges


def _likeness(tables: Tables, questions: NDArray[np.int64], words: Sequence[str]) -> NDArray[np.float64]:
    """Return the cosine of the question's weighted words with those of earlier questions."""
    distinct = list(dict.fromkeys(words))
    if not distinct or not len(questions):
        return np.zeros(len(questions))
    weights = tables.idf(distinct)
    norm = float(np.linalg.norm(weights)) or 1.0
    keys = np.array([hashed(word) for word in distinct], dtype=np.uint64)
    order = np.argsort(keys)
    keys, weights = keys[order], weights[order] / norm
    starts, ends = tables.question_starts[questions], tables.question_starts[questions + 1]
    rows = _ranges(starts, ends)
    matched = _looked_up(keys, weights, tables.question_terms[rows], 0.0)
    owner = np.repeat(np.arange(len(questions)), ends - starts)
    likeness: NDArray[np.float64] = np.bincount(
        owner, matched * tables.question_weights[rows], len(questions)
    ).astype(np.float64)
    return likeness


def _looked_up(keys: Any, values: Any, wanted: Any, default: float) -> Any:
    """Look up values by sorted keys; missing keys get a default."""
    if not len(keys):
        return np.full(len(wanted), default)
    places = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[places] == wanted, values[places], default)
