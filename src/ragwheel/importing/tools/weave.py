"""Weights & Biases Weave: calls with their feedback."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from ragwheel.importing.keys import span_key, trace_key
from ragwheel.importing.passages import passages
from ragwheel.importing.records import Feedback, Neutral, SpanKind, ToolSpan
from ragwheel.importing.tools.base import Tool, fill, identity_of
from ragwheel.importing.values import first, number, parse_loosely, scalar_text, time_ns

__all__ = ["Weave"]


class Weave(Tool):
    """Weave. A retriever is recognised by its operation's name; reactions are feedback of people."""

    name: ClassVar[str] = "weave"
    title: ClassVar[str] = "W&B Weave"
    looks_for: ClassVar[str] = "calls with op_name"

    def recognises(self, record: Mapping[str, Any]) -> bool:
        """Recognise calls."""
        return "op_name" in record and "trace_id" in record

    def read(self, record: Mapping[str, Any]) -> Iterator[Neutral]:
        """Read a call, and the feedback in its summary."""
        trace, span = trace_key(record["trace_id"]), span_key(record.get("id"))
        if trace is None or span is None:
            return
        inputs, output = parse_loosely(record.get("inputs")), parse_loosely(record.get("output"))
        attributes = parse_loosely(record.get("attributes"))
        session, user = identity_of(attributes, record.get("inputs"))
        name = str(record["op_name"]).rpartition("/op/")[2].partition(":")[0] or str(record["op_name"])
        kind = _kind(name, attributes, inputs, output)
        shown = first(attributes, ("lc_name",)) if isinstance(attributes, Mapping) else None
        result = ToolSpan(
            self.name,
            trace,
            span,
            span_key(record.get("parent_id")),
            str(shown or name),
            kind,
            time_ns(record.get("started_at")),
            time_ns(record.get("ended_at")),
            session=session,
            user=user or scalar_text(record.get("wb_user_id")),
            error="error" if record.get("exception") else None,
        )
        fill(result, inputs, output)
        yield result
        summary = parse_loosely(record.get("summary"))
        inner = summary.get("weave") if isinstance(summary, Mapping) else None
        items = inner.get("feedback") if isinstance(inner, Mapping) else None
        for item in items if isinstance(items, list) else ():
            if isinstance(item, Mapping):
                yield self._feedback(item, trace, span)

    def _feedback(self, item: Mapping[str, Any], trace: bytes, span: bytes) -> Feedback:
        payload = parse_loosely(item.get("payload"))
        payload = payload if isinstance(payload, Mapping) else {}
        kind = str(item.get("feedback_type") or "feedback")
        label = scalar_text(first(payload, ("emoji", "alias", "label")))
        person = kind.startswith(("wandb.reaction", "wandb.annotation"))
        key = str(item.get("id") or f"{span.hex()}:{kind}:{label}")
        return Feedback(
            self.name,
            key,
            kind,
            trace,
            span,
            score=number(first(payload, ("value", "score", "output"))),
            label=label,
            comment=scalar_text(first(payload, ("note", "comment"))),
            author="person" if person else "model",
            subject=scalar_text(first(item, ("wb_user_id", "creator"))),
            at_ns=time_ns(item.get("created_at")),
        )


def _kind(name: str, attributes: Any, inputs: Any, output: Any) -> SpanKind:
    inner = attributes.get("weave") if isinstance(attributes, Mapping) else None
    declared = inner.get("kind") if isinstance(inner, Mapping) else None
    if declared == "llm":
        return "llm"
    if declared == "search" or "retriev" in name.lower():
        return "retriever"
    return "retriever" if "search" in name.lower() and passages(output) and not passages(inputs) else "other"
