"""TruLens: its events as CSV, SQLite or OTLP spans, and the records of versions before OpenTelemetry."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Final

from ragwheel.importing.containers.databases import TABLE
from ragwheel.importing.keys import other_key, span_key, trace_key
from ragwheel.importing.passages import complete, passages
from ragwheel.importing.records import Feedback, Neutral, SpanKind, ToolSpan, TraceFacts
from ragwheel.importing.spans import RawSpan
from ragwheel.importing.tools.base import SpanTool, answer_of_output, question_of
from ragwheel.importing.values import (
    first,
    flat,
    number,
    parse_loosely,
    plain_text,
    scalar_text,
    time_ns,
    whole,
)

__all__ = ["TruLens"]

SCOPE: Final = "ai.observability."
_KINDS: Final[dict[str, SpanKind]] = {"retrieval": "retriever", "reranking": "reranker", "generation": "llm"}


class TruLens(SpanTool):
    """TruLens. Ids are decimal numbers, documents their ``str()``; scores are made by feedback functions."""

    name: ClassVar[str] = "trulens"
    title: ClassVar[str] = "TruLens"
    looks_for: ClassVar[str] = (
        "events with record_attributes and ai.observability.span_type, records with record_json"
    )

    def recognises_span(self, span: RawSpan) -> bool:
        """Recognise spans of TruLens's own scope."""
        return f"{SCOPE}span_type" in span.attributes or f"{SCOPE}record_id" in span.attributes

    def read_span(self, span: RawSpan) -> Iterator[Neutral]:
        """Read a span by its type; evaluations become feedback on the record."""
        values = span.attributes
        span.trace = trace_key(values.get(f"{SCOPE}record_id")) or span.trace
        kind_name = str(values.get(f"{SCOPE}span_type"))
        if kind_name.startswith("eval"):
            feedback = self._evaluation(span, kind_name)
            if feedback is not None:
                yield feedback
            return
        result = self.span(
            span,
            _KINDS.get(kind_name, "other"),
            name=_short(span.name),
            app=scalar_text(values.get(f"{SCOPE}app_name")) or span.service,
            version=scalar_text(values.get(f"{SCOPE}app_version")),
            session=scalar_text(
                first(values, ("gen_ai.conversation.id", f"{SCOPE}session_id", f"{SCOPE}conversation_id"))
            ),
        )
        _fill(values, result)
        yield result
        if kind_name == "record_root":
            yield TraceFacts(
                self.name,
                span.trace,
                question_of(values.get(f"{SCOPE}record_root.input")),
                plain_text(values.get(f"{SCOPE}record_root.output")),
                app=result.app,
                version=result.version,
            )

    def recognises(self, record: Mapping[str, Any]) -> bool:
        """Recognise rows of the events table, and records of older versions."""
        return (
            str(record.get(TABLE, "")).startswith("trulens.")
            or "record_attributes" in record
            or {"record_id", "record_json"} <= record.keys()
            or f"{SCOPE}span_type" in record
        )

    def read(self, record: Mapping[str, Any]) -> Iterator[Neutral]:
        """Read an event as a span; a record of an older version as the spans of its calls."""
        if "record_json" in record:
            yield from self._legacy_record(record)
        elif record.get(TABLE) == "trulens.feedbacks":
            yield self._legacy_feedback(record)
        else:
            span = _event_span(record)
            if span is not None:
                yield from self.read_span(span)

    def _evaluation(self, span: RawSpan, kind_name: str) -> Feedback | None:
        values = span.attributes
        score = number(
            first(values, (f"{SCOPE}{kind_name}.score", f"{SCOPE}eval.score", f"{SCOPE}eval_root.score"))
        )
        if kind_name != "eval_root" or score is None:
            return None  # the steps of an evaluation; its root carries the result
        return Feedback(
            self.name,
            span.span.hex(),
            str(first(values, (f"{SCOPE}eval.metric_name", f"{SCOPE}eval_root.metric_name")) or "evaluation"),
            trace=span.trace,
            score=score,
            comment=scalar_text(first(values, (f"{SCOPE}eval.explanation", f"{SCOPE}eval_root.explanation"))),
            author="model",
            at_ns=span.end_ns,
        )

    def _legacy_record(self, record: Mapping[str, Any]) -> Iterator[Neutral]:
        document = parse_loosely(record.get("record_json"))
        document = document if isinstance(document, Mapping) else {}
        trace = trace_key(record["record_id"])
        if trace is None:
            return
        start = time_ns(first(record, ("ts",)))
        question = question_of(first(record, ("input",)) or document.get("main_input"))
        yield TraceFacts(
            self.name,
            trace,
            question,
            plain_text(first(record, ("output",)) or document.get("main_output")),
            start_ns=start,
        )
        calls = document.get("calls")
        calls = [call for call in calls if isinstance(call, Mapping)] if isinstance(calls, list) else []
        stacks = [_stack(call) for call in calls]
        for stack, call in zip(stacks, calls):
            last = stack[-1] if stack else ("", "call", "call")
            words = f"{last[1]} {last[2]}".lower()
            retrieves = any(word in words for word in ("retriev", "search", "relevant_documents"))
            listed = passages(call.get("rets"), texts="retriev" in words)
            perf = parse_loosely(call.get("perf"))
            perf = perf if isinstance(perf, Mapping) else {}
            yield ToolSpan(
                self.name,
                trace,
                other_key(record["record_id"], *stack),
                _caller(stack, stacks, record["record_id"]),
                last[2] or "call",
                "retriever" if retrieves and listed is not None else "other",
                time_ns(perf.get("start_time")) or start,
                time_ns(perf.get("end_time")) or start,
                query=question_of(call.get("args")) or question,
                passages=listed if retrieves else None,
                question=question_of(call.get("args")),
                documents_out=listed,
            )

    def _legacy_feedback(self, record: Mapping[str, Any]) -> Feedback:
        return Feedback(
            self.name,
            str(record.get("feedback_result_id")),
            str(record.get("name") or "feedback"),
            trace=trace_key(record.get("record_id")),
            score=number(record.get("result")),
            author="model",
            at_ns=time_ns(record.get("last_ts")),
        )


def _stack(call: Mapping[str, Any]) -> tuple[tuple[str, str, str], ...]:
    """Return path, method and class of each call in the stack of an old record's call, outermost first."""
    stack = parse_loosely(call.get("stack"))
    frames = []
    for frame in stack if isinstance(stack, list) else ():
        method = parse_loosely(frame.get("method")) if isinstance(frame, Mapping) else None
        holder = method.get("obj") if isinstance(method, Mapping) else None
        owner = holder.get("cls") if isinstance(holder, Mapping) else None
        if isinstance(method, Mapping):
            name = owner.get("name") if isinstance(owner, Mapping) else None
            frames.append((str(frame.get("path")), str(method.get("name")), str(name or "")))
    return tuple(frames)


def _caller(stack: tuple[Any, ...], stacks: list[tuple[Any, ...]], record_id: Any) -> bytes | None:
    """Return the id of the innermost recorded call around a call."""
    outer = [other for other in stacks if len(other) < len(stack) and stack[: len(other)] == other]
    return other_key(record_id, *max(outer, key=len)) if outer else None


def _event_span(record: Mapping[str, Any]) -> RawSpan | None:
    """Return the span in a row of the events table, whose columns are JSON or Python dictionaries."""
    values = parse_loosely(record.get("record_attributes"))
    if not isinstance(values, Mapping):
        values = {k: v for k, v in record.items() if "." in k}
    values = flat(values)
    trace_column, span_column = parse_loosely(record.get("trace")), parse_loosely(record.get("record"))
    trace_column = trace_column if isinstance(trace_column, Mapping) else {}
    span_column = span_column if isinstance(span_column, Mapping) else {}
    trace = trace_key(trace_column.get("trace_id")) or trace_key(values.get(f"{SCOPE}record_id"))
    span = span_key(first(trace_column, ("span_id",)) or record.get("event_id"))
    if trace is None:
        return None
    resource = parse_loosely(record.get("resource_attributes"))
    return RawSpan(
        str(span_column.get("name") or values.get(f"{SCOPE}call.function") or "span"),
        trace,
        span or other_key(sorted(values.items(), key=str)),
        span_key(first(trace_column, ("parent_id",)) or span_column.get("parent_span_id")),
        time_ns(record.get("start_timestamp")),
        time_ns(record.get("timestamp")),
        values,
        flat(resource) if isinstance(resource, Mapping) else {},
        error="error" if "ERROR" in str(span_column.get("status")) else None,
    )


def _fill(values: Mapping[str, Any], result: ToolSpan) -> None:
    returned = first(values, (f"{SCOPE}call.return",))
    question = first(
        values, (f"{SCOPE}call.kwargs.query", f"{SCOPE}call.kwargs.input", f"{SCOPE}record_root.input")
    )
    if result.kind == "retriever":
        names = (f"{SCOPE}retrieval.retrieved_contexts", "gen_ai.retrieval.documents")
        contexts = passages(first(values, names), texts=True)
        result.passages = complete(contexts, passages(returned, texts=contexts is None))
        query = first(values, (f"{SCOPE}retrieval.query_text", "gen_ai.retrieval.query.text"))
        result.query = question_of(query if query is not None else question)
        result.top_k = whole(values.get(f"{SCOPE}retrieval.num_contexts"))
    elif result.kind == "reranker":
        result.query = question_of(first(values, (f"{SCOPE}reranking.query_text",)) or question)
        result.documents_in = passages(values.get(f"{SCOPE}reranking.input_context_texts"), texts=True)
        ranked = passages(first(values, (f"{SCOPE}reranking.output_context_texts",)) or returned, texts=True)
        scores = parse_loosely(values.get(f"{SCOPE}reranking.output_context_scores"))
        if ranked and isinstance(scores, list) and len(scores) == len(ranked):
            for passage, score in zip(ranked, scores):
                passage.score = number(score)
        result.passages = ranked
    elif result.kind == "llm":
        result.prompt, result.answer = scalar_text(question), plain_text(returned)
    else:
        result.question = question_of(question)
        result.documents_out = passages(returned)
        result.answer = answer_of_output(first(values, (f"{SCOPE}record_root.output",)) or returned)


def _short(name: str) -> str:
    """Return the class and method at the end of a dotted path, or only the class if it is a retriever."""
    parts = name.split(".")
    return parts[-2] if len(parts) > 1 and parts[-2][:1].isupper() else parts[-1]
