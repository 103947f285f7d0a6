"""What makes two queries one query group, and two texts near-copies.

Both are meant to be dull: no model, no language list, the same on every machine.
"""

from __future__ import annotations

import unicodedata
from functools import lru_cache
from hashlib import blake2b
from typing import Final

from ragwheel.words import split_words

__all__ = ["KEY_CHARACTERS", "jaccard", "normalise", "query_key", "tokens", "words_of"]

#: Of the name of a query group.
KEY_CHARACTERS: Final = 16

_ENDS: Final = frozenset(".,;:!?…。！？、，；：؟।¿¡'\"`´")


def normalise(text: str) -> str:
    """The form in which two queries are the same need asked in the same words.

    NFKC, casefold, single spaces, and no punctuation around words. Inside a word, and for signs that
    carry meaning (``C++``, ``C#``, ``%``, ``@``), it stays: *c* and *c++* are two needs.
    """
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    words = (_strip(word) for word in folded.split())
    return " ".join(word for word in words if word) or " ".join(folded.split())


def _strip(word: str) -> str:
    start, end = 0, len(word)
    while start < end and _is_edge(word[start]):
        start += 1
    while end > start and _is_edge(word[end - 1]):
        end -= 1
    return word[start:end]


@lru_cache(maxsize=4096)
def _is_edge(char: str) -> bool:
    return char in _ENDS or unicodedata.category(char) in ("Ps", "Pe", "Pi", "Pf")


@lru_cache(maxsize=65_536)
def query_key(text: str | None) -> str:
    """The name of a query's group: 16 hex digits of BLAKE2b over the normalised text; empty for no text."""
    found = normalise(text) if text else ""
    return (
        blake2b(found.encode("utf-8", "surrogatepass"), digest_size=KEY_CHARACTERS // 2).hexdigest()
        if found
        else ""
    )


@lru_cache(maxsize=16_384)
def tokens(text: str) -> frozenset[str]:
    """The words of a text; in scripts without spaces between words, the pairs of neighbouring characters."""
    return frozenset(words_of(text))


def words_of(text: str) -> list[str]:
    """Return the same words in their order, as often as they occur."""
    return split_words(normalise(text))


def jaccard(a: frozenset[str], b: frozenset[str]) -> float:
    """Shared tokens over all tokens, 0-1; two empty sets share nothing."""
    if not a or not b:
        return 0.0
    shared = len(a & b)
    return shared / (len(a) + len(b) - shared)
