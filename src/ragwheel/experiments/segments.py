"""Queries that fail together: clusters by their words, with names that a person can read."""

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
    """Queries that are alike: their most telling words, the places of its members, how many of them fail."""

    name: str
    members: tuple[int, ...]
    failing: int

    @property
    def share(self) -> float:
        """Of the members that fail."""
        return self.failing / len(self.members)


def segments(texts: Sequence[str], failing: Sequence[bool], *, seed: int = 0) -> list[Segment]:
    """Cluster queries and count failures, the worst first.

    TF-IDF over words and pairs of words, reduced to topics (LSA) and clustered with k-means; a segment's
    name is the words that tell it from the rest. What fits nowhere is in a segment called ``other``.

    Args:
        texts: of the queries.
        failing: which of them fail, in the same order.
        seed: of the clustering.

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
    except ValueError:  # no word is in two of them
        return []
    rank = min(_TOPICS, matrix.shape[1] - 1, len(texts) - 1)
    if rank < 1:
        return []
    with np.errstate(divide="ignore", invalid="ignore"):  # shares of a variance that may be none
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
    """The words that a cluster has more of than the rest; none is said twice."""
    chosen: list[str] = []
    for index in telling.argsort()[::-1][: 4 * _NAME_WORDS]:
        word = str(words[index])
        if telling[index] <= 0 or len(chosen) == _NAME_WORDS:
            break
        words_so_far = {part for name in chosen for part in name.split()}
        if not words_so_far & set(word.split()):
            chosen.append(word)
    return ", ".join(chosen)
