"""Types of question: the app's own labels, or clusters with names made of their words."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

from ragwheel.errors import MissingExtra
from ragwheel.fewshot.lexical import unit
from ragwheel.fewshot.selecting import facility_location, similarities
from ragwheel.offline.words import words

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]
    Ints = NDArray[np.int64]

__all__ = ["ALL", "OTHER", "by_clusters", "by_labels", "nearest"]

ALL: Final = "all"
OTHER: Final = "other"
_TRIED: Final = (2, 3, 4, 6, 8, 10, 12)
_TOPICS: Final = 32
_SAMPLE: Final = 1_000
_NAME_WORDS: Final = 3
_ITERATIONS: Final = 30


def by_labels(vectors: Floats, labels: Sequence[str | None]) -> tuple[list[str], Ints, Floats]:
    """Group by the app's labels (None is *other*); return names, each row's group, and the centres."""
    named = [label or OTHER for label in labels]
    names = sorted(set(named))
    column = {name: number for number, name in enumerate(names)}
    of = np.array([column[label] for label in named], dtype=np.int64)
    centres = np.stack([vectors[of == group].mean(axis=0) for group in range(len(names))])
    return names, of, unit(centres)


def by_clusters(
    vectors: Floats, texts: Sequence[str], *, groups: int | None, seed: int
) -> tuple[list[str], Ints, Floats]:
    """Group by k-means on the vectors' main directions (latent semantic analysis), as :func:`by_labels`.

    Args:
        vectors: unit vectors of the questions.
        texts: the questions, for the names.
        groups: the number of groups; None: the number from 2 to 12 with the best silhouette.
        seed: the seed of the sample for clustering.
    """
    n = len(vectors)
    most = min(n // 5, max(_TRIED))
    if groups == 1 or most < 2:
        of = np.zeros(n, dtype=np.int64)
    else:
        tried = [groups] if groups else [k for k in _TRIED if k <= most]
        of = _clusters(_topics(vectors), tried, seed)
    centres = np.stack([vectors[of == group].mean(axis=0) for group in range(int(of.max()) + 1)])
    return _names(texts, of), of, unit(centres)


def nearest(vectors: Floats, centres: Floats) -> Ints:
    """Return for each row the group with the nearest centre."""
    return np.asarray(np.argmax(vectors @ centres.T, axis=1), dtype=np.int64)


def _topics(vectors: Floats) -> Floats:
    """Return the coordinates along the 32 main directions, with rows of length 1."""
    if min(vectors.shape) <= _TOPICS:
        return vectors
    _, directions = np.linalg.eigh(vectors.T @ vectors)  # rising eigenvalues
    return unit(vectors @ directions[:, -_TOPICS:].astype(np.float32))


def _clusters(topics: Floats, tried: Sequence[int], seed: int) -> Ints:
    """Return each row's cluster, largest first, for the number of clusters with the best silhouette.

    k-means starts from the most representative questions of a sample, so the result is reproducible.
    """
    draw = np.random.default_rng(seed)
    sample = topics[np.sort(draw.permutation(len(topics))[:_SAMPLE])]
    distinct = np.unique(sample, axis=0)
    starts = distinct[facility_location(similarities(sample, distinct), max(tried))]
    best, best_score = np.zeros(len(topics), dtype=np.int64), -2.0
    for k in tried:
        centres = _k_means(sample, starts[:k])
        score = _silhouette(sample, _closest(sample, centres))
        if score > best_score:
            best, best_score = _closest(topics, centres), score
    sizes = Counter(best.tolist())
    ordered = sorted(sizes.items(), key=lambda entry: (-entry[1], entry[0]))
    rank = {group: index for index, (group, _) in enumerate(ordered)}
    return np.array([rank[group] for group in best.tolist()], dtype=np.int64)


def _k_means(rows: Floats, starts: Floats) -> Floats:
    try:
        from scipy.cluster.vq import kmeans2
    except ImportError as error:
        raise MissingExtra(
            "Grouping questions needs scipy, not installed in this Python. "
            "Next: pip install 'ragwheel[fewshot]'"
        ) from error
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a cluster that becomes empty keeps its centre
        centres, _ = kmeans2(rows, starts, iter=_ITERATIONS, minit="matrix")
    return np.asarray(centres, dtype=np.float32)


def _closest(rows: Floats, centres: Floats) -> Ints:
    """Return for each row the index of the nearest centre by Euclidean distance."""
    far = (centres**2).sum(axis=1) - 2 * rows @ centres.T
    return np.asarray(np.argmin(far, axis=1), dtype=np.int64)


def _silhouette(rows: Floats, of: Ints) -> float:
    """Return the mean silhouette of a clustering (Rousseeuw 1987), from -1 to 1."""
    present, of = np.unique(of, return_inverse=True)
    if not 1 < len(present) < len(rows):
        return -1.0
    squares = (rows**2).sum(axis=1)
    apart = np.sqrt(np.maximum(squares[:, None] + squares - 2 * rows @ rows.T, 0))
    member = np.eye(len(present), dtype=np.float32)[of]
    sizes, at = member.sum(axis=0), np.arange(len(rows))
    total = apart @ member
    own = total[at, of] / np.maximum(sizes[of] - 1, 1)
    other = np.where(member > 0, np.inf, total / sizes).min(axis=1)
    cells = np.where(sizes[of] > 1, (other - own) / np.maximum(np.maximum(own, other), 1e-12), 0)
    return float(cells.mean())


def _names(texts: Sequence[str], of: Ints) -> list[str]:
    """Name each group by its most distinctive words.

    A word is scored by its part of the divergence of the group's words from all words, p log(p / q), so words
    that are common to all groups score 0 in any language. Stop words of several languages are left out.
    """
    stop = _stop_words()
    counts = [Counter[str]() for _ in range(int(of.max()) + 1)]
    for text, group in zip(texts, of.tolist()):
        counts[group].update(word for word in set(words(text)) if len(word) > 1 and word not in stop)
    total = sum(counts, Counter[str]())
    everybody = sum(total.values())
    names: list[str] = []
    for count in counts:
        size = max(1, sum(count.values()))
        gains = {w: n / size * float(np.log(n / size * everybody / total[w])) for w, n in count.items()}
        best = sorted((w for w in gains if gains[w] > 1e-9), key=lambda w: (-gains[w], w))[:_NAME_WORDS]
        name = ", ".join(best) or (ALL if len(counts) == 1 else OTHER)
        names.append(name if name not in names else f"{name} ({len(names) + 1})")
    return names


def _stop_words() -> frozenset[str]:
    try:
        from bm25s import stopwords
    except ImportError:  # without the list, names may contain stop words
        return frozenset()
    lists = [getattr(stopwords, name) for name in dir(stopwords) if name.startswith("STOPWORDS_")]
    return frozenset(word for words in lists for word in words)
