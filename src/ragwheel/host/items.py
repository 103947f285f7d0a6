"""One item of a result, whatever its type: where its id, text, score and metadata are.

Read item by item, with every access to the host's object guarded. :mod:`ragwheel.host.columns`
has the table of names and the fast path for lists of one type.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID
from weakref import WeakKeyDictionary

from ragwheel.host import safe
from ragwheel.scores import SCORE_KEYS

__all__ = ["Names", "Row", "adapted", "names_of", "plain_id", "rest", "row"]

IDS = ("id", "_id", "chunk_id", "doc_id", "node_id", "id_")
TEXTS = ("page_content", "text", "content", "document")
SCORES = SCORE_KEYS
METADATA = ("metadata", "meta", "payload", "_source")
WRAPPERS = ("node", "document")
VECTORS = frozenset({"embedding", "embeddings", "vector", "sparse_embedding"})

Row = tuple[Any, Any, Any, Any]
_NOTHING: Row = (None, None, None, None)


@dataclass(frozen=True, slots=True)
class Names:
    """Which attribute (or key) of a type holds which part."""

    id: str | None
    text: str | None
    score: str | None
    metadata: str | None
    wrapped: str | None
    closed: bool = False  # every instance of the type has these and no others

    @classmethod
    def among(cls, names: Container[Any], closed: bool = False) -> Names:
        """The first name of each table that is there."""
        tables = (IDS, TEXTS, SCORES, METADATA, WRAPPERS)
        part = [next((name for name in table if name in names), None) for table in tables]
        return cls(part[0], part[1], part[2], part[3], part[4], closed)


def _is_closed(kind: type) -> bool:
    """Whether all instances have the same attributes: slots, dataclasses, models without extras."""
    config = getattr(kind, "model_config", None)
    if isinstance(config, dict):
        return config.get("extra") != "allow"
    return hasattr(kind, "__dataclass_fields__") or not kind.__dictoffset__


_CLOSED: WeakKeyDictionary[type, Names] = WeakKeyDictionary()


def names_of(item: object) -> Names:
    """The names of an object's attributes; remembered by type where all its instances have the same."""
    kind = type(item)
    names = _CLOSED.get(kind)
    if names is None:
        names = _declared(item, kind)
        if names.closed:
            _CLOSED[kind] = names
    return names


def _declared(item: object, kind: type) -> Names:
    """Looked up in the classes and the instance's dict: no property and no ``__getattr__`` runs."""
    known: set[Any] = set().union(*(vars(base) for base in kind.__mro__ if base is not object))
    for declared in ("__dataclass_fields__", "__pydantic_fields__"):
        known.update(getattr(kind, declared, ()))
    if kind.__dictoffset__:
        known.update(object.__getattribute__(item, "__dict__"))
    if hasattr(kind, "__pydantic_fields__"):
        known.update(object.__getattribute__(item, "__pydantic_extra__") or ())
    return Names.among(known, _is_closed(kind))


def adapted(item: object, adapter: Callable[[Any], Any], flags: dict[str, None]) -> object:
    """``adapter(item)``; None, flagged, where it raises."""
    try:
        return adapter(item)
    except Exception:  # the host's own code
        flags["broken_item"] = None
        return None


def row(item: Any, flags: dict[str, None], depth: int = 0) -> Row:
    """(id, text, score, metadata) of any item, each as it is there; None for what is not."""
    try:
        kind = type(item)
        if item is None or issubclass(kind, (str, bytes, bytearray)):
            return None, item, None, None
        if depth > 3:  # a document within a document within …
            return _NOTHING
        if issubclass(kind, tuple) and not hasattr(kind, "_fields"):
            return _tuple_row(item, flags, depth)
        if issubclass(kind, Mapping):
            return _mapping_row(item, flags, depth)
        if hasattr(kind, "keys") and hasattr(kind, "__getitem__"):  # sqlite3.Row, asyncpg.Record
            return _mapping_row({key: item[key] for key in item.keys()}, flags, depth)  # noqa: SIM118
        return _object_row(item, flags, depth)
    except Exception:  # the host's own code
        flags["broken_item"] = None
        return _NOTHING


def _tuple_row(item: tuple[Any, ...], flags: dict[str, None], depth: int) -> Row:
    parts = list(tuple.__iter__(item))
    if not parts:
        return _NOTHING
    first, second, third = (*parts, None, None)[:3]
    if issubclass(type(second), str) and plain_id(first) is not None:
        return first, second, third, None
    if safe.number(first) is not None and second is not None and safe.number(second) is None:
        first, second = second, first  # (score, document)
    found = row(first, flags, depth + 1)
    return found[0], found[1], found[2] if second is None else second, found[3]


def _mapping_row(item: Mapping[Any, Any], flags: dict[str, None], depth: int) -> Row:
    names = Names.among(item)

    def part(name: str | None) -> Any:
        return item[name] if name else None

    if names.metadata is None:
        others = rest(item, {names.id, names.text, names.score, names.wrapped}, flags)
        metadata: Any = {key: item[key] for key in others} or None
    else:
        metadata = part(names.metadata)
    own = (part(names.id), part(names.text), part(names.score), metadata)
    return _completed(own, part(names.wrapped), flags, depth)


def _object_row(item: object, flags: dict[str, None], depth: int) -> Row:
    names = names_of(item)
    if names.text is None and names.wrapped is None and hasattr(type(item), "__getattr__"):
        # a proxy: ask it, now that nothing is declared
        names = Names.among([n for n in (*IDS, *TEXTS, *SCORES, *METADATA) if hasattr(item, n)])

    def part(name: str | None) -> Any:
        try:
            return getattr(item, name) if name else None
        except Exception:  # the host's own code
            flags["broken_item"] = None
            return None

    wrapped = part(names.wrapped)
    # what wraps a document may raise when asked for a text of its own (LlamaIndex, for an image)
    text = part(names.text) if wrapped is None else wrapped
    own = (part(names.id), text, part(names.score), part(names.metadata))
    found = _completed(own, wrapped, flags, depth)
    if found[1] is None and names.text is None and callable(getattr(type(item), "get_content", None)):
        return found[0], item.get_content(), found[2], found[3]  # type: ignore[attr-defined]
    return found


def _completed(own: Row, wrapped: Any, flags: dict[str, None], depth: int) -> Row:
    """An item's own parts, and what is missing from the document it wraps or from its metadata."""
    app_id, text, score, metadata = own
    if wrapped is not None and not issubclass(type(wrapped), (str, bytes)):
        inner = row(wrapped, flags, depth + 1)
        return (
            inner[0] if plain_id(inner[0]) is not None else app_id,
            inner[1],
            inner[2] if score is None else score,
            metadata if inner[3] is None else inner[3],
        )
    if issubclass(type(text), list):  # content parts: [{"type": "text", "text": "…"}]
        parts = [row(part, flags, depth + 1)[1] for part in text[:1000]]
        text = "\n".join(safe.text(part)[0] for part in parts if part is not None)
    if text is None and issubclass(type(metadata), Mapping):
        name = Names.among(metadata).text
        text = metadata[name] if name else None
    return app_id, text, score, metadata


def rest(keys: Iterable[Any], taken: set[str | None], flags: dict[str, None]) -> list[Any]:
    """The other keys, which become metadata. Embeddings stay out: forty would be half a megabyte."""
    others = [key for key in keys if key not in taken]
    if VECTORS.isdisjoint(others):
        return others
    flags["vector_left_out"] = None
    return [key for key in others if key not in VECTORS]


def plain_id(value: object) -> str | None:
    """An id as text: str, int, UUID, bytes and numpy numbers; BSON ObjectIds; None of anything else."""
    kind = type(value)
    if value is None or kind is bool:
        return None
    if kind is int and value.bit_length() < 64:  # type: ignore[attr-defined]
        return int.__repr__(value)
    if issubclass(kind, str):
        return str.__str__(value) or None
    if kind.__module__ == "bson.objectid":
        return str(value)
    if issubclass(kind, (int, float, bytes, UUID)) or hasattr(kind, "dtype"):
        plain, _ = safe.jsonable(value)
        if type(plain) in (str, int, float):
            return str(plain) or None
    return None
