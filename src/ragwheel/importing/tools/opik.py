"""Opik: traces and spans of its export command, SDK and REST API."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Final

from ragwheel.importing.keys import span_key, trace_key
from ragwheel.importing.passages import passages
from ragwheel.importing.records import Author, Feedback, Neutral, SpanKind, ToolSpan, TraceFacts
from ragwheel.importing.tools.base import Tool, answer_of_output, fill, identity_of, position_of, question_of
from ragwheel.importing.values import first, number, parse_loosely, scalar_text, time_ns

__all__ = ["Opik"]

_TYPES: Final = frozenset({"general", "llm", "tool", "guardrail"})
_AUTHORS: Final[dict[str, Author]] = {"ui": "person", "online_scoring": "model"}
_MARKS: Final = frozenset(
    {
        "project_id",
        "project_name",
        "feedback_scores",
        "span_feedback_scores",
        "parent_span_id",
        "thread_id",
        "created_by",
        "total_estimated_cost",
        "llm_span_count",
        "guardrails_validations",
    }
)


class Opik(Tool):
    """Opik. Its LangChain tracer records documents as the input of the step after the retriever."""

    name: ClassVar[str] = "opik"
    title: ClassVar[str] = "Opik"
    looks_for: ClassVar[str] = (
        "spans with type general/llm/tool and trace_id, traces with feedback_scores or thread_id"
    )

    def recognises(self, record: Mapping[str, Any]) -> bool:
        """Recognise spans, traces and the envelope of its export command."""
        if isinstance(record.get("trace"), Mapping) and (
            "id" in record["trace"] or "input" in record["trace"]
        ):
            return True
        if "trace_id" in record:
            return str(record.get("type")) in _TYPES and ("input" in record or "output" in record)
        return (
            "id" in record
            and "start_time" in record
            and bool(_MARKS & record.keys())
            and "run_type" not in record
        )

    def read(self, record: Mapping[str, Any]) -> Iterator[Neutral]:
        """Read a span, or a trace with its scores."""
        inner = record.get("trace")
        if isinstance(inner, Mapping):
            yield from self._trace(inner)
            spans = parse_loosely(record.get("spans"))
            for span in spans if isinstance(spans, list) else ():
                if isinstance(span, Mapping):
                    yield from self._span({"trace_id": inner.get("id"), **span})
        elif "trace_id" in record:
            yield from self._span(record)
        else:
            yield from self._trace(record)

    def _trace(self, record: Mapping[str, Any]) -> Iterator[Neutral]:
        trace = trace_key(record.get("id"))
        if trace is None:
            return
        session, user = identity_of(record, record.get("metadata"))
        yield TraceFacts(
            self.name,
            trace,
            question_of(record.get("input")),
            answer_of_output(record.get("output")),
            session,
            user,
            app=scalar_text(record.get("project_name")),
            start_ns=time_ns(record.get("start_time")),
            end_ns=time_ns(record.get("end_time")),
        )
        yield from self._scores(record, trace, None)

    def _span(self, record: Mapping[str, Any]) -> Iterator[Neutral]:
        trace, span = trace_key(record.get("trace_id")), span_key(record.get("id"))
        if trace is None:
            return
        if span is None:
            span = span_key(repr(sorted(record.items(), key=str)))
        assert span is not None  # noqa: S101 - a text always gives a key
        inputs, outputs = parse_loosely(record.get("input")), parse_loosely(record.get("output"))
        session, user = identity_of(record.get("metadata"))
        kind = _kind(record, inputs, outputs)
        result = ToolSpan(
            self.name,
            trace,
            span,
            span_key(record.get("parent_span_id")),
            str(record.get("name") or "span"),
            kind,
            time_ns(record.get("start_time")),
            time_ns(record.get("end_time")),
            session=session,
            user=user,
            app=scalar_text(record.get("project_name")),
            error="error" if record.get("error_info") else None,
        )
        fill(result, inputs, outputs)
        yield result
        yield from self._scores(record, trace, span)

    def _scores(self, record: Mapping[str, Any], trace: bytes, span: bytes | None) -> Iterator[Neutral]:
        scores = parse_loosely(record.get("feedback_scores"))
        for item in scores if isinstance(scores, list) else ():
            if not isinstance(item, Mapping) or not item.get("name"):
                continue
            metadata = parse_loosely(item.get("metadata"))
            yield Feedback(
                self.name,
                f"{(span or trace).hex()}:{item['name']}:{item.get('created_by') or ''}",
                str(item["name"]),
                trace,
                span,
                position=position_of(metadata),
                score=number(item.get("value")),
                label=scalar_text(item.get("category_name")),
                comment=scalar_text(item.get("reason")),
                author=_AUTHORS.get(str(item.get("source")), "unknown"),
                subject=scalar_text(item.get("created_by")),
                at_ns=time_ns(first(item, ("last_updated_at", "created_at"))),
            )


def _kind(record: Mapping[str, Any], inputs: Any, outputs: Any) -> SpanKind:
    if record.get("type") == "llm":
        return "llm"
    name = str(record.get("name")).lower()
    documents = passages(outputs)
    if "rerank" in name and documents and passages(inputs):
        return "reranker"
    if documents and not passages(inputs) and question_of(inputs):
        return (
            "retriever"
            if record.get("type") == "tool" or any(w in name for w in ("retriev", "search", "bm25", "vector"))
            else "other"
        )
    return "other"
