"""ragwheel's records as OpenTelemetry spans, for whatever exporters the app attaches.

The local store gets the records themselves, which costs the caller less than a tenth of a span with forty
documents. Spans are made from the same records only if the app has exporters. They carry ids, ranks and
scores; texts only if the app asks for content. docs/spans.md lists every attribute.
"""

from __future__ import annotations

import copy
import json
import os
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from opentelemetry.context import Context
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor
from opentelemetry.sdk.trace.export import SpanExporter
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, NonRecordingSpan, SpanContext, SpanKind, TraceFlags, set_span_in_context
from opentelemetry.trace.status import Status, StatusCode
from opentelemetry.util.types import AttributeValue

from ragwheel import semconv as sc
from ragwheel.errors import ConfigurationError
from ragwheel.export_queue import ExportQueue, within
from ragwheel.flags import examples_of, exploration_of, teams_of
from ragwheel.guard import guard
from ragwheel.journal.records import RetrievalRecord, SignalRecord, TurnRecord
from ragwheel.kinds import evaluation_score, unit_of
from ragwheel.scores import lift_scores

if TYPE_CHECKING:
    from opentelemetry.sdk._logs import LoggerProvider, LogRecordProcessor

__all__ = ["Exports", "retrieval_span", "signal_span", "turn_span"]

Attributes = dict[str, AttributeValue]
_BATCH: Final = 512
_BATCH_WITH_CONTENT: Final = 64
"""Spans per batch when they carry texts: collectors refuse a request beyond 64 MiB, and with it the batch."""


class Exports:
    """Pass finished spans to span exporters and processors, and evaluations to those of log records.

    All of these belong to the app: ragwheel never shuts them down, and the app may share and reuse them. With
    ``OTEL_SDK_DISABLED=true`` in the environment nothing is exported.

    Args:
        targets: ``SpanExporter``, ``SpanProcessor``, ``LogRecordExporter`` or ``LogRecordProcessor`` objects.
        content: whether exported spans carry texts.
        app: the app's name, exported as ``service.name``.

    Raises:
        ConfigurationError: a target is none of these.
    """

    def __init__(self, targets: Sequence[Any], *, content: bool, app: str) -> None:
        self._content = content
        self._resource = Resource.create({SERVICE_NAME: app} if app else {})
        self._processors: list[SpanProcessor] = []
        self._queues: list[ExportQueue] = []
        self._logs: LoggerProvider | None = None
        self._log_processors: list[LogRecordProcessor] = []
        self._busy: dict[int, threading.Thread] = {}
        if os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
            targets = [target for target in targets if not _is_target(target)]
        for target in targets:
            if isinstance(target, SpanProcessor):
                self._processors.append(target)
            elif isinstance(target, SpanExporter):
                queue = ExportQueue(target, batch=_BATCH_WITH_CONTENT if content else _BATCH)
                self._queues.append(queue)
            elif (logs := self._log_processor(target)) is not None:
                self._logs = self._logs or _logger_provider(self._resource)
                self._logs.add_log_record_processor(logs)
                self._log_processors.append(logs)
            else:
                raise ConfigurationError(
                    f"configure(exporters=...): got a {type(target).__name__}, allowed: OpenTelemetry "
                    f"SpanExporter, SpanProcessor, LogRecordExporter or LogRecordProcessor objects, "
                    f"e.g. OTLPSpanExporter()"
                )

    def retrieval(self, record: RetrievalRecord, ids: list[str], texts: list[str]) -> None:
        """Export a retrieval or re-ranking."""
        self._end(retrieval_span(record, ids, texts, content=self._content, resource=self._resource))

    def turn(self, record: TurnRecord) -> None:
        """Export a turn once it has ended. If something is added later, the same span is exported again."""
        if record.duration_ns:
            self._end(turn_span(record, content=self._content, resource=self._resource))

    def signal(self, record: SignalRecord) -> None:
        """Export a signal; a thumb or a rating is also exported as an evaluation."""
        self._end(signal_span(record, content=self._content, resource=self._resource))
        if self._logs is not None and evaluation_score(record.kind, record.value) is not None:
            _emit_evaluation(self._logs, record)

    def _log_processor(self, target: Any) -> LogRecordProcessor | None:
        """Return the processor for a log record exporter or processor, or None for any other object."""
        from opentelemetry.sdk._logs import LogRecordProcessor
        from opentelemetry.sdk._logs.export import LogRecordExporter

        if isinstance(target, LogRecordExporter):
            queue = ExportQueue(target, spans=False)
            self._queues.append(queue)
            return _queued_logs(queue)
        return target if isinstance(target, LogRecordProcessor) else None

    def _end(self, span: ReadableSpan) -> None:
        for queue in self._queues:
            if queue.takes_spans:
                queue.put(span)
        for processor in self._processors:
            _each(partial(processor.on_end, span))

    def flush(self, timeout_s: float) -> bool:
        """Return whether everything was exported within ``timeout_s`` seconds without a failure."""
        deadline = time.monotonic() + timeout_s
        done = True
        for queue in self._queues:
            done = queue.flush(deadline - time.monotonic()) and done
        processors: list[Any] = [*self._processors, *self._log_processors]
        for processor in processors:
            left_s = max(0.0, deadline - time.monotonic())
            act = partial(processor.force_flush, int(left_s * 1000))
            done = within(left_s, act, self._busy, id(processor)) and done
        return done

    def close(self, timeout_s: float) -> None:
        """Send what is queued and end our threads. The app's exporters stay open."""
        deadline = time.monotonic() + timeout_s
        for queue in self._queues:
            queue.close(deadline - time.monotonic())

    def after_fork_in_child(self) -> None:
        """Empty the queues in a forked child: the parent sends what they held."""
        for queue in self._queues:
            queue.reset()
        self._busy.clear()


def _each(act: Callable[[], Any]) -> Any:
    """Call ``act`` with each target; a failure of one does not affect the others."""
    try:
        return act()
    except Exception as exc:  # noqa: BLE001 - an exporter is not ours
        guard.caught("exporting a span", exc)
        return None


def _is_target(target: Any) -> bool:
    from opentelemetry.sdk._logs import LogRecordProcessor
    from opentelemetry.sdk._logs.export import LogRecordExporter

    return isinstance(target, (SpanExporter, SpanProcessor, LogRecordExporter, LogRecordProcessor))


def _queued_logs(queue: ExportQueue) -> LogRecordProcessor:
    """Return a processor that puts log records into the queue of an exporter."""
    from opentelemetry.sdk._logs import LogRecordProcessor, ReadableLogRecord, ReadWriteLogRecord

    class Queued(LogRecordProcessor):
        def on_emit(self, log_record: ReadWriteLogRecord) -> None:
            plain = copy.copy(log_record.log_record)
            plain.context = Context()  # which may be large
            queue.put(
                ReadableLogRecord(
                    log_record=plain,
                    resource=log_record.resource or Resource.get_empty(),
                    instrumentation_scope=log_record.instrumentation_scope,
                    limits=log_record.limits,
                )
            )

        def shutdown(self) -> None:
            """The queue is closed by itself."""

        def force_flush(self, timeout_millis: int = 30_000) -> bool:
            return True

    return Queued()


def _logger_provider(resource: Resource) -> LoggerProvider:
    from opentelemetry.sdk._logs import LoggerProvider

    return LoggerProvider(resource, shutdown_on_exit=False)


def retrieval_span(
    record: RetrievalRecord,
    ids: Sequence[str],
    texts: Sequence[str],
    *,
    content: bool,
    resource: Resource | None = None,
) -> ReadableSpan:
    """Return the span ``retrieval {source}`` or ``rerank {source}`` for a record."""
    operation = "rerank" if record.kind == 1 else "retrieval"
    explored = exploration_of(record.flags)
    attributes: dict[str, AttributeValue | None] = {
        sc.KIND: "RERANKER" if record.kind == 1 else "RETRIEVER",
        sc.OPERATION: operation,
        sc.DATA_SOURCE_ID: record.source,
        sc.TOP_K: record.top_k,
        sc.RETRIEVER_NAME: record.name,
        sc.RETRIEVER_VERSION: record.version or None,
        sc.CAPTURE_K: record.capture_k,
        sc.N_RETURNED: record.n_returned,
        sc.DOCUMENTS: _documents(record, ids, texts, content),
        sc.INPUT_VALUE: record.query if content else None,
        sc.QUERY: record.query if content else None,
        sc.TURN_ID: None if record.turn_id is None else record.turn_id.hex(),
        sc.OUTER_ID: None if record.outer_id is None else record.outer_id.hex(),
        sc.TEAMS: teams_of(record.flags),
        sc.EXPLORED: None if explored is None else str(explored),
        sc.IN_RANKS: None if record.in_ranks is None else tuple(rank or 0 for rank in record.in_ranks),
    }
    return _span(f"{operation} {record.source}", record, attributes, resource)


def turn_span(record: TurnRecord, *, content: bool, resource: Resource | None = None) -> ReadableSpan:
    """Return the span ``turn {app}`` for a record."""
    attributes: dict[str, AttributeValue | None] = {
        sc.KIND: "CHAIN",
        sc.INPUT_VALUE: record.query if content else None,
        sc.OUTPUT_VALUE: record.answer if content else None,
        sc.TURN_REASONING: record.reasoning if content else None,
        sc.CITATIONS: None if record.citations is None else _citations(record.citations, content),
        sc.TURN_REVISION: record.revision,
        sc.TURN_PROMPTED: None if record.prompted is None else json.dumps(record.prompted),
        sc.TURN_SHOWN: None if record.shown is None else json.dumps(record.shown),
        sc.FEWSHOT_EXAMPLES: examples_of(record.flags),
    }
    return _span(f"turn {record.app}".rstrip(), record, attributes, resource)


def signal_span(record: SignalRecord, *, content: bool, resource: Resource | None = None) -> ReadableSpan:
    """Return the span ``signal {kind}`` for a record, linked to its retrieval or turn."""
    attributes: dict[str, AttributeValue | None] = {
        sc.SIGNAL_KIND: record.kind,
        sc.SIGNAL_TARGET: "turn" if record.target else "retrieval",
        sc.SIGNAL_CHUNK: record.chunk,
        sc.SIGNAL_RANK: record.rank,
        sc.SIGNAL_VALUE: record.value,
        sc.SIGNAL_UNIT: unit_of(record.kind),
        sc.SUBJECT: record.subject,
        sc.EVENT_ID: record.event_id,
        sc.OTHER: record.other,
        sc.SIGNAL_REASON: record.reason if content else None,
        sc.QUERY: record.query if content else None,
        sc.SIGNAL_COMMENT: record.comment if content else None,
    }
    return ReadableSpan(
        f"signal {record.kind}",
        context=_context(record.trace_id, record.span_id),
        resource=resource or Resource.get_empty(),
        attributes=_without_none(attributes),
        links=[Link(_context(record.trace_id, record.target_id))],
        kind=SpanKind.INTERNAL,
        start_time=record.at_ns,
        end_time=record.at_ns,
        instrumentation_scope=InstrumentationScope(*_instrumentation()),
    )


def _emit_evaluation(logs: LoggerProvider, record: SignalRecord) -> None:
    """Emit the event ``gen_ai.evaluation.result`` in the context of the span that was judged."""
    from opentelemetry._logs import LogRecord

    judged = NonRecordingSpan(_context(record.trace_id, record.target_id))
    attributes: dict[str, AttributeValue | None] = {
        sc.EVALUATION_NAME: record.kind,
        sc.EVALUATION_SCORE: evaluation_score(record.kind, record.value),
        sc.SIGNAL_CHUNK: record.chunk,
        sc.SIGNAL_UNIT: unit_of(record.kind),
        sc.SUBJECT: record.subject,
        sc.EVENT_ID: record.event_id,
    }
    logs.get_logger(*_instrumentation()).emit(
        LogRecord(
            timestamp=record.at_ns,
            observed_timestamp=record.received_ns,
            context=set_span_in_context(judged, Context()),
            event_name=sc.EVALUATION_EVENT,
            attributes=_without_none(attributes),
        )
    )


def _documents(record: RetrievalRecord, ids: Sequence[str], texts: Sequence[str], content: bool) -> str:
    """Return the JSON string ``[{"id", "score"}]``, without scores unless every chunk has a finite one."""
    scores = record.scores
    if scores is None and record.metadata is not None:
        lifted = lift_scores(record.metadata)
        scores = lifted[1] if lifted is not None else None
    documents: list[dict[str, Any]] = [{"id": chunk} for chunk in ids]
    if scores is not None and None not in scores:
        for document, score in zip(documents, scores, strict=True):
            document["score"] = score
    if content:
        for document, text in zip(documents, texts, strict=True):
            document["content"] = _storable(text)
    return json.dumps(documents, ensure_ascii=False, allow_nan=False)


def _storable(text: str) -> str:
    """Return the text without lone surrogates and NUL, which some backends refuse."""
    return text.encode(errors="replace").decode().replace("\0", "\ufffd")


def _citations(citations: list[dict[str, Any]], content: bool) -> str:
    """Return the citations as JSON. Markers count as content, since they may be words of the answer."""
    hidden = set() if content else {"marker", "text"}
    kept = [{k: v for k, v in each.items() if v is not None and k not in hidden} for each in citations]
    return json.dumps(kept, ensure_ascii=False)


def _without_none(attributes: dict[str, AttributeValue | None]) -> Attributes:
    return {name: value for name, value in attributes.items() if value is not None}


def _instrumentation() -> tuple[str, str]:
    from ragwheel._version import __version__

    return "ragwheel", __version__


def _context(trace_id: bytes, span_id: bytes) -> SpanContext:
    return SpanContext(
        int.from_bytes(trace_id, "big"),
        int.from_bytes(span_id, "big"),
        is_remote=False,
        trace_flags=TraceFlags(TraceFlags.SAMPLED),
    )


def _span(
    name: str,
    record: RetrievalRecord | TurnRecord,
    attributes: dict[str, AttributeValue | None],
    resource: Resource | None,
) -> ReadableSpan:
    """Return a finished span with these attributes and those that retrievals and turns have in common."""
    attributes |= {
        sc.SESSION_ID: record.session_id,
        sc.CONVERSATION_ID: record.session_id,
        sc.USER_ID: record.user_id,
        sc.ERROR_TYPE: record.error,
        sc.FLAGS: record.flags or None,
    }
    return ReadableSpan(
        name,
        context=_context(record.trace_id, record.span_id),
        parent=None if record.parent_id is None else _context(record.trace_id, record.parent_id),
        resource=resource or Resource.get_empty(),
        attributes=_without_none(attributes),
        kind=SpanKind.INTERNAL,
        status=Status(StatusCode.ERROR, record.error) if record.error else Status(StatusCode.UNSET),
        start_time=record.start_ns,
        end_time=record.start_ns + record.duration_ns,
        instrumentation_scope=InstrumentationScope(*_instrumentation()),
    )
