"""The room of traces: search and filter turns, and a page for each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

import ibis
from ibis import _
from starlette.requests import Request
from starlette.responses import Response

from ragwheel import offline
from ragwheel.labels.model.beliefs import CONTRADICTIONS
from ragwheel.labels.pipeline import GradedStore
from ragwheel.review.desk import ReviewDesk, rater_of
from ragwheel.review.pages import link, page
from ragwheel.review.why import linked_answer
from ragwheel.store.reviews import reading_rows
from ragwheel.store.turn_search import TURN_CONDITIONS, TurnSearch, search_turns

__all__ = ["FILTERS", "trace_page", "traces_page"]

_PAGE: Final = 50
_MOST: Final = 5_000
_TOP: Final = 5
_PAIR: Final = ["query_key", "chunk_version"]


def _graded(store: GradedStore) -> ibis.Table:
    rows = store.facts.exposed.join(store.grades, _PAIR)
    return rows.select(
        "retrieval_id", "turn_id", "start_ns", "query_key", "rank", "status", "reason", "belief"
    )


def _nothing_relevant(store: GradedStore) -> ibis.Table:
    """Turns of which something in the top five is graded, and nothing there is believed relevant."""
    top = _graded(store).filter(_["rank"] <= _TOP)
    return top.group_by("retrieval_id", "turn_id", "start_ns").having(_.belief.max() < 0.5).agg(n=_.count())


def _contradictory(store: GradedStore) -> ibis.Table:
    return _graded(store).filter(_.reason.isin(CONTRADICTIONS))


def _judge_against_person(store: GradedStore) -> ibis.Table:
    """Turns of questions for which an LLM judge and a person differ by two grades or more."""
    judged = store.evidence.filter(_.kind.isin(["judged_human", "judged_llm"]))
    sides = judged.group_by(_PAIR).agg(
        people=_.strength.mean(where=_.kind == "judged_human"),
        judge=_.strength.mean(where=_.kind == "judged_llm"),
    )
    apart = sides.filter((sides.people - sides.judge).abs() >= 2)
    return store.facts.exposed.semi_join(apart, _PAIR)


def _reformulated(store: GradedStore) -> ibis.Table:
    """Turns whose question was asked again in other words, by a signal or in the same session."""
    asked_again = store.evidence.filter(_.kind == "reformulated").select("query_key", "session_id").distinct()
    return store.facts.retrievals.semi_join(asked_again, ["query_key", "session_id"])


#: Filters that need the graded store: name -> rows with retrieval_id, turn_id and start_ns.
FILTERS: Final[Mapping[str, Callable[[GradedStore], ibis.Table]]] = MappingProxyType(
    {
        "nothing relevant in the top 5": _nothing_relevant,
        "contradictory evidence": _contradictory,
        "judge against person": _judge_against_person,
        "reformulated": _reformulated,
    }
)


def _ids(desk: ReviewDesk, name: str) -> list[str] | None:
    """Return the newest turns of a filter; None until the store is graded."""
    with desk.analysis.graded() as store:
        if store is None:
            return None
        rows = FILTERS[name](store)
        rows = (
            rows.mutate(id=rows.turn_id.coalesce(rows.retrieval_id)).group_by("id").agg(at=_.start_ns.max())
        )
        table = store.facts.engine.arrow(rows.order_by(_["at"].desc(), "id").limit(_MOST))
        return [str(id) for id in table["id"].to_pylist()]


def traces_page(desk: ReviewDesk, request: Request) -> Response:
    """Return the list of turns that meet the search and the filter."""
    query = request.query_params
    text, chosen, before = query.get("q", "")[:500], query.get("filter", ""), query.get("before", "")
    if chosen in FILTERS:
        desk.analysis.renew()
    ids = _ids(desk, chosen) if chosen in FILTERS else None
    waiting = chosen in FILTERS and ids is None
    prefix, _colon, rest = text.partition(":")
    search = TurnSearch(
        text="" if prefix in {"session", "user"} else text,
        session=rest if prefix == "session" else "",
        user=rest if prefix == "user" else "",
        condition=chosen if ids is None else "",
        ids=ids,
        before_ns=int(before) if before.isdigit() and len(before) < 20 else 2**63 - 1,
        limit=_PAGE + 1,
    )
    with reading_rows(desk.options.db) as connection:
        turns = [] if waiting and chosen not in TURN_CONDITIONS else search_turns(connection, search)
    more = len(turns) > _PAGE
    rater = rater_of(desk, request)
    return page(
        "traces.html",
        room="traces",
        rater=rater,
        text=text,
        chosen=chosen,
        filters=sorted({*FILTERS, *TURN_CONDITIONS}),
        turns=turns[:_PAGE],
        waiting=waiting,
        state=desk.state,
        older=link(
            "/traces",
            q=text or None,
            filter=chosen or None,
            before=turns[_PAGE - 1].start_ns,
            **{"as": rater},
        )
        if more
        else None,
    )


def trace_page(desk: ReviewDesk, request: Request) -> Response:
    """Return one turn with its retrievals, answer, citations and signals."""
    turn = offline.show(desk.options.db, request.query_params.get("id", "") or None)
    cited = {(citation.retrieval_id, citation.rank) for citation in turn.citations if citation.matched}
    return page(
        "trace.html",
        room="traces",
        rater=rater_of(desk, request),
        turn=turn,
        answer=linked_answer(turn),
        cited=cited,
    )
