"""From what a retriever returned to its list of chunks, without consuming what can be read only once.

Understood are lists, tuples and other sequences; a list of one list; a mapping or response object that
holds one of these (``documents``, ``matches``, ``hits.hits``, …); a dict of columns, as Chroma's; a pair
(chunks, scores); a data frame. Anything else is taken for a single chunk.

Flags: ``iterator_not_read``, ``awaitable_not_read``, ``lists_of_lists`` (answers to several queries: not
recorded), ``result_not_read`` (reading it raised), ``adapter_failed`` (read as if there were none).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence, ValuesView
from collections.abc import Set as AbstractSet
from itertools import islice
from typing import Any, Final, NamedTuple

from ragwheel.host.items import adapted

__all__ = ["Chunks", "chunks_in", "listed"]

Adapter = Callable[[Any], Any]
Flag = Callable[[str], None]

_HOLDERS: Final = (
    "documents", "chunks", "results", "nodes", "source_nodes", "matches", "hits", "points", "objects",
)  # fmt: skip
_COLUMNS: Final = {
    "documents": "text",
    "metadatas": "metadata",
    "distances": "distance",
    "scores": "score",
}
_READ_ONCE: Final = {
    "__next__": "iterator_not_read",
    "__anext__": "iterator_not_read",
    "__await__": "awaitable_not_read",
}
_MAX_DEPTH: Final = 4


class Chunks(NamedTuple):
    """The first chunks, as the app has them and as they are to be read, and how many there are in all."""

    objects: list[Any]
    rows: list[Any]
    total: int


def chunks_in(result: Any, limit: int, flag: Flag, adapter: Adapter | None = None) -> Chunks:
    """The first ``limit`` chunks of what a retriever returned. Never raises."""
    if type(result) is list and adapter is None and result and type(result[0]) is not list:
        items = result[:limit]
        return Chunks(items, items, len(result))
    try:
        items, total = listed(result, limit, flag)
        if adapter is None:
            return Chunks(items, items, total)
        return _adapted(result, items, total, limit, flag, adapter)
    except Exception:  # the host's own code: a property, an iterator, a proxy
        flag("result_not_read")
        return Chunks([], [], 0)


def listed(result: Any, limit: int, flag: Flag, depth: int = 0) -> tuple[list[Any], int]:
    """The first items of a result, and how many there are; raises what the host's own code raises."""
    kind = type(result)
    if result is None:
        return [], 0
    if issubclass(kind, (str, bytes)) or depth > _MAX_DEPTH:
        return [result], 1
    if issubclass(kind, list):
        return _nested(list.__getitem__(result, slice(limit)), list.__len__(result), limit, flag, depth)
    if issubclass(kind, tuple) and not hasattr(kind, "_fields"):
        return _tuple(result, limit, flag, depth)
    for method, word in _READ_ONCE.items():
        if hasattr(kind, method):
            flag(word)
            return [], 0
    rows = _columns(result, kind, limit)
    return rows if rows is not None else _response(result, kind, limit, flag, depth)


def _response(result: Any, kind: type, limit: int, flag: Flag, depth: int) -> tuple[list[Any], int]:
    held = _held(result, kind)
    if held is not None:
        return listed(held, limit, flag, depth + 1)
    if issubclass(kind, (Sequence, AbstractSet, ValuesView, deque)):
        return list(islice(iter(result), limit)), len(result)
    return [result], 1


def _nested(items: list[Any], total: int, limit: int, flag: Flag, depth: int) -> tuple[list[Any], int]:
    """A list of one list is that list; a list of several answers several queries."""
    if not items or not issubclass(type(items[0]), list):
        return items, total
    if total == 1:
        return listed(items[0], limit, flag, depth + 1)
    flag("lists_of_lists")
    return [], 0


def _tuple(result: tuple[Any, ...], limit: int, flag: Flag, depth: int) -> tuple[list[Any], int]:
    """Chunks, or (chunks, scores), or (chunks, something else)."""
    parts = list(tuple.__getitem__(result, slice(limit)))
    if len(parts) < 2 or not issubclass(type(parts[0]), list):
        return parts, tuple.__len__(result)
    chunks, total = listed(parts[0], limit, flag, depth + 1)
    scores = parts[1]
    if type(scores) in (list, tuple) and len(scores) == total and set(map(type, scores)) <= {float, int}:
        return list(zip(chunks, scores)), total
    return chunks, total


def _columns(result: Any, kind: type, limit: int) -> tuple[list[Any], int] | None:
    """A data frame, or a dict of columns: ``{"ids": [["a", "b"]], "documents": [["…", "…"]], …}``."""
    if kind.__module__.partition(".")[0] in {"pandas", "polars"} and hasattr(kind, "head"):
        head = result.head(limit)
        return (head.to_dicts() if hasattr(kind, "to_dicts") else head.to_dict("records")), len(result)
    if not issubclass(kind, Mapping) or type(result.get("ids")) is not list:
        return None
    single = [type(ids) is list for ids in result["ids"]] == [True]
    ids = result["ids"][0] if single else result["ids"]
    rows = [{"id": each} for each in ids[:limit]]
    for column, part in _COLUMNS.items():
        values = result.get(column)
        values = values[0] if single and values else values
        for row, value in zip(rows, values or ()):
            row[part] = value
    return rows, len(ids)


def _held(result: Any, kind: type) -> Any:
    """The chunks inside a mapping or a response object, or None."""
    mapping = issubclass(kind, Mapping)
    for name in _HOLDERS:
        found = result.get(name) if mapping else getattr(result, name, None)
        if issubclass(type(found), (list, tuple)):
            return found
        if found is not None and issubclass(type(found), Mapping) and name in found:
            return found  # {"hits": {"total": …, "hits": […]}}
    return None


def _adapted(result: Any, items: list[Any], total: int, limit: int, flag: Flag, adapter: Adapter) -> Chunks:
    """An adapter takes one item; one that cannot take the first, or finds no list, gets the whole result."""
    flags: dict[str, None] = {}
    if len(items) != 1 or items[0] is not result:
        rows = [adapted(item, adapter, flags) for item in items[:1]]
        if not flags:
            rows += [adapted(item, adapter, flags) for item in items[1:]]
            for word in flags:
                flag(word)
            return Chunks(items, rows, total)
    try:
        rows, found = listed(adapter(result), limit, flag)
    except Exception:  # the host's own code, handed what it may not be made for
        flag("adapter_failed")
        return Chunks(items, items, total)
    return Chunks(items if len(items) == len(rows) else rows, rows, found)
