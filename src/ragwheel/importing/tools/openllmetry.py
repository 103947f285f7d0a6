"""OpenLLMetry (Traceloop): spans with ``traceloop.*`` attributes and its vector database clients."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Final

from ragwheel.importing.passages import passages
from ragwheel.importing.records import Neutral, RetrievedPassage, SpanKind
from ragwheel.importing.spans import RawSpan
from ragwheel.importing.tools.base import SpanTool, answer_of_output, identity_of, question_of
from ragwheel.importing.tools.genai import answer_of, prompt_of
from ragwheel.importing.values import first, parse_loosely, whole

__all__ = ["OpenLLMetry"]

_HIT_EVENTS: Final = frozenset({"db.query.result", "db.search.result"})


class OpenLLMetry(SpanTool):
    """OpenLLMetry. Inputs and outputs are JSON texts; vector databases record their hits as events."""

    name: ClassVar[str] = "openllmetry"
    title: ClassVar[str] = "OpenLLMetry"
    looks_for: ClassVar[str] = "spans with traceloop.* attributes, or db.system with query results as events"

    def recognises_span(self, span: RawSpan) -> bool:
        """Recognise a span by attributes of Traceloop or of a vector database client."""
        return any(key.startswith("traceloop.") for key in span.attributes) or _is_vector_db(span)

    def read_span(self, span: RawSpan) -> Iterator[Neutral]:
        """Read a span; a retriever is recognised by its operation, its name, or documents that it returns."""
        values = span.attributes
        inputs = parse_loosely(first(values, ("traceloop.entity.input", "gen_ai.task.input")))
        outputs = parse_loosely(first(values, ("traceloop.entity.output", "gen_ai.task.output")))
        association = {
            k.rpartition(".")[2]: v
            for k, v in values.items()
            if k.startswith("traceloop.association.properties.")
        }
        session, user = identity_of(
            association, inputs.get("metadata") if isinstance(inputs, Mapping) else None
        )
        kind = _kind(span, inputs, outputs)
        result = self.span(
            span,
            kind,
            name=str(
                first(values, ("traceloop.entity.name",)) or span.name.removeprefix("vector_db_retrieve ")
            ),
            session=session,
            user=user,
            app=span.service or association.get("app"),
            source=first(values, ("gen_ai.data_source.id", "db.collection.name", "db.vector.collection")),
            top_k=whole(
                first(values, ("gen_ai.retrieval.top_k", "gen_ai.request.top_k", "db.vector.query.top_k"))
            ),
        )
        if kind == "retriever":
            result.query = question_of(inputs) or values.get("gen_ai.retrieval.query.text")
            result.passages = passages(outputs, texts=True) or passages(
                values.get("gen_ai.retrieval.documents"), texts=True
            )
        elif kind == "vector_db":
            result.query = (
                values.get("db.query.text") if isinstance(values.get("db.query.text"), str) else None
            )
            result.passages = _hits(span.events)
        elif kind == "reranker":
            result.query, result.documents_in = question_of(inputs), passages(inputs)
            result.passages = passages(outputs)
        elif kind == "llm":
            result.prompt, result.answer = prompt_of(span), answer_of(span)
        else:
            result.question = question_of(_without_metadata(inputs))
            result.answer = answer_of_output(_without_metadata(outputs))
            result.documents_in = passages(_without_metadata(inputs))
            result.documents_out = passages(_without_metadata(outputs))
        yield result


def _without_metadata(value: Any) -> Any:
    if isinstance(value, Mapping):
        value = {k: v for k, v in value.items() if k not in {"tags", "metadata", "kwargs"}} or value
        if len(value) == 1:
            return next(iter(value.values()))
    return value


def _kind(span: RawSpan, inputs: Any, outputs: Any) -> SpanKind:
    values = span.attributes
    operation = str(values.get("gen_ai.operation.name"))
    if operation in {"retrieval", "vector_db_retrieve"}:
        return "retriever"
    if _is_vector_db(span):
        return "vector_db"
    if (
        "gen_ai.output.messages" in values
        or operation in {"chat", "text_completion"}
        or _has_completion(values)
    ):
        return "llm"
    name = f"{span.name} {values.get('traceloop.entity.name', '')}".lower()
    if "rerank" in name and passages(outputs):
        return "reranker"
    retrieves = any(word in name for word in ("retriev", "search", "vectorstore"))
    if (
        retrieves
        and isinstance(inputs, Mapping)
        and passages(outputs)
        and not passages(_without_metadata(inputs))
    ):
        return "retriever"
    return "other"


def _has_completion(values: Mapping[str, Any]) -> bool:
    return "gen_ai.completion.0.content" in values or "llm.request.type" in values


def _is_vector_db(span: RawSpan) -> bool:
    return "db.system" in span.attributes and (
        any(event["name"] in _HIT_EVENTS for event in span.events)
        or "db.vector.query.top_k" in span.attributes
        or span.name.lower().startswith(
            ("chroma", "pinecone", "qdrant", "weaviate", "milvus", "lancedb", "marqo")
        )
    )


def _hits(events: list[dict[str, Any]]) -> list[RetrievedPassage] | None:
    """Return the hits of a vector database, one per event; None if a call searched for several queries."""
    hits, queries = [], set()
    for event in events:
        if event["name"] not in _HIT_EVENTS:
            continue
        values = {
            k.removeprefix("db.query.result.").removeprefix("db.search.result."): v
            for k, v in event["attributes"].items()
        }
        queries.add(values.pop("db.search.query.id", None))
        entity = parse_loosely(values.pop("entity", None))  # Milvus: the requested fields
        values = {**(entity if isinstance(entity, Mapping) else {}), **values}
        hits += passages([values], texts=True) or [RetrievedPassage()]
    return hits if hits and len(queries) == 1 else None
