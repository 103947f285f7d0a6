"""Segments of failing queries: clusters by their words, with readable names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from ragwheel.errors import MissingExtra

__all__ = ["Segment", "segments"]

_SMALLEST: Final = 3
_PER_CLUSTER: Final = 12
_MOST: Final = 12
_NAME_WORDS: Final = 3
_TOPICS: Final = 50


@dataclass(frozen=True)
class Segment:
    """A cluster of similar queries: its distinctive words, the indices of its members, and how many fail."""

    name: str
    members: tuple[int, ...]
    failing: int

    @property
    def share(self) -> float:
        """The share of the members that fail."""
        return self.failing / len(self.members)


def segments(texts: Sequence[str], failing: Sequence[bool], *, seed: int = 0) -> list[Segment]:
    """Cluster queries and count failures, worst segment first.

    TF-IDF vectors of words and bigrams are reduced to topics (LSA) and clustered with k-means. The name of a
    segment consists of its distinctive words. Queries that fit no cluster are in the segment ``other``.

    Args:
        texts: the texts of the queries.
        failing: whether each of them fails, in the same order.
        seed: the seed of the clustering.

    Raises:
        MissingExtra: scikit-learn is not installed.
    """
    try:
        from sklearn.cluster import KMeans
        from sklearn.decomposition import TruncatedSVD
        from sklearn.feature_extraction.text import TfidfVectorizer
        from sklearn.preprocessing import normalize
    except ImportError as exc:
        raise MissingExtra(
            "Segments of queries need scikit-learn. Install it with: pip install 'ragwheel[report]'"
        ) from exc
    if len(texts) < 2 * _SMALLEST:
        return []
    count = max(2, min(_MOST, len(texts) // _PER_CLUSTER))
    try:
        vectorizer = TfidfVectorizer(
            stop_words="english", ngram_range=(1, 2), sublinear_tf=True, max_features=5_000, min_df=2
        )
        matrix = vectorizer.fit_transform(texts)
    except ValueError:  # no word occurs in two queries
        return []
    rank = min(_TOPICS, matrix.shape[1] - 1, len(texts) - 1)
    if rank < 1:
        return []
    with np.errstate(divide="ignore", invalid="ignore"):  # shares of a variance that may be 0
        topics = normalize(TruncatedSVD(rank, random_state=seed).fit_transform(matrix))
    count = min(count, len(np.unique(topics.round(6), axis=0)))
    labels = KMeans(n_clusters=count, random_state=seed, n_init=4).fit_predict(topics)
    words = vectorizer.get_feature_names_out()
    overall = matrix.mean(axis=0)
    segments, rest = [], []
    for label in range(count):
        members = [index for index in range(len(texts)) if labels[index] == label]
        name = _name((matrix[members].mean(axis=0) - overall).A1, words) if members else ""
        if len(members) < _SMALLEST or not name:
            rest += members
        else:
            segments.append(_segment(name, members, failing))
    if rest:
        segments.append(_segment("other", sorted(rest), failing))
    return sorted(segments, key=lambda segment: (-segment.failing, -segment.share, segment.name))


def _segment(name: str, members: list[int], failing: Sequence[bool]) -> Segment:
    return Segment(name, tuple(members), sum(failing[member] for member in members))


def _name(telling: Any, words: Any) -> str:
    """Return a name of distinctive words, without repetitions."""
    chosen: list[str] = []
    for index in telling.argsort()[::-1][: 4 * _NAME_WORDS]:
        word = str(words[index])
        if telling[index] <= 0 or len(chosen) == _NAME_WORDS:
            break
        words_so_far = {part for name in chosen for part in name.split()}
        if not words_so_far & set(word.split()):
            chosen.append(word)
    return ", ".join(chosen)
