"""Metrics of an answer's similarity to the answer that people liked, from 0 to 1."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Final

from ragwheel.offline.words import key, words

__all__ = ["METRICS", "Metric", "exact_match", "rouge_l", "token_f1"]

Metric = Callable[[str, str], float]
"""A function called as ``metric(answer, liked_answer)``; larger is better."""


def token_f1(answer: str, liked: str) -> float:
    """Return the F1 over words, as in SQuAD (Rajpurkar et al., EMNLP 2016)."""
    a, b = Counter(words(answer)), Counter(words(liked))
    shared = sum((a & b).values())
    return 2 * shared / (sum(a.values()) + sum(b.values())) if shared else float(not a and not b)


def rouge_l(answer: str, liked: str) -> float:
    """Return the F1 over the longest common subsequence of words (Lin 2004)."""
    a, b = words(answer), words(liked)
    if not a or not b:
        return float(a == b)
    before = [0] * (len(b) + 1)
    for word in a:
        row = [0]
        for index, other in enumerate(b):
            row.append(before[index] + 1 if word == other else max(row[-1], before[index + 1]))
        before = row
    return 2 * before[-1] / (len(a) + len(b))


def exact_match(answer: str, liked: str) -> float:
    """Return 1 if both have the same words in the same order, else 0."""
    return float(key(answer) == key(liked))


METRICS: Final[dict[str, Metric]] = {"f1": token_f1, "rouge-l": rouge_l, "exact": exact_match}
