"""Words of a question, for counting and comparing. No model, no language list."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import Final

__all__ = ["key", "overlap", "rare_names", "words"]

_WORD: Final = re.compile(r"[^\W_]+(?:['’._-][^\W_]+)*")
_SPACELESS: Final = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]"
)
_MARK: Final = re.compile(r"\[(?:email|phone|card|iban|secret)\]")


@lru_cache(maxsize=16_384)
def words(text: str) -> tuple[str, ...]:
    """Return the case-folded words; in scripts without spaces, the pairs of neighbouring characters."""
    words: list[str] = []
    for word in _WORD.findall(unicodedata.normalize("NFKC", text).casefold()):
        if _SPACELESS.search(word) and len(word) > 1:
            words += [word[i : i + 2] for i in range(len(word) - 1)]
        else:
            words.append(word)
    return tuple(words)


def key(text: str) -> str:
    """Return a key that is equal for questions with the same words; empty for a text without words."""
    return " ".join(words(text))


def overlap(a: str, b: str) -> float:
    """Return the Jaccard similarity of the words of two texts, 0-1."""
    first, second = set(words(a)), set(words(b))
    return len(first & second) / len(first | second) if first and second else 0.0


def rare_names(text: str) -> list[str]:
    """Return likely names, case-folded: words with a digit, capitals within a sentence, redactions."""
    words = [mark.group() for mark in _MARK.finditer(text)]
    text = _MARK.sub(" ", text)
    for at, match in enumerate(_WORD.finditer(text)):
        word = match.group()
        starts = at == 0 or text[: match.start()].rstrip().endswith((".", "?", "!", ":"))
        named = any(sign.isdigit() for sign in word) or (word[0].isupper() and not starts)
        if named:
            words.append(unicodedata.normalize("NFKC", word).casefold())
    return words
