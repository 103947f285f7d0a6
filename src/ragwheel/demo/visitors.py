"""Simulated visitors: they ask, a stand-in for the LLM cites, they click, through the public API.

Nobody's clicks ship with ragwheel, so the demo simulates them with a **stated** model, and says so
on the screen (:meth:`ClickModel.describe`). A person examines rank ``r`` with probability
``r ** -examination_power`` (a position-based model: Richardson et al. 2007, Craswell et al. 2008) and
clicks what was examined with a probability that depends on whether the passage truly answers the
question. The same truth later says how many of the built training rows are right.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import ragwheel
from ragwheel.demo.corpus import Corpus, Query
from ragwheel.labels.traces.text import query_key

if TYPE_CHECKING:
    from langchain_core.documents import Document
    from langchain_core.retrievers import BaseRetriever

__all__ = ["ClickModel", "VisitReport", "Visitors"]

HELD_OUT = 0.2
NO_BRACKETS = str.maketrans("[]【】", "()()")  # a quoted "[1]" would be one more citation


@dataclass(frozen=True, slots=True)
class ClickModel:
    """Probabilities of one visitor's behaviour; times are medians of log-normal distributions."""

    examination_power: float = 0.7
    click_relevant: float = 0.80
    click_other: float = 0.05
    dwell_relevant_s: float = 40.0
    dwell_other_s: float = 5.0
    copy_relevant: float = 0.10
    delete_other: float = 0.02
    cite_relevant: float = 0.90
    cite_other: float = 0.06
    cite_when_lost: float = 0.12
    thumbs: float = 0.15
    thumbs_wrong: float = 0.05
    reformulate: float = 0.40
    questions_per_session: int = 3
    popularity_power: float = 0.5

    def describe(self) -> tuple[tuple[str, str], ...]:
        """The model in words, for the screen and the documentation: (what, how)."""
        return (
            ("looks", f"at rank r with probability r^-{self.examination_power:g}"),
            (
                "clicks",
                f"{self.click_relevant:.0%} of the right and {self.click_other:.0%} of the wrong ones",
            ),
            (
                "stays",
                f"about {self.dwell_relevant_s:g} s with right, {self.dwell_other_s:g} s with wrong ones",
            ),
            ("removes", f"{self.delete_other:.0%} of the wrong ones seen"),
            ("cites", f"{self.cite_relevant:.0%} of the right ones; {self.cite_other:.0%} add a wrong one"),
            ("cites wrongly", f"{self.cite_when_lost:.0%} of the answers without a right one"),
            ("rates", f"{self.thumbs:.0%} of the answers, {self.thumbs_wrong:.0%} of those the wrong way"),
            ("asks again", f"{self.reformulate:.0%} of those who were shown nothing right, in more words"),
        )


@dataclass(slots=True)
class VisitReport:
    """What the visitors did so far."""

    sessions: int = 0
    turns: int = 0
    answered: int = 0
    """Turns in which a right passage was among those returned."""
    citations: int = 0
    cited: dict[tuple[str, str], bool] = field(default_factory=dict)
    """(question, passage id) that the stand-in for the LLM cited -> whether it is right."""
    signals: Counter[str] = field(default_factory=Counter)
    refused: int = 0
    """Signals that :func:`ragwheel.signal` did not take."""


class Visitors:
    """People who use an app over ``corpus``; the same seed makes the same visits.

    ``retriever`` is the app's own, already wrapped: the visitors only call ``retriever.invoke``. A fifth of
    the questions, ``unasked``, is left for a test.
    """

    def __init__(
        self, corpus: Corpus, retriever: BaseRetriever, *, model: ClickModel | None = None, seed: int = 0
    ) -> None:
        self.corpus = corpus
        self.retriever = retriever
        self.model = model or ClickModel()
        self.report = VisitReport()
        self.truth: dict[str, frozenset[str]] = corpus.truth()
        """Every question as it was asked, re-worded ones too -> ids of the passages that answer it."""
        self._random = random.Random(seed)
        held_out = _held_out(corpus.queries)
        self.unasked = tuple(query for query in corpus.queries if query_key(query.text) in held_out)
        asked = [query for query in corpus.queries if query_key(query.text) not in held_out]
        self._questions = self._random.sample(asked, len(asked))
        self._popularity = [
            1 / (rank**self.model.popularity_power) for rank in range(1, len(self._questions) + 1)
        ]

    def visits(self, turns: int) -> Iterator[VisitReport]:
        """Visit until ``turns`` questions were asked; yields the running report after every session."""
        while self.report.turns < turns:
            self._session(turns - self.report.turns)
            yield self.report

    def _session(self, left: int) -> None:
        self.report.sessions += 1
        session_id = f"session-{self.report.sessions}"
        user_id = f"visitor-{self._random.randint(1, 200)}"
        n_questions = min(left, self._random.randint(1, self.model.questions_per_session))
        for query in self._random.choices(self._questions, self._popularity, k=n_questions):
            handle, documents = self._ask(query, query.text, session_id, user_id)
            if not documents and query.hint and self._chance(self.model.reformulate):
                again = f"{query.text} {query.hint}"
                self.truth[again] = self.truth[query.text]
                second, _ = self._ask(query, again, session_id, user_id)
                self._signal(handle, "reformulate", query=again, other=second)

    def _ask(self, query: Query, text: str, session_id: str, user_id: str) -> tuple[str, bool]:
        """One turn; returns its handle and whether a right passage was returned."""
        with ragwheel.turn(query=text, session_id=session_id, user_id=user_id) as turn:
            documents = self.retriever.invoke(text)
            right = [rank for rank, document in enumerate(documents, 1) if document.id in query.relevant]
            turn.prompted(documents)
            turn.shown(documents)
            cited = self._cited(len(documents), right)
            turn.answer(_answer(documents, cited))
        self.report.turns += 1
        self.report.answered += bool(right)
        self.report.citations += len(cited)
        self.report.cited |= {(text, str(documents[rank - 1].id)): rank in right for rank in cited}
        if turn.retrievals:
            self._look_through(turn.retrievals[-1].handle, documents, right)
        self._rate(turn.handle, good=bool(set(cited) & set(right)))
        return turn.handle, bool(right)

    def _cited(self, n_prompted: int, right: list[int]) -> list[int]:
        """Ranks that the stand-in for the LLM cites: mostly a right one, sometimes a wrong one."""
        cited = [rank for rank in right[:2] if self._chance(self.model.cite_relevant)]
        others = [rank for rank in range(1, n_prompted + 1) if rank not in right]
        if others and self._chance(self.model.cite_other if right else self.model.cite_when_lost):
            cited.append(self._random.choices(others, [1 / rank for rank in others])[0])
        return cited

    def _look_through(self, retrieval: str, documents: list[Document], right: list[int]) -> None:
        model = self.model
        for rank, document in enumerate(documents, 1):
            if not self._chance(rank**-model.examination_power):
                continue
            relevant = rank in right
            if self._chance(model.click_relevant if relevant else model.click_other):
                median_s = model.dwell_relevant_s if relevant else model.dwell_other_s
                self._signal(retrieval, "click", chunk=document.id)
                self._signal(
                    retrieval,
                    "dwell",
                    chunk=document.id,
                    value=median_s * self._random.lognormvariate(0, 0.6),
                )
                if relevant and self._chance(model.copy_relevant):
                    self._signal(retrieval, "copy", rank=rank)
            elif not relevant and self._chance(model.delete_other):
                self._signal(retrieval, "delete", chunk=document)

    def _rate(self, turn: str, *, good: bool) -> None:
        if self._chance(self.model.thumbs):
            liked = good != self._chance(self.model.thumbs_wrong)
            self._signal(turn, "thumbs_up" if liked else "thumbs_down")

    def _signal(self, handle: str, kind: str, **about: object) -> None:
        kept = ragwheel.signal(handle, kind, **about)  # type: ignore[arg-type]
        self.report.signals[kind] += kept
        self.report.refused += not kept

    def _chance(self, probability: float) -> bool:
        return self._random.random() < probability


def _held_out(queries: Sequence[Query]) -> frozenset[str]:
    """The keys of a fifth of the wordings. No seed changes them: an earlier demo's model never saw them."""
    keys = sorted({query_key(query.text) for query in queries})  # hashes: their order is chance
    return frozenset(keys[: round(HELD_OUT * len(keys))])


def _answer(documents: list[Document], cited: list[int]) -> str:
    """An answer as an LLM writes it: a sentence of each cited passage, with its [n]."""
    if not cited:
        return "I could not find this in the documents."
    words = (documents[rank - 1].page_content.split()[:25] for rank in cited)
    quotes = (" ".join(word).translate(NO_BRACKETS) for word in words)
    return " ".join(f"{quote} [{rank}]." for quote, rank in zip(quotes, cited, strict=True))
