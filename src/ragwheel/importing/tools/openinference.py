"""Phoenix and any other tool that records OpenInference spans."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Final

from ragwheel.importing.containers.databases import TABLE
from ragwheel.importing.keys import span_key, trace_key
from ragwheel.importing.passages import complete, passages
from ragwheel.importing.records import Author, Feedback, Neutral, RetrievedPassage, SpanKind, ToolSpan
from ragwheel.importing.spans import RawSpan, raw_span
from ragwheel.importing.tools.base import SpanTool, answer_of_output, identity_of, question_of
from ragwheel.importing.values import first, number, parse_loosely, plain_text, scalar_text, time_ns, whole

__all__ = ["OpenInference", "document_list", "indexed"]

_KINDS: Final[dict[str, SpanKind]] = {"RETRIEVER": "retriever", "RERANKER": "reranker", "LLM": "llm"}
_AUTHORS: Final[dict[str, Author]] = {"HUMAN": "person", "LLM": "model", "CODE": "code"}


class OpenInference(SpanTool):
    """Arize Phoenix: REST responses, data frame, database, annotations; and OpenInference spans of others."""

    name: ClassVar[str] = "phoenix"
    title: ClassVar[str] = "Phoenix / OpenInference"
    looks_for: ClassVar[str] = "spans with openinference.span.kind, or annotations with annotator_kind"

    def recognises_span(self, span: RawSpan) -> bool:
        """Recognise a span by its OpenInference span kind."""
        return "openinference.span.kind" in span.attributes

    def read_span(self, span: RawSpan) -> Iterator[Neutral]:
        """Read a span; a retriever's documents are in ``retrieval.documents`` and ``output.value``."""
        values = span.attributes
        kind = _KINDS.get(str(values["openinference.span.kind"]).upper(), "other")
        session, user = values.get("session.id"), values.get("user.id")
        if not session or not user:
            inner_session, inner_user = identity_of(_below(values, "metadata"))
            session, user = session or inner_session, user or inner_user
        result = self.span(
            span,
            kind,
            question=question_of(values.get("input.value")),
            answer=_answer(values),
            session=None if session is None else str(session),
            user=None if user is None else str(user),
            version=scalar_text(first(values, ("metadata.version", "service.version"))),
            source=scalar_text(first(values, ("gen_ai.data_source.id", "metadata.data_source"))),
        )
        if kind == "retriever":
            _read_retriever(values, result)
        elif kind == "reranker":
            result.documents_in = document_list(values, "reranker.input_documents")
            result.passages = document_list(values, "reranker.output_documents")
            result.query = scalar_text(values.get("reranker.query")) or result.question
        elif kind == "llm":
            result.prompt = _prompt(values)
            result.answer = plain_text(indexed(values, "llm.output_messages"), answer=True) or result.answer
        else:
            result.documents_in = passages(values.get("input.value"))
            result.documents_out = passages(values.get("output.value"))
        yield result

    def recognises(self, record: Mapping[str, Any]) -> bool:
        """Recognise annotations from REST, GraphQL or the database, and the spans of the database."""
        return (
            str(record.get(TABLE, "")).startswith("phoenix.")
            or "annotator_kind" in record
            or ("spanId" in record and bool({"documentEvaluations", "spanAnnotations"} & record.keys()))
            or {"context.span_id", "document_position"} <= record.keys()
        )

    def read(self, record: Mapping[str, Any]) -> Iterator[Neutral]:
        """Read an annotation as feedback, or a row of the database."""
        if record.get(TABLE) == "phoenix.spans":
            span = raw_span({**record, "attributes": parse_loosely(record.get("attributes"))})
            if span is not None:
                span.resource.setdefault("service.name", record.get("project"))
                if "openinference.span.kind" not in span.attributes:
                    span.attributes["openinference.span.kind"] = record.get("span_kind") or "UNKNOWN"
                yield from self.read_span(span)
        elif "documentEvaluations" in record or "spanAnnotations" in record:
            yield from self._graphql(record)
        elif "document_position" in record and "document" in record:
            yield from self._document_row(record)
        else:
            yield self._annotation(record)

    def _document_row(self, record: Mapping[str, Any]) -> Iterator[Neutral]:
        """Read a row of ``get_retrieved_documents``, which is one passage of a retriever's span."""
        span, trace = span_key(record["context.span_id"]), trace_key(record.get("context.trace_id"))
        position = whole(record["document_position"])
        if span is None or trace is None or position is None:
            return
        row = {
            key.removeprefix("document_"): value
            for key, value in record.items()
            if key.startswith("document_")
        }
        listed = passages([{**row, "content": record["document"]}], texts=True)
        yield ToolSpan(
            self.name,
            trace,
            span,
            None,
            "retriever",
            "retriever",
            query=scalar_text(record.get("input")),
            passages=listed,
            part=position,
        )

    def _graphql(self, record: Mapping[str, Any]) -> Iterator[Neutral]:
        trace = record.get("trace")
        shared = {
            "span_id": record.get("spanId"),
            "trace_id": trace.get("traceId") if isinstance(trace, Mapping) else None,
        }
        for key in ("documentEvaluations", "spanAnnotations"):
            for item in record.get(key) or ():
                if isinstance(item, Mapping):
                    yield self._annotation({**item, **shared})

    def _annotation(self, record: Mapping[str, Any]) -> Feedback:
        values = {**record, **_below(dict(record), "result")}
        position = whole(first(values, ("document_position", "documentPosition")))
        metadata = parse_loosely(values.get("metadata"))
        _, subject = identity_of(metadata)
        author = _AUTHORS.get(str(first(values, ("annotator_kind", "annotatorKind"))).upper(), "unknown")
        span, trace = span_key(values.get("span_id")), trace_key(values.get("trace_id"))
        identifier = values.get("identifier") or ""
        name = str(first(values, ("name", "annotation_name", "annotationName")) or "")
        target = (span or trace or b"").hex()
        return Feedback(
            self.name,
            f"{target}:{'' if position is None else position}:{name}:{identifier}",
            name,
            trace=trace,
            span=span,
            position=position,
            score=number(values.get("score")),
            label=scalar_text(values.get("label")),
            comment=scalar_text(values.get("explanation")),
            author=author,
            subject=subject or scalar_text(values.get("user_id")),
            at_ns=time_ns(first(values, ("updated_at", "created_at"))),
        )


def _read_retriever(values: dict[str, Any], result: ToolSpan) -> None:
    listed = document_list(values, "retrieval.documents")
    whole_output = passages(values.get("output.value"), texts=listed is None)
    if listed is None and "gen_ai.retrieval.documents" in values:
        listed = passages(values["gen_ai.retrieval.documents"], texts=True)
    result.passages = complete(listed, whole_output)
    result.query = scalar_text(values.get("gen_ai.retrieval.query.text")) or result.question
    result.top_k = whole(first(values, ("gen_ai.retrieval.top_k", "gen_ai.request.top_k", "retrieval.top_k")))
    result.answer = None


def document_list(values: Mapping[str, Any], prefix: str) -> list[RetrievedPassage] | None:
    """Return the documents under a prefix, flattened by index or as one list; None if there are none."""
    listed = indexed(values, prefix)
    if listed is None:
        return None
    read = []
    for item in listed:
        plain = {key.removeprefix("document."): value for key, value in _flat_document(item).items()}
        metadata = parse_loosely(plain.get("metadata"))
        nested = _below(plain, "metadata")
        passage = passages(
            [{**plain, "metadata": metadata if isinstance(metadata, Mapping) else nested or None}], texts=True
        )
        read += passage or [RetrievedPassage()]
    return read


def indexed(values: Mapping[str, Any], prefix: str) -> list[Any] | None:
    """Return the list under a prefix: the value of ``prefix``, or one assembled from ``prefix.0.key`` etc."""
    if prefix in values:
        value = parse_loosely(values[prefix])
        return list(value) if isinstance(value, (list, tuple)) else None
    pattern = re.compile(re.escape(prefix) + r"\.(\d{1,4})\.(.+)")
    rows: dict[int, dict[str, Any]] = {}
    for key, value in values.items():
        if key.startswith(prefix):
            match = pattern.fullmatch(key)
            if match:
                rows.setdefault(int(match[1]), {})[match[2]] = value
    if not rows:
        return None
    # an item that a limit dropped leaves its position empty, so that the ranks stay right
    return [_unprefixed(rows.get(index, {})) for index in range(max(rows) + 1)]


def _unprefixed(row: dict[str, Any]) -> dict[str, Any]:
    return {key.removeprefix("message."): value for key, value in row.items()}


def _flat_document(item: Any) -> Mapping[str, Any]:
    item = parse_loosely(item)
    if not isinstance(item, Mapping):
        return {"content": item} if isinstance(item, str) else {}
    inner = item.get("document")
    return inner if isinstance(inner, Mapping) else item


def _below(values: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    whole_value = parse_loosely(values.get(prefix))
    nested = {k[len(prefix) + 1 :]: v for k, v in values.items() if k.startswith(prefix + ".")}
    return {**(whole_value if isinstance(whole_value, Mapping) else {}), **nested}


def _prompt(values: Mapping[str, Any]) -> str | None:
    messages = indexed(values, "llm.input_messages")
    texts = [plain_text(message) for message in messages or ()]
    return "\n".join(filter(None, texts)) or plain_text(values.get("input.value"))


def _answer(values: Mapping[str, Any]) -> str | None:
    return answer_of_output(values.get("output.value"))
