"""MLflow: ``Trace.to_json``, ``search_traces`` as data frame or CSV, its SQLite store and its OTLP spans."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Final

from ragwheel.importing.containers.databases import TABLE
from ragwheel.importing.keys import span_key, trace_key
from ragwheel.importing.records import Author, Feedback, Neutral, SpanKind, TraceFacts
from ragwheel.importing.spans import RawSpan, raw_span
from ragwheel.importing.tools.base import SpanTool, answer_of_output, fill, identity_of, question_of
from ragwheel.importing.values import first, number, parse_loosely, scalar_text, time_ns, whole

__all__ = ["MLflow"]

_KINDS: Final[dict[str, SpanKind]] = {
    "RETRIEVER": "retriever",
    "RERANKER": "reranker",
    "LLM": "llm",
    "CHAT_MODEL": "llm",
}
_AUTHORS: Final[dict[str, Author]] = {
    "HUMAN": "person",
    "LLM_JUDGE": "model",
    "AI_JUDGE": "model",
    "CODE": "code",
}
_EXPECTED: Final = ("expected_retrieved_context", "expected_documents")


class MLflow(SpanTool):
    """MLflow Tracing. Attributes are JSON texts; spans have base64 ids, assessments hex ones."""

    name: ClassVar[str] = "mlflow"
    title: ClassVar[str] = "MLflow"
    looks_for: ClassVar[str] = "spans with mlflow.spanType, traces with trace_metadata or assessments"

    def recognises_span(self, span: RawSpan) -> bool:
        """Recognise a span by MLflow's own attributes."""
        return "mlflow.spanType" in span.attributes or "mlflow.traceRequestId" in span.attributes

    def read_span(self, span: RawSpan) -> Iterator[Neutral]:
        """Read a span, whose inputs and outputs may be encoded several times."""
        values = span.attributes
        kind = _KINDS.get(str(parse_loosely(values.get("mlflow.spanType"))).upper(), "other")
        request = parse_loosely(values.get("mlflow.traceRequestId"))
        if isinstance(request, str):
            span.trace = trace_key(request) or span.trace
        inputs, outputs = (
            parse_loosely(values.get("mlflow.spanInputs")),
            parse_loosely(values.get("mlflow.spanOutputs")),
        )
        session, user = identity_of(
            {k: parse_loosely(v) for k, v in values.items() if "." not in k}, values.get("metadata")
        )
        result = self.span(span, kind, session=session, user=user)
        fill(result, inputs, outputs)
        yield result

    def recognises(self, record: Mapping[str, Any]) -> bool:
        """Recognise trace infos, rows of ``search_traces`` and rows of the store."""
        return (
            str(record.get(TABLE, "")).startswith("mlflow.")
            or isinstance(record.get("info"), Mapping)
            or {"trace_id", "trace_metadata"} <= record.keys()
            or {"request_id", "trace"} <= record.keys()
            or {"trace_id", "spans", "assessments"} <= record.keys()
            or ("assessment_name" in record and "source" in record)
        )

    def read(self, record: Mapping[str, Any]) -> Iterator[Neutral]:
        """Read a trace with its spans and assessments, or a row of the store."""
        table = record.get(TABLE)
        if table == "mlflow.spans":
            yield from self._stored_span(record)
        elif table == "mlflow.assessments":
            yield from self._stored_assessment(record)
        elif table is not None:
            yield from self._facts({**record, "trace_id": record.get("request_id")})
        elif "assessment_name" in record:
            yield from self._assessments([record], record.get("trace_id"))
        else:
            yield from self._trace(record)

    def _trace(self, record: Mapping[str, Any]) -> Iterator[Neutral]:
        whole_trace = parse_loosely(record.get("trace"))
        if isinstance(whole_trace, Mapping) and "info" in whole_trace:
            record = {**record, "info": whole_trace["info"], "data": whole_trace.get("data")}
        info = parse_loosely(record.get("info"))
        info = info if isinstance(info, Mapping) else record
        yield from self._facts(info)
        data = parse_loosely(record.get("data"))
        spans = parse_loosely(data.get("spans") if isinstance(data, Mapping) else record.get("spans"))
        for item in spans if isinstance(spans, list) else ():
            item = parse_loosely(item)
            span = raw_span(item) if isinstance(item, Mapping) else None
            if span is not None and self.recognises_span(span):
                yield from self.read_span(span)
        assessments = parse_loosely(first(info, ("assessments",)) or record.get("assessments"))
        if isinstance(assessments, list):
            yield from self._assessments(assessments, first(info, ("trace_id", "request_id")))

    def _facts(self, info: Mapping[str, Any]) -> Iterator[Neutral]:
        trace = trace_key(first(info, ("trace_id", "request_id")))
        if trace is None:
            return
        metadata = parse_loosely(first(info, ("trace_metadata", "request_metadata"))) or {}
        metadata = metadata if isinstance(metadata, Mapping) else {}
        _, user = identity_of(info)
        yield TraceFacts(
            self.name,
            trace,
            question_of(
                first(metadata, ("mlflow.traceInputs",)) or first(info, ("request", "request_preview"))
            ),
            answer_of_output(
                first(metadata, ("mlflow.traceOutputs",)) or first(info, ("response", "response_preview"))
            ),
            scalar_text(metadata.get("mlflow.trace.session")) or scalar_text(info.get("session_id")),
            scalar_text(metadata.get("mlflow.trace.user")) or user,
            version=scalar_text(first(metadata, ("mlflow.modelId", "mlflow.source.git.commit"))),
            start_ns=time_ns(first(info, ("request_time", "timestamp_ms"))),
        )

    def _assessments(self, items: list[Any], trace_id: Any) -> Iterator[Neutral]:
        for item in items:
            item = parse_loosely(item)
            if not isinstance(item, Mapping) or item.get("valid") is False:
                continue
            expectation = parse_loosely(item.get("expectation"))
            if isinstance(expectation, Mapping):
                yield from self._expectation(item, expectation, trace_id)
                continue
            feedback = parse_loosely(item.get("feedback"))
            value = parse_loosely(feedback.get("value")) if isinstance(feedback, Mapping) else None
            yield self._feedback(item, value, trace_id)

    def _feedback(self, item: Mapping[str, Any], value: Any, trace_id: Any) -> Feedback:
        source = parse_loosely(item.get("source"))
        source = source if isinstance(source, Mapping) else {}
        metadata = parse_loosely(item.get("metadata"))
        position = whole(metadata.get("chunk_index")) if isinstance(metadata, Mapping) else None
        name = str(first(item, ("assessment_name", "name")) or "")
        author = _AUTHORS.get(str(source.get("source_type")).upper(), "unknown")
        return Feedback(
            self.name,
            str(first(item, ("assessment_id",)) or f"{trace_id}:{name}"),
            name,
            trace=trace_key(first(item, ("trace_id",)) or trace_id),
            span=span_key(item.get("span_id")),
            position=position,
            score=float(value) if isinstance(value, bool) else number(value),
            label=value if isinstance(value, str) and number(value) is None else None,
            comment=scalar_text(item.get("rationale")),
            author=author,
            subject=scalar_text(source.get("source_id")),
            at_ns=time_ns(first(item, ("last_update_time", "create_time", "last_updated_timestamp"))),
            boolean=isinstance(value, bool),
        )

    def _expectation(
        self, item: Mapping[str, Any], expectation: Mapping[str, Any], trace_id: Any
    ) -> Iterator[Neutral]:
        """Read the documents that a person expects to be retrieved, as feedback with the highest score."""
        serialized = parse_loosely(expectation.get("serialized_value"))
        value = parse_loosely(
            serialized.get("value") if isinstance(serialized, Mapping) else expectation.get("value")
        )
        base = self._feedback(item, None, trace_id)
        if base.name not in _EXPECTED or not isinstance(value, list):
            return
        for document in value:
            address = (
                first(document, ("doc_uri", "id", "doc_id")) if isinstance(document, Mapping) else document
            )
            if isinstance(address, str) and address:
                yield Feedback(
                    base.tool,
                    f"{base.key}:{address}",
                    base.name,
                    base.trace,
                    document=address,
                    score=1.0,
                    comment=base.comment,
                    author=base.author,
                    subject=base.subject,
                    at_ns=base.at_ns,
                    boolean=True,
                )

    def _stored_span(self, record: Mapping[str, Any]) -> Iterator[Neutral]:
        content = parse_loosely(record.get("content"))
        span = raw_span(content) if isinstance(content, Mapping) else None
        if span is not None:
            span.trace = trace_key(record.get("trace_id")) or span.trace
            span.attributes.setdefault("mlflow.spanType", record.get("type") or "UNKNOWN")
            request = span.attributes.get("mlflow.traceRequestId")
            if request is None:
                span.attributes["mlflow.traceRequestId"] = record.get("trace_id")
            yield from self.read_span(span)

    def _stored_assessment(self, record: Mapping[str, Any]) -> Iterator[Neutral]:
        value = parse_loosely(record.get("value"))
        source = {"source_type": record.get("source_type"), "source_id": record.get("source_id")}
        item = {
            **record,
            "source": source,
            "assessment_name": record.get("name"),
            "metadata": record.get("assessment_metadata"),
        }
        if record.get("valid") in {0, "0"}:
            return
        if record.get("assessment_type") == "expectation":
            yield from self._expectation(item, {"value": value}, record.get("trace_id"))
        else:
            yield self._feedback(item, value, record.get("trace_id"))
