"""Spans that another service exports become the rows that it would have written itself."""

from __future__ import annotations

import contextlib
import json

import httpx
import pytest
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

import ragwheel
from ragwheel import collector
from ragwheel.errors import ConfigurationError
from ragwheel.store import open_store
from ragwheel.testing.serving import served

TOKEN = "a-token-of-enough-characters"
AUTHORIZED = {"Authorization": f"Bearer {TOKEN}"}
VIEWS = {
    "retrievals": "retrieval_id, trace_id, turn_id, kind, source, retriever, version, query, session_id, "
    "user_id, start_ns, duration_ns, top_k, capture_k, n_chunks, n_returned, error, flags",
    "turns": "turn_id, trace_id, query, answer, reasoning, session_id, user_id, start_ns, error, flags",
    "impressions": "retrieval_id, turn_id, rank, source, chunk_id, score",
    "chunks": "source, chunk_id, text, content_hash",
    "citations": "turn_id, position, marker, retrieval_id, rank, source, chunk_id, cited_text, method",
}


def rows(db, view, columns):
    with contextlib.closing(open_store(db)) as connection:
        return sorted(connection.execute(f"SELECT {columns} FROM {view}").fetchall(), key=repr)


def a_service(db, url, **more):
    """A service that records in a store of its own and exports everything."""
    exporter = OTLPSpanExporter(endpoint=f"{url}/v1/traces", headers=AUTHORIZED)
    ragwheel.configure(db, app="shop", exporters=[exporter], export_content=True, **more)

    @ragwheel.retriever(name="kb", source="docs", version="bm25-1")
    def search(query):
        if query == "boom":
            raise LookupError(query)
        return [{"id": f"c{n}", "text": f"text {n} of {query}", "score": 1 / n} for n in (1, 2, 3)]

    @ragwheel.reranker(name="better", source="docs")
    def rerank(query, chunks):
        return chunks[::-1]

    with ragwheel.turn("what is tea?", session_id="s1", user_id="u1") as turn:
        rerank("what is tea?", search("what is tea?"))
        turn.answer("Leaves [1], really [2] [9].", reasoning="The first two say so.")
    with pytest.raises(LookupError):
        search("boom")
    assert ragwheel.signal(turn.retrievals[0].handle, "click", chunk="c1", event_id="e1")
    assert ragwheel.signal(turn.handle, "convert", value=9.5)
    assert ragwheel.flush(20)


def test_a_store_is_the_same_on_the_other_side(tmp_path):
    there = tmp_path / "there.db"
    ragwheel.configure(there)
    runtime_here = collector.traces_app(there, token=TOKEN)
    with served(runtime_here) as url, httpx.Client(base_url=url, headers=AUTHORIZED, timeout=120) as http:
        kept = []
        a_service(tmp_path / "here.db", url)
        for view, columns in VIEWS.items():
            kept.append((rows(tmp_path / "here.db", view, columns), rows(there, view, columns)))
        assert (
            http.post("/v1/traces", content=b"", headers={"Content-Type": "application/x-protobuf"}).content
            == b""
        )
    for here, other in kept:
        assert here
        assert here == other
    signals = "kind, retrieval_id, turn_id, chunk_id, value, event_id, subject, at_ns"
    assert rows(tmp_path / "here.db", "signals", signals) == rows(there, "signals", signals)


DOCUMENTS = [{"id": "a", "content": "A", "score": 0.5}, {"id": "b", "content": "B"}]
TEXTS = {
    "openinference.span.kind": "RETRIEVER",
    "gen_ai.data_source.id": "docs",
    "gen_ai.retrieval.query.text": "tea?",
    "gen_ai.retrieval.documents": json.dumps(DOCUMENTS),
}
RETRIEVAL = {
    "traceId": "5b8efff798038103d269b633813fc60c",
    "spanId": "eee19b7ec3c1b174",
    "name": "retrieval docs",
    "startTimeUnixNano": "1700000000000000000",
    "endTimeUnixNano": 1700000000005000000,
    "attributes": [
        *({"key": name, "value": {"stringValue": text}} for name, text in TEXTS.items()),
        {"key": "gen_ai.retrieval.top_k", "value": {"intValue": "2"}},
        {"key": "ragwheel.flags", "value": {"arrayValue": {"values": [{"stringValue": "nul"}]}}},
    ],
}
FOREIGN = {**RETRIEVAL, "spanId": "eee19b7ec3c1b175", "name": "GET /", "attributes": []}
SHOP = {"attributes": [{"key": "service.name", "value": {"stringValue": "shop"}}]}
OTLP_JSON = {"resourceSpans": [{"resource": SHOP, "scopeSpans": [{"spans": [RETRIEVAL, FOREIGN]}]}]}


@pytest.fixture
def traces(tmp_path):
    ragwheel.configure(tmp_path / "app.db")
    with (
        served(collector.traces_app(token=TOKEN)) as url,
        httpx.Client(base_url=url, verify=False, headers=AUTHORIZED, timeout=120) as http,
    ):
        yield http


def test_json_twice_is_stored_once(traces, tmp_path):
    for _ in range(2):
        answer = traces.post("/v1/traces", json=OTLP_JSON)
        assert (answer.status_code, answer.json()) == (
            200,
            {"partialSuccess": {"rejectedSpans": "1", "errorMessage": "not a span of ragwheel"}},
        )
        ragwheel.flush()
    assert rows(
        tmp_path / "app.db", "retrievals", "retrieval_id, source, query, top_k, n_returned, app, flags"
    ) == [("eee19b7ec3c1b174", "docs", "tea?", 2, 2, "shop", '["nul"]')]
    assert rows(tmp_path / "app.db", "impressions", "rank, chunk_id, score") == [
        (1, "a", 0.5),
        (2, "b", None),
    ]


def test_spans_without_content_are_rejected_with_what_to_do(traces):
    request = ExportTraceServiceRequest()
    span = request.resource_spans.add().scope_spans.add().spans.add()
    span.name, span.trace_id, span.span_id = "retrieval docs", b"t" * 16, b"s" * 8
    for key, value in (
        ("openinference.span.kind", "RETRIEVER"), ("gen_ai.data_source.id", "docs"),
        ("gen_ai.retrieval.documents", '[{"id": "a"}]'),
    ):  # fmt: skip
        attribute = span.attributes.add()
        attribute.key, attribute.value.string_value = key, value
    headers = {"Content-Type": "application/x-protobuf"}
    answer = traces.post("/v1/traces", content=request.SerializeToString(), headers=headers)
    found = ExportTraceServiceResponse.FromString(answer.content).partial_success
    assert (found.rejected_spans, "export_content=True" in found.error_message) == (1, True)


@pytest.mark.parametrize(
    "token", [None, "", "Bearer", "Bearer wrong", f"Bearer {TOKEN[:-1]}", f"Basic {TOKEN}", TOKEN]
)
def test_without_the_token_nothing_is_taken(traces, tmp_path, token):
    del traces.headers["authorization"]
    answer = traces.post(
        "/v1/traces", json=OTLP_JSON, headers={"Authorization": token} if token is not None else {}
    )
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
    ragwheel.flush()
    assert not (tmp_path / "app.db").exists() or rows(tmp_path / "app.db", "retrievals", "*") == []


@pytest.mark.parametrize(
    ("body", "media", "status"),
    [
        (b"\xff\xff", "application/x-protobuf", 400),
        (b"[]", "application/json", 400),
        (b"{", "application/json", 400),
        (b'{"resourceSpans":' + b"[" * 200 + b"]" * 200 + b"}", "application/json", 400),
        (b'{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"00"}]}]}]}', "application/json", 400),
        (b"{}", "text/plain", 415),
    ],
)
def test_requests_that_are_refused(traces, body, media, status):
    answer = traces.post("/v1/traces", content=body, headers={"Content-Type": media})
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/json"


def test_a_short_token_is_refused(tmp_path):
    with pytest.raises(ConfigurationError, match="16 or more"):
        collector.traces_app(tmp_path / "app.db", token="secret")
