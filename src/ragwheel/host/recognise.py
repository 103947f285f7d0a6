"""What in a result is a list, a chunk, a list of chunks: what the search for the ranking asks."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence, ValuesView
from collections.abc import Set as AbstractSet
from typing import Any, Final

from ragwheel.host import clients
from ragwheel.host.fields import fields_of, is_lazy_query, is_named_tuple
from ragwheel.host.items import plain_id, text_value
from ragwheel.host.names import BODIES, POSITIONS, WRAPPERS, normal, part_names
from ragwheel.host.values import kind_of

__all__ = [
    "are_chunks", "has_id", "has_own_text", "is_answer", "is_chunk", "is_list", "is_name", "is_plain_list",
]  # fmt: skip

_STRONG_TEXTS: Final = frozenset(
    ["pagecontent", "text", "content", "document", "chunk", "chunktext", "passage", "body"]
)
_NO_CHUNK_WORDS: Final = frozenset(["error", "errors", "role", "status", "code", "exception", "detail"])


def is_name(name: Any) -> bool:
    """Whether a key of a mapping is a field's name."""
    return type(name) is str


def is_list(value: Any) -> bool:
    """Whether a value is a list, a tuple without names or another sequence that can be read again."""
    kind = type(value)
    if issubclass(kind, (list, tuple)):
        return not is_named_tuple(kind)
    return (
        kind.__module__ == "array"
        or (
            not issubclass(kind, (str, bytes, bytearray, Mapping))
            and issubclass(kind, (Sequence, deque, AbstractSet, ValuesView))
        )
        or (
            hasattr(kind, "__len__")
            and hasattr(kind, "__getitem__")
            and not hasattr(kind, "keys")
            and not issubclass(kind, (str, bytes, bytearray, Mapping))
            and not is_lazy_query(kind)
        )
    )


def is_plain_list(value: Any) -> bool:
    """Whether an item of a list is itself a list, not merely an object that has a length and positions."""
    kind = type(value)
    return issubclass(kind, (list, tuple, deque)) and not is_named_tuple(kind)


def is_answer(parts: Any) -> bool:
    """Whether a tuple is a ranked list, not a row: its parts are rows, or records that each have a text."""
    if not parts or any(kind_of(part) not in ("record", "list") for part in parts):
        return False
    rows = [part for part in parts if issubclass(type(part), (tuple, list))]
    return len(rows) == len(parts) or all(has_own_text(fields_of(clients.opened(part, 1))) for part in parts)


def has_own_text(fields: Mapping[Any, Any]) -> bool:
    """Whether a record has a text under a name for it, itself or in a record that it holds."""
    names = tuple(name for name in fields if is_name(name))
    flags: dict[str, None] = {}
    for name in part_names(names, "text")[0]:
        text = text_value(fields[name], flags, 1, name)
        if issubclass(type(text), str) and text.strip():
            return True
    return any(
        normal(name) in WRAPPERS or normal(name) in BODIES
        for name in names
        if kind_of(fields[name]) == "record" and _has_text_in(fields[name])
    )


def _has_text_in(value: Any) -> bool:
    fields = fields_of(clients.opened(value, 1))
    return any(type(fields[name]) is str for name in part_names(tuple(filter(is_name, fields)), "text")[0])


def has_id(fields: Mapping[Any, Any]) -> bool:
    """Whether a record has an id under a name for it."""
    names = tuple(filter(is_name, fields))
    return any(plain_id(fields[name]) is not None for name in part_names(names, "id")[0])


def is_chunk(fields: Mapping[Any, Any]) -> bool:
    """Whether a response is the only chunk: it has a text under a name for it and is no message or error."""
    names = tuple(filter(is_name, fields))
    if any(normal(name) in _NO_CHUNK_WORDS and fields[name] for name in names):
        return False
    texts = [name for name in part_names(names, "text")[0] if normal(name) in _STRONG_TEXTS]
    if any(issubclass(type(fields[name]), (str, bytes)) and fields[name] for name in texts):
        return True
    return has_id(fields) and has_own_text(fields)


def are_chunks(items: Sequence[Any], name: Any) -> bool:
    """Whether the items are rows, records with a text, an id or a position, or texts under a name."""
    for item in items[:3]:
        item = clients.opened(item, 1)
        kind = kind_of(item)
        if kind == "record":
            fields = fields_of(item)
            positions = any(is_name(key) and normal(key) in POSITIONS for key in fields)
            if has_own_text(fields) or has_id(fields) or positions:
                return True
        elif issubclass(type(item), tuple):
            records = [part for part in item if kind_of(part) == "record"]
            if not records or are_chunks(records, name):
                return True
        elif kind == "text" and is_name(name):
            return True
    return False
