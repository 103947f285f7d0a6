"""Which queries are near-identical: families of query groups that never face each other across a split."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping

from ragwheel.labels.traces.text import jaccard, tokens

__all__ = ["families"]


def families(texts: Mapping[str, str], threshold: float) -> dict[str, str]:
    """For every key its family: the smallest key among those that chains of near-identical texts connect.

    Two texts are near-identical from a token Jaccard of ``threshold`` on. Finds exactly the pairs that
    comparing all with all would, by prefix filtering: sets that similar must share one of their rarest
    tokens (Bayardo, Ma and Srikant, Scaling up all pairs similarity search, WWW 2007).
    """
    words = {key: tokens(text) for key, text in texts.items()}
    frequency = Counter(token for word in words.values() for token in word)
    parent = {key: key for key in texts}

    def root(key: str) -> str:
        while parent[key] != key:
            parent[key] = key = parent[parent[key]]
        return key

    buckets: defaultdict[str, list[str]] = defaultdict(list)
    for key in sorted(texts, key=lambda key: (len(words[key]), key)):
        found = words[key]
        needed = math.ceil(threshold * len(found) - 1e-9)
        rarest = sorted(found, key=lambda token: (frequency[token], token))[: len(found) - needed + 1]
        candidates = {other for token in rarest for other in buckets[token] if len(words[other]) >= needed}
        for other in candidates:
            if jaccard(found, words[other]) >= threshold:
                first, second = sorted((root(key), root(other)))
                parent[second] = first
        for token in rarest:
            buckets[token].append(key)
    return {key: root(key) for key in texts}
