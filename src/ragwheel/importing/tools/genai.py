"""OpenTelemetry's semantic conventions for generative AI, of any instrumentation."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar, Final

from ragwheel.importing.passages import passages
from ragwheel.importing.records import Neutral, SpanKind
from ragwheel.importing.spans import RawSpan
from ragwheel.importing.tools.base import SpanTool, fill, question_of
from ragwheel.importing.values import all_text, first, plain_text, scalar_text, whole

__all__ = ["GenAI", "answer_of", "prompt_of"]

_CHAT: Final = frozenset({"chat", "text_completion", "generate_content"})


class GenAI(SpanTool):
    """OTel GenAI. Retrievals have ids and scores; ``--corpus`` adds missing texts."""

    name: ClassVar[str] = "otel-genai"
    title: ClassVar[str] = "OpenTelemetry GenAI"
    looks_for: ClassVar[str] = "spans with gen_ai.operation.name"

    def recognises_span(self, span: RawSpan) -> bool:
        """Recognise a span by any attribute of the conventions."""
        return any(key.startswith("gen_ai.") for key in span.attributes)

    def read_span(self, span: RawSpan) -> Iterator[Neutral]:
        """Read a retrieval, a model's call or a step."""
        values = _with_events(span)
        kind = _kind(str(values.get("gen_ai.operation.name")), values)
        result = self.span(
            span,
            kind,
            name=_name(span.name, kind, values),
            session=scalar_text(first(values, ("gen_ai.conversation.id", "session.id"))),
            user=scalar_text(first(values, ("user.id", "enduser.id"))),
            source=scalar_text(values.get("gen_ai.data_source.id")),
            top_k=whole(first(values, ("gen_ai.retrieval.top_k", "gen_ai.request.top_k"))),
        )
        if kind == "retriever":
            result.query = question_of(
                first(values, ("gen_ai.retrieval.query.text", "gen_ai.input.messages", "input.value"))
            )
            result.passages = passages(values.get("gen_ai.retrieval.documents"), texts=True)
        elif kind == "llm":
            result.prompt, result.answer = prompt_of(span), answer_of(span)
        else:
            inputs = ("gen_ai.input.messages", "input.value", "gen_ai.task.input")
            outputs = ("gen_ai.output.messages", "output.value", "gen_ai.task.output")
            fill(result, first(values, inputs), first(values, outputs))
        yield result


def _with_events(span: RawSpan) -> dict[str, Any]:
    """Return the attributes of the span, and those of its events that carry content."""
    values = dict(span.attributes)
    for event in span.events:
        for key, value in event["attributes"].items():
            if key.startswith("gen_ai."):
                values.setdefault(key, value)
    return values


def _kind(operation: str, values: dict[str, Any]) -> SpanKind:
    if operation in {"retrieval", "vector_db_retrieve"} or "gen_ai.retrieval.documents" in values:
        return "retriever"
    return "llm" if operation in _CHAT else "other"


def _name(name: str, kind: SpanKind, values: dict[str, Any]) -> str:
    """Return the retriever's name: the data source, or the part of the span's name after the operation."""
    if kind != "retriever":
        return name
    source = values.get("gen_ai.data_source.id")
    return str(source) if source else name.partition(" ")[2] or name


def prompt_of(span: RawSpan) -> str | None:
    """Return what a model was sent, from messages, indexed prompts or events."""
    values = _with_events(span)
    whole_prompt = all_text(first(values, ("gen_ai.input.messages", "gen_ai.prompt", "llm.prompts")))
    if whole_prompt:
        return whole_prompt
    texts = [str(v) for k, v in values.items() if k.startswith("gen_ai.prompt.") and k.endswith(".content")]
    return "\n".join(texts) or None


def answer_of(span: RawSpan) -> str | None:
    """Return what a model answered."""
    values = _with_events(span)
    return plain_text(
        first(
            values,
            ("gen_ai.output.messages", "gen_ai.completion", "gen_ai.completion.0.content", "llm.completions"),
        ),
        answer=True,
    )
