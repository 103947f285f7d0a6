"""Responses of search engines, vector stores and hosted retrieval that keep their data out of sight."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from ragwheel.host.certainty import ITERATOR, Unreadable
from ragwheel.host.clients.excerpt import Opener

__all__ = ["OPENERS"]

_MAX_STRUCT_DEPTH: Final = 6


def _held(value: Any) -> dict[str, Any]:
    return object.__getattribute__(value, "__dict__") if type(value).__dictoffset__ else {}


def _attribute(*names: str) -> Opener:
    """An entry for classes that keep what they hold in the first of these attributes."""

    def opener(value: Any, _limit: int) -> Any:
        held = _held(value)
        for name in names:
            if name in held:
                return held[name]
        return value

    return opener


def _elastic_transport(value: Any, _limit: int) -> Any:
    """The body of an ``ObjectApiResponse``, ``ListApiResponse`` and their kind."""
    if hasattr(type(value), "_body"):  # a slot
        return object.__getattribute__(value, "_body")
    return _held(value).get("_body", value)


def _elasticsearch(value: Any, limit: int) -> Any:
    """The dict or list inside an ``AttrDict`` or ``AttrList``; of a hit also its id and score."""
    kind = type(value)
    if hasattr(kind, "execute") and hasattr(kind, "query"):
        raise Unreadable(ITERATOR)
    held = _held(value)
    if "_d_" in held:
        meta = _held(held.get("meta")).get("_d_") if "meta" in held else None
        if type(meta) is dict:
            return {"_id": meta.get("id"), "_score": meta.get("score"), "_source": held["_d_"]}
        return held["_d_"]
    if "_l_" in held:
        return held["_l_"]
    return _elastic_transport(value, limit)


def _pymilvus(value: Any, _limit: int) -> Any:
    """A hit with its primary key as ``id``, whatever the collection calls it; lists are read as they are."""
    key = _held(value).get("_pk_name") or _held(value).get("pk_name")
    if issubclass(type(value), dict) and type(key) is str and key in value and "id" not in value:
        return {"id": value[key], **value}
    return value


def _tantivy(value: Any, _limit: int) -> Any:
    """The stored fields of a document; a list of one value is that value."""
    if type(value).__name__ != "Document":
        return value
    return {name: part[0] if len(part) == 1 else part for name, part in value.to_dict().items()}


def _google(value: Any, _limit: int) -> Any:
    """Set fields of a protobuf message or of proto-plus's wrapper; the loaded page of a pager."""
    held = _held(value)
    if "_response" in held:
        value, held = held["_response"], _held(held["_response"])
    message = held.get("_pb", value)
    descriptor = getattr(type(message), "DESCRIPTOR", None)
    if descriptor is None:
        return value
    if descriptor.full_name in _STRUCTS:
        return _STRUCTS[descriptor.full_name](message, 0)
    return {field.name: _field(field, part) for field, part in message.ListFields()}


def _field(field: Any, value: Any) -> Any:
    """A struct as plain values; other messages and repeated fields as they are."""
    kind = field.message_type
    if kind is not None and kind.full_name in _STRUCTS and hasattr(value, "ListFields"):
        return _STRUCTS[kind.full_name](value, 0)
    if kind is not None and hasattr(value, "keys"):  # a map
        return {key: value[key] for key in value}
    return value


def _struct(message: Any, depth: int) -> Any:
    return (
        {}
        if depth > _MAX_STRUCT_DEPTH
        else {key: _value(message.fields[key], depth + 1) for key in message.fields}
    )


def _list_value(message: Any, depth: int) -> Any:
    return [] if depth > _MAX_STRUCT_DEPTH else [_value(part, depth + 1) for part in message.values]


def _value(message: Any, depth: int) -> Any:
    kind = message.WhichOneof("kind")
    if kind is None or kind == "null_value":
        return None
    part = getattr(message, kind)
    nested = {"struct_value": _struct, "list_value": _list_value}.get(kind)
    return part if nested is None else nested(part, depth)


_STRUCTS: Final[dict[str, Callable[[Any, int], Any]]] = {
    "google.protobuf.Struct": _struct,
    "google.protobuf.ListValue": _list_value,
    "google.protobuf.Value": _value,
}

OPENERS: Final[dict[str, Opener]] = {
    "elastic_transport": _elastic_transport,
    "elasticsearch": _elasticsearch,
    "elasticsearch_dsl": _elasticsearch,
    "opensearchpy": _elasticsearch,
    "opensearch_dsl": _elasticsearch,
    "pymilvus": _pymilvus,
    "tantivy": _tantivy,
    "google": _google,
    "proto": _google,
    "dspy": _attribute("_store"),
    "pinecone": _attribute("_data_store"),
    "pinecone_plugins": _attribute("_data_store"),
}
