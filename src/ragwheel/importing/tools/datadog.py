"""Datadog LLM Observability: spans as they are sent, and as its Export API returns them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Final

from ragwheel.importing.keys import span_key, trace_key
from ragwheel.importing.records import Feedback, Neutral, SpanKind, ToolSpan
from ragwheel.importing.tools.base import Tool, fill, identity_of
from ragwheel.importing.values import first, number, parse_loosely, scalar_text, time_ns

__all__ = ["Datadog"]

_SPAN_MARKS: Final = frozenset({"ml_app", "input", "output"})
_INNER_MARKS: Final = frozenset({"span_kind", "meta", "metric_type", "ml_app", "metrics"})
_JOIN_MARKS: Final = frozenset({"join_on", "span_id"})
_KINDS: Final[dict[str, SpanKind]] = {"retrieval": "retriever", "llm": "llm"}


class Datadog(Tool):
    """Datadog. Tags hold the app and the user; the Export API moves input and output into ``attributes``."""

    name: ClassVar[str] = "datadog"
    title: ClassVar[str] = "Datadog LLM Observability"
    looks_for: ClassVar[str] = "spans with meta.span.kind, or attributes with span_kind and ml_app"

    def recognises(self, record: Mapping[str, Any]) -> bool:
        """Recognise spans, and evaluation metrics that are joined to a span."""
        values = _values(record)
        meta = values.get("meta")
        return (
            (isinstance(meta, Mapping) and ("span" in meta or "kind" in meta))
            or ("span_kind" in values and "context" not in values and _SPAN_MARKS & values.keys() != set())
            or ("ml_app" in values and isinstance(values.get("spans"), list))
            or _holds_metrics(values)
            or ("metric_type" in values and "label" in values and _JOIN_MARKS & values.keys() != set())
        )

    def read(self, record: Mapping[str, Any]) -> Iterator[Neutral]:
        """Read a span with its evaluations, or an evaluation metric."""
        values = _values(record)
        if "metric_type" in values:
            yield self._metric(values)
            return
        if _holds_metrics(values):
            for metric in values["metrics"]:
                if isinstance(metric, Mapping) and self.recognises(metric):
                    yield self._metric(metric)
            return
        if isinstance(values.get("spans"), list):
            shared = {key: values[key] for key in ("ml_app", "session_id", "tags") if key in values}
            for span_record in values["spans"]:
                if isinstance(span_record, Mapping):
                    yield from self.read({**shared, **span_record})
            return
        meta = values.get("meta")
        meta = meta if isinstance(meta, Mapping) else values
        kind_holder = meta.get("span")
        kind_name = (
            first(kind_holder, ("kind",))
            if isinstance(kind_holder, Mapping)
            else first(meta, ("kind", "span_kind"))
        )
        trace, span = (
            trace_key(values.get("trace_id")),
            span_key(first(values, ("span_id",)) or record.get("id")),
        )
        if trace is None or span is None:
            return
        tags = _tags(values.get("tags"))
        session, user = identity_of(
            {k: v for k, v in values.items() if k == "session_id"}, tags, meta.get("metadata")
        )
        start = time_ns(first(values, ("start_ns", "start", "start_time", "timestamp")))
        duration = number(values.get("duration")) or 0.0
        kind = _KINDS.get(str(kind_name), "other")
        result = ToolSpan(
            self.name,
            trace,
            span,
            span_key(values.get("parent_id")),
            str(values.get("name") or "span"),
            kind,
            start,
            start + int(duration),
            session=session,
            user=user,
            app=scalar_text(values.get("ml_app")) or tags.get("ml_app"),
            version=tags.get("version"),
            error="error" if str(first(values, ("status",))) == "error" else None,
        )
        inputs, output = parse_loosely(meta.get("input")), parse_loosely(meta.get("output"))
        fill(result, inputs, output)
        yield result

    def _metric(self, values: Mapping[str, Any]) -> Feedback:
        joined = values.get("join_on")
        span_join = joined.get("span") if isinstance(joined, Mapping) else None
        target = span_join if isinstance(span_join, Mapping) else values
        tags = _tags(values.get("tags"))
        score = number(first(values, ("score_value", "boolean_value")))
        if isinstance(values.get("boolean_value"), bool):
            score = float(values["boolean_value"])
        return Feedback(
            self.name,
            str(first(values, ("id",)) or f"{target.get('span_id')}:{values['label']}"),
            str(values["label"]),
            trace_key(target.get("trace_id")),
            span_key(target.get("span_id")),
            score=score,
            label=scalar_text(values.get("categorical_value")),
            comment=scalar_text(values.get("reasoning")),
            subject=tags.get("user_id"),
            at_ns=time_ns(values.get("timestamp_ms")),
            boolean=values["metric_type"] == "boolean",
        )


def _values(record: Mapping[str, Any]) -> Mapping[str, Any]:
    inner = record.get("attributes")
    return inner if isinstance(inner, Mapping) and _INNER_MARKS & inner.keys() else record


def _holds_metrics(values: Mapping[str, Any]) -> bool:
    metrics = values.get("metrics")
    return isinstance(metrics, list) and any(isinstance(m, Mapping) and "metric_type" in m for m in metrics)


def _tags(value: Any) -> dict[str, str]:
    value = parse_loosely(value)
    if isinstance(value, Mapping):
        return {str(k): str(v) for k, v in value.items()}
    pairs = (str(tag).partition(":") for tag in value) if isinstance(value, list) else ()
    return {key: text for key, separator, text in pairs if separator}
