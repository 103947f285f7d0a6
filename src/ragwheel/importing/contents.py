"""Counts of what files contain, made while they are read and printed before the first row is written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ragwheel.importing.records import Feedback, Neutral, ToolSpan
from ragwheel.importing.verdicts import is_person

__all__ = ["Contents", "ContentsCounter", "plain"]


@dataclass
class Contents:
    """What some files contain, counted before anything is written.

    ``tools`` counts the records of each tool, and ``containers`` names the format of each file. ``answered``
    counts the traces with an answer, ``sessions`` and ``people`` the distinct ids. ``passages_without_text``,
    ``…_id`` and ``…_score`` count incomplete passages. ``feedback_by`` counts feedback by the kind of its
    author, ``unknown_authors`` counts by the name of the score feedback without an author. ``unreadable``
    counts broken records, and ``unknown`` counts the records of unknown tools by their keys. ``empty`` names
    the files without records.
    """

    containers: dict[str, str] = field(default_factory=dict)
    tools: Counter[str] = field(default_factory=Counter)
    traces: int = 0
    spans: int = 0
    retrieval_spans: int = 0
    spans_without_documents: int = 0
    passages: int = 0
    passages_without_text: int = 0
    passages_without_id: int = 0
    passages_without_score: int = 0
    answered: int = 0
    sessions: int = 0
    people: int = 0
    feedback: int = 0
    feedback_by: Counter[str] = field(default_factory=Counter)
    unknown_authors: Counter[str] = field(default_factory=Counter)
    empty: list[str] = field(default_factory=list)
    unreadable: Counter[str] = field(default_factory=Counter)
    unknown: Counter[str] = field(default_factory=Counter)


class ContentsCounter:
    """Counts neutral records into :class:`Contents`.

    Args:
        people: names of scores that are by people, for tools that do not record the author.
    """

    def __init__(self, people: frozenset[str]) -> None:
        self.contents = Contents()
        self._people = people
        self._answered: set[bytes] = set()
        self._sessions: set[str] = set()
        self._users: set[str] = set()

    def add(self, item: Neutral) -> None:
        """Count a record."""
        contents = self.contents
        if isinstance(item, Feedback):
            contents.feedback += 1
            self._add_feedback(item)
            return
        if item.answer and (not isinstance(item, ToolSpan) or item.parent is None or item.kind == "llm"):
            self._answered.add(item.trace)
        if item.session:
            self._sessions.add(item.session)
        if item.user:
            self._users.add(item.user)
        if isinstance(item, ToolSpan):
            contents.spans += 1
            if item.kind in {"retriever", "reranker", "vector_db"}:
                self._add_ranking(item)
        contents.answered = len(self._answered)
        contents.sessions, contents.people = len(self._sessions), len(self._users)

    def _add_ranking(self, span: ToolSpan) -> None:
        contents = self.contents
        if span.passages is None:
            contents.spans_without_documents += span.kind != "vector_db"
            return
        contents.retrieval_spans += 1
        contents.passages += len(span.passages)
        for passage in span.passages:
            contents.passages_without_text += passage.text is None
            contents.passages_without_id += passage.id is None
            contents.passages_without_score += passage.score is None

    def _add_feedback(self, record: Feedback) -> None:
        if record.kind is not None or is_person(record, self._people):
            word = "people"
        elif record.author == "unknown":
            word = "unknown authors"
            self.contents.unknown_authors[record.name] += 1
        else:
            word = "models" if record.author == "model" else "programs"
        self.contents.feedback_by[word] += 1


def plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return fields as plain values; ``dataclasses.asdict`` would count the pairs of a counter."""
    return {name: dict(value) if isinstance(value, dict) else value for name, value in values.items()}
