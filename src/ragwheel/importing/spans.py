"""OpenTelemetry spans in any envelope as :class:`RawSpan`.

Envelopes are OTLP in JSON or protobuf, ``ReadableSpan.to_json``, Phoenix's REST responses, data frame and
database, MLflow's spans, and Jaeger's JSON. Here ids, times and attributes are taken from the envelope; the
tools' modules interpret the attributes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from ragwheel.importing.containers.databases import TABLE
from ragwheel.importing.containers.documents import RESOURCE
from ragwheel.importing.keys import other_key, span_key, trace_key
from ragwheel.importing.values import flat, parse_loosely, time_ns, whole

__all__ = ["RawSpan", "raw_span"]

_ATTRIBUTE_LIMIT: Final = 128


@dataclass
class RawSpan:
    """A span: ids as bytes, times in Unix nanoseconds, attributes as one flat mapping with dotted keys.

    ``truncated`` is set if attributes were dropped on the way.
    """

    name: str
    trace: bytes
    span: bytes
    parent: bytes | None
    start_ns: int
    end_ns: int
    attributes: dict[str, Any]
    resource: dict[str, Any] = field(default_factory=dict)
    events: list[dict[str, Any]] = field(default_factory=list)
    error: str | None = None
    truncated: bool = False

    @property
    def service(self) -> str | None:
        """The app's name, unless the resource has only a default name."""
        name = self.resource.get("service.name")
        return name if isinstance(name, str) and name and not name.startswith("unknown_service") else None


def raw_span(record: Mapping[str, Any]) -> RawSpan | None:
    """Return the span in a record, or None if the record is no span."""
    if {"operationName", "spanID", "traceID"} <= record.keys():
        record = _of_jaeger(record)
    context = record.get("context")
    if not isinstance(context, Mapping):
        context = {"trace_id": record.get("context.trace_id"), "span_id": record.get("context.span_id")}
    trace = trace_key(
        _first(record, "traceId", "trace_id") or context.get("trace_id") or context.get("traceId")
    )
    span = span_key(_first(record, "spanId", "span_id") or context.get("span_id") or context.get("spanId"))
    attributes = _attributes_of(record)
    if attributes is None or not isinstance(record.get("name"), str):
        return None
    if trace is None or span is None:
        if not attributes or record.get(TABLE) is not None:
            return None
        span = other_key(repr(sorted(record.items())))  # a span without its ids is a trace of its own
        trace = trace or span.rjust(16, b"\1")
    kind = record.get("span_kind")
    if isinstance(kind, str) and kind and not kind.startswith("SPAN_KIND") and "." not in kind:
        attributes.setdefault("openinference.span.kind", kind)
    resource = record.get(RESOURCE) or record.get("resource") or {}
    dropped = whole(_first(record, "droppedAttributesCount", "dropped_attributes_count")) or 0
    return RawSpan(
        name=record["name"],
        trace=trace,
        span=span,
        parent=span_key(_first(record, "parentSpanId", "parent_span_id", "parent_id", "parentId")),
        start_ns=time_ns(
            _first(record, "startTimeUnixNano", "start_time_unix_nano", "start_time", "startTime")
        ),
        end_ns=time_ns(_first(record, "endTimeUnixNano", "end_time_unix_nano", "end_time", "endTime")),
        attributes=attributes,
        resource=flat(_pairs(resource.get("attributes"))) if isinstance(resource, Mapping) else {},
        events=_events(record.get("events")),
        error=_error(record),
        truncated=dropped > 0 or len(attributes) == _ATTRIBUTE_LIMIT,
    )


def _of_jaeger(record: Mapping[str, Any]) -> dict[str, Any]:
    """Read a span of Jaeger's UI or API: tags are attributes, logs are events, times are microseconds."""
    references = record.get("references") or ()
    parents = [
        r.get("spanID") for r in references if isinstance(r, Mapping) and r.get("refType") == "CHILD_OF"
    ]
    start = whole(record.get("startTime")) or 0
    attributes = _tags(record.get("tags"))
    logs = [log for log in record.get("logs") or () if isinstance(log, Mapping)]
    events = [{"attributes": _tags(log.get("fields"))} for log in logs]
    return {
        "name": record["operationName"],
        "trace_id": str(record["traceID"]).rjust(32, "0"),
        "span_id": str(record["spanID"]).rjust(16, "0"),
        "parent_span_id": str(parents[0]).rjust(16, "0") if parents and parents[0] else None,
        "start_time_unix_nano": start * 1000,
        "end_time_unix_nano": (start + (whole(record.get("duration")) or 0)) * 1000,
        "attributes": attributes,
        "events": [{**event, "name": event["attributes"].pop("event", "")} for event in events],
        "status_code": attributes.get("otel.status_code"),
    }


def _tags(value: Any) -> dict[str, Any]:
    """Return Jaeger's list of typed keys and values as a mapping."""
    tags = value if isinstance(value, list) else ()
    return {str(tag["key"]): tag.get("value") for tag in tags if isinstance(tag, Mapping) and "key" in tag}


def _first(record: Mapping[str, Any], *names: str) -> Any:
    return next((record[name] for name in names if record.get(name) is not None and record[name] != ""), None)


def _attributes_of(record: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the attributes as one flat mapping; None if the record has none."""
    if "attributes" in record:
        value = parse_loosely(record["attributes"])
        return flat(_pairs(value)) if isinstance(value, (Mapping, list)) else None
    columns = {k[len("attributes.") :]: v for k, v in record.items() if k.startswith("attributes.")}
    if columns:
        return flat(
            {key: parse_loosely(value) if key in _STRUCTURED else value for key, value in columns.items()}
        )
    if record.get(TABLE) is None and ("startTimeUnixNano" in record or "start_time_unix_nano" in record):
        return {}  # an OTLP span without attributes
    return None


_STRUCTURED: Final = frozenset(
    {"retrieval.documents", "metadata", "llm.input_messages", "llm.output_messages"}
)


def _pairs(value: Any) -> dict[str, Any]:
    """Return OTLP's list of keys and values, or a plain mapping, as a mapping."""
    if isinstance(value, Mapping):
        return dict(value)
    if not isinstance(value, list):
        return {}
    return {
        str(pair["key"]): _any_value(pair.get("value"))
        for pair in value
        if isinstance(pair, Mapping) and "key" in pair
    }


def _any_value(value: Any) -> Any:
    """Return the value of an OTLP ``AnyValue`` in either spelling; null fields are ignored."""
    if not isinstance(value, Mapping):
        return value
    for kind, inner in value.items():
        if inner is None:
            continue
        name = kind.replace("_", "").lower()
        if name == "intvalue":
            return whole(inner)
        if name == "arrayvalue":
            values = inner.get("values") if isinstance(inner, Mapping) else None
            return [_any_value(item) for item in values or ()]
        if name == "kvlistvalue":
            return _pairs(inner.get("values") if isinstance(inner, Mapping) else None)
        return inner
    return None


def _events(value: Any) -> list[dict[str, Any]]:
    value = parse_loosely(value)
    if not isinstance(value, (list, tuple)):
        return []
    return [
        {"name": str(event.get("name", "")), "attributes": flat(_pairs(event.get("attributes")))}
        for event in value
        if isinstance(event, Mapping)
    ]


def _error(record: Mapping[str, Any]) -> str | None:
    status = record.get("status")
    code = (
        status.get("code", status.get("status_code"))
        if isinstance(status, Mapping)
        else record.get("status_code")
    )
    if str(code).upper() not in {"2", "ERROR", "STATUS_CODE_ERROR", "STATUSCODE.ERROR"}:
        return None
    for event in _events(record.get("events")):
        name = event["attributes"].get("exception.type")
        if isinstance(name, str) and name:
            return name
    return "error"
