"""LangSmith: runs and feedback from its client, its bulk export or its ingestion API."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Final

from ragwheel.importing.keys import span_key, trace_key
from ragwheel.importing.passages import passages
from ragwheel.importing.records import Author, Feedback, Neutral, SpanKind, ToolSpan
from ragwheel.importing.tools.base import Tool, fill, identity_of, position_of
from ragwheel.importing.values import first, number, parse_loosely, scalar_text, time_ns

__all__ = ["LangSmith"]

_KINDS: Final[dict[str, SpanKind]] = {"retriever": "retriever", "llm": "llm", "chat_model": "llm"}
_AUTHORS: Final[dict[str, Author]] = {"app": "person", "model": "model", "auto_eval": "model"}


class LangSmith(Tool):
    """LangSmith. A run's ``session_id`` is its project; a person's session is in the metadata."""

    name: ClassVar[str] = "langsmith"
    title: ClassVar[str] = "LangSmith"
    looks_for: ClassVar[str] = "runs with run_type, feedback with run_id and key"

    def recognises(self, record: Mapping[str, Any]) -> bool:
        """Recognise runs and feedback."""
        return ("run_type" in record and "id" in record) or _is_feedback(record)

    def read(self, record: Mapping[str, Any]) -> Iterator[Neutral]:
        """Read a run and its child runs as spans, or feedback."""
        if _is_feedback(record):
            yield self._feedback(record)
            return
        run = self._run(record)
        if run is not None:
            yield run
        children = parse_loosely(record.get("child_runs"))
        for child in children if isinstance(children, list) else ():
            if isinstance(child, Mapping) and "id" in child:
                inherited = {"trace_id": first(record, ("trace_id", "id")), "parent_run_id": record["id"]}
                yield from self.read({**inherited, **{k: v for k, v in child.items() if v is not None}})

    def _run(self, record: Mapping[str, Any]) -> ToolSpan | None:
        parents = parse_loosely(record.get("parent_run_ids"))
        top = parents[0] if isinstance(parents, list) and parents else None
        span = span_key(record.get("id"))
        trace = trace_key(
            first(record, ("trace_id",)) or top or record.get("parent_run_id") or record.get("id")
        )
        if span is None or trace is None:
            return None
        extra = parse_loosely(record.get("extra"))
        metadata = extra.get("metadata") if isinstance(extra, Mapping) else None
        session, user = identity_of(metadata, record.get("metadata"))
        inputs, outputs = parse_loosely(record.get("inputs")), parse_loosely(record.get("outputs"))
        kind = _KINDS.get(str(record.get("run_type")).lower(), "other")
        if kind == "other" and _is_reranker(record, inputs, outputs):
            kind = "reranker"
        result = ToolSpan(
            self.name,
            trace,
            span,
            span_key(record.get("parent_run_id")),
            str(record.get("name") or "run"),
            kind,
            time_ns(record.get("start_time")),
            time_ns(record.get("end_time")),
            session=session,
            user=user,
            app=scalar_text(record.get("session_name")),
            version=scalar_text(first(metadata, ("revision_id", "version")))
            if isinstance(metadata, Mapping)
            else None,
            error="error" if record.get("error") else None,
        )
        fill(result, inputs, outputs)
        if str(record.get("run_type")).lower() == "tool":
            result.passages = passages(outputs)
        return result

    def _feedback(self, record: Mapping[str, Any]) -> Feedback:
        source = parse_loosely(record.get("feedback_source"))
        source = source if isinstance(source, Mapping) else {}
        _, subject = identity_of(source.get("metadata"), record.get("extra"))
        value = record.get("value")
        position = position_of(source.get("metadata"))
        return Feedback(
            self.name,
            str(first(record, ("id",)) or f"{record['run_id']}:{record['key']}"),
            str(record["key"]),
            trace=trace_key(record.get("trace_id")),
            span=span_key(record.get("run_id")),
            position=position,
            score=_score(record.get("score")),
            label=value if isinstance(value, str) else None,
            comment=scalar_text(record.get("comment")),
            author=_AUTHORS.get(str(source.get("type")), "unknown"),
            subject=subject or scalar_text(first(source, ("user_id", "ls_user_id"))),
            at_ns=time_ns(first(record, ("modified_at", "created_at"))),
            boolean=isinstance(record.get("score"), bool),
        )


def _score(value: Any) -> float | None:
    return float(value) if isinstance(value, bool) else number(value)


def _is_feedback(record: Mapping[str, Any]) -> bool:
    return {"run_id", "key"} <= record.keys() and bool({"score", "value", "comment"} & record.keys())


def _is_reranker(record: Mapping[str, Any], inputs: Any, outputs: Any) -> bool:
    """Return whether a step has the name of a re-ranker and takes and returns documents."""
    named = any(word in str(record.get("name")).lower() for word in ("rerank", "compress_documents"))
    return named and bool(passages(inputs)) and bool(passages(outputs))
