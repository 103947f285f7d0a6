"""The room that says why a chunk has its grade: the evidence as a picture, and the turns behind it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from markupsafe import Markup, escape
from starlette.requests import Request
from starlette.responses import Response

from ragwheel import offline
from ragwheel.errors import StoreError
from ragwheel.labels import GradeExplanation
from ragwheel.labels.policy import load_policy
from ragwheel.labels.why import verdicts_of
from ragwheel.review.desk import ReviewDesk, rater_of
from ragwheel.review.markdown import question_words, render
from ragwheel.review.pages import page
from ragwheel.review.waterfall import WaterfallStep, draw, steps_of
from ragwheel.store.reviews import chunk_versions, newest_versions, reading_rows, recent_pairs
from ragwheel.words import query_key

__all__ = ["linked_answer", "why_page"]

_TURNS: Final = 5


@dataclass(frozen=True)
class ExplainedVerdict:
    """A verdict with its picture."""

    verdict: GradeExplanation
    steps: list[WaterfallStep]
    picture: Markup | None


def why_page(desk: ReviewDesk, request: Request) -> Response:
    """Return the evidence on a chunk for a question; hidden from a blind rater until it is graded."""
    rater = rater_of(desk, request)
    query, source, chunk = (request.query_params.get(name, "") for name in ("query", "source", "chunk"))
    with reading_rows(desk.options.db) as connection:
        numbers = newest_versions(connection, source, [chunk])
        texts = [version.text for version in chunk_versions(connection, numbers.values()).values()]
        graded = {(query_key(row[0]), row[1], row[2]) for row in recent_pairs(connection, rater)}
    asked = request.query_params.get("show") == "yes" or not desk.options.blind
    hidden = not asked and (query_key(query), source, chunk) not in graded
    with desk.analysis.graded() as store:
        ready = store is not None
        verdicts = (
            verdicts_of(store, load_policy(desk.options.policy), query, chunk, source=source)
            if store is not None and not hidden
            else []
        )
    explained = [_explained(verdict) for verdict in verdicts]
    return page(
        "why.html",
        room="why",
        rater=rater,
        query=query,
        source=source,
        chunk=chunk,
        html=render(texts[0], question_words(query)) if texts else None,
        hidden=hidden,
        ready=ready,
        state=desk.state,
        explained=explained,
        turns=_turns(desk, verdicts),
    )


def _explained(verdict: GradeExplanation) -> ExplainedVerdict:
    steps = steps_of(verdict)
    return ExplainedVerdict(verdict, steps, draw(steps) if steps else None)


def _turns(desk: ReviewDesk, verdicts: list[GradeExplanation]) -> list[offline.TurnView]:
    """Return the first turns that the evidence comes from; those erased meanwhile are left out."""
    ids = dict.fromkeys(
        id
        for verdict in verdicts
        for reason in verdict.reasons
        for id in (*reason.turn_ids, *reason.retrieval_ids)
    )
    views: dict[str | None, offline.TurnView] = {}
    for id in ids:
        if len(views) == _TURNS:
            break
        try:
            view = offline.show(desk.options.db, id)
        except StoreError:
            continue
        views.setdefault(view.turn_id or view.retrievals[0].retrieval_id, view)
    return list(views.values())


def linked_answer(turn: offline.TurnView) -> Markup | None:
    """Return the answer, escaped, each citation marker a link to the chunk that it names."""
    if turn.answer is None:
        return None
    markers = {citation.marker: citation for citation in reversed(turn.citations) if citation.marker}
    if not markers:
        return escape(turn.answer)
    pattern = "|".join(map(re.escape, sorted(markers, key=len, reverse=True)))
    parts = re.split(f"({pattern})", turn.answer)
    linked = [
        Markup('<a href="{}">{}</a>').format(_place(markers[part]), part) if part in markers else escape(part)
        for part in parts
    ]
    return Markup("").join(linked)


def _place(citation: offline.CitationView) -> str:
    return f"#{citation.retrieval_id}-{citation.rank}" if citation.matched else "#unmatched"
