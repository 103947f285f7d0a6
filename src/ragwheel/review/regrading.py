"""Cards that come again: what raters disagree about."""

from __future__ import annotations

from typing import Any, Final

from ragwheel.review.agreement import disagreements
from ragwheel.review.cards import cards_of
from ragwheel.review.desk import ReviewDesk
from ragwheel.review.grading import card_json
from ragwheel.review.ordering import pair_id

__all__ = ["cards_again"]

_MOST: Final = 50


def cards_again(desk: ReviewDesk, _body: dict[str, Any]) -> dict[str, Any]:
    """Return the cards of the pairs on which grades are far apart, the farthest first."""
    queue = desk.queue()
    queued = [queue.pair(pair_id(row.key)) for row in disagreements(desk)[:_MOST]]
    cards = [
        card
        for candidate in queued
        if candidate is not None
        for card in cards_of(desk.options.db, [candidate])
    ]
    return {"cards": [card_json(card) for card in cards]}
