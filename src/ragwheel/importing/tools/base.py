"""The base classes of tools: a tool describes itself, recognises records and reads them.

To register a tool, list its class in :mod:`ragwheel.importing.tools`. Help, messages and documentation are
derived from its attributes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Final

from ragwheel.importing.passages import passages
from ragwheel.importing.records import Neutral, SpanKind, ToolSpan
from ragwheel.importing.spans import RawSpan
from ragwheel.importing.values import all_text, first, flat, parse_loosely, plain_text, scalar_text, whole

__all__ = [
    "SESSION_KEYS",
    "USER_KEYS",
    "SpanTool",
    "Tool",
    "answer_of_output",
    "fill",
    "identity_of",
    "position_of",
    "question_of",
]

SESSION_KEYS: Final = ("session_id", "sessionId", "thread_id", "conversation_id", "session.id", "chat_id")
USER_KEYS: Final = ("user_id", "userId", "user.id", "user", "enduser.id", "customer_id")


class Tool:
    """A tool whose exports can be imported.

    ``name`` is the name in reports and ids, ``title`` the tool's own name, and ``looks_for`` says by what its
    records are recognised.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    looks_for: ClassVar[str]

    def recognises(self, record: Mapping[str, Any]) -> bool:
        """Return whether a record that is no OpenTelemetry span is one of this tool."""
        raise NotImplementedError

    def read(self, record: Mapping[str, Any]) -> Iterator[Neutral]:
        """Yield the neutral records of a recognised record, if there are any."""
        raise NotImplementedError


class SpanTool(Tool):
    """A tool that records OpenTelemetry spans, recognised by their attributes."""

    def recognises_span(self, span: RawSpan) -> bool:
        """Return whether the attributes of a span follow this tool's conventions."""
        raise NotImplementedError

    def read_span(self, span: RawSpan) -> Iterator[Neutral]:
        """Yield the neutral records of a recognised span."""
        raise NotImplementedError

    def recognises(self, record: Mapping[str, Any]) -> bool:
        """Return False; a subclass may recognise records that are no spans."""
        return False

    def read(self, record: Mapping[str, Any]) -> Iterator[Neutral]:
        """Yield nothing; see :meth:`recognises`."""
        return iter(())

    def span(self, raw: RawSpan, kind: SpanKind, name: str | None = None, **values: Any) -> ToolSpan:
        """Return the neutral span with the ids and times of a raw one."""
        values.setdefault("app", raw.service)
        values.setdefault("error", raw.error)
        return ToolSpan(
            self.name,
            raw.trace,
            raw.span,
            raw.parent,
            name or raw.name,
            kind,
            raw.start_ns,
            raw.end_ns,
            truncated=raw.truncated,
            **values,
        )


def fill(result: ToolSpan, inputs: Any, outputs: Any) -> None:
    """Set what the input and output of a span mean for its kind."""
    inputs, outputs = parse_loosely(inputs), parse_loosely(outputs)
    if result.kind == "retriever":
        result.query, result.passages = question_of(inputs), passages(outputs, texts=True)
    elif result.kind == "reranker":
        result.query, result.documents_in = question_of(inputs), passages(inputs)
        result.passages = passages(outputs, texts=True)
    elif result.kind == "llm":
        result.prompt, result.answer = all_text(inputs), plain_text(outputs, answer=True)
    else:
        result.question, result.answer = question_of(inputs), answer_of_output(outputs)
        result.documents_in, result.documents_out = passages(inputs), passages(outputs)


def answer_of_output(value: Any) -> str | None:
    """Return the answer in the output of a step; documents in it are not part of the answer."""
    value = parse_loosely(value)
    if isinstance(value, Mapping):
        return plain_text({key: item for key, item in value.items() if not passages(item)}, answer=True)
    return None if passages(value) else plain_text(value, answer=True)


def identity_of(*holders: Any) -> tuple[str | None, str | None]:
    """Return (session, user), each from the first of the metadata mappings that has it."""
    session = user = None
    for holder in holders:
        values = parse_loosely(holder)
        if not isinstance(values, Mapping):
            continue
        session = session or scalar_text(first(values, SESSION_KEYS))
        user = user or scalar_text(first(values, (*USER_KEYS, "langfuse_user_id")))
        if session is None:
            session = scalar_text(values.get("langfuse_session_id"))
    return session, user


def position_of(metadata: Any) -> int | None:
    """Return the 0-based position of the document that feedback is about, from the feedback's metadata."""
    return whole(metadata.get("document_position")) if isinstance(metadata, Mapping) else None


def question_of(value: Any) -> str | None:
    """Return the question in the input of a retriever or chain; a text that is not JSON is the question."""
    value = parse_loosely(value)
    if isinstance(value, Mapping):
        value = {
            k: v
            for k, v in value.items()
            if k not in {"context", "documents", "docs", "chat_history", "history"}
        }
        nested = flat(value)
        for key in ("query", "question", "inputs.query", "inputs.question", "args.query", "kwargs.query"):
            text = nested.get(key)
            if isinstance(text, str):
                return text
    return plain_text(value)
