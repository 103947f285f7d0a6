"""Spans of other tools, live: the same conventions as in their files, to the same rows.

Spans of one trace arrive in several requests, children before their parents. Each request writes what its
traces are known to hold so far; what comes later completes the rows. The spans of the latest traces are kept
in memory for that, up to a bound: a trace that goes on after it was forgotten joins by its ids only.
"""

from __future__ import annotations

import io
import threading
from collections import Counter, OrderedDict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final
from weakref import WeakKeyDictionary

from ragwheel.collector.bodies import check_depth
from ragwheel.importing import tools
from ragwheel.importing.containers.documents import read_json
from ragwheel.importing.containers.protobuf import read_protobuf
from ragwheel.importing.corpus import CorpusFile
from ragwheel.importing.records import ToolSpan, TraceFacts
from ragwheel.importing.rows import RowBuilder
from ragwheel.importing.run import ImportReport, write_trace
from ragwheel.importing.traces import assemble
from ragwheel.redaction import Redaction
from ragwheel.runtime import Runtime
from ragwheel.store.imported import writing_traces

__all__ = ["NOT_RETRIEVAL", "LiveTraces", "foreign_records", "is_envelope", "live_traces"]

KEPT_TRACES: Final = 1_000
KEPT_PASSAGES: Final = 100_000
WRITE_TIMEOUT_S: Final = 10.0
NOT_RETRIEVAL: Final = "not a span of ragwheel"
NO_USE: Final = "no retrieval in the trace so far"


def foreign_records(body: bytes, media: str, max_depth: int) -> list[dict[str, Any]]:
    """Return the records of a request, in whatever envelope it has.

    Raises:
        BadBody: it is nested too deeply.
    """
    unreadable: Counter[str] = Counter()
    if media.partition(";")[0].strip().lower() == "application/json":
        check_depth(body, max_depth)
        return list(read_json(io.BytesIO(body), unreadable, lambda _: None))
    return list(read_protobuf(body, unreadable))


class LiveTraces:
    """Takes spans of other tools into the database of a runtime."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._traces: OrderedDict[bytes, dict[bytes, ToolSpan]] = OrderedDict()
        self._facts: dict[bytes, list[TraceFacts]] = {}
        self._passages = 0

    def take(
        self, runtime: Runtime, records: Iterable[dict[str, Any]], own: frozenset[bytes]
    ) -> dict[str, int]:
        """Write what the records add to their traces; returns how many were rejected, by reason.

        ``own`` are the ids of spans that were taken as ragwheel's own.

        Raises:
            StoreError: it could not be written: the sender should try again.
        """
        rejected: Counter[str] = Counter()
        arrived: dict[bytes, Counter[str]] = {}
        with self._lock:
            for item in self._read(records, own, rejected):
                if isinstance(item, ToolSpan):
                    self._traces.setdefault(item.trace, {})[item.span] = item
                    self._passages += len(item.passages or ()) + len(item.documents_in or ())
                    arrived.setdefault(item.trace, Counter())[item.tool] += 1
                else:
                    self._traces.setdefault(item.trace, {})
                    self._facts.setdefault(item.trace, []).append(item)
                    arrived.setdefault(item.trace, Counter())
                self._traces.move_to_end(item.trace)
            if arrived:
                self._write(runtime, arrived, rejected)
            self._forget()
        return dict(rejected)

    @staticmethod
    def _read(
        records: Iterable[dict[str, Any]], own: frozenset[bytes], rejected: Counter[str]
    ) -> Iterator[ToolSpan | TraceFacts]:
        for record in records:
            name, items = tools.read(record)
            if name is None:
                rejected[NOT_RETRIEVAL] += 1
            for item in items:
                if isinstance(item, TraceFacts) or (isinstance(item, ToolSpan) and item.span not in own):
                    yield item

    def _write(self, runtime: Runtime, arrived: dict[bytes, Counter[str]], rejected: Counter[str]) -> None:
        settings = runtime.settings
        redaction = Redaction(settings.redact, settings.db) if settings.redact is not None else None
        rows = RowBuilder(CorpusFile({}), redaction, max_text_chars=settings.max_text_chars)
        report = ImportReport()
        with writing_traces(Path(settings.db), report.left_out, timeout_s=WRITE_TIMEOUT_S) as writer:
            for key, counts in arrived.items():
                trace = assemble(self._traces[key].values(), self._facts.get(key, ()), whole=False)
                if trace is None or not (trace.retrievals or trace.counts.total()):
                    foreign = counts.pop(tools.OTHER, 0)
                    rejected[NOT_RETRIEVAL] += foreign
                    rejected[NO_USE] += counts.total()
                    continue
                if trace.retrievals:
                    write_trace(trace, rows, writer, report)
                unusable = ("retrievals without documents", "retrievals without a query")
                rejected["a retrieval without documents or query"] += sum(trace.counts[r] for r in unusable)
        for reason in list(rejected):
            if not rejected[reason]:
                del rejected[reason]

    def _forget(self) -> None:
        while self._traces and (len(self._traces) > KEPT_TRACES or self._passages > KEPT_PASSAGES):
            key, spans = self._traces.popitem(last=False)
            self._facts.pop(key, None)
            self._passages -= sum(len(s.passages or ()) + len(s.documents_in or ()) for s in spans.values())


_live: WeakKeyDictionary[Runtime, LiveTraces] = WeakKeyDictionary()
_live_lock = threading.Lock()


def live_traces(runtime: Runtime) -> LiveTraces:
    """Return the traces that a runtime's collector is in the middle of."""
    with _live_lock:
        return _live.setdefault(runtime, LiveTraces())


def is_envelope(body: bytes) -> bool:
    """Whether a JSON body is no OTLP request in its own spelling, so that only the liberal one tells."""
    return b'"resourceSpans"' not in body[:4096]
