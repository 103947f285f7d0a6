"""Older versions of what is relevant: of the same id, or near-copies with an older date or version.

An outdated version shares nearly all of its words with the chunk that is relevant, so similarity says
nothing; age does. Where the query names what only the old one has (a year, a version number), or asks for
the old one in words, it is no negative.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from ragwheel.labels.negatives.corpus import Corpus, CorpusChunk
from ragwheel.labels.text import jaccard, tokens

__all__ = ["asks_for_old", "outdated", "stamp"]

#: Metadata that dates a chunk, in the order in which it is believed.
_DATES: Final = (
    "version", "revision", "updated", "updated_at", "last_updated", "modified", "last_modified", "date",
    "published", "published_at", "created_at", "year",
)  # fmt: skip
_OLD: Final = frozenset(
    ("old", "older", "previous", "previously", "former", "formerly", "legacy", "deprecated", "before",
     "until", "history", "historical", "originally", "archived", "outdated")
)  # fmt: skip
_NUMBERS: Final = re.compile(r"\d+")
_IN_TEXT: Final = re.compile(
    r"(?:version|release|v)\.?\s*(\d+(?:\.\d+)+)|\b((?:19|20)\d\d-\d\d-\d\d)\b", re.IGNORECASE
)
_CANDIDATES: Final = 10

Stamp = tuple[str, tuple[int, ...]]


def stamp(chunk: CorpusChunk, text: str) -> Stamp | None:
    """When, or in which version, a chunk was written: what says so, and numbers; None: unknown."""
    for name in _DATES:
        numbers = tuple(int(found) for found in _NUMBERS.findall(str(chunk.facts.get(name, "")))[:6])
        if numbers:
            return name, numbers
    for version, day in _IN_TEXT.findall(text):
        return ("text version" if version else "text date"), tuple(
            int(found) for found in _NUMBERS.findall(version or day)
        )
    return None


def outdated(corpus: Corpus, positive: CorpusChunk, query: str, near_copy: float) -> Iterator[CorpusChunk]:
    """The chunk versions that the positive has replaced, as far as ids, texts and dates tell."""
    text = corpus.text_of(positive.text_id)
    own = stamp(positive, text)
    seen = {positive.text_id}
    for other in (
        *corpus.versions[positive.source, positive.chunk_id],
        *_copies(corpus, positive, near_copy),
    ):
        old = corpus.text_of(other.text_id)
        if other.text_id in seen or not old.strip():
            continue
        seen.add(other.text_id)
        if _older(other, positive, stamp(other, old), own) and not asks_for_old(query, old, text):
            yield other


def _older(other: CorpusChunk, positive: CorpusChunk, theirs: Stamp | None, own: Stamp | None) -> bool:
    if theirs is not None and own is not None and theirs[0] == own[0] and theirs[1] != own[1]:
        return theirs[1] < own[1]
    same = (other.source, other.chunk_id) == (positive.source, positive.chunk_id)
    return same and other.first_seen_ns < positive.first_seen_ns


def _copies(corpus: Corpus, positive: CorpusChunk, near_copy: float) -> list[CorpusChunk]:
    """Near-copies in the same source, numbers aside; none where the text has no words to compare."""
    known = corpus.copies.get((positive.chunk_version, near_copy))
    if known is not None:
        return known
    words = corpus.plain_words(positive.text_id)
    probe = " ".join(sorted(words, key=lambda word: (len(corpus.holders(word)), word))[:12])
    found = [corpus.newest[place] for place, _score in corpus.nearest(probe, _CANDIDATES)]
    copies = [
        chunk
        for chunk in found
        if chunk.source == positive.source
        and chunk.chunk_id != positive.chunk_id
        and jaccard(words, corpus.plain_words(chunk.text_id)) >= near_copy
    ]
    corpus.copies[positive.chunk_version, near_copy] = copies
    return copies


def asks_for_old(query: str, old: str, new: str) -> bool:
    """The query has a word for what is past, or a number that only the old text has."""
    asked = tokens(query)
    if asked & _OLD:
        return True
    numbers = frozenset(_NUMBERS.findall(query))
    return bool(numbers & (frozenset(_NUMBERS.findall(old)) - frozenset(_NUMBERS.findall(new))))
