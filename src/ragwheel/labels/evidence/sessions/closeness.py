"""How close two questions are: whether the second puts the need of the first in other words.

No model and no language list. Four views of the wording, 0 to 1 each, and their mean:

* ``overlap``: shared words over all words (Jaccard), where inflected forms and parts of compounds are shared
  in part (*Rechnung, Rechnungen*; *Frist, Kündigungsfrist*), as far as they begin alike, or wholly where one
  ends with the other;
* ``containment``: shared words over those of the shorter question, for people add and drop words;
* ``trigrams``: shared letter triples (Dice), for they correct spelling and change endings;
* ``edit``: the longest common runs of letters (Ratcliff and Obershelp), for order counts.

Words are weighed by how rare they are among the store's own questions, so that *how do I* shares nothing. An
``embed`` function adds the cosine of meaning; the closeness is then the greater of the two. Time takes from
it: at the end of the window, half of it is left.

Features after Jones and Klinkner (Beyond the session timeout: automatic hierarchical segmentation of search
topics in query logs, CIKM 2008), where edit and word overlap separate search goals better than time alone.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import lru_cache
from typing import Final

from ragwheel.labels.traces.text import normalise, tokens

__all__ = ["Closeness", "Embed", "Scorer", "rarity"]

#: Texts to vectors of length 1, a row each.
Embed = Callable[[Sequence[str]], Sequence[Sequence[float]]]


@dataclass(frozen=True)
class Closeness:
    """The views of two wordings, 0 to 1 each; ``semantic`` is None without an ``embed`` function."""

    overlap: float
    containment: float
    trigrams: float
    edit: float
    semantic: float | None = None

    @property
    def lexical(self) -> float:
        """The mean of the four views of the wording."""
        return (self.overlap + self.containment + self.trigrams + self.edit) / 4

    def score(self, gap_s: float = 0.0, window_s: float = math.inf) -> float:
        """0 to 1: the greater of wording and meaning, less up to half of it for time gone by."""
        close = max(self.lexical, self.semantic or 0.0)
        return close * (1 - 0.5 * min(max(gap_s / window_s, 0.0), 1.0))


class Scorer:
    """Compares questions.

    Args:
        weights: of words, see :func:`rarity`; None: all the same.
        embed: gives vectors of texts, length 1; None: wording only.
    """

    def __init__(self, weights: Mapping[str, float] | None = None, embed: Embed | None = None) -> None:
        self._weights = weights
        self._rarest = max(weights.values(), default=1.0) if weights else 1.0
        self._embed = embed
        self._vectors: dict[str, Sequence[float]] = {}

    def prepare(self, texts: Iterable[str]) -> None:
        """Embed many texts at once, where there is an ``embed`` function."""
        if self._embed is not None:
            new = sorted(set(texts) - self._vectors.keys())
            if new:
                self._vectors.update(zip(new, self._embed(new)))

    def __call__(self, old: str, new: str) -> Closeness:
        """How close the second question is to the first."""
        a, b = tokens(old), tokens(new)
        in_a, in_b = self._weight(a), self._weight(b)
        of_a, of_b = self._shared(a, b), self._shared(b, a)
        shared = (of_a + of_b) / 2
        one, other = _trigrams(old), _trigrams(new)
        return Closeness(
            overlap=shared / max(in_a + in_b - shared, 1e-12),
            containment=(of_a if in_a <= in_b else of_b) / max(min(in_a, in_b), 1e-12),
            trigrams=2 * len(one & other) / max(len(one) + len(other), 1),
            edit=SequenceMatcher(None, normalise(old), normalise(new), autojunk=False).ratio(),
            semantic=self._meaning(old, new),
        )

    def _weight(self, words: frozenset[str]) -> float:
        if self._weights is None:
            return float(len(words))
        return math.fsum(self._weights.get(word, self._rarest) for word in words)

    def _shared(self, words: frozenset[str], others: frozenset[str]) -> float:
        """The weight of the words, each by how alike the most similar of the others is."""
        return math.fsum(
            self._weight(frozenset((word,)))
            * (1.0 if word in others else max((_alike(word, other) for other in others), default=0.0))
            for word in words
        )

    def _meaning(self, old: str, new: str) -> float | None:
        if self._embed is None:
            return None
        self.prepare((old, new))
        return math.fsum(a * b for a, b in zip(self._vectors[old], self._vectors[new]))


def rarity(texts: Iterable[str]) -> dict[str, float]:
    """The weight of every word: ln(1 + texts / texts with the word)."""
    each = [tokens(text) for text in texts]
    counts = Counter(word for words in each for word in words)
    return {word: math.log(1 + len(each) / n) for word, n in sorted(counts.items())}


_STEM: Final = 4  # letters that two forms of one word share at least
_SHARE: Final = 0.6  # of the shorter word


@lru_cache(maxsize=131_072)
def _alike(word: str, other: str) -> float:
    """Return the share of the shorter word that both words begin with; 1 where the longer ends with it."""
    shorter, longer = sorted((word, other), key=len)
    if len(shorter) < _STEM:
        return 0.0
    if longer.endswith(shorter):
        return 1.0
    common = next((at for at, letter in enumerate(shorter) if letter != longer[at]), len(shorter))
    return common / len(shorter) if common >= max(_STEM, _SHARE * len(shorter)) else 0.0


@lru_cache(maxsize=16_384)
def _trigrams(text: str) -> frozenset[str]:
    padded = f" {normalise(text)} "
    return frozenset(padded[index : index + 3] for index in range(max(len(padded) - 2, 1)))
