"""The room of comparisons: two systems' rankings of a question side by side, blind and shuffled."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import combinations
from typing import Any, Final

from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import Response

from ragwheel.errors import JudgmentError
from ragwheel.review.desk import ReviewDesk, rater_in, rater_of
from ragwheel.review.markdown import MOST_RENDERED, marked, question_words, render
from ragwheel.review.pages import fragment, page
from ragwheel.review.preferences import keep_preferences, read_preferences, tally_of
from ragwheel.review.run_files import run_rankings
from ragwheel.store.reviews import (
    ReviewRow,
    chunk_versions,
    rankings_by_version,
    reading_rows,
    review_rows,
)

__all__ = ["RankedSide", "compare_page", "next_comparisons", "prefer"]

_DEPTH: Final = 10
_PREVIEW: Final = 600
_MOST_CARDS: Final = 10
_UNDOABLE: Final = 20
_ORDERS: Final = 20

Rankings = Mapping[str, Mapping[str, Sequence[int]]]
"""Question -> system -> chunk versions, best first."""


@dataclass(frozen=True)
class RankedItem:
    """A chunk on one side; ``move`` says where the other side has it."""

    rank: int
    chunk_id: str
    source: str
    html: Markup
    move: str


@dataclass(frozen=True)
class RankedSide:
    """One ranking on screen; ``value`` is what a preference for it is written as."""

    letter: str
    value: str
    items: tuple[RankedItem, ...]


def compare_page(desk: ReviewDesk, request: Request) -> Response:
    """Return the page; its questions are fetched by its script."""
    rater = rater_of(desk, request)
    rankings = _remembered_rankings(desk)
    names = _names(rankings)
    systems = _systems(names, request.query_params.get("first"), request.query_params.get("second"))
    tally = tally_of(_preferences(desk, systems)) if systems else None
    return page("compare.html", room="compare", rater=rater, systems=systems, names=names, tally=tally)


def next_comparisons(desk: ReviewDesk, body: dict[str, Any]) -> dict[str, Any]:
    """Return the next questions on which the two systems differ and that the page does not hold yet.

    With ``recent`` also those that the rater answered last, the oldest first, so that they can be undone.
    """
    rater, held, n = rater_in(body), body.get("held"), body.get("n")
    if not isinstance(held, list) or len(held) > 10_000:
        raise JudgmentError("held: expected a list of at most 10,000 ids")
    wanted = min(n, _MOST_CARDS) if isinstance(n, int) and n > 0 else _MOST_CARDS
    rankings = _remembered_rankings(desk)
    systems = _systems(_names(rankings), body.get("first"), body.get("second"))
    if systems is None:
        return {"cards": [], "recent": [], "left": 0, "whole": 0, "tally": ""}
    rows = _preferences(desk, systems)
    order = _order(desk, rankings, systems, rater)
    answered = {row.query for row in rows if row.rater == rater}
    skipped = set(map(str, held))
    open_ = [query for query in order if query not in answered and _id(query) not in skipped]
    recent = []
    if body.get("recent") is True:
        mine = [row for row in rows if row.rater == rater and row.query in rankings][:_UNDOABLE]
        recent = [
            _card(desk, row.query, rankings[row.query], systems, rater) | {"value": row.value}
            for row in reversed(mine)
        ]
    return {
        "cards": [_card(desk, query, rankings[query], systems, rater) for query in open_[:wanted]],
        "recent": recent,
        **_progress(rows, order, rater),
    }


def prefer(desk: ReviewDesk, body: dict[str, Any]) -> dict[str, Any]:
    """Write which of two systems a rater prefers for questions, and answer each event: saved, or why not."""
    rows, refused, ids = read_preferences(body)
    keep_preferences(desk.options.db, rows)
    results = {**dict.fromkeys(ids, "saved"), **{id: f"refused: {why}" for id, why in refused.items()}}
    if not rows:
        return {"results": results}
    systems = (rows[-1].source, rows[-1].other_source)
    order = _order(desk, _remembered_rankings(desk), systems, rows[-1].rater)
    return {"results": results, **_progress(_preferences(desk, systems), order, rows[-1].rater)}


def _progress(rows: Sequence[ReviewRow], order: Sequence[str], rater: str) -> dict[str, Any]:
    answered = {row.query for row in rows if row.rater == rater}
    systems = (rows[0].source, rows[0].other_source) if rows else ("", "")
    return {
        "left": sum(query not in answered for query in order),
        "whole": len(order),
        "tally": fragment("tally.html", systems=systems, tally=tally_of(rows)),
    }


def _preferences(desk: ReviewDesk, systems: tuple[str, str]) -> list[ReviewRow]:
    with reading_rows(desk.options.db) as connection:
        return [row for row in review_rows(connection, "prefer") if (row.source, row.other_source) == systems]


def _order(desk: ReviewDesk, rankings: Rankings, systems: tuple[str, str], rater: str) -> list[str]:
    """Return the questions on which two systems differ, in the order in which this rater is asked."""
    orders: dict[tuple[str, ...], list[str]] = desk.remembered("orders") or desk.remember("orders", {})
    key = (*systems, rater)
    if key not in orders:
        if len(orders) >= _ORDERS:
            orders.clear()
        first, second = systems
        differing = [
            query
            for query, sides in rankings.items()
            if first in sides and second in sides and [*sides[first][:_DEPTH]] != [*sides[second][:_DEPTH]]
        ]
        orders[key] = sorted(differing, key=lambda query: _seed(rater, query))
    return orders[key]


def _card(
    desk: ReviewDesk, query: str, rankings: Mapping[str, Sequence[int]], systems: tuple[str, str], rater: str
) -> dict[str, Any]:
    """Return a question with both rankings as the script takes it."""
    sides = _sides(desk, query, rankings, systems, rater)
    return {
        "id": _id(query),
        "query": query,
        "question": str(marked(query[:MOST_RENDERED], frozenset())),
        "html": fragment("sides.html", sides=sides),
        "values": {side.letter.lower(): side.value for side in sides} | {"t": "tie"},
    }


def _id(query: str) -> str:
    return _seed("question", query).hex()


def _remembered_rankings(desk: ReviewDesk) -> Rankings:
    rankings: Rankings = desk.remembered("rankings") or desk.remember("rankings", _rankings(desk))
    return rankings


def _rankings(desk: ReviewDesk) -> Rankings:
    if desk.options.runs:
        return run_rankings(desk.options.db, desk.options.runs)
    rankings: defaultdict[str, dict[str, Sequence[int]]] = defaultdict(dict)
    with reading_rows(desk.options.db) as connection:
        for query, system, versions in rankings_by_version(connection):
            rankings[query][system.strip()] = versions
    return {query: sides for query, sides in rankings.items() if len(sides) > 1}


def _names(rankings: Rankings) -> list[tuple[str, str, int]]:
    """Return the pairs of systems with the questions that both have ranked for, most first."""
    pairs: Counter[tuple[str, str]] = Counter()
    for sides in rankings.values():
        pairs.update(combinations(sorted(sides), 2))
    return [(first, second, n) for (first, second), n in pairs.most_common(20)]


def _systems(names: Sequence[tuple[str, str, int]], first: object, second: object) -> tuple[str, str] | None:
    """Return the two systems that are asked for, else those with most questions in common."""
    pairs = [(system, other) for system, other, _n in names]
    return next((pair for pair in pairs if pair == (first, second)), pairs[0] if pairs else None)


def _seed(*parts: str) -> bytes:
    return blake2b("\x1f".join(parts).encode("utf-8", "surrogatepass"), digest_size=8).digest()


def _sides(
    desk: ReviewDesk, query: str, rankings: Mapping[str, Sequence[int]], systems: tuple[str, str], rater: str
) -> tuple[RankedSide, ...]:
    """Return both sides; which is A changes from question to question and from rater to rater."""
    values = ["first", "second"]
    tops = [list(rankings[system][:_DEPTH]) for system in systems]
    if _seed(rater, query, "side")[0] % 2:
        values.reverse()
        tops.reverse()
    with reading_rows(desk.options.db) as connection:
        chunks = chunk_versions(connection, {n for top in tops for n in top}, most=_PREVIEW)
    words = question_words(query)
    sides = []
    for letter, value, top, other in zip("AB", values, tops, reversed(tops)):
        items = [
            RankedItem(
                rank,
                chunks[number].chunk_id,
                chunks[number].source,
                render(chunks[number].text, words),
                _move(
                    rank, other.index(number) + 1 if number in other else None, "B" if letter == "A" else "A"
                ),
            )
            for rank, number in enumerate(top, 1)
            if number in chunks
        ]
        sides.append(RankedSide(letter, value, tuple(items)))
    return tuple(sides)


def _move(rank: int, other: int | None, letter: str) -> str:
    if other is None:
        return f"not in {letter}"
    if other == rank:
        return ""
    return f"{'↑' if rank < other else '↓'} {letter} has it at {other}"
