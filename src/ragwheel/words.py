"""How texts are split into words, which queries are one group, and which texts are near-copies.

Labels, negatives, the features of re-rankers and the review page all use these functions. The rules need no
model and no list of languages, and give the same words on every machine.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from hashlib import blake2b
from typing import Final

__all__ = [
    "KEY_CHARACTERS",
    "is_spaceless",
    "jaccard",
    "normalise",
    "query_key",
    "split_words",
    "tokens",
    "words_of",
]

#: Of the name of a query group.
KEY_CHARACTERS: Final = 16

_SPACELESS: Final = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]"
)  # Thai, Lao, Burmese, Khmer, kana, CJK ideographs: no spaces between words
_MARKS: Final = "".join(
    char
    for char in map(chr, (*range(0x0591, 0x1CFF), *range(0xA800, 0xAC00)))
    if unicodedata.category(char)[0] == "M"
)  # vowel signs and tone marks of Hebrew, Arabic, the Indic scripts, Thai, ...: \w leaves them out
_WORD: Final = re.compile(rf"\w[\w{_MARKS}]*")
_ENDS: Final = frozenset(".,;:!?…。！？、，；：؟।¿¡'\"`´")


def split_words(folded: str) -> list[str]:
    """Return the words of a case-folded text in order, with repetitions.

    In scripts without spaces between words, the words are the pairs of neighbouring characters.
    """
    words: list[str] = _WORD.findall(folded)
    if folded.isascii() or _SPACELESS.search(folded) is None:
        return words
    pieces: list[str] = []
    for word in words:
        if len(word) > 1 and is_spaceless(word):
            pieces.extend(word[at : at + 2] for at in range(len(word) - 1))
        else:
            pieces.append(word)
    return pieces


def is_spaceless(word: str) -> bool:
    """Return whether a word holds a character of a script that puts no spaces between words."""
    return _SPACELESS.search(word) is not None


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
    normal = normalise(text) if text else ""
    if not normal:
        return ""
    return blake2b(normal.encode("utf-8", "surrogatepass"), digest_size=KEY_CHARACTERS // 2).hexdigest()


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
