"""Spans that leave through an OpenTelemetry Collector come back from the files that it writes."""

from __future__ import annotations

import base64
import http.server
import json
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing

import pytest
from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from ragwheel.importing import import_traces

APP = """
import sys
import ragwheel
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
ragwheel.configure(sys.argv[1], exporters=[OTLPSpanExporter(endpoint=sys.argv[2])], export_content=True)
@ragwheel.retriever(source="kb")
def search(query):
    return [{"id": f"c{n}", "text": f"text {n} on {query}", "score": 1 / n} for n in range(1, 6)]
for n in range(5):
    with ragwheel.turn(f"question {n}", user_id=f"u{n}", session_id="s") as turn:
        chunks = search(f"question {n}")
        turn.prompted(chunks)
        turn.answer("So it is [1].")
    ragwheel.signal(turn.retrievals[0].handle, "click", chunk="c2", event_id=f"e{n}")
ragwheel.flush(); ragwheel.shutdown()
"""


@pytest.fixture
def otel_collector(tmp_path):
    """A server that writes what it gets as a Collector's file exporter does: a line of OTLP a request."""
    lock = threading.Lock()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["content-length"]))
            with lock, (tmp_path / "traces.json").open("a") as file:
                file.write(
                    json.dumps(hexadecimal(MessageToDict(ExportTraceServiceRequest.FromString(body)))) + "\n"
                )
            with lock, (tmp_path / "traces.binpb").open("ab") as file:
                file.write(body)  # requests one after the other are one request: how protobuf merges
            self.send_response(200)
            self.send_header("content-type", "application/x-protobuf")
            self.end_headers()

        def log_message(self, *_args):
            """Keep the test's output clean."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/v1/traces"
    server.shutdown()
    thread.join()
    server.server_close()


def hexadecimal(value):
    """OTLP writes ids in JSON as hexadecimal digits, where protobuf's own mapping has base64."""
    if isinstance(value, list):
        return [hexadecimal(each) for each in value]
    if not isinstance(value, dict):
        return value
    ids = {"traceId", "spanId", "parentSpanId"}
    return {k: base64.b64decode(v).hex() if k in ids else hexadecimal(v) for k, v in value.items()}


@pytest.mark.parametrize("file", ["traces.json", "traces.binpb"])
def test_files_of_a_collector_hold_the_traffic(tmp_path, otel_collector, file):
    subprocess.run([sys.executable, "-c", APP, str(tmp_path / "app.db"), otel_collector], check=True)
    for _ in range(2):  # a second import of the same file adds nothing
        import_traces(tmp_path / "all.db", [tmp_path / file])
    with closing(sqlite3.connect(tmp_path / "all.db")) as connection:
        retrievals = connection.execute("SELECT query, user_id FROM retrievals ORDER BY query").fetchall()
        ranked = connection.execute("SELECT count(*) FROM impressions JOIN chunks USING (chunk_version)")
        assert ranked.fetchone() == (25,)
    assert retrievals == [(f"question {n}", f"u{n}") for n in range(5)]
