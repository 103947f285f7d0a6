"""One record of a result, read by the names of its fields: id, text, score and metadata.

The record's own fields come first, then those of the chunk that it wraps (``node``, ``document``), then
those of the bodies that it holds (``_source``, ``payload``, ``metadata``). Every access to the host's
object is guarded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple
from uuid import UUID

from ragwheel.guard import let_interrupts_through
from ragwheel.host import clients, safe
from ragwheel.host.fields import fields_of
from ragwheel.host.names import BODIES, VECTORS, WRAPPERS, Part, normal, part_names
from ragwheel.host.values import is_number, kind_of
from ragwheel.scores import SCORE_KEYS

__all__ = [
    "NOTHING",
    "HostItem",
    "adapted",
    "is_blank",
    "plain_id",
    "record_row",
    "rest",
    "score_value",
    "text_value",
]

_MAX_DEPTH: Final = 4
_MAX_PARTS: Final = 1_000
_MAX_NAMES: Final = 500
_METADATA: Final = (
    "metadata", "meta", "cmetadata", "payload", "source", "properties", "entity", "fields",
    "documentmetadata", "extrainfo", "structdata", "attributes",
)  # fmt: skip
_RECORD_BODIES: Final = frozenset(
    {"source", "payload", "properties", "additional", "entity", "fields", "structdata"}
)
"""Bodies that are the record itself: an ``id`` in them is the chunk's. In metadata it may not be."""
_CHUNK_IDS: Final = frozenset(
    {
        "chunkid",
        "xamzbedrockkbchunkid",
        "nodeid",
        "pointid",
        "passageid",
        "segmentid",
        "pk",
        "uuid",
        "chunkkey",
    }
)


_PARTS: Final[tuple[Part, ...]] = ("id", "text", "score")


class HostItem(NamedTuple):
    """The parts of one chunk, each as the host has it; None for what there is not.

    ``address`` is a web address or the like, which is the id only where no two chunks of a result share it.
    """

    id: Any = None
    text: Any = None
    score: Any = None
    metadata: Any = None
    address: str | None = None


NOTHING: Final = HostItem()


def adapted(item: object, adapter: Callable[[Any], Any], flags: dict[str, None]) -> object:
    """Return ``adapter(item)``; None, flagged, where it raises."""
    try:
        return adapter(item)
    except Exception as exc:  # the host's own code
        let_interrupts_through(exc)
        flags["broken_item"] = None
        return None


def record_row(item: Any, flags: dict[str, None], depth: int = 0) -> HostItem:
    """Return the parts of a mapping, object or text by the names of its fields. Never raises."""
    try:
        kind = type(item)
        if item is None or issubclass(kind, (str, bytes, bytearray)):
            return HostItem(text=item)
        if depth > _MAX_DEPTH:
            return NOTHING
        if depth == 0 or not issubclass(kind, Mapping):
            item = clients.opened(item, 1)
        return _read(fields_of(item), flags, depth)
    except Exception as exc:  # the host's own code
        let_interrupts_through(exc)
        flags["broken_item"] = None
        return NOTHING


class _Body(NamedTuple):
    """A record inside a record."""

    name: str
    value: Any


def _read(fields: Mapping[Any, Any], flags: dict[str, None], depth: int) -> HostItem:
    names = _names(fields)
    tables = [part_names(names, part)[0] for part in _PARTS]
    app_id, id_name = _first_id(fields, tables[0])
    text, text_name = _first_text(fields, tables[1], flags, depth)
    score, score_name = _first_score(fields, tables[2])
    own = HostItem(app_id, text, score, None, _address(fields, part_names(names, "address")[0]))
    words = {normal(name): name for name in reversed(names)}
    wrapped = _inside(fields, words, WRAPPERS, {text_name} if not is_blank(text) else set())
    bodies = _inside(fields, words, BODIES, {id_name, text_name, score_name})
    if wrapped:
        own = _with_wrapped(own, record_row(wrapped[0].value, flags, depth + 1))
    for body in bodies:
        own = _with_body(own, body, flags, depth)
    if own.metadata is None:
        taken = {id_name, text_name, score_name, *(body.name for body in (*wrapped, *bodies))}
        taken.update(name for table in tables for name in table if fields[name] is None)
        own = own._replace(
            metadata=_metadata(bodies) or {name: fields[name] for name in rest(names, taken, flags)} or None
        )
    return own


def _names(fields: Mapping[Any, Any]) -> tuple[str, ...]:
    names = tuple(name for name in fields if type(name) is str)
    if len(names) == len(fields) <= _MAX_NAMES:
        return names
    return tuple(str.__str__(name) for name in fields if issubclass(type(name), str))[:_MAX_NAMES]


def _first_id(fields: Mapping[Any, Any], names: Iterable[str]) -> tuple[Any, str | None]:
    """The first usable id and its name; else the first that is there at all, so that it can be flagged."""
    unusable: tuple[Any, str | None] = (None, None)
    for name in names:
        value = fields[name]
        if plain_id(value) is not None:
            return value, name
        if value is not None and unusable[1] is None:
            unusable = (value, name)
    return unusable


def _first_text(
    fields: Mapping[Any, Any], names: Iterable[str], flags: dict[str, None], depth: int
) -> tuple[Any, str | None]:
    """The first text that is not blank and its name; else the first value that a text name has."""
    blank: tuple[Any, str | None] = (None, None)
    for name in names:
        value = fields[name]
        text = text_value(value, flags, depth, name)
        if not is_blank(text):
            return text, name
        nested = normal(name) in WRAPPERS and _is_record(value)  # looked into later
        if blank[1] is None and value is not None and not nested:
            blank = (value if text is None else text, name)
    return blank


def text_value(value: Any, flags: dict[str, None], depth: int = 0, name: str = "content") -> Any:
    """Return the text in a field: a string, its parts (``[{"type": "text", "text": "…"}]``) or None."""
    kind = type(value)
    if value is None or issubclass(kind, (str, bytes, bytearray)):
        return value
    if issubclass(kind, (list, tuple)) and not hasattr(kind, "_fields"):
        parts = [text_value(part, flags, depth + 1) for part in value[:_MAX_PARTS] if not is_number(part)]
        texts = [safe.text(part)[0] for part in parts if part is not None]
        return "\n".join(texts) if texts else None
    if depth <= _MAX_DEPTH and normal(name) not in WRAPPERS and _is_record(value):
        return record_row(value, flags, depth + 1).text
    return None


def is_blank(text: Any) -> bool:
    """Whether this is no text, or one of blanks only."""
    kind = type(text)
    if issubclass(kind, str):
        return not str.strip(text)
    return not issubclass(kind, (bytes, bytearray)) or not len(text)


def _first_score(fields: Mapping[Any, Any], names: Iterable[str]) -> tuple[Any, str | None]:
    """The first number, or string that is one; else the first value that is there, to be flagged."""
    unusable: tuple[Any, str | None] = (None, None)
    for name in names:
        value = fields[name]
        score = score_value(value)
        if score is not None and (normal(name) != "rank" or type(score) is float):
            return score, name
        if value is not None and unusable[1] is None and normal(name) != "rank":
            unusable = (value, name)
    return unusable


def score_value(value: Any) -> Any:
    """Return a number, also of a string such as ``"0.87"``; None of anything else."""
    if issubclass(type(value), str):
        try:
            return float(str.__str__(value)[:40])
        except ValueError:
            return None
    return value if is_number(value) or type(value) is float else None


def _address(fields: Mapping[Any, Any], names: Iterable[str]) -> str | None:
    for name in names:
        value = fields[name]
        if type(value) is str and "://" in value and kind_of(value) == "address":
            return value
    return None


def _inside(
    fields: Mapping[Any, Any], words: Mapping[str, str], table: Iterable[str], taken: set[str | None]
) -> list[_Body]:
    """The records that stand in fields of these names."""
    return [
        _Body(words[word], fields[words[word]])
        for word in table
        if word in words and words[word] not in taken and _is_record(fields[words[word]])
    ]


def _is_record(value: Any) -> bool:
    kind = type(value)
    return issubclass(kind, Mapping) or hasattr(kind, "_fields") or kind_of(value) == "record"


def _with_wrapped(own: HostItem, inner: HostItem) -> HostItem:
    """An item's own parts, and what it lacks from the chunk that it wraps."""
    return HostItem(
        own.id if plain_id(own.id) is not None else inner.id,
        inner.text if is_blank(own.text) else own.text,
        own.score if own.score is not None else inner.score,
        inner.metadata,
        own.address or inner.address,
    )


def _with_body(own: HostItem, body: _Body, flags: dict[str, None], depth: int) -> HostItem:
    """An item's parts, and what it lacks from a body; the metadata then is what is left of the body."""
    lacks_text = is_blank(own.text)
    lacks_id = plain_id(own.id) is None
    if not lacks_text and not lacks_id and own.score is not None:
        return own
    value = clients.opened(body.value, 1)
    inner_fields = fields_of(value)
    app_id = own.id
    if lacks_id:
        app_id = _id_of_body(inner_fields, normal(body.name)) or own.id
    score = own.score
    if score is None:
        names = part_names(_names(inner_fields), "score")[0]
        lifted = type(value) is dict and normal(body.name) in _METADATA
        score = _first_score(inner_fields, [n for n in names if not (lifted and n in SCORE_KEYS)])[0]
        score = score if is_number(score) else None
    own = own._replace(id=app_id, score=score)
    if lacks_text:
        inner = record_row(value, flags, depth + 1)
        if not is_blank(inner.text):
            own = own._replace(text=inner.text, metadata=inner.metadata, address=own.address or inner.address)
    return own


def _id_of_body(fields: Mapping[Any, Any], body: str) -> Any:
    for name in part_names(_names(fields), "id")[0]:
        if (name == "_id" or normal(name) in _CHUNK_IDS or body in _RECORD_BODIES) and plain_id(
            fields[name]
        ) is not None:
            return fields[name]
    return None


def _metadata(bodies: list[_Body]) -> Any:
    """The body that is the item's metadata: a mapping with something in it, else any object."""
    by_word = {normal(body.name): body.value for body in bodies}
    candidates = [by_word[word] for word in _METADATA if word in by_word]
    mappings = [value for value in candidates if issubclass(type(value), Mapping)]
    return next((value for value in mappings if value), next(iter([*mappings, *candidates]), None))


def rest(keys: Iterable[Any], taken: set[str | None], flags: dict[str, None]) -> list[Any]:
    """Return the other keys, which become metadata. Embeddings stay out: forty would be half a megabyte."""
    others = [key for key in keys if key not in taken]
    kept = [key for key in others if type(key) is not str or normal(key) not in VECTORS]
    if len(kept) < len(others):
        flags["vector_left_out"] = None
    return kept


def plain_id(value: object) -> str | None:
    """Return an id as text: of a str, int, UUID, bytes, numpy integer or ObjectId; None of anything else.

    A float is never an id. Bytes that are no printable text are written in hexadecimal: two of them differ.
    """
    kind = type(value)
    if kind is str:
        return value or None  # type: ignore[return-value]
    if value is None or kind is bool or issubclass(kind, float):
        return None
    if kind is int and value.bit_length() < 64:  # type: ignore[attr-defined]
        return int.__repr__(value)
    if issubclass(kind, str):
        return str.__str__(value) or None
    if issubclass(kind, bytes):
        return _bytes_id(bytes(value))  # type: ignore[call-overload]
    if kind.__module__ == "bson.objectid":
        return str(value)
    if issubclass(kind, (int, UUID)) or hasattr(kind, "dtype"):
        plain, _ = safe.jsonable(value)
        if type(plain) in (str, int):
            return str(plain) or None
    return None


def _bytes_id(value: bytes) -> str | None:
    text = value.decode("utf-8", "replace")
    return (text if text.isprintable() and "\ufffd" not in text else value.hex()) or None
