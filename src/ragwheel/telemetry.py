"""ragwheel's records as OpenTelemetry spans, for whatever exporters the app attaches.

The local store gets records directly, which costs the caller less than a tenth of a span with forty
documents. Spans are materialised from the same records, only when somebody is there to get them: ids,
ranks and scores alone, unless the app asked for content.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import Event, ReadableSpan, SpanProcessor
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, TraceFlags
from opentelemetry.trace.status import Status, StatusCode
from opentelemetry.util.types import AttributeValue

from ragwheel import semconv as sc
from ragwheel.errors import ConfigurationError
from ragwheel.journal.records import Retrieval, Signal, TurnRecord
from ragwheel.scores import lift_scores

__all__ = ["Exports", "retrieval_span", "signal_span", "turn_span"]

Attributes = dict[str, AttributeValue]
_EVALUATED: Final = {"thumbs_up": 1.0, "thumbs_down": 0.0}
_UNITS: Final = {"dwell": "s", "rating": "0-5"}


class Exports:
    """Hands finished spans to exporters (each behind a batch processor) and span processors.

    Args:
        targets: ``SpanExporter`` or ``SpanProcessor`` objects.
        content: let texts leave.
        app: becomes ``service.name``.

    Raises:
        ConfigurationError: something else is among the targets.
    """

    def __init__(self, targets: Sequence[Any], *, content: bool, app: str) -> None:
        self._content = content
        self._resource = Resource.create({SERVICE_NAME: app} if app else {})
        self._processors: list[SpanProcessor] = []
        for target in targets:
            if isinstance(target, SpanProcessor):
                self._processors.append(target)
            elif isinstance(target, SpanExporter):
                self._processors.append(BatchSpanProcessor(target))
            else:
                raise ConfigurationError(
                    f"configure(exporters=...): got a {type(target).__name__}, allowed: OpenTelemetry SpanExporter "
                    f"or SpanProcessor objects, e.g. OTLPSpanExporter()"
                )

    def retrieval(self, record: Retrieval, ids: list[str], texts: list[str]) -> None:
        """Export a retrieval or re-ranking."""
        self._end(retrieval_span(record, ids, texts, content=self._content, resource=self._resource))

    def turn(self, record: TurnRecord) -> None:
        """Export a turn. Every revision but the first is a span of its own with the same id."""
        self._end(turn_span(record, content=self._content, resource=self._resource))

    def signal(self, record: Signal) -> None:
        """Export a signal."""
        self._end(signal_span(record, content=self._content, resource=self._resource))

    def _end(self, span: ReadableSpan) -> None:
        for processor in self._processors:
            processor.on_end(span)

    def flush(self, timeout_s: float) -> bool:
        """True when every processor handed on what it had."""
        return all([processor.force_flush(int(timeout_s * 1000)) for processor in self._processors])

    def shutdown(self) -> None:
        """Flush and stop the processors."""
        for processor in self._processors:
            processor.shutdown()


def retrieval_span(
    record: Retrieval, ids: Sequence[str], texts: Sequence[str], *, content: bool, resource: Resource | None = None
) -> ReadableSpan:
    """The span ``retrieval {source}`` or ``rerank {source}`` of a record."""
    rerank = record.kind == 1
    attributes: Attributes = {
        sc.KIND: "RERANKER" if rerank else "RETRIEVER",
        sc.OPERATION: "rerank" if rerank else "retrieval",
        sc.DATA_SOURCE_ID: record.source,
        sc.TOP_K: record.n_returned if record.top_k is None else record.top_k,
        sc.RETRIEVER_NAME: record.name,
        sc.RETRIEVER_VERSION: record.version,
        sc.CAPTURE_K: record.capture_k,
        sc.N_RETURNED: record.n_returned,
        sc.DOCUMENTS: _documents(record, ids, texts, content),
    }
    if content:
        attributes[sc.INPUT_VALUE] = attributes[sc.QUERY] = record.query
    _about_people(attributes, record.session_id, record.user_id)
    for name, span_id in ((sc.TURN_ID, record.turn_id), (sc.OUTER_ID, record.outer_id)):
        if span_id is not None:
            attributes[name] = span_id.hex()
    if record.in_ranks is not None:
        attributes[sc.IN_RANKS] = [rank or 0 for rank in record.in_ranks]
    _outcome(attributes, record.error, record.flags)
    return _span(f"{'rerank' if rerank else 'retrieval'} {record.source}", record, attributes, resource)


def turn_span(record: TurnRecord, *, content: bool, resource: Resource | None = None) -> ReadableSpan:
    """The span ``turn {app}`` of a record."""
    attributes: Attributes = {sc.KIND: "CHAIN"}
    if content:
        for name, text in ((sc.INPUT_VALUE, record.query), (sc.OUTPUT_VALUE, record.answer)):
            if text is not None:
                attributes[name] = text
    if record.citations is not None:
        kept = record.citations if content else [{**c, "text": None} for c in record.citations]
        attributes[sc.CITATIONS] = json.dumps([{k: v for k, v in c.items() if v is not None} for c in kept])
    _about_people(attributes, record.session_id, record.user_id)
    _outcome(attributes, record.error, record.flags)
    return _span(f"turn {record.app}".rstrip(), record, attributes, resource)


def signal_span(record: Signal, *, content: bool, resource: Resource | None = None) -> ReadableSpan:
    """The span ``signal {kind}`` of a record, linked to its retrieval or turn."""
    found: dict[str, AttributeValue | None] = {
        sc.SIGNAL_KIND: record.kind,
        sc.SIGNAL_CHUNK: record.chunk,
        sc.SIGNAL_RANK: record.rank,
        sc.SIGNAL_VALUE: record.value,
        sc.SIGNAL_UNIT: _UNITS.get(record.kind),
        sc.SUBJECT: record.subject,
        sc.EVENT_ID: record.event_id,
        sc.OTHER: record.other,
        sc.QUERY: record.query if content else None,
    }
    attributes: Attributes = {name: value for name, value in found.items() if value is not None}
    score = record.value if record.kind == "rating" else _EVALUATED.get(record.kind)
    events = []
    if score is not None:
        evaluation: Attributes = {sc.EVALUATION_NAME: record.kind, sc.EVALUATION_SCORE: score}
        events.append(Event(sc.EVALUATION_EVENT, evaluation, record.at_ns))
    target = _context(record.trace_id, record.target_id)
    return ReadableSpan(
        f"signal {record.kind}",
        context=_context(record.trace_id, record.span_id),
        resource=resource or Resource.get_empty(),
        attributes=attributes,
        events=events,
        links=[Link(target)],
        kind=SpanKind.INTERNAL,
        start_time=record.at_ns,
        end_time=record.at_ns,
        instrumentation_scope=_scope(),
    )


def _documents(record: Retrieval, ids: Sequence[str], texts: Sequence[str], content: bool) -> str:
    """One JSON string ``[{"id", "score"}]``; no score at all unless every chunk has a finite one."""
    scores = record.scores
    if scores is None and record.metadata is not None:
        lifted = lift_scores(record.metadata)
        scores = lifted[1] if lifted is not None else None
    documents: list[dict[str, Any]] = [{"id": chunk} for chunk in ids]
    if scores is not None and None not in scores:
        for document, score in zip(documents, scores):
            document["score"] = score
    if content:
        for document, text in zip(documents, texts):
            document["content"] = text
    return json.dumps(documents, ensure_ascii=False, allow_nan=False)


def _about_people(attributes: Attributes, session_id: str | None, user_id: str | None) -> None:
    if session_id is not None:
        attributes[sc.SESSION_ID] = attributes[sc.CONVERSATION_ID] = session_id
    if user_id is not None:
        attributes[sc.USER_ID] = user_id


def _outcome(attributes: Attributes, error: str | None, flags: tuple[str, ...]) -> None:
    if error is not None:
        attributes[sc.ERROR_TYPE] = error
    if flags:
        attributes[sc.FLAGS] = list(flags)


def _scope() -> InstrumentationScope:
    from ragwheel import __version__

    return InstrumentationScope("ragwheel", __version__)


def _context(trace_id: bytes, span_id: bytes) -> SpanContext:
    return SpanContext(
        int.from_bytes(trace_id, "big"),
        int.from_bytes(span_id, "big"),
        is_remote=False,
        trace_flags=TraceFlags(TraceFlags.SAMPLED),
    )


def _span(name: str, record: Retrieval | TurnRecord, attributes: Attributes, resource: Resource | None) -> ReadableSpan:
    parent = _context(record.trace_id, record.parent_id) if record.parent_id is not None else None
    return ReadableSpan(
        name,
        context=_context(record.trace_id, record.span_id),
        parent=parent,
        resource=resource or Resource.get_empty(),
        attributes=attributes,
        kind=SpanKind.INTERNAL,
        status=Status(StatusCode.ERROR, record.error) if record.error else Status(StatusCode.UNSET),
        start_time=record.start_ns,
        end_time=record.start_ns + record.duration_ns,
        instrumentation_scope=_scope(),
    )
