"""The room of documents to mend: rejected chunks, questions without a good one, outdated and copied texts."""

from __future__ import annotations

import math
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
from ragwheel.review.desk import ReviewDesk, rater_of
from ragwheel.review.pages import page
from ragwheel.store.reviews import chunk_versions, reading_rows
from ragwheel.words import tokens

__all__ = ["RejectedChunk", "Topic", "documents_page", "topics"]

_PAIR: Final = ["query_key", "chunk_version"]
_MOST: Final = 30
_MOST_QUESTIONS: Final = 2_000
_PREVIEW: Final = 300
_COPIES: Final = 3_000
_NEAR: Final = 0.8
_LEAST_LETTERS: Final = 4
_LIKELY: Final = 0.5
_COMPARED: Final = 20_000
_CLEARLY: Final = 3.84  # chi-square, one degree of freedom, 5 %


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
    desk.analysis.renew()
    cached = desk.remembered("documents")
    if cached is None:
        with desk.analysis.graded() as store:
            if store is not None:
                cached = _documents(desk, store)
        if cached is not None:
            desk.remember("documents", cached)
    return page(
        "documents.html", room="documents", rater=rater_of(desk, request), found=cached, state=desk.state
    )


def _documents(desk: ReviewDesk, store: GradedStore) -> dict[str, Any]:
    engine = store.facts.engine
    rejected = engine.arrow(_rejected(store)).to_pylist()
    outdated = engine.arrow(_outdated(store)).to_pylist()
    missing = engine.arrow(_without_good(store)).to_pylist()
    answered = engine.arrow(_with_good(store))["query"].to_pylist()
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
        "topics": topics([(row["query"], row["asked"]) for row in missing], answered),
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


def _asked(store: GradedStore) -> ibis.Table:
    """Graded questions: how often they were asked, and the belief in their best chunk."""
    graded = store.grades.group_by("query_key").agg(best=_.belief.max())
    asked = store.facts.retrievals.group_by("query_key").agg(asked=_.count())
    rows = graded.join(asked, "query_key").join(wordings(store.facts), "query_key")
    return rows.select("query", "asked", "best")


def _without_good(store: GradedStore) -> ibis.Table:
    """Questions of which nothing is a positive or likely to be one."""
    rows = _asked(store).filter(_.best < _LIKELY)
    return rows.order_by(_.asked.desc(), "query").limit(_MOST_QUESTIONS)


def _with_good(store: GradedStore) -> ibis.Table:
    rows = _asked(store).filter(_.best >= _LIKELY)
    return rows.select("query").order_by("query").limit(_COMPARED)


def _popular(store: GradedStore) -> ibis.Table:
    rows = store.facts.exposed.group_by("chunk_version").agg(n=_.count())
    return _named(store, rows).order_by(_.n.desc(), "chunk_version").limit(_COPIES)


def _copies(texts: Mapping[int, str], popular: Sequence[Mapping[str, Any]]) -> list[list[tuple[str, str]]]:
    """Return families of near-copies among the chunks that people see most, by how they begin.

    Each is a list of (source, chunk id).
    """
    names = {str(row["chunk_version"]): (row["source"], row["chunk_id"]) for row in popular}
    shown = {str(n): text for n, text in texts.items() if str(n) in names and len(tokens(text)) >= 5}
    groups: defaultdict[str, set[tuple[str, str]]] = defaultdict(set)
    for number, family in families(shown, _NEAR).items():
        groups[family].add(names[number])
    several = [sorted(group) for group in groups.values() if len(group) > 1]
    return sorted(several, key=lambda group: (-len(group), group))[:_MOST]


def topics(questions: Sequence[tuple[str, int]], answered: Sequence[str] = ()) -> list[Topic]:
    """Group questions by a word that they share, the group asked for most often first.

    Args:
        questions: questions without a good chunk, and how often each was asked.
        answered: questions that have one. A word is a topic where it is clearly more frequent among the
            questions without a good chunk than among these (Dunning's log-likelihood, 1993), so that *from*
            and *with* are none. Where there are none, the words in more than half of ten or more questions
            are left out.
    """
    words = [_words(text) for text, _n in questions]
    elsewhere = Counter(word for text in answered for word in _words(text))
    common = Counter(word for of_query in words for word in of_query)
    left, groups = set(range(len(questions))), []

    def weight(word: str, count: int) -> float:
        if answered:
            return _keyness(count, len(questions), elsewhere[word], len(answered))
        return float(count) if len(questions) < 10 or common[word] <= len(questions) / 2 else 0.0

    while left:
        counts = Counter(word for n in left for word in words[n])
        weights = {word: weight(word, count) for word, count in counts.items() if count > 1}
        best = min(weights, key=lambda word: (-weights[word], word), default=None)
        if best is None or weights[best] <= (_CLEARLY if answered else 0.0):
            break
        members = sorted(n for n in left if best in words[n])
        groups.append(Topic(best, tuple(questions[n] for n in members)))
        left -= set(members)
    groups.sort(key=lambda topic: (-topic.asked, topic.word))
    if left:
        groups.append(Topic("", tuple(questions[n] for n in sorted(left))))
    return groups


def _words(text: str) -> frozenset[str]:
    return frozenset(word for word in tokens(text) if len(word) >= _LEAST_LETTERS)


def _keyness(here: int, of_here: int, there: int, of_there: int) -> float:
    """Return how surely a word is more frequent here than there (log-likelihood ratio); 0 where it is not."""
    share = (here + there) / (of_here + of_there)
    if here <= share * of_here:
        return 0.0
    rest = there * math.log(there / (share * of_there)) if there else 0.0
    return 2 * (here * math.log(here / (share * of_here)) + rest)
