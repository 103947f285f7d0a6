"""OTLP requests, protobuf and JSON, as plain spans."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from ragwheel.collector.bodies import BadBody, check_depth

__all__ = ["JSON", "PROTOBUF", "Span", "read_spans", "response"]

JSON = "application/json"
PROTOBUF = "application/x-protobuf"
MAX_DEPTH = 32

Value = str | bool | int | float | list[Any] | None


@dataclass(frozen=True)
class Span:
    """A finished span: ids as bytes, times in Unix nanoseconds, ``links`` as (trace id, span id)."""

    name: str
    trace_id: bytes
    span_id: bytes
    parent_id: bytes | None
    start_ns: int
    end_ns: int
    attributes: dict[str, Value]
    service: str = ""
    links: tuple[tuple[bytes, bytes], ...] = field(default=())


def read_spans(body: bytes, content_type: str) -> list[Span]:
    """Return the spans of an ``ExportTraceServiceRequest``.

    Raises:
        BadBody: the body is no such request.
    """
    media = content_type.partition(";")[0].strip().lower()
    try:
        if media == PROTOBUF:
            return list(_from_protobuf(body))
        if media == JSON:
            check_depth(body, MAX_DEPTH)
            return list(_from_json(msgspec.json.decode(body)))
    except BadBody:
        raise
    except Exception:  # noqa: BLE001 (protobuf's errors, and whatever a document of another shape brings about)
        raise BadBody(400, "body is no OTLP request") from None
    raise BadBody(415, "content type is not application/x-protobuf or application/json")


def response(content_type: str, rejected: int, reason: str) -> tuple[bytes, str]:
    """Return an ``ExportTraceServiceResponse`` in the encoding of the request, and its content type."""
    if content_type.partition(";")[0].strip().lower() == JSON:
        partial = {"partialSuccess": {"rejectedSpans": str(rejected), "errorMessage": reason}}
        return msgspec.json.encode(partial if rejected else {}), JSON
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

    message = ExportTraceServiceResponse()
    if rejected:
        message.partial_success.rejected_spans = rejected
        message.partial_success.error_message = reason
    return message.SerializeToString(), PROTOBUF


def _from_protobuf(body: bytes) -> Iterator[Span]:
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
        service = _service({pair.key: _any(pair.value) for pair in resource.resource.attributes})
        for scope in resource.scope_spans:
            for span in scope.spans:
                yield Span(
                    span.name,
                    _id(span.trace_id, 16),
                    _id(span.span_id, 8),
                    span.parent_span_id or None,
                    span.start_time_unix_nano,
                    span.end_time_unix_nano,
                    {pair.key: _any(pair.value) for pair in span.attributes},
                    service,
                    tuple((_id(link.trace_id, 16), _id(link.span_id, 8)) for link in span.links),
                )


def _any(value: Any) -> Value:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_any(item) for item in value.array_value.values]
    if kind in {"string_value", "bool_value", "int_value", "double_value"}:
        value_of_kind: Value = getattr(value, kind)
        return value_of_kind
    return None


def _from_json(request: Any) -> Iterator[Span]:
    """OTLP's own JSON: ids in hex, 64-bit integers as strings or numbers."""
    for resource in request.get("resourceSpans", ()):
        service = _service(_pairs(resource.get("resource", {})))
        for scope in resource.get("scopeSpans", ()):
            for span in scope.get("spans", ()):
                parent = span.get("parentSpanId")
                yield Span(
                    str(span.get("name", "")),
                    _id(bytes.fromhex(span["traceId"]), 16),
                    _id(bytes.fromhex(span["spanId"]), 8),
                    _id(bytes.fromhex(parent), 8) if parent else None,
                    int(span["startTimeUnixNano"]),
                    int(span["endTimeUnixNano"]),
                    _pairs(span),
                    service,
                    tuple(
                        (_id(bytes.fromhex(link["traceId"]), 16), _id(bytes.fromhex(link["spanId"]), 8))
                        for link in span.get("links", ())
                    ),
                )


def _pairs(holder: Mapping[str, Any]) -> dict[str, Value]:
    return {str(pair["key"]): _json_any(pair["value"]) for pair in holder.get("attributes", ())}


def _json_any(value: Mapping[str, Any]) -> Value:
    if "intValue" in value:
        return int(value["intValue"])
    if "arrayValue" in value:
        return [_json_any(item) for item in value["arrayValue"].get("values", ())]
    for kind, wanted in (("stringValue", str), ("boolValue", bool), ("doubleValue", (int, float))):
        if isinstance(value.get(kind), wanted):
            value_of_kind: Value = value[kind]
            return value_of_kind
    return None


def _service(attributes: Mapping[str, Value]) -> str:
    attribute = attributes.get("service.name")
    return attribute if isinstance(attribute, str) and not attribute.startswith("unknown_service") else ""


def _id(raw: bytes, size: int) -> bytes:
    if len(raw) != size or not any(raw):
        raise BadBody(400, "an id of a span is malformed")
    return raw
