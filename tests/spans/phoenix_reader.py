"""Run by the Python of the readers' environment: ragwheel's spans over OTLP into Phoenix's own conversion.

Prints what Phoenix would show of a retrieval, as JSON. Its server is not needed: ``phoenix/__init__.py``,
which imports it, is stepped over.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import sys
import threading
import types
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import ClassVar


def phoenix_conversion():
    """``phoenix.trace.otel.decode_otlp_span``."""
    package = types.ModuleType("phoenix")
    package.__path__ = list(importlib.util.find_spec("phoenix").submodule_search_locations)
    sys.modules["phoenix"] = package
    return importlib.import_module("phoenix.trace.otel").decode_otlp_span


class Collector(BaseHTTPRequestHandler):
    """Takes OTLP over HTTP and keeps the spans."""

    spans: ClassVar[list] = []

    def do_POST(self):
        from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

        request = ExportTraceServiceRequest.FromString(self.rfile.read(int(self.headers["Content-Length"])))
        self.spans += [s for r in request.resource_spans for scope in r.scope_spans for s in scope.spans]
        self.send_response(200)
        self.end_headers()

    def log_message(self, *args):
        """Say nothing."""


def main(db: str, content: bool) -> None:
    """Capture a turn, send its spans, print how Phoenix reads them."""
    from opentelemetry.exporter.otlp.proto.http import Compression
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    import ragwheel

    server = HTTPServer(("127.0.0.1", 0), Collector)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    exporter = OTLPSpanExporter(
        endpoint=f"http://127.0.0.1:{server.server_port}/v1/traces", compression=Compression.NoCompression
    )
    ragwheel.configure(db, exporters=[exporter], export_content=content)

    @ragwheel.retriever(source="kb")
    def search(query):
        return [{"id": n, "text": f"text {n}", "score": 1 - n / 100} for n in range(40)]

    with ragwheel.turn("the question", session_id="s1", user_id="u1") as turn:
        search("the query")
        turn.answer("the answer [1]")
    assert ragwheel.flush(30)
    server.shutdown()
    decode = phoenix_conversion()
    print(json.dumps([
        {"name": s.name, "kind": s.span_kind.value, "parent": s.parent_id, "span": s.context.span_id,
         "attributes": s.attributes}
        for s in map(decode, Collector.spans)
    ], default=str))  # fmt: skip


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2] == "content")
