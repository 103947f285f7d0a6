"""Langfuse: its OpenTelemetry spans, the observations, traces and scores of its API and blob exports."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Final

from ragwheel.importing.keys import span_key, trace_key
from ragwheel.importing.records import Author, Feedback, Neutral, SpanKind, ToolSpan, TraceFacts
from ragwheel.importing.spans import RawSpan
from ragwheel.importing.tools.base import (
    SpanTool,
    answer_of_output,
    fill,
    identity_of,
    position_of,
    question_of,
)
from ragwheel.importing.values import first, number, parse_loosely, scalar_text, time_ns

__all__ = ["Langfuse"]

_KINDS: Final[dict[str, SpanKind]] = {"RETRIEVER": "retriever", "RERANKER": "reranker", "GENERATION": "llm"}
_AUTHORS: Final[dict[str, Author]] = {"ANNOTATION": "person", "EVAL": "model"}


class Langfuse(SpanTool):
    """Langfuse, self-hosted or cloud."""

    name: ClassVar[str] = "langfuse"
    title: ClassVar[str] = "Langfuse"
    looks_for: ClassVar[str] = (
        "spans with langfuse.observation.type, observations with parent_observation_id, scores with data_type"
    )

    def recognises_span(self, span: RawSpan) -> bool:
        """Recognise the spans of Langfuse's SDKs."""
        return any(
            key.startswith(("langfuse.observation.", "langfuse.trace.", "langfuse.internal."))
            for key in span.attributes
        )

    def read_span(self, span: RawSpan) -> Iterator[Neutral]:
        """Read an observation, and what its span says about the trace."""
        values = span.attributes
        metadata = {
            k.rpartition(".")[2]: v
            for k, v in values.items()
            if k.startswith("langfuse.observation.metadata.")
        }
        session, user = identity_of(metadata)
        result = self.span(
            span,
            _kind(values.get("langfuse.observation.type", values.get("openinference.span.kind"))),
            session=scalar_text(first(values, ("session.id", "langfuse.session.id"))) or session,
            user=scalar_text(first(values, ("user.id", "langfuse.user.id"))) or user,
            version=scalar_text(first(values, ("langfuse.version", "langfuse.release"))),
        )
        fill(
            result,
            first(values, ("langfuse.observation.input", "input.value", "gen_ai.input.messages")),
            first(values, ("langfuse.observation.output", "output.value", "gen_ai.output.messages")),
        )
        yield result
        question, answer = values.get("langfuse.trace.input"), values.get("langfuse.trace.output")
        if question is not None or answer is not None:
            yield TraceFacts(
                self.name,
                span.trace,
                question=question_of(question),
                answer=answer_of_output(answer),
                app=result.app,
            )

    def recognises(self, record: Mapping[str, Any]) -> bool:
        """Recognise observations, traces and scores of the API or the blob export."""
        return _is_observation(record) or _is_score(record) or _is_trace(record)

    def read(self, record: Mapping[str, Any]) -> Iterator[Neutral]:
        """Read an observation as a span, a trace as facts, a score as feedback."""
        if _is_score(record):
            yield self._score(record)
        elif _is_observation(record):
            result = self._observation(record)
            if result is not None:
                yield result
        else:
            trace = trace_key(record.get("id"))
            if trace is not None:
                session, user = identity_of(record, record.get("metadata"))
                yield TraceFacts(
                    self.name,
                    trace,
                    question_of(record.get("input")),
                    answer_of_output(record.get("output")),
                    session,
                    user,
                    version=scalar_text(first(record, ("version", "release"))),
                    start_ns=time_ns(record.get("timestamp")),
                )

    def _observation(self, record: Mapping[str, Any]) -> ToolSpan | None:
        span, trace = span_key(record.get("id")), trace_key(first(record, ("trace_id", "traceId")))
        if span is None or trace is None:
            return None
        session, user = identity_of(record, record.get("metadata"))
        result = ToolSpan(
            self.name,
            trace,
            span,
            span_key(first(record, ("parent_observation_id", "parentObservationId"))),
            scalar_text(record.get("name")) or "observation",
            _kind(record.get("type")),
            time_ns(first(record, ("start_time", "startTime"))),
            time_ns(first(record, ("end_time", "endTime"))),
            session=session,
            user=user,
            version=scalar_text(record.get("version")),
            error="error" if record.get("level") == "ERROR" else None,
        )
        fill(result, record.get("input"), record.get("output"))
        return result

    def _score(self, record: Mapping[str, Any]) -> Feedback:
        kind = str(first(record, ("data_type", "dataType")) or "").upper()
        value = record.get("value")
        label = scalar_text(first(record, ("string_value", "stringValue"))) or (
            value if isinstance(value, str) else None
        )
        author = _AUTHORS.get(str(record.get("source")).upper(), "unknown")
        metadata = parse_loosely(record.get("metadata"))
        _, subject = identity_of(metadata)
        score = float(value) if isinstance(value, bool) else number(value)
        trace, span = _subject_of(record)
        return Feedback(
            self.name,
            str(record.get("id")),
            str(record.get("name") or ""),
            trace=trace,
            span=span,
            position=position_of(metadata),
            score=score,
            label=label if number(label) is None else None,
            comment=scalar_text(record.get("comment")),
            author=author,
            subject=subject or scalar_text(first(record, ("author_user_id", "authorUserId"))),
            at_ns=time_ns(first(record, ("timestamp", "updated_at", "created_at"))),
            boolean=kind == "BOOLEAN",
        )


def _subject_of(record: Mapping[str, Any]) -> tuple[bytes | None, bytes | None]:
    """Return the trace and observation of a score, from its own fields or from ``subject`` (the API's v3)."""
    subject = parse_loosely(record.get("subject"))
    if isinstance(subject, Mapping):
        if subject.get("kind") == "trace":
            return trace_key(subject.get("id")), None
        if subject.get("kind") == "observation":
            return trace_key(first(subject, ("traceId", "trace_id"))), span_key(subject.get("id"))
    return (
        trace_key(first(record, ("trace_id", "traceId"))),
        span_key(first(record, ("observation_id", "observationId"))),
    )


def _kind(value: Any) -> SpanKind:
    return _KINDS.get(str(value).upper(), "other")


def _is_observation(record: Mapping[str, Any]) -> bool:
    return (
        bool({"parent_observation_id", "parentObservationId"} & record.keys())
        or (
            str(record.get("type")).upper()
            in {*_KINDS, "SPAN", "EVENT", "CHAIN", "AGENT", "TOOL", "EMBEDDING", "EVALUATOR", "GUARDRAIL"}
            and "id" in record
            and bool({"traceId", "trace_name", "completion_start_time"} & record.keys())
        )
        or {"type", "trace_id", "id", "input", "environment", "level"} <= record.keys()
    )


def _is_score(record: Mapping[str, Any]) -> bool:
    return (
        bool({"data_type", "dataType"} & record.keys())
        and "name" in record
        and bool({"value", "string_value", "stringValue"} & record.keys())
    )


def _is_trace(record: Mapping[str, Any]) -> bool:
    return (
        "id" in record
        and "timestamp" in record
        and bool(
            {"user_id", "userId", "session_id", "sessionId", "release", "bookmarked", "public", "htmlPath"}
            & record.keys()
        )
        and not {"action_name", "query_id", "run_type"} & record.keys()
    )
