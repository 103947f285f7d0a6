"""Older versions of what is relevant: those that metadata declares superseded, and edits that take away much.

An old text answers a query as well as the new one unless it says something that no longer holds. Mostly it
does not: a misprint was corrected, a sentence was added, the cuts between chunks moved. So an older version
is a negative where its owner declares it superseded and the two texts differ; where nothing is declared
(``edits``, off by default), only where a good part of the old words was taken out from between words that
stayed. How often that is right: docs/labels.md, *Read by hand*.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Container, Iterator
from difflib import SequenceMatcher
from functools import cached_property
from typing import Final

from ragwheel.labels.negatives.corpus import ChunkCorpus, CorpusChunk
from ragwheel.labels.negatives.declared import declared, older, predecessors, stamp, successors
from ragwheel.labels.policy import Policy
from ragwheel.labels.traces.text import jaccard, tokens, words_of

__all__ = ["Older", "asks_for_old", "taken_out"]

_OLD: Final = frozenset(
    ("old", "older", "previous", "previously", "former", "formerly", "legacy", "deprecated", "before",
     "until", "history", "historical", "originally", "archived", "outdated")
)  # fmt: skip
_NUMBERS: Final = re.compile(r"\d+")
_CANDIDATES: Final = 10
#: So many words in a row that both texts have; what lies before the first such run, or after the last, was
#: cut elsewhere.
_ANCHOR: Final = 3
_NAMES_ANOTHER: Final = re.compile(r"(superseded|replaced)_?by", re.IGNORECASE)


class Older:
    """Finds the versions that a positive has replaced; one for a build.

    Args:
        corpus: all chunks ever seen.
        policy: its section ``outdated``, and ``negatives.near_copy``.
        dropped: counts by rule; added to.
    """

    def __init__(self, corpus: ChunkCorpus, policy: Policy, dropped: Counter[str]) -> None:
        self._corpus, self._rule, self._dropped = corpus, policy.outdated, dropped
        self._near_copy = policy.negatives.near_copy

    def versions(self, positive: CorpusChunk, query: str, graded: Container[int]) -> Iterator[CorpusChunk]:
        """Those that may be negatives for the query; ``graded`` ones have a verdict of their own."""
        if not self._rule.enabled:
            return
        seen = {positive.text_id}
        for other in self._candidates(positive):
            if other.chunk_version in graded or other.text_id in seen:
                continue
            if not self._corpus.text_of(other.text_id).strip():
                continue
            seen.add(other.text_id)
            why = self._against(other, positive, query)
            if why is None:
                yield other
            elif why:
                self._dropped[f"outdated: {why}"] += 1

    def _candidates(self, positive: CorpusChunk) -> Iterator[CorpusChunk]:
        corpus, source = self._corpus, positive.source
        yield from corpus.versions[source, positive.chunk_id]
        yield from self._replaced.get((source, positive.chunk_id), ())
        for name in predecessors(positive):
            yield from corpus.versions.get((source, name), ())
        yield from self._copies(positive)

    @cached_property
    def _replaced(self) -> dict[tuple[str, str], list[CorpusChunk]]:
        """The chunks that say what they were superseded by, under that id."""
        found: dict[tuple[str, str], list[CorpusChunk]] = {}
        for chunk in self._corpus.of.values():
            for name in successors(chunk) if _NAMES_ANOTHER.search(chunk.metadata or "") else ():
                found.setdefault((chunk.source, name), []).append(chunk)
        return found

    def _against(self, other: CorpusChunk, positive: CorpusChunk, query: str) -> str | None:
        """Why this is no negative; empty: it is no older version; None: it is one."""
        corpus = self._corpus
        old, new = corpus.text_of(other.text_id), corpus.text_of(positive.text_id)
        said = declared(other, positive)
        if not said and not older(other, stamp(other, old), positive, stamp(positive, new)):
            return ""
        if asks_for_old(query, old, new):
            return "the query asks for the old one"
        if not corpus.words(other.text_id) - corpus.words(positive.text_id):
            return "it says nothing that the newer one does not"
        if not self._related(other, positive):
            return "another id, and more than numbers differ: it may be a sibling"
        if said:
            return None
        if not self._rule.edits:
            return "nothing declares it superseded (outdated.edits is off)"
        if len(taken_out(old, new)) < self._rule.gone * len(corpus.words(other.text_id)):
            return "too few of its words are gone"
        return None

    def _related(self, other: CorpusChunk, positive: CorpusChunk) -> bool:
        """The same id, or one names the other, or numbers are all that differs."""
        named = positive.chunk_id in successors(other) or other.chunk_id in predecessors(positive)
        plain = self._corpus.plain_words
        return other.chunk_id == positive.chunk_id or named or plain(other.text_id) == plain(positive.text_id)

    def _copies(self, positive: CorpusChunk) -> list[CorpusChunk]:
        """Near-copies in the same source, numbers aside; none where the text has no words to compare."""
        corpus, key = self._corpus, (positive.chunk_version, self._near_copy)
        copy = corpus.copies.get(key)
        if copy is not None:
            return copy
        words = corpus.plain_words(positive.text_id)
        probe = " ".join(sorted(words, key=lambda word: (len(corpus.postings(word)), word))[:12])
        found = [corpus.newest[place] for place, _score in corpus.nearest(probe, _CANDIDATES)]
        copies = [
            chunk
            for chunk in found
            if chunk.source == positive.source
            and chunk.chunk_id != positive.chunk_id
            and jaccard(words, corpus.plain_words(chunk.text_id)) >= self._near_copy
        ]
        corpus.copies[key] = copies
        return copies


def taken_out(old: str, new: str) -> frozenset[str]:
    """Words of the old text that the new one lacks, between the first and the last run that both share.

    What lies before or after is no edit: the chunk was cut elsewhere.
    """
    then, now = words_of(old), words_of(new)
    blocks = SequenceMatcher(None, then, now, autojunk=False).get_matching_blocks()
    shared = [block for block in blocks if block.size >= _ANCHOR]
    if not shared:
        return frozenset()
    return frozenset(then[shared[0].a : shared[-1].a + shared[-1].size]) - frozenset(now)


def asks_for_old(query: str, old: str, new: str) -> bool:
    """The query has a word for what is past, or a number that only the old text has."""
    asked = tokens(query)
    if asked & _OLD:
        return True
    numbers = frozenset(_NUMBERS.findall(query))
    return bool(numbers & (frozenset(_NUMBERS.findall(old)) - frozenset(_NUMBERS.findall(new))))
