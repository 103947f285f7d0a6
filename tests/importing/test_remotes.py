"""Traces read from running tools through their vendors' clients, which talk to servers of ours on loopback.

The servers here give back what the real ones do, as far as the clients ask for it: the REST answers of
Phoenix, and those of Langfuse as its API documents them.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from ragwheel.errors import ImportingError
from ragwheel.importing.remotes import SHORTEST, WINDOW_SPANS, _windows, is_address, parse

Answer = Callable[[str, dict[str, list[str]]], Any]


@pytest.fixture
def serve():
    """Start a server that answers GET with JSON; gives its ``host:port``."""
    servers = []

    def start(answer: Answer) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                parts = urlsplit(self.path)
                value = answer(parts.path, parse_qs(parts.query))
                body = json.dumps({"error": "none"} if value is None else value).encode()
                self.send_response(404 if value is None else 200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def test_spans_and_annotations_of_a_running_phoenix_are_those_of_its_files(
    serve, imported, write, phoenix_trace, tmp_path
):
    pytest.importorskip("phoenix.client", reason="pip install arize-phoenix-client")
    spans = [span for n in range(1, 4) for span in phoenix_trace(trace=f"{n:02x}", question=f"question {n}")]
    note = {"span_id": spans[0]["context"]["span_id"], "name": "user_feedback", "annotator_kind": "HUMAN",
            "result": {"score": 0, "explanation": "wrong"}, "id": "1", "source": "API", "identifier": "",
            "updated_at": "2026-11-28T09:00:00Z", "created_at": "2026-11-28T09:00:00Z"}  # fmt: skip

    def answer(path, query):
        if path == "/v1/projects/helpdesk/spans":
            low, high = query["start_time"][0], query["end_time"][0]
            inside = [span for span in spans if low <= span["start_time"] < high]
            at = int(query.get("cursor", ["0"])[0])
            page = inside[at : at + 2]
            return {"data": page, "next_cursor": str(at + 2) if at + 2 < len(inside) else None}
        if path == "/v1/projects/helpdesk/span_annotations":
            return {"data": [note] if note["span_id"] in query["span_ids"] else [], "next_cursor": None}
        return None

    host = serve(answer)
    report = imported(f"phoenix://{host}/helpdesk")
    assert (report.contents.spans, report.contents.feedback) == (6, 1)
    queries = (
        "SELECT retrieval_id, turn_id, query, n_chunks, start_ns FROM retrievals ORDER BY 1",
        "SELECT turn_id, query, answer, session_id, user_id, start_ns FROM turns ORDER BY 1",
        "SELECT turn_id, retrieval_id, rank FROM citations ORDER BY 1",
        "SELECT event_id, kind, comment, turn_id, subject FROM signals ORDER BY 1",
    )
    live = [imported.rows(query) for query in queries]
    imported.path = tmp_path / "file.db"
    imported(write("spans.jsonl", [*spans, note]))
    assert live == [imported.rows(query) for query in queries]
    assert all(live)
    assert not imported(f"phoenix://{host}/helpdesk").new
    with pytest.raises(ImportingError, match="no record"):
        imported(f"phoenix://{host}/helpdesk?since=2026-11-29")
    with pytest.raises(ImportingError, match=r"404 .*Nothing was imported"):
        imported(f"phoenix://{host}/other")


def test_windows_of_time_give_every_span_once_and_never_ask_for_more_than_fits():
    first = datetime(2026, 1, 1, tzinfo=timezone.utc)
    times = [first + timedelta(seconds=n) for n in range(5_000)] + [first + timedelta(days=90)] * 3_000
    limits = []

    def fetch(start, end, limit):
        limits.append(limit)
        return [{"n": n} for n, at in enumerate(times) if start <= at < end][:limit]

    batches = list(_windows(fetch, first, first + timedelta(days=100)))
    assert sorted(span["n"] for batch in batches for span in batch) == list(range(8_000))
    assert max(limits) == 2 * WINDOW_SPANS, "doubled only where one moment has more spans than fit"
    assert len(limits) < 200
    assert timedelta(milliseconds=1) == SHORTEST


def test_observations_and_scores_of_a_running_langfuse_are_paged_by_its_cursors(serve, imported, monkeypatch):
    pytest.importorskip("langfuse", reason="pip install langfuse")
    monkeypatch.setenv("LANGFUSE_PUBLIC_KEY", "pk-lf-1")
    monkeypatch.setenv("LANGFUSE_SECRET_KEY", "sk-lf-1")
    time = "2026-11-28T09:00:00.000Z"
    common = {"traceId": "ab" * 16, "startTime": time, "endTime": time, "projectId": "p",
              "level": "DEFAULT", "environment": "default", "sessionId": "s1", "userId": "u1"}  # fmt: skip
    documents = json.dumps([{"id": "reset", "content": "Open Settings.", "score": 0}])
    observations = [
        {**common, "id": "00000000000000a1", "parentObservationId": None, "type": "SPAN", "name": "ask",
         "input": '{"question": "how?"}', "output": '"So [1]."'},
        {**common, "id": "00000000000000a2", "parentObservationId": "00000000000000a1", "type": "RETRIEVER",
         "name": "kb", "input": '"how?"', "output": documents},
    ]  # fmt: skip
    score = {"projectId": "p", "name": "user-feedback", "source": "API", "timestamp": time, "createdAt": time,
             "updatedAt": time, "environment": "default", "comment": "thanks", "metadata": None,
             "configId": None, "authorUserId": None, "queueId": None}  # fmt: skip
    scores = [
        {**score, "id": "s1", "dataType": "BOOLEAN", "value": True,
         "subject": {"kind": "trace", "id": "ab" * 16}},
        {**score, "id": "s2", "dataType": "BOOLEAN", "value": False,
         "subject": {"kind": "observation", "id": "00000000000000a1", "traceId": "ab" * 16}},
    ]  # fmt: skip
    pages = {"/api/public/v2/observations": observations, "/api/public/v3/scores": scores}
    asked = []

    def answer(path, query):
        asked.append(path)
        if path not in pages:
            return None
        at = int(query.get("cursor", ["0"])[0])
        meta = {"limit": 1} | ({"cursor": str(at + 1)} if at + 1 < len(pages[path]) else {})
        return {"data": pages[path][at : at + 1], "meta": meta}

    report = imported(f"langfuse://{serve(answer)}")
    assert (report.contents.spans, report.contents.feedback) == (2, 2), asked
    assert imported.ranked() == {"how?": [(1, "reset", "Open Settings.", 0.0)]}
    assert imported.rows("SELECT answer, session_id, user_id, n_citations FROM turns") == [
        ("So [1].", "s1", "u1", 1)
    ]
    assert imported.rows("SELECT kind, comment FROM signals ORDER BY kind") == [
        ("thumbs_down", "thanks"), ("thumbs_up", "thanks"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("phoenix://localhost:6006", "PROJECT"),
        ("langfuse://cloud.langfuse.com/project", "no project"),
        ("phoenix://localhost/p?until=2026-01-01", "since="),
        ("phoenix://localhost/p?since=yesterday", "date like"),
        ("opik://localhost/p", "no tool"),
    ],
)
def test_an_address_that_is_none_is_refused_with_what_is_allowed(text, reason):
    with pytest.raises(ImportingError, match=reason):
        parse(text)


def test_an_address_says_the_protocol_or_it_follows_from_the_host():
    assert parse("phoenix://localhost:6006/a%20b").url == "http://localhost:6006"
    assert parse("phoenix://localhost:6006/a%20b").project == "a b"
    assert parse("phoenix://phoenix.example.org/p").url == "https://phoenix.example.org"
    assert parse("phoenix+http://phoenix.example.org/p").url == "http://phoenix.example.org"
    assert parse("langfuse://").url is None
    assert parse("phoenix:///p?since=2026-01-31").since == datetime(2026, 1, 31, tzinfo=timezone.utc)
    assert not is_address("traces.json")


def test_langfuse_without_keys_says_which_to_set(imported, monkeypatch):
    pytest.importorskip("langfuse", reason="pip install langfuse")
    monkeypatch.delenv("LANGFUSE_PUBLIC_KEY", raising=False)
    monkeypatch.setenv("LANGFUSE_SECRET_KEY", "sk")
    with pytest.raises(ImportingError, match="set LANGFUSE_PUBLIC_KEY"):
        imported("langfuse://localhost:1")
