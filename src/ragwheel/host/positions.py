"""Re-rankings that name positions only: ``[{"index": 2, "relevance_score": 0.9}]``.

Cohere, Jina, Bedrock and CrossEncoder do so. They are resolved against the list that the re-ranker was given.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from ragwheel.host import clients
from ragwheel.host.certainty import Unreadable
from ragwheel.host.columns import Columns, read
from ragwheel.host.fields import fields_of, is_named_tuple
from ragwheel.host.items import plain_id, record_row, score_value
from ragwheel.host.names import POSITIONS, normal, part_names
from ragwheel.host.ranked import find
from ragwheel.host.values import is_number, kind_of

__all__ = ["Resolved", "resolve"]

_MAX_CANDIDATES = 10_000


class Resolved(NamedTuple):
    """Chunks of the list that was given, in the order of the re-ranking, with its scores."""

    columns: Columns
    objects: list[Any]


def resolve(items: Sequence[Any], candidates: Sequence[Any]) -> Resolved | None:
    """Return the chunks that `items` name by their positions; None where they are chunks themselves."""
    ranking = _positions(items)
    if not ranking:
        return None
    places = [place for place, _ in ranking]
    for candidate in candidates:
        chunks = _chunks(candidate)
        if chunks is None or len(chunks) <= max(places) or len(set(places)) < len(places):
            continue
        objects = [chunks[place] for place in places]
        try:
            columns = read(objects)
        except Unreadable:
            continue
        scores: list[float | None] = [score for _, score in ranking]
        return Resolved(
            columns._replace(scores=scores if any(s is not None for s in scores) else columns.scores), objects
        )
    return None


def _chunks(candidate: Any) -> list[Any] | None:
    try:
        return find(candidate, _MAX_CANDIDATES).items
    except Exception:  # nothing that can be read, or the host's own code: then another argument
        return None


def _positions(items: Sequence[Any]) -> list[tuple[int, float | None]] | None:
    """Positions and scores of items that have nothing else; None as soon as one has more."""
    out: list[tuple[int, float | None]] = []
    for item in items:
        found = _position(item)
        if found is None:
            return None
        out.append(found)
    return out


def _position(item: Any) -> tuple[int, float | None] | None:
    kind = type(item)
    if kind is int or (kind_of(item) == "int" and not issubclass(kind, str)):
        return int(item), None
    if issubclass(kind, (tuple, list)) and not is_named_tuple(kind):
        return _of_pair(list(item))
    try:
        fields = fields_of(clients.opened(item, 1))
    except Exception:  # the host's own code
        return None
    names = tuple(name for name in fields if type(name) is str)
    position = next(
        (fields[n] for n in names if normal(n) in POSITIONS and kind_of(fields[n]) == "int"), None
    )
    if position is None or record_row(item, {}).text:
        return None
    others = [
        n
        for n in part_names(names, "id")[0]
        if normal(n) not in POSITIONS and plain_id(fields[n]) is not None
    ]
    if others:
        return None
    scores = [score_value(fields[name]) for name in part_names(names, "score")[0]]
    return int(position), next((float(score) for score in scores if score is not None), None)


def _of_pair(pair: list[Any]) -> tuple[int, float | None] | None:
    """(position, score) or (score, position)."""
    if len(pair) != 2 or not all(is_number(value) for value in pair):
        return None
    kinds = [kind_of(value) for value in pair]
    if "int" not in kinds:
        return None
    place = kinds.index("int") if kinds != ["int", "int"] else 0
    return int(pair[place]), float(pair[1 - place])
