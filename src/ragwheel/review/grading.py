"""The room where chunks are graded: the page, the next cards, what raters say, and what is shown after."""

from __future__ import annotations

import time
from types import MappingProxyType
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response

from ragwheel.errors import JudgmentError
from ragwheel.judgments.pairs import OpenPair
from ragwheel.review.cards import GradeCard, cards_of, neighbours
from ragwheel.review.desk import ReviewDesk, rater_in, rater_of
from ragwheel.review.ordering import QueuedPair, pair_id
from ragwheel.review.pages import HEADERS, fragment, link, page
from ragwheel.review.sayings import read_events, write_events
from ragwheel.store.reviews import (
    ReviewRow,
    chunk_versions,
    judgments_of_chunk,
    newest_versions,
    reading_rows,
    recent_pairs,
    review_rows,
    writing_reviews,
)
from ragwheel.words import query_key

__all__ = [
    "card_json", "chunk_text", "grade_page", "keep_guideline", "last_cards", "next_cards", "reveal", "say",
    "show_neighbours",
]  # fmt: skip

SCALE: Final = (
    (5, "fully answers"),
    (4, "nearly all of it"),
    (3, "useful"),
    (2, "touches it"),
    (1, "hardly"),
    (0, "irrelevant"),
)
REASONS: Final = ("outdated", "off topic", "too general", "only a part", "contradicts", "unreadable")
GUIDELINE: Final = """Grade what the chunk says about the question, not how well it is written.

5  somebody who reads only this chunk has the full answer
3  useful: a part of the answer, or the answer with a gap
0  says nothing about it, even when it shares its words

An outdated version is no better than what it says today: give the reason "outdated".
x when you cannot know; s when the question makes no sense."""
_ASKED_BECAUSE: Final = MappingProxyType(
    {
        "contradictory": "the evidence contradicts itself",
        "abstained": "the evidence is too weak either way",
        "unsure": "the evidence leaves doubt",
        "nothing known": "nothing is known about it yet",
        "never exposed": "it ranked high and nobody saw it",
        "sure": "a sure belief is worth a check",
        "newest": "its question is a new one; what tells most is still being worked out",
    }
)
_MOST_CARDS: Final = 30
_UNDOABLE: Final = 20


def grade_page(desk: ReviewDesk, request: Request) -> Response:
    """Return the page; its cards are fetched by its script."""
    if "as" not in request.query_params:
        return RedirectResponse(link("/grade", **{"as": desk.options.rater}), 303, dict(HEADERS))
    guideline = _guideline(desk)
    desk.analysis.renew()
    return page(
        "grade.html",
        room="grade",
        rater=rater_of(desk, request),
        scale=SCALE,
        reasons=REASONS,
        guideline=guideline.note if guideline else GUIDELINE,
        guideline_at=guideline.at_ns if guideline else 0,
        guideline_by=guideline.rater if guideline else None,
        blind=desk.options.blind,
        only=request.query_params.get("only", ""),
    )


def next_cards(desk: ReviewDesk, body: dict[str, Any]) -> dict[str, Any]:
    """Return the next cards that the page does not hold yet, and how far the rater is."""
    rater, held = rater_in(body), body.get("held")
    if not isinstance(held, list) or len(held) > 10_000:
        raise JudgmentError("held: expected a list of at most 10,000 ids")
    n = body.get("n")
    wanted = min(n, _MOST_CARDS) if isinstance(n, int) and n >= 0 else 10
    queue = desk.queue(rater)
    chosen = queue.following(rater, wanted, frozenset(map(str, held)))
    cards: list[GradeCard] = []
    for group in dict.fromkeys(queued.group for queued in chosen):
        wanted_ids = {queued.id for queued in chosen if queued.group == group}
        cards += [
            card for card in cards_of(desk.options.db, queue.members(group)) if card.queued.id in wanted_ids
        ]
    missing = {queued.id for queued in chosen} - {card.queued.id for card in cards}
    for queued in chosen:
        if queued.id in missing:  # erased since the queue was computed
            queue.handle(rater, queued.key)
    return {"cards": [card_json(card) for card in cards], **_progress(desk, rater)}


def last_cards(desk: ReviewDesk, body: dict[str, Any]) -> dict[str, Any]:
    """Return the cards that the rater handled last, the oldest first, so that they can be undone."""
    rater = rater_in(body)
    queue = desk.queue(rater)
    with reading_rows(desk.options.db) as connection:
        rows = recent_pairs(connection, rater, _UNDOABLE)
    entries: list[dict[str, Any]] = []
    for query, source, chunk, action, grade, note, reason, _at_ns in reversed(rows):
        queued = queue.pair(pair_id((query_key(query), source, chunk))) or _unqueued(
            desk, query, source, chunk
        )
        cards = cards_of(desk.options.db, [queued]) if queued else []
        # what was said is undone under the wording that it was said under
        entries += [
            {
                **card_json(card),
                "query": query,
                "action": action,
                "grade": grade,
                "note": note,
                "reason": reason,
            }
            for card in cards
        ]
    return {"cards": entries}


def _unqueued(desk: ReviewDesk, query: str, source: str, chunk: str) -> QueuedPair | None:
    """Return a pair that the queue does not have (yet), None when the chunk was erased."""
    with reading_rows(desk.options.db) as connection:
        number = newest_versions(connection, source, [chunk]).get(chunk)
    if number is None:
        return None
    pair = OpenPair(query_key(query), query, number, source, chunk, 0, "nothing known", None)
    return QueuedPair(pair_id((pair.query_key, source, chunk)), -1, pair)


def say(desk: ReviewDesk, body: dict[str, Any]) -> dict[str, Any]:
    """Write what raters said, and answer each event: saved, or why not."""
    events, refused = read_events(body)
    write_events(desk.options.db, events)
    for event in events:
        queue = desk.queue(event.rater)
        if event.action == "undo":
            queue.reopen(event.rater, event.key)
        else:
            queue.handle(event.rater, event.key)
    saved = {event.id: "saved" for event in events}
    progress = _progress(desk, rater_in(body)) if body.get("rater") else {}
    return {"results": {**saved, **{id: f"refused: {why}" for id, why in refused.items()}}, **progress}


def reveal(desk: ReviewDesk, body: dict[str, Any]) -> dict[str, Any]:
    """Return what is known of a pair; to a blind rater only after the grade."""
    rater = rater_in(body)
    query, source, chunk = (str(body.get(name, "")) for name in ("query", "source", "chunk"))
    key = query_key(query)
    with reading_rows(desk.options.db) as connection:
        judgments = [row for row in judgments_of_chunk(connection, source, chunk) if query_key(row[0]) == key]
        graded = {(query_key(row[0]), row[1], row[2]) for row in recent_pairs(connection, rater)}
    if desk.options.blind and (key, source, chunk) not in graded:
        return {"html": fragment("reveal.html", hidden=True)}
    queued = desk.queue(rater).pair(pair_id((key, source, chunk)))
    html = fragment(
        "reveal.html",
        hidden=False,
        rank=queued.pair.rank if queued else None,
        belief=queued.pair.belief if queued else None,
        reason=_ASKED_BECAUSE.get(queued.pair.why) if queued else None,
        judgments=judgments,
        rater=rater,
        why=link("/why", query=query, source=source, chunk=chunk, **{"as": rater}),
    )
    return {"html": html}


def show_neighbours(desk: ReviewDesk, body: dict[str, Any]) -> dict[str, Any]:
    """Return the chunks beside one in its document."""
    names = (str(body.get(name, "")) for name in ("source", "chunk", "query"))
    return {"html": fragment("neighbours.html", neighbours=neighbours(desk.options.db, *names))}


def keep_guideline(desk: ReviewDesk, body: dict[str, Any]) -> dict[str, Any]:
    """Write a new guideline, unless somebody else changed it meanwhile: then theirs is returned."""
    text, base = body.get("text"), body.get("base")
    if not isinstance(text, str) or len(text) > 50_000:
        raise JudgmentError("text: expected at most 50,000 characters")
    current = _guideline(desk)
    if current is not None and str(current.at_ns) != str(base):
        return {"conflict": current.note or "", "base": str(current.at_ns), "by": current.rater}
    row = ReviewRow("guideline", rater_in(body), time.time_ns(), note=text)
    with writing_reviews(desk.options.db) as writer:
        writer.note(row)
    return {"base": str(row.at_ns), "by": row.rater}


def chunk_text(desk: ReviewDesk, request: Request) -> Response:
    """Return the whole text of the newest version of a chunk, as plain text."""
    source, chunk = (request.query_params.get(name, "") for name in ("source", "chunk"))
    with reading_rows(desk.options.db) as connection:
        number = request.query_params.get("version", "")
        numbers = [int(number)] if number.isdigit() else newest_versions(connection, source, [chunk]).values()
        texts = [version.text for version in chunk_versions(connection, numbers).values()]
    if not texts:
        return page("error.html", status=404, message="There is no such chunk; it may have been erased.")
    return PlainTextResponse(texts[0], headers=dict(HEADERS))


def _guideline(desk: ReviewDesk) -> ReviewRow | None:
    with reading_rows(desk.options.db) as connection:
        return next(iter(review_rows(connection, "guideline")), None)


def _progress(desk: ReviewDesk, rater: str) -> dict[str, Any]:
    done, whole = desk.queue(rater).counts(rater)
    state = desk.state
    return {
        "done": done,
        "whole": whole,
        "stage": state.stage,
        "ready": state.ready,
        "problem": state.error,
        "order": desk.generation,
    }


def card_json(card: GradeCard) -> dict[str, Any]:
    """Return a card as the script takes it."""
    queued: QueuedPair = card.queued
    return {
        "id": queued.id,
        "group": f"{queued.pair.query_key}",
        "query": queued.pair.query,
        "source": queued.pair.source,
        "chunk": queued.pair.chunk_id,
        "hash": card.chunk.content_hash.hex(),
        "number": card.number,
        "of": card.of,
        "question": str(card.question),
        "html": fragment("card.html", card=card),
    }
