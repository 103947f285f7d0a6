"""What a good engineer writes in an hour, and the yardstick: a span without any document.

By hand means an OpenTelemetry span, its documents as one JSON attribute, sqlite-utils behind it.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

from capture.peers.base import Peer, Retrieve

__all__ = ["HandBatch", "HandCommit", "SpanOnly"]


class SpanOnly(Peer):
    """A bare SDK span with ten attributes, no document, no processor."""

    retrievers = ("langchain", "plain")
    stores = False

    def setup(self) -> None:
        from opentelemetry.sdk.trace import TracerProvider

        self.tracer = TracerProvider().get_tracer("bench")

    def wrap(self, retrieve: Retrieve) -> Retrieve:
        tracer = self.tracer

        def search(query: str) -> list[Any]:
            with tracer.start_as_current_span("retrieval kb") as span:
                found = retrieve(query)
                span.set_attribute("openinference.span.kind", "RETRIEVER")
                span.set_attribute("input.value", query)
                span.set_attribute("gen_ai.operation.name", "retrieval")
                span.set_attribute("gen_ai.data_source.id", "kb")
                span.set_attribute("gen_ai.retrieval.top_k", 40)
                span.set_attribute("gen_ai.retrieval.query.text", query)
                span.set_attribute("session.id", "s-1")
                span.set_attribute("user.id", "u-1")
                span.set_attribute("retriever.version", "bm25-1")
                span.set_attribute("retrieval.n", len(found))
            return found

        return search


def _plain(document: Any) -> dict[str, Any]:
    if isinstance(document, dict):
        return document
    return {"id": document.id, "content": document.page_content, "metadata": document.metadata}


class HandCommit(Peer):
    """SimpleSpanProcessor: every span is inserted and committed before the caller goes on."""

    retrievers = ("langchain", "plain")
    batch: ClassVar[bool] = False

    def setup(self) -> None:
        from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
        from opentelemetry.sdk.trace.export import (
            BatchSpanProcessor,
            SimpleSpanProcessor,
            SpanExporter,
            SpanExportResult,
        )
        from sqlite_utils import Database

        db: Any = Database(sqlite3.connect(self.folder / "spans.db", check_same_thread=False))
        db.enable_wal()
        lock = threading.Lock()

        class Exporter(SpanExporter):
            def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
                rows = (
                    {
                        "span_id": f"{s.context.span_id:016x}",
                        "trace_id": f"{s.context.trace_id:032x}",
                        "name": s.name,
                        "start": s.start_time,
                        "end": s.end_time,
                        "attributes": json.dumps(dict(s.attributes or {})),
                    }
                    for s in spans
                )
                with lock:
                    db["spans"].insert_all(rows, pk="span_id")
                return SpanExportResult.SUCCESS

        self.provider = TracerProvider()
        self.provider.add_span_processor(
            BatchSpanProcessor(Exporter()) if self.batch else SimpleSpanProcessor(Exporter())
        )
        self.tracer = self.provider.get_tracer("bench")

    def wrap(self, retrieve: Retrieve) -> Retrieve:
        tracer = self.tracer

        def search(query: str) -> list[Any]:
            with tracer.start_as_current_span("retrieve") as span:
                found = retrieve(query)
                span.set_attribute("retrieval.query", query)
                span.set_attribute("retrieval.documents", json.dumps([_plain(d) for d in found]))
            return found

        return search

    def flush(self) -> None:
        self.provider.force_flush()

    def close(self) -> None:
        self.provider.shutdown()

    @classmethod
    def stored_at(cls, folder: Path) -> list[Path]:
        return sorted(folder.glob("spans.db*"))

    @classmethod
    def read(cls, folder: Path) -> Iterator[Any]:
        db = sqlite3.connect(folder / "spans.db", timeout=30)
        for (attributes,) in db.execute("SELECT attributes FROM spans"):
            yield json.loads(attributes)

    @classmethod
    def read_queries(cls, folder: Path) -> Iterator[str]:
        db = sqlite3.connect(folder / "spans.db", timeout=30)
        for (query,) in db.execute("SELECT json_extract(attributes, '$.\"retrieval.query\"') FROM spans"):
            yield query


class HandBatch(HandCommit):
    """BatchSpanProcessor with its defaults: a queue of 2,048 spans, exported by a thread."""

    batch = True
