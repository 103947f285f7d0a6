"""Negatives that nobody was shown: near the query in words, but not so near as what is relevant.

About 70 % of the best-ranked unlabelled passages of MS MARCO are relevant (Qu et al., RocketQA, NAACL
2021). So what the retriever itself ever ranked for the query is unknown here, never negative, and a
candidate must score below a share of the *worst* positive's score (positive-aware mining: Moreira et al.,
NV-Retriever, 2024).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Final

from ragwheel.labels.negatives.corpus import ChunkCorpus, CorpusChunk
from ragwheel.labels.policy import Mining
from ragwheel.labels.traces.text import jaccard, tokens

__all__ = ["Need", "mine"]

#: Metadata that says what kind of thing a chunk is about.
_CATEGORIES: Final = ("category", "topic", "section", "product", "type", "department", "domain", "lang")


@dataclass(frozen=True)
class Need:
    """The query, its positives, and the texts and chunk versions that are out of question."""

    query: str
    positives: tuple[CorpusChunk, ...]
    ranked: Collection[int]
    texts: Collection[int]


def mine(
    corpus: ChunkCorpus, need: Need, rule: Mining, dropped: dict[str, int]
) -> Iterator[tuple[CorpusChunk, str]]:
    """Candidates with their strategy, hardest first; what a rule leaves out is counted in ``dropped``.

    ``neighbour_category``: near in words, another category than every positive. ``same_entity``: shares a
    telling word with the query and all positives. ``mined``: near in words.
    """
    worst = min((corpus.score(need.query, chunk.text_id) for chunk in need.positives), default=0.0)
    if worst <= 0:
        dropped["mined: no positive shares a telling word with the query"] += 1
        return
    ids = {(chunk.source, chunk.chunk_id) for chunk in need.positives}
    known = [corpus.words(chunk.text_id) for chunk in need.positives]
    for place, score in corpus.nearest(need.query, rule.candidates):
        chunk = corpus.newest[place]
        if score < rule.floor * worst:
            return
        if chunk in need.positives:
            continue
        if chunk.chunk_version in need.ranked or chunk.text_id in need.texts:
            dropped["mined: the retriever ranked it for this query, so it is unknown"] += 1
        elif (chunk.source, chunk.chunk_id) in ids:
            dropped["mined: another version of a positive"] += 1
        elif score > rule.margin * worst:
            dropped["mined: scored too close to the worst positive"] += 1
        elif any(jaccard(corpus.words(chunk.text_id), words) >= rule.near for words in known):
            dropped["mined: too like a positive"] += 1
        else:
            yield chunk, _strategy(corpus, chunk, need)


def _strategy(corpus: ChunkCorpus, chunk: CorpusChunk, need: Need) -> str:
    own = _category(chunk)
    theirs = [_category(positive) for positive in need.positives]
    if own is not None and all(their is not None and their[0] == own[0] and their != own for their in theirs):
        return "neighbour_category"
    shared = frozenset.intersection(*(corpus.words(positive.text_id) for positive in need.positives))
    if any(
        corpus.is_discriminative(word) for word in tokens(need.query) & corpus.words(chunk.text_id) & shared
    ):
        return "same_entity"
    return "mined"


def _category(chunk: CorpusChunk) -> tuple[str, str] | None:
    for name in _CATEGORIES:
        value = chunk.facts.get(name)
        if isinstance(value, (str, int)) and str(value).strip():
            return name, str(value).strip().casefold()
    return None
