"""Words of questions and chunks for the features."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from hashlib import blake2b
from itertools import pairwise
from typing import Final, NamedTuple

from ragwheel.words import split_words

__all__ = ["Profile", "hashed", "numbers_in", "profile", "stem", "words_in"]

_NUMBER: Final = re.compile(r"\d+(?:[.,]\d+)*")
_STEM: Final = 6
_SKETCH: Final = 16
_MAX_CHARS: Final = 20_000
_TITLE_CHARS: Final = 200


class Profile(NamedTuple):
    """The properties of a chunk's text that the features use.

    Attributes:
        counts: how often each word occurs.
        stems: the same for the first letters of the words.
        places: position of each word's first occurrence, in words.
        pairs: neighbouring words.
        numbers: the numbers in the text.
        title: words of the title, or of the text's first sentence where there is none.
        length: number of words.
        sketch: a few words that near-copies of the text have in common with it.
    """

    counts: dict[str, int]
    stems: dict[str, int]
    places: dict[str, int]
    pairs: frozenset[tuple[str, str]]
    numbers: frozenset[str]
    title: frozenset[str]
    length: int
    sketch: frozenset[int]


def words_in(text: str) -> list[str]:
    """Return the words of a text in their order, folded."""
    return split_words(text.lower() if text.isascii() else unicodedata.normalize("NFKC", text).casefold())


def stem(word: str) -> str:
    """Return the first letters of a word, which inflected forms share in most suffixing languages."""
    return word[:_STEM]


def numbers_in(text: str) -> frozenset[str]:
    """Return the numbers in a text, without separators at their ends."""
    return frozenset(_NUMBER.findall(text))


def hashed(text: str) -> int:
    """Return 64 bits of BLAKE2b, so that a model's tables hold neither words nor ids."""
    return int.from_bytes(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")


@lru_cache(maxsize=8192)
def profile(text: str, title: str = "") -> Profile:
    """Return the profile of a chunk; texts are cut after 20,000 characters."""
    text = text[:_MAX_CHARS]
    words = words_in(f"{title}. {text}" if title else text)
    counts: dict[str, int] = {}
    stems: dict[str, int] = {}
    places: dict[str, int] = {}
    for position, word in enumerate(words):
        if word in counts:
            counts[word] += 1
        else:
            counts[word] = 1
            places[word] = position
    for word, count in counts.items():
        short = word[:_STEM]
        stems[short] = stems.get(short, 0) + count
    head = title or text[:_TITLE_CHARS].partition(". ")[0].partition("\n")[0]
    return Profile(
        counts=counts,
        stems=stems,
        places=places,
        pairs=frozenset(pairwise(words)),
        numbers=numbers_in(text),
        title=frozenset(words_in(head)),
        length=len(words),
        sketch=frozenset(sorted(map(hash, counts))[:_SKETCH]),
    )
