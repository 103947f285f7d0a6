"""How texts are split into words, for labels, negatives and the features of re-rankers.

The rules need no model and no list of languages, and give the same words on every machine.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

__all__ = ["is_spaceless", "split_words"]

_SPACELESS: Final = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]"
)  # Thai, Lao, Burmese, Khmer, kana, CJK ideographs: no spaces between words
_MARKS: Final = "".join(
    char
    for char in map(chr, (*range(0x0591, 0x1CFF), *range(0xA800, 0xAC00)))
    if unicodedata.category(char)[0] == "M"
)  # vowel signs and tone marks of Hebrew, Arabic, the Indic scripts, Thai, ...: \w leaves them out
_WORD: Final = re.compile(rf"\w[\w{_MARKS}]*")


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
