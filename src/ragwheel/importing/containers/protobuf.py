"""OTLP requests in protobuf, decoded span by span rather than all at once."""

from __future__ import annotations

import mmap
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, Final

from ragwheel.errors import MissingExtra
from ragwheel.importing.containers.documents import RESOURCE

__all__ = ["read_protobuf"]

RESOURCE_SPANS: Final = 1
RESOURCE_FIELD: Final = 1
SCOPE_SPANS: Final = 2
SPANS: Final = 2
LENGTH_BYTES: Final = 4
CUT: Final = "the file ends inside a record"
BROKEN: Final = "broken span of OTLP protobuf"


def is_framed(head: bytes) -> bool:
    """Return whether a file begins with the length of a request, as an OpenTelemetry collector writes it."""
    length = int.from_bytes(head[:LENGTH_BYTES], "big")
    return length > 2 and head[LENGTH_BYTES : LENGTH_BYTES + 1] == b"\x0a"


def read_protobuf(
    body: bytes | mmap.mmap,
    unreadable: Counter[str],
    progress: Callable[[int], None] = lambda _: None,
    *,
    framed: bool = False,
) -> Iterator[dict[str, Any]]:
    """Yield the spans of an ``ExportTraceServiceRequest`` in the form of OTLP's JSON, with ids as bytes.

    Of a truncated request the complete spans are yielded, and the request is counted.

    Args:
        body: one or more requests, concatenated.
        unreadable: counts by reason what cannot be read.
        progress: called with the number of bytes read so far.
        framed: whether each request is preceded by its length in four bytes.

    Raises:
        MissingExtra: the protobuf messages of OTLP are not installed.
    """
    try:
        from google.protobuf.message import DecodeError
        from opentelemetry.proto.resource.v1.resource_pb2 import Resource
        from opentelemetry.proto.trace.v1.trace_pb2 import Span
    except ImportError:
        raise MissingExtra("OTLP protobuf needs its messages: pip install 'ragwheel[serve]'") from None
    view = memoryview(body)
    for at, request in _frames(view, unreadable) if framed else ((0, view),):
        progress(at)
        yield from _spans(request, unreadable, (Resource, Span, DecodeError))


def _frames(view: memoryview, unreadable: Counter[str]) -> Iterator[tuple[int, memoryview]]:
    """Yield each request of a file with its offset."""
    at = 0
    while at + LENGTH_BYTES <= len(view):
        length = int.from_bytes(view[at : at + LENGTH_BYTES], "big")
        at += LENGTH_BYTES
        if at + length > len(view):
            unreadable[CUT] = 1
        yield at, view[at : at + length]
        at += length


def _spans(
    request: memoryview, unreadable: Counter[str], messages: tuple[Any, Any, type[Exception]]
) -> Iterator[dict[str, Any]]:
    resource_type, span_type, error = messages
    for resource_spans in _fields(request, RESOURCE_SPANS, unreadable):
        resource: dict[str, Any] = {}
        for raw in _fields(resource_spans, RESOURCE_FIELD, Counter()):
            resource = {"attributes": _attributes(resource_type.FromString(bytes(raw)).attributes)}
        for scope_spans in _fields(resource_spans, SCOPE_SPANS, unreadable):
            for raw in _fields(scope_spans, SPANS, unreadable):
                try:
                    span = span_type.FromString(bytes(raw))
                except error:
                    if CUT not in unreadable:  # a truncated request is counted already
                        unreadable[BROKEN] += 1
                    continue
                yield _record(span, resource)


def _fields(message: memoryview, wanted: int, unreadable: Counter[str]) -> Iterator[memoryview]:
    """Yield the values of one length-delimited field in order."""
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        kind = tag & 7
        if kind == 0:
            _, at = _varint(message, at)
            continue
        length = {1: 8, 5: 4}.get(kind)
        if kind == 2:
            length, at = _varint(message, at)
        if length is None or at + length > len(message) or tag == 0:
            unreadable[CUT if length is not None else BROKEN] = 1
            if length is not None and kind == 2 and tag >> 3 == wanted:
                yield message[at:]  # the remaining part may hold complete messages
            return
        if kind == 2 and tag >> 3 == wanted:
            yield message[at : at + length]
        at += length


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(message) and shift < 70:
        byte = message[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if not byte & 0x80:
            return value, at
    return 0, len(message)


def _record(span: Any, resource: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": span.name,
        "traceId": span.trace_id,
        "spanId": span.span_id,
        "parentSpanId": span.parent_span_id,
        "startTimeUnixNano": span.start_time_unix_nano,
        "endTimeUnixNano": span.end_time_unix_nano,
        "attributes": _attributes(span.attributes),
        "events": [
            {"name": event.name, "attributes": _attributes(event.attributes)} for event in span.events
        ],
        "links": [{"traceId": link.trace_id, "spanId": link.span_id} for link in span.links],
        "status": {"code": span.status.code},
        "droppedAttributesCount": span.dropped_attributes_count,
        RESOURCE: resource,
    }


def _attributes(pairs: Any) -> dict[str, Any]:
    return {pair.key: _value(pair.value) for pair in pairs}


def _value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_value(item) for item in value.array_value.values]
    if kind == "kvlist_value":
        return _attributes(value.kvlist_value.values)
    return getattr(value, kind) if kind is not None else None
