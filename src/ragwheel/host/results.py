"""From what a retriever returned to what is recorded of it, in three steps.

1. *Find the ranked list* in whatever was returned (:mod:`ragwheel.host.ranked`).
2. *Name the columns*: id, text, score, metadata, by the names of the fields, then by their values
   (:mod:`ragwheel.host.columns`, :mod:`ragwheel.host.items`, :mod:`ragwheel.host.tables`).
3. *Say how sure it is* (:mod:`ragwheel.host.certainty`): what was guessed is flagged; where nothing can be
   told, no chunk is recorded and the reading says why.

Nothing that may load, block or be used up is read, and nothing of the host's is changed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from ragwheel.guard import let_interrupts_through
from ragwheel.host import positions
from ragwheel.host.certainty import BROKEN, Unreadable
from ragwheel.host.columns import Columns, quick, read
from ragwheel.host.items import adapted, plain_id
from ragwheel.host.ranked import Ranked, find, sequence

__all__ = ["Adapter", "Reading", "objects_in", "read_result"]

Adapter = Callable[[Any], Any]
_EMPTY = Columns([], [], None, None, ())


class Reading(NamedTuple):
    """What a result holds.

    Attributes:
        columns: the first chunks as arrays, with flags.
        objects: the same chunks as the app has them.
        total: how many there are in all.
        unreadable: why no chunk could be read; empty when all is well, also with an empty list.
    """

    columns: Columns
    objects: list[Any]
    total: int
    unreadable: str = ""


def read_result(
    result: Any, limit: int, adapter: Adapter | None = None, given: Callable[[], Sequence[Any]] | None = None
) -> Reading:
    """Read the first ``limit`` chunks of what a retriever returned. Never raises.

    Args:
        result: what was returned.
        limit: how many chunks at most.
        adapter: turns one returned item, or the whole result, into something that is understood.
        given: returns the lists that a re-ranker was given, of which its result may name the positions.
    """
    flags: dict[str, None] = {}
    try:
        if adapter is not None:
            return _adapted(result, limit, adapter, flags)
        if given is not None:
            reading = _by_position(result, limit, given)
            if reading is not None:
                return reading
        if type(result) is list:
            items = result[:limit]
            columns = quick(items)
            if columns is not None:
                return Reading(columns, items, len(result))
        ranked = find(result, limit)
        return Reading(read(ranked.items), ranked.items, ranked.total)
    except Unreadable as error:
        return Reading(_EMPTY, [], 0, error.reason)
    except Exception as exc:  # the host's own code: an iterator, a mapping, a proxy
        let_interrupts_through(exc)
        return Reading(_EMPTY, [], 0, BROKEN)


def _by_position(result: Any, limit: int, given: Callable[[], Sequence[Any]]) -> Reading | None:
    """A re-ranking that names positions of a list that was given; None of any other result."""
    ranked = sequence(result, limit) if type(result) is list else None
    if ranked is not None and ranked.items and not positions.may_be_place(ranked.items[0]):
        return None
    try:
        ranked = find(result, limit) if type(result) is not list or ranked is None else ranked
    except Unreadable:
        return None
    resolved = positions.resolve(ranked.items, given())
    return None if resolved is None else Reading(resolved.columns, resolved.objects, ranked.total)


def _adapted(result: Any, limit: int, adapter: Adapter, flags: dict[str, None]) -> Reading:
    """An adapter takes one item; one that cannot take the first, or finds no list, gets the whole result."""
    try:
        ranked = find(result, limit)
    except Unreadable:
        ranked = sequence(result, limit) or Ranked([result], 1)
    items = ranked.items
    if len(items) != 1 or items[0] is not result:
        broken: dict[str, None] = {}
        rows = [adapted(item, adapter, broken) for item in items[:1]]
        if not broken:
            rows += [adapted(item, adapter, broken) for item in items[1:]]
            rows = [_named(row) for row in rows]
            return _with_flags(Reading(read(rows), items, ranked.total), broken)
    try:
        inner = find(adapter(result), limit)
        objects = items if len(items) == len(inner.items) else inner.items
        return Reading(read(inner.items), objects, inner.total)
    except Unreadable as error:
        return Reading(_EMPTY, [], 0, error.reason)
    except Exception as exc:  # the host's own code, handed what it may not be made for
        let_interrupts_through(exc)
        flags["adapter_failed"] = None
        return _with_flags(read_result(result, limit), flags)


def _named(row: Any) -> Any:
    """What an adapter made of an item: of tuples, (id, text) and (id, text, score) are documented."""
    if type(row) is tuple and 2 <= len(row) <= 3 and type(row[1]) is str and plain_id(row[0]) is not None:
        return dict(zip(("id", "text", "score"), row))
    return row


def _with_flags(reading: Reading, flags: dict[str, None]) -> Reading:
    columns = reading.columns
    return reading._replace(columns=columns._replace(flags=tuple(dict.fromkeys((*flags, *columns.flags)))))


def objects_in(chunks: Any, limit: int) -> tuple[list[Any], str]:
    """Return the chunks that the app names, as objects or ids, and why not, if they cannot be read."""
    try:
        if type(chunks) is list or type(chunks) is tuple:
            return list(chunks[:limit]), ""
        return find(chunks, limit).items, ""
    except Unreadable as error:
        return [], error.reason
    except Exception as exc:  # the host's own code
        let_interrupts_through(exc)
        return [], BROKEN
