"""Re-rankings that name positions only: ``[{"index": 2, "relevance_score": 0.9}]``.

Cohere, Jina, Bedrock and CrossEncoder do so. They are resolved against the list that the re-ranker was given.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from ragwheel.guard import let_interrupts_through
from ragwheel.host import clients
from ragwheel.host.certainty import Unreadable
from ragwheel.host.columns import Columns, read
from ragwheel.host.fields import fields_of, is_named_tuple
from ragwheel.host.items import plain_id, record_row, score_value
from ragwheel.host.names import POSITIONS, normal, part_names
from ragwheel.host.ranked import find
from ragwheel.host.values import is_number, kind_of

__all__ = ["Resolved", "may_be_place", "resolve"]

_MAX_CANDIDATES = 10_000


class Resolved(NamedTuple):
    """Chunks of the list that was given, in the order of the re-ranking, with its scores."""

    columns: Columns
    objects: list[Any]


class _Place(NamedTuple):
    """What one item of a re-ranking says: a position from 0, a score, perhaps the text that stands there."""

    position: int
    score: float | None
    text: str | None = None


def resolve(items: Sequence[Any], candidates: Sequence[Any]) -> Resolved | None:
    """Return the chunks that `items` name by their positions; None where they name none.

    ``candidates`` are lists that the re-ranker was given. The first that has all of the positions is meant,
    and the same texts where the items have any. Where the items' numbers are ids of its chunks, they are ids.
    """
    places = _places(items)
    if not places:
        return None
    positions = [entry.position for entry in places]
    if len(set(positions)) < len(positions) or min(positions) < 0:
        return None
    for candidate in candidates:
        resolved = _resolved(places, positions, _chunks(candidate))
        if resolved is not None:
            return resolved
    return None


def may_be_place(item: Any) -> bool:
    """Whether an item of a result may name a position."""
    return _place(item) is not None


def _resolved(places: list[_Place], positions: list[int], chunks: list[Any]) -> Resolved | None:
    if len(chunks) <= max(positions):
        return None
    objects = [chunks[position] for position in positions]
    try:
        columns = read(objects)
        if {str(position) for position in positions} <= set(read(chunks).ids):
            return None
    except Unreadable:
        return None
    if any(entry.text not in (None, text) for entry, text in zip(places, columns.texts)):
        return None
    scores = [entry.score for entry in places]
    if any(score is not None for score in scores):
        columns = columns._replace(scores=scores)
    return Resolved(columns, objects)


def _chunks(candidate: Any) -> list[Any]:
    try:
        return find(candidate, _MAX_CANDIDATES).items
    except Exception as exc:  # nothing readable, or the host's own code: then another argument is meant
        let_interrupts_through(exc)
        return []


def _places(items: Sequence[Any]) -> list[_Place] | None:
    """What the items say; None as soon as one is no position."""
    places: list[_Place] = []
    for item in items:
        position = _place(item)
        if position is None:
            return None
        places.append(position)
    return places


def _place(item: Any) -> _Place | None:
    kind = type(item)
    if issubclass(kind, (str, bytes)):
        return None
    if kind_of(item) == "int":
        return _Place(int(item), None)
    if issubclass(kind, (tuple, list)) and not is_named_tuple(kind):
        return _of_pair(list(item))
    try:
        fields = fields_of(clients.opened(item, 1))
    except Exception as exc:  # the host's own code
        let_interrupts_through(exc)
        return None
    names = tuple(name for name in fields if type(name) is str)
    position = next(
        (fields[n] for n in names if normal(n) in POSITIONS and kind_of(fields[n]) == "int"), None
    )
    others = [n for n in part_names(names, "id")[0] if normal(n) not in POSITIONS]
    if position is None or any(plain_id(fields[name]) is not None for name in others):
        return None
    scores = [score_value(fields[name]) for name in part_names(names, "score")[0]]
    text = record_row(item, {}).text
    score = next((float(score) for score in scores if score is not None), None)
    return _Place(int(position), score, text if type(text) is str and text else None)


def _of_pair(pair: list[Any]) -> _Place | None:
    """(position, score) or (score, position)."""
    if len(pair) != 2 or not all(is_number(value) for value in pair):
        return None
    kinds = [kind_of(value) for value in pair]
    if "int" not in kinds:
        return None
    column = kinds.index("int") if kinds != ["int", "int"] else 0
    return _Place(int(pair[column]), float(pair[1 - column]))
