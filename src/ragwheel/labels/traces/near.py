"""Which queries are near-identical: families of query groups that never face each other across a split."""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

import numpy as np
import numpy.typing as npt

from ragwheel.labels.traces.text import tokens

__all__ = ["families", "near_roots"]

_TEXTS: Final = 100_000  # of which the words are sorted at once

Numbers = npt.NDArray[np.int32]


def families(texts: Mapping[str, str], threshold: float) -> dict[str, str]:
    """For every key its family: the smallest key among those that chains of near-identical texts connect.

    Near-identical is defined in :func:`near_roots`.
    """
    keys = sorted(texts)
    roots = near_roots((texts[key] for key in keys), threshold)
    return {key: keys[root] for key, root in zip(keys, roots.tolist())}


def near_roots(texts: Iterable[str], threshold: float) -> Numbers:
    """For every text the number of the first text that chains of near-identical ones connect it with.

    Two texts are near-identical from a token Jaccard of ``threshold`` on. Finds exactly the pairs that
    comparing all with all would, by prefix filtering: sets that similar must share one of their rarest
    tokens (Bayardo, Ma and Srikant, Scaling up all pairs similarity search, WWW 2007). Words are kept as
    numbers, some 60 bytes for a question of ten.
    """
    words = _Words(texts)
    needed = np.maximum(np.ceil(threshold * words.sizes - 1e-9), 0).astype(np.int32)
    parent = np.arange(len(words.sizes), dtype=np.int32)

    def root(number: int) -> int:
        while parent[number] != number:
            parent[number] = number = int(parent[parent[number]])
        return number

    buckets: defaultdict[int, list[int]] = defaultdict(list)
    for number, rarest in words.prefixes(words.sizes - needed + 1):
        candidates = {other for word in rarest for other in buckets[word]}
        own = set(words.of(number)) if candidates else set()
        for other in candidates:
            if words.sizes[other] < needed[number]:
                continue
            first, second = sorted((root(number), root(other)))
            if first != second and _jaccard(own, words.of(other)) >= threshold:
                parent[second] = first
        for word in rarest:
            buckets[word].append(number)
    return np.array([root(number) for number in range(len(parent))], np.int32)


class _Words:
    """The words of many texts as numbers, the rarest word having the smallest; those of a text are sorted."""

    def __init__(self, texts: Iterable[str]) -> None:
        numbers: dict[str, int] = {}
        flat, ends = array("i"), array("q", [0])
        for text in texts:
            flat.extend(numbers.setdefault(word, len(numbers)) for word in sorted(tokens(text)))
            ends.append(len(flat))
        self._flat = np.array(flat, np.int32)
        self._ends = np.array(ends, np.int64)
        self.sizes = np.diff(self._ends).astype(np.int32)
        self._vocabulary = len(numbers)
        rank = np.empty(self._vocabulary, np.int32)
        frequency = np.bincount(self._flat, minlength=self._vocabulary)
        rank[np.argsort(frequency, kind="stable")] = np.arange(self._vocabulary, dtype=np.int32)
        for begin, end in self._shares():
            ranked = rank[self._flat[self._ends[begin] : self._ends[end]]]
            owners = np.repeat(np.arange(end - begin), self.sizes[begin:end])
            self._flat[self._ends[begin] : self._ends[end]] = ranked[np.lexsort((ranked, owners))]

    def of(self, number: int, most: int | None = None) -> list[int]:
        """Return the words of a text, or so many of the rarest."""
        begin, end = int(self._ends[number]), int(self._ends[number + 1])
        words: list[int] = self._flat[begin : end if most is None else min(begin + most, end)].tolist()
        return words

    def prefixes(self, lengths: Numbers) -> Iterator[tuple[int, list[int]]]:
        """Yield the texts, those of few words first, each with its rarest words that another text shares.

        ``lengths`` says how many of its rarest words are looked at; texts that share none are left out.
        """
        counts = np.zeros(self._vocabulary, np.int64)
        for begin, end in self._shares():
            sizes = self.sizes[begin:end]
            first = self._ends[begin]
            places = np.arange(self._ends[end] - first) - np.repeat(self._ends[begin:end] - first, sizes)
            rarest = self._flat[first : self._ends[end]][places < np.repeat(lengths[begin:end], sizes)]
            counts += np.bincount(rarest, minlength=self._vocabulary)
        shared = counts > 1
        for number in np.argsort(self.sizes, kind="stable").tolist():
            words = [word for word in self.of(number, int(lengths[number])) if shared[word]]
            if words:
                yield number, words

    def _shares(self) -> Iterator[tuple[int, int]]:
        for begin in range(0, len(self.sizes), _TEXTS):
            yield begin, min(begin + _TEXTS, len(self.sizes))


def _jaccard(own: set[int], other: list[int]) -> float:
    shared = len(own.intersection(other))
    return shared / (len(own) + len(other) - shared) if shared else 0.0
