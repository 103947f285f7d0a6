"""Re-chunking of source documents, with the judgments mapped to the new chunks.

Judgments refer to the chunks of the present index. To use them for other chunks, each judged chunk is located
in the documents by its words. A new chunk *stands for* a judged one if at least half of the shorter of the
two lies in the other. Rankings of new chunks are translated to ids of judged chunks, so that every chunking
is measured by the same judgments over the same queries.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ragwheel.errors import ExperimentError

if TYPE_CHECKING:
    from ragwheel.evaluate import Collection, Labels

__all__ = ["Cut", "Place", "Sources", "cut", "read_documents"]

_SUFFIXES: Final = (".txt", ".md")
_SHINGLE: Final = 5
_FOUND: Final = 0.6  # share of a judged chunk's shingles that must match at its location
_WORD: Final = re.compile(r"\w+", re.UNICODE)


@dataclass(frozen=True)
class Place:
    """A location in a document: words ``start`` to ``end`` (exclusive, counted from 0)."""

    document: str
    start: int
    end: int


@dataclass(frozen=True)
class Sources:
    """Documents by path, with the positions of their words."""

    texts: Mapping[str, str]
    words: Mapping[str, Sequence[tuple[str, int, int]]]

    def locate(self, texts: Mapping[str, str]) -> dict[str, Place]:
        """Return the location of each chunk by id; chunks that no document contains are left out."""
        index: defaultdict[tuple[str, ...], list[tuple[str, int]]] = defaultdict(list)
        wanted = {
            chunk_id: _shingles([word for word, _, _ in _words(text)]) for chunk_id, text in texts.items()
        }
        needed = {shingle for shingles in wanted.values() for shingle in shingles}
        for size in {len(shingle) for shingle in needed}:
            for document, words in self.words.items():
                for position, shingle in enumerate(_shingles([word for word, _, _ in words], size)):
                    if shingle in needed:
                        index[shingle].append((document, position))
        chunk_id = {chunk_id: _best(shingles, index) for chunk_id, shingles in wanted.items() if shingles}
        return {chunk_id: location for chunk_id, location in chunk_id.items() if location is not None}


@dataclass(frozen=True)
class Cut:
    """A collection of new chunks, with the judged chunks that each one stands for."""

    collection: Collection
    stands_for: Mapping[str, tuple[str, ...]]

    def translate(self, ranking: Sequence[str]) -> tuple[str, ...]:
        """Translate a ranking of new chunks to ids of judged chunks, each at its first occurrence."""
        return tuple(dict.fromkeys(old for new in ranking for old in self.stands_for.get(new, (new,))))


def read_documents(folder: str | Path) -> Sources:
    """Read all ``.txt`` and ``.md`` files in and below a folder as UTF-8.

    Raises:
        ExperimentError: there are no such files, or one cannot be read.
    """
    folder = Path(folder)
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in _SUFFIXES and path.is_file())
    if not paths:
        raise ExperimentError(
            f"{folder} holds no {' or '.join(_SUFFIXES)} file; --documents names their folder."
        )
    try:
        texts = {path.relative_to(folder).as_posix(): path.read_text("utf-8") for path in paths}
    except (OSError, UnicodeDecodeError) as exc:
        raise ExperimentError(f"A document in {folder} cannot be read as UTF-8 text: {exc}") from exc
    return Sources(texts, {name: _words(text) for name, text in texts.items()})


def cut(
    collection: Collection, sources: Sources, places: Mapping[str, Place], size: int, overlap: int
) -> Cut:
    """Return the collection re-chunked to ``size`` words with ``overlap`` words between neighbours."""
    corpus: dict[str, str] = {}
    stands_for: dict[str, tuple[str, ...]] = {}
    judged: defaultdict[str, list[tuple[str, Place]]] = defaultdict(list)
    for chunk_id, location in places.items():
        judged[location.document].append((chunk_id, location))
    for document, words in sources.words.items():
        starts = range(0, max(len(words) - overlap, 1), size - overlap)
        for start in starts if words else ():
            end = min(start + size, len(words))
            new = f"{document}#{start}"
            corpus[new] = sources.texts[document][words[start][1] : words[end - 1][2]]
            old = tuple(chunk_id for chunk_id, location in judged[document] if _same(location, start, end))
            if old:
                stands_for[new] = old
    return Cut(_searched(collection, corpus, stands_for), stands_for)


def _searched(
    collection: Collection, corpus: Mapping[str, str], stands_for: Mapping[str, tuple[str, ...]]
) -> Collection:
    """Return the collection of new chunks, each with the best grade of the chunks that it stands for."""
    news: defaultdict[str, list[str]] = defaultdict(list)
    for new, olds in stands_for.items():
        for old in olds:
            news[old].append(new)
    qrels: dict[Labels, dict[str, dict[str, int]]] = {}
    for labels, judged in collection.qrels.items():
        for query, grades in judged.items():
            votes_of: dict[str, int] = {}
            for old, grade in grades.items():
                for new in news[old]:
                    votes_of[new] = max(grade, votes_of.get(new, grade))
            if max(votes_of.values(), default=0) >= collection.positive:
                qrels.setdefault(labels, {})[query] = votes_of
    if not qrels:
        raise ExperimentError(
            "No judged chunk stands in the documents: are these the sources that the index was made from?"
        )
    return replace(collection, corpus=corpus, qrels=qrels, captured={}, seen=None)


def _same(location: Place, start: int, end: int) -> bool:
    shared = min(location.end, end) - max(location.start, start)
    return shared * 2 >= min(location.end - location.start, end - start)


def _words(text: str) -> list[tuple[str, int, int]]:
    return [(match.group().lower(), match.start(), match.end()) for match in _WORD.finditer(text)]


def _shingles(words: Sequence[str], size: int = _SHINGLE) -> list[tuple[str, ...]]:
    """Return all runs of ``size`` words; of a shorter text, all of its words."""
    size = min(size, len(words))
    return [tuple(words[i : i + size]) for i in range(len(words) - size + 1)] if size else []


def _best(
    shingles: Sequence[tuple[str, ...]], index: Mapping[tuple[str, ...], Sequence[tuple[str, int]]]
) -> Place | None:
    """Return the location at which most of the shingles match in their order."""
    votes: Counter[tuple[str, int]] = Counter()
    for offset, shingle in enumerate(shingles):
        votes.update((document, position - offset) for document, position in index.get(shingle, ()))
    if not votes:
        return None
    (document, start), hits = max(votes.items(), key=lambda item: (item[1], -item[0][1], item[0][0]))
    if hits < _FOUND * len(shingles):
        return None
    return Place(document, max(start, 0), start + len(shingles) + len(shingles[0]) - 1)
