"""The room of documents to mend: rejected chunks, questions without a good one, outdated and copied texts."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import ibis
from ibis import _
from starlette.requests import Request
from starlette.responses import Response

from ragwheel.labels.pipeline import GradedStore
from ragwheel.labels.traces.naming import wordings
from ragwheel.labels.traces.near import families
from ragwheel.labels.traces.text import tokens
from ragwheel.review.desk import ReviewDesk, rater_of
from ragwheel.review.pages import page
from ragwheel.store.reviews import chunk_versions, reading_rows

__all__ = ["RejectedChunk", "Topic", "documents_page", "topics"]

_PAIR: Final = ["query_key", "chunk_version"]
_MOST: Final = 30
_MOST_QUESTIONS: Final = 2_000
_PREVIEW: Final = 300
_COPIES: Final = 3_000
_NEAR: Final = 0.8
_LEAST_LETTERS: Final = 4


@dataclass(frozen=True)
class RejectedChunk:
    """A chunk that is retrieved often and rarely useful."""

    chunk_version: int
    source: str
    chunk_id: str
    questions: int
    rejected: int
    useful: int
    preview: str


@dataclass(frozen=True)
class Topic:
    """Questions without a good chunk that share a word, and how often they were asked."""

    word: str
    questions: tuple[tuple[str, int], ...]

    @property
    def asked(self) -> int:
        """How often any of them was asked."""
        return sum(n for _question, n in self.questions)


def documents_page(desk: ReviewDesk, request: Request) -> Response:
    """Return what to rewrite, to write next, and to take out of the index."""
    cached = desk.remembered("documents")
    if cached is None:
        with desk.analysis.graded() as store:
            if store is not None:
                cached = _documents(desk, store)
        if cached is not None:
            desk.remember("documents", cached)
    return page("documents.html", room="documents", rater=rater_of(desk, request), found=cached)


def _documents(desk: ReviewDesk, store: GradedStore) -> dict[str, Any]:
    engine = store.facts.engine
    rejected = engine.arrow(_rejected(store)).to_pylist()
    outdated = engine.arrow(_outdated(store)).to_pylist()
    missing = engine.arrow(_without_good(store)).to_pylist()
    popular = engine.arrow(_popular(store)).to_pylist()
    numbers = {row["chunk_version"] for row in [*rejected, *outdated, *popular]}
    with reading_rows(desk.options.db) as connection:
        chunks = chunk_versions(connection, numbers, most=_PREVIEW)
    return {
        "rejected": [
            RejectedChunk(
                **{name: row[name] for name in ("chunk_version", "source", "chunk_id", "questions")},
                **{name: row[name] for name in ("rejected", "useful")},
                preview=chunks[row["chunk_version"]].text if row["chunk_version"] in chunks else "",
            )
            for row in rejected
        ],
        "topics": topics([(row["query"], row["asked"]) for row in missing]),
        "n_missing": len(missing),
        "outdated": outdated,
        "copies": _copies({n: chunk.text for n, chunk in chunks.items()}, popular),
    }  # fmt: skip


def _named(store: GradedStore, rows: ibis.Table) -> ibis.Table:
    return rows.join(store.facts.chunks.select("chunk_version", "source", "chunk_id"), "chunk_version")


def _rejected(store: GradedStore) -> ibis.Table:
    rows = store.grades.group_by("chunk_version").agg(
        questions=_.query_key.nunique(),
        rejected=(_.status == "negative").sum().cast("int64"),
        useful=(_.status == "positive").sum().cast("int64"),
    )
    rows = rows.filter((_.rejected >= 2) & (_.rejected > 3 * _.useful))
    rows = _named(store, rows)
    return rows.order_by(_.rejected.desc(), _.useful, "chunk_version").limit(_MOST)


def _outdated(store: GradedStore) -> ibis.Table:
    """Chunks that are rejected because a newer version or near-copy is the useful one."""
    rows = store.grades.filter(_.strategy == "outdated").group_by("chunk_version").agg(questions=_.count())
    return _named(store, rows).order_by(_.questions.desc(), "chunk_version").limit(_MOST)


def _without_good(store: GradedStore) -> ibis.Table:
    """Questions of which something is graded, and nothing is a positive or likely to be one."""
    graded = store.grades.group_by("query_key").agg(best=_.belief.max())
    bad = graded.filter(_.best < 0.5)
    asked = store.facts.retrievals.group_by("query_key").agg(asked=_.count())
    rows = bad.join(asked, "query_key").join(wordings(store.facts), "query_key")
    return rows.select("query", "asked", "best").order_by(_.asked.desc(), "query").limit(_MOST_QUESTIONS)


def _popular(store: GradedStore) -> ibis.Table:
    rows = store.facts.exposed.group_by("chunk_version").agg(n=_.count())
    return _named(store, rows).order_by(_.n.desc(), "chunk_version").limit(_COPIES)


def _copies(texts: Mapping[int, str], popular: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """Return families of near-copies among the chunks that people see most, by how they begin."""
    names = {str(row["chunk_version"]): f"{row['source']} · {row['chunk_id']}" for row in popular}
    shown = {str(n): text for n, text in texts.items() if str(n) in names and len(tokens(text)) >= 5}
    groups: defaultdict[str, set[str]] = defaultdict(set)
    for number, family in families(shown, _NEAR).items():
        groups[family].add(names[number])
    return sorted((sorted(group) for group in groups.values() if len(group) > 1), key=lambda g: (-len(g), g))[
        :_MOST
    ]


def topics(questions: Sequence[tuple[str, int]]) -> list[Topic]:
    """Group questions by the word that most of them share, the group asked for most often first.

    Words that are in more than half of ten or more questions say nothing about a topic.
    """
    words = {
        n: {w for w in tokens(text) if len(w) >= _LEAST_LETTERS} for n, (text, _n) in enumerate(questions)
    }
    common = Counter(word for words_of_query in words.values() for word in words_of_query)
    for word, n in list(common.items()):
        if len(questions) >= 10 and n > len(questions) / 2:
            del common[word]
    left, groups = set(words), []
    while left:
        counts = Counter(word for n in left for word in words[n] if word in common)
        best = min(counts, key=lambda word: (-counts[word], word), default=None)
        if best is None or counts[best] < 2:
            break
        members = sorted(n for n in left if best in words[n])
        groups.append(Topic(best, tuple(questions[n] for n in members)))
        left -= set(members)
    groups.sort(key=lambda topic: (-topic.asked, topic.word))
    if left:
        groups.append(Topic("", tuple(questions[n] for n in sorted(left))))
    return groups
