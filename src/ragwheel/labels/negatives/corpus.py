"""All chunks that the store has ever seen, and which of them lie near a text.

Nearness is BM25 (Robertson and Zaragoza, The probabilistic relevance framework, 2009) over the words of
:func:`ragwheel.labels.traces.text.tokens`, each counted once per chunk: no model, the same on every
machine. An encoder takes its place where one is given.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from ragwheel.labels.negatives.word_index import WordIndex
from ragwheel.labels.traces.text import tokens

__all__ = ["ChunkCorpus", "CorpusChunk", "Encoder"]

#: Texts to unit-length rows of float32, (n, d).
Encoder = Callable[[Sequence[str]], npt.NDArray[np.float32]]
_K1, _B = 1.2, 0.75
_DIGIT: Final = re.compile(r"\d")
_COMMON: Final = 0.2  # words in more than this share of the chunks find nothing


@dataclass(frozen=True)
class CorpusChunk:
    """A chunk version that was seen: newest or not, with the metadata that came with it."""

    chunk_version: int
    source: str
    chunk_id: str
    text_id: int
    first_seen_ns: int
    metadata: str | None = None

    @cached_property
    def facts(self) -> dict[str, Any]:
        """Metadata with lower-case keys; empty where there is none that can be read."""
        try:
            found = msgspec.json.decode(self.metadata or "{}")
        except msgspec.DecodeError:
            return {}
        return {str(key).lower(): value for key, value in found.items()} if isinstance(found, dict) else {}


class ChunkCorpus:
    """The chunks of a store; the index is made when something is looked for first.

    Args:
        chunks: every version, in a fixed order.
        text_of: the text of a ``text_id``.
        encoder: takes the place of BM25.
        index: of the words of ``newest``, where it was made before.
    """

    def __init__(
        self,
        chunks: Sequence[CorpusChunk],
        text_of: Callable[[int], str],
        encoder: Encoder | None = None,
        index: WordIndex | None = None,
    ) -> None:
        self.text_of = text_of
        self._written = index
        self._encoder = encoder
        newest: dict[tuple[str, str], CorpusChunk] = {}
        self.versions: dict[tuple[str, str], list[CorpusChunk]] = {}
        for chunk in chunks:
            self.versions.setdefault((chunk.source, chunk.chunk_id), []).append(chunk)
            known = newest.get((chunk.source, chunk.chunk_id))
            if known is None or (chunk.first_seen_ns, chunk.chunk_version) > (
                known.first_seen_ns,
                known.chunk_version,
            ):
                newest[chunk.source, chunk.chunk_id] = chunk
        self.newest = list(newest.values())
        self.of = {chunk.chunk_version: chunk for chunk in chunks}
        self.words = lru_cache(maxsize=65_536)(lambda text_id: tokens(self.text_of(text_id)))
        self.plain_words = lru_cache(maxsize=65_536)(
            lambda text_id: frozenset(word for word in self.words(text_id) if not _DIGIT.search(word))
        )
        #: Near-copies by chunk version and threshold: the same whatever the query.
        self.copies: dict[tuple[int, float], list[CorpusChunk]] = {}

    def scores(self, text: str) -> npt.NDArray[np.float64]:
        """Of every chunk in ``newest``: 0 shares nothing with the text, higher is nearer."""
        if self._encoder is not None:
            return np.asarray(self._vectors @ self._encoder([text])[0], np.float64)
        found = np.zeros(len(self.newest))
        for word in sorted(tokens(text)):
            hits = self.postings(word)
            if 0 < len(hits) <= max(_COMMON * len(self.newest), 3):
                found[hits] += self._idf(len(hits)) * self._saturation[hits]
        return found

    def nearest(self, text: str, most: int) -> list[tuple[int, float]]:
        """Places in ``newest`` of the best scored above 0, and their scores; of equals the first first."""
        scores = self.scores(text)
        places = np.flatnonzero(scores > 0)
        if len(places) > most:
            enough = np.partition(scores[places], -most)[-most]
            places = places[scores[places] >= enough]
        order = np.lexsort((places, -scores[places]))[:most]
        return [(int(place), float(scores[place])) for place in places[order]]

    def score(self, text: str, text_id: int) -> float:
        """The same of any text of the store, in the corpus or an older version."""
        if self._encoder is not None:
            query, other = self._encoder([text, self.text_of(text_id)])
            return float(query @ other)
        theirs = self.words(text_id)
        size = len(self.newest)
        total = 0.0
        for word in sorted(tokens(text) & theirs):
            n = len(self.postings(word))
            if n <= max(_COMMON * size, 3):
                total += self._idf(n)
        return total * float(self._saturate(len(theirs)))

    def is_discriminative(self, word: str) -> bool:
        """A word that few enough chunks have to say what one is about."""
        return 0 < len(self.postings(word)) <= max(_COMMON * len(self.newest), 3)

    def postings(self, word: str) -> npt.NDArray[np.int32]:
        """Places in ``newest`` of the chunks that have a word."""
        return self.index.postings(word)

    def _idf(self, n: int) -> float:
        return float(np.log1p((len(self.newest) - n + 0.5) / (n + 0.5)))

    def _saturate(self, length: Any) -> Any:
        return (_K1 + 1) / (1 + _K1 * (1 - _B + _B * length / self._mean_length))

    @cached_property
    def _lengths(self) -> npt.NDArray[np.float64]:
        return self.index.lengths.astype(np.float64)

    @cached_property
    def _mean_length(self) -> float:
        return float(max(self._lengths.mean(), 1.0)) if len(self._lengths) else 1.0

    @cached_property
    def _saturation(self) -> npt.NDArray[np.float64]:
        return np.asarray(self._saturate(self._lengths), np.float64)

    @cached_property
    def index(self) -> WordIndex:
        """Which chunks of ``newest`` have a word."""
        if self._written is not None:
            return self._written
        return WordIndex.of(self.words(chunk.text_id) for chunk in self.newest)

    @cached_property
    def _vectors(self) -> npt.NDArray[np.float32]:
        if self._encoder is None:
            raise TypeError("vectors need an encoder")
        return self._encoder([self.text_of(chunk.text_id) for chunk in self.newest])
