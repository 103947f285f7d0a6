"""The cards that are graded: a chunk of a question, readable, with what belongs beside it."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from markupsafe import Markup

from ragwheel.review.markdown import MOST_RENDERED, link_of, marked, question_words, render
from ragwheel.review.ordering import QueuedPair
from ragwheel.store.reviews import ChunkVersion, chunk_versions, neighbours_of, reading_rows
from ragwheel.words import jaccard, tokens

__all__ = ["GradeCard", "Neighbour", "cards_of", "neighbours"]

_FOLDED: Final = 1_200
"""Characters from which a chunk is folded."""
_NEAR_COPY: Final = 0.8
_COMPARED: Final = 5_000
_LINK_KEYS: Final = ("url", "source_url", "link", "href", "uri", "source", "path")
_TITLE_KEYS: Final = ("title", "heading", "section", "name", "file_name", "filename")
_DATE_KEYS: Final = ("updated_at", "date", "updated", "modified", "created_at", "version")
_ENDS_IN_NUMBER: Final = re.compile(r"(.*?)(\d{1,9})(\D{0,3})", re.DOTALL)


@dataclass(frozen=True)
class GradeCard:
    """One chunk to grade.

    Attributes:
        number, of: its place among the chunks of the question that come together.
        html: the text, rendered; ``plain`` is None unless the text is too long to render whole.
        copies: numbers of the cards of this question that are near-copies of it.
        folded: whether the text is long enough to be folded.
    """

    queued: QueuedPair
    number: int
    of: int
    chunk: ChunkVersion
    html: Markup
    question: Markup
    title: str | None
    date: str | None
    link: str | None
    copies: tuple[int, ...]
    folded: bool
    cut: bool


@dataclass(frozen=True)
class Neighbour:
    """A chunk that stands before or after another in its document."""

    chunk_id: str
    where: str
    html: Markup


def cards_of(db: Path, members: Sequence[QueuedPair]) -> list[GradeCard]:
    """Return the cards of one question's chunks, near-copies beside each other; erased chunks are left out.

    Raises:
        StoreError: the database cannot be read.
    """
    with reading_rows(db) as connection:
        chunks = chunk_versions(
            connection, [queued.pair.chunk_version for queued in members], most=MOST_RENDERED
        )
    there = [queued for queued in members if queued.pair.chunk_version in chunks]
    words = [tokens(chunks[queued.pair.chunk_version].text[:_COMPARED]) for queued in there]
    order = _copies_together(words)
    there, words = [there[n] for n in order], [words[n] for n in order]
    cards = []
    for n, queued in enumerate(there):
        chunk = chunks[queued.pair.chunk_version]
        metadata = _metadata(chunk)
        asked = question_words(queued.pair.query)
        copies = [k + 1 for k, other in enumerate(words) if k != n and _is_copy(words[n], other)]
        cards.append(
            GradeCard(
                queued=queued,
                number=n + 1,
                of=len(there),
                chunk=chunk,
                html=render(chunk.text, asked),
                question=marked(queued.pair.query[:MOST_RENDERED], frozenset()),
                title=_first(metadata, _TITLE_KEYS),
                date=_first(metadata, _DATE_KEYS),
                link=next(filter(None, (link_of(metadata.get(key)) for key in _LINK_KEYS)), None),
                copies=tuple(copies),
                folded=chunk.length > _FOLDED,
                cut=chunk.length > MOST_RENDERED,
            )
        )
    return cards


def neighbours(db: Path, source: str, chunk_id: str, query: str) -> list[Neighbour]:
    """Return the chunks before and after one, where its id ends in a number.

    Raises:
        StoreError: the database cannot be read.
    """
    match = _ENDS_IN_NUMBER.fullmatch(chunk_id)
    if match is None:
        return []
    head, digits, tail = match.groups()
    names = {}
    for step, where in ((-1, "before"), (1, "after")):
        number = int(digits) + step
        if number >= 0:
            names[f"{head}{str(number).zfill(len(digits))}{tail}"] = where
            names.setdefault(f"{head}{number}{tail}", where)
    with reading_rows(db) as connection:
        chunks = neighbours_of(connection, source, names, most=MOST_RENDERED)
    asked = question_words(query)
    return [Neighbour(chunk.chunk_id, names[chunk.chunk_id], render(chunk.text, asked)) for chunk in chunks]


def _copies_together(words: Sequence[frozenset[str]]) -> list[int]:
    """Return an order in which near-copies follow each other and the rest stays as it is."""
    order: list[int] = []
    for n in range(len(words)):
        if n not in order:
            order += [
                k for k in range(n, len(words)) if k == n or (k not in order and _is_copy(words[n], words[k]))
            ]
    return order


def _is_copy(first: frozenset[str], second: frozenset[str]) -> bool:
    return bool(first) and jaccard(first, second) >= _NEAR_COPY


def _metadata(chunk: ChunkVersion) -> dict[str, Any]:
    try:
        document = json.loads(chunk.metadata or "{}")
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def _first(metadata: dict[str, Any], keys: Sequence[str]) -> str | None:
    values = (metadata.get(key) for key in keys)
    return next(
        (str(value)[:200] for value in values if isinstance(value, (str, int, float)) and value != ""), None
    )
