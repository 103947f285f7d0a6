"""Live spans of other tools, read by the same conventions as their exported files.

The spans of one trace arrive in several requests, children before parents, and the collector may be restarted
in between. Therefore they are kept on disk for a day (:mod:`ragwheel.store.pending`). Each request reads all
spans of its traces again and writes the rows that follow from them so far.
"""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import msgspec

from ragwheel.collector.bodies import check_depth
from ragwheel.importing import tools
from ragwheel.importing.containers.documents import read_json
from ragwheel.importing.containers.protobuf import read_protobuf
from ragwheel.importing.corpus import CorpusFile
from ragwheel.importing.records import RetrievedPassage, ToolSpan, TraceFacts
from ragwheel.importing.rows import RowBuilder
from ragwheel.importing.run import ImportReport, write_trace
from ragwheel.importing.traces import assemble
from ragwheel.redaction import Redaction
from ragwheel.runtime import Runtime
from ragwheel.store.imported import TraceWriter, writing_traces
from ragwheel.store.pending import PendingTraces, pending_traces

__all__ = ["NOT_RETRIEVAL", "foreign_records", "is_envelope", "take_foreign"]

WRITE_TIMEOUT_S: Final = 10.0
NOT_RETRIEVAL: Final = "not a span of ragwheel"
NO_USE: Final = "no retrieval in the trace so far"
UNUSABLE: Final = ("retrievals without documents", "retrievals without a query")
SPAN, FACTS = 0, 1

_encode: Final = msgspec.msgpack.Encoder().encode
_decode_span: Final = msgspec.msgpack.Decoder(ToolSpan).decode
_decode_facts: Final = msgspec.msgpack.Decoder(TraceFacts).decode


def foreign_records(body: bytes, media: str, max_depth: int) -> list[dict[str, Any]]:
    """Return the records of a request, in whatever envelope it has.

    Raises:
        BadBody: the request is nested too deeply.
    """
    unreadable: Counter[str] = Counter()
    if media.partition(";")[0].strip().lower() == "application/json":
        check_depth(body, max_depth)
        return list(read_json(io.BytesIO(body), unreadable, lambda _: None))
    return list(read_protobuf(body, unreadable))


def take_foreign(
    runtime: Runtime, records: Iterable[dict[str, Any]], own: frozenset[bytes]
) -> dict[str, int]:
    """Write what the records add to their traces; return how many records were rejected, by reason.

    Args:
        runtime: the runtime whose database and settings are used.
        records: the records of a request, see :func:`foreign_records`.
        own: the ids of the spans that were stored as ragwheel's own.

    Raises:
        StoreError: the rows could not be written; the sender should try again.
        OSError: the pending traces could not be written; the sender should try again.
    """
    settings = runtime.settings
    redaction = Redaction(settings.redact, settings.db) if settings.redact is not None else None
    rejected: Counter[str] = Counter()
    arrived: dict[bytes, Counter[str]] = {}
    waiting: list[tuple[bytes, int, bytes]] = []
    for record in records:
        name, items = tools.read(record)
        rejected[NOT_RETRIEVAL] += name is None
        for item in items:
            if isinstance(item, ToolSpan):
                if item.span in own:
                    continue
                arrived.setdefault(item.trace, Counter())[item.tool] += 1
            elif isinstance(item, TraceFacts):
                arrived.setdefault(item.trace, Counter())
            else:
                rejected["a score of another tool: import it from a file"] += 1
                continue
            if redaction is not None:
                _redact(item, redaction)
            waiting.append((item.trace, SPAN if isinstance(item, ToolSpan) else FACTS, _encode(item)))
    if arrived:
        # the texts are redacted already; only the ids that are made from texts are still missing
        identity = None if redaction is None else Redaction(str, settings.db)
        rows = RowBuilder(CorpusFile({}), identity, max_text_chars=settings.max_text_chars)
        report = ImportReport()
        db = Path(settings.db)
        with (
            writing_traces(db, report.left_out, timeout_s=WRITE_TIMEOUT_S) as writer,
            pending_traces(db) as pending,
        ):
            pending.add(waiting)
            for trace, counts in arrived.items():
                rejected += _write(trace, counts, pending, (rows, writer, report))
    return {reason: n for reason, n in rejected.items() if n}


def _write(
    key: bytes,
    arrived: Counter[str],
    pending: PendingTraces,
    writing: tuple[RowBuilder, TraceWriter, ImportReport],
) -> Counter[str]:
    """Write the rows of a trace so far; return how many of its new spans cannot be used, by reason."""
    records = pending.of_trace(key)
    spans = [_decode_span(raw) for kind, raw in records if kind == SPAN]
    facts = [_decode_facts(raw) for kind, raw in records if kind == FACTS]
    trace = assemble(spans, facts, whole=False)
    if trace is None or not (trace.retrievals or trace.counts.total()):
        of_tools = arrived.total() - arrived[tools.OTHER]
        return Counter({NOT_RETRIEVAL: arrived[tools.OTHER], NO_USE: of_tools})
    if trace.retrievals:
        rows, writer, report = writing
        write_trace(trace, rows, writer, report, live=True)
    return Counter({"a retrieval without documents or query": sum(trace.counts[r] for r in UNUSABLE)})


def _redact(item: ToolSpan | TraceFacts, redaction: Redaction) -> None:
    """Redact every text of a record that is about to be written to disk."""
    item.question = None if item.question is None else redaction.text(item.question)
    item.answer = None if item.answer is None else redaction.text(item.answer)
    if isinstance(item, TraceFacts):
        return
    item.query = None if item.query is None else redaction.text(item.query)
    item.prompt = None if item.prompt is None else redaction.text(item.prompt)
    for passages in (item.passages, item.documents_in, item.documents_out):
        for passage in passages or ():
            _redact_passage(passage, redaction)


def _redact_passage(passage: RetrievedPassage, redaction: Redaction) -> None:
    passage.text = None if passage.text is None else redaction.text(passage.text)
    passage.metadata = None if passage.metadata is None else redaction.value(passage.metadata)


def is_envelope(body: bytes) -> bool:
    """Return whether a JSON body is not a standard OTLP request, so that the lenient reader must be used."""
    return b'"resourceSpans"' not in body[:4096]
