"""Spans of other tools, posted live, become the rows that their files become."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path

import httpx
import pytest

import ragwheel
from ragwheel import collector
from ragwheel.importing import import_traces
from ragwheel.store import open_store
from ragwheel.testing.serving import served

TOKEN = "a-token-of-enough-characters"
VIEWS = {
    "retrievals": "retrieval_id, trace_id, turn_id, outer_id, kind, source, retriever, query, session_id, "
    "user_id, n_chunks, flags",
    "turns": "turn_id, trace_id, query, answer, session_id, user_id, prompted_given, n_citations",
    "impressions": "retrieval_id, rank, source, chunk_id, score, exposure",
    "citations": "turn_id, retrieval_id, rank, chunk_id",
}


def rows(db):
    with contextlib.closing(open_store(db)) as connection:
        return {
            view: sorted(connection.execute(f"SELECT {columns} FROM {view}").fetchall(), key=repr)
            for view, columns in VIEWS.items()
        }


@pytest.fixture
def live(tmp_path):
    ragwheel.configure(tmp_path / "live.db")
    app = collector.traces_app(tmp_path / "live.db", token=TOKEN)
    with (
        served(app) as url,
        httpx.Client(base_url=url, headers={"Authorization": f"Bearer {TOKEN}"}, timeout=60) as client,
    ):
        yield client
    ragwheel.shutdown()


def otlp(*spans):
    """An OTLP request of (span id, parent, name, attributes) in one trace."""
    return {"resourceSpans": [{"scopeSpans": [{"spans": [
        {
            "traceId": "ab" * 16, "spanId": span, "parentSpanId": parent, "name": name,
            "startTimeUnixNano": "1795856400000000000", "endTimeUnixNano": "1795856401000000000",
            "attributes": [{"key": k, "value": {"stringValue": v}} for k, v in attributes.items()],
        }
        for span, parent, name, attributes in spans
    ]}]}]}  # fmt: skip


def documents(*ids):
    return json.dumps([{"id": i, "page_content": f"The whole text of the passage {i}."} for i in ids])


RETRIEVER = ("00000000000000b2", "00000000000000b1", "kb",
             {"openinference.span.kind": "RETRIEVER", "input.value": "how?",
              "output.value": documents("x", "y")})  # fmt: skip
ROOT = ("00000000000000b1", "", "ask",
        {"openinference.span.kind": "CHAIN", "input.value": "how?", "output.value": "So [2].",
         "session.id": "s"})  # fmt: skip
HTTP = ("00000000000000b9", "", "GET /", {"http.method": "GET"})


def test_children_that_come_first_join_the_turn_that_comes_later(live, tmp_path):
    assert live.post("/v1/traces", json=otlp(RETRIEVER)).json() == {}
    assert live.post("/v1/traces", json=otlp(ROOT)).json() == {}
    apart = rows(tmp_path / "live.db")
    (tmp_path / "file.json").write_text(json.dumps(otlp(ROOT, RETRIEVER)))
    import_traces(tmp_path / "file.db", [tmp_path / "file.json"])
    assert apart == rows(tmp_path / "file.db")
    assert len(apart["citations"]) == 1


def test_an_inner_copy_that_came_first_gives_way_to_the_outer_result(live, tmp_path):
    inner = ("00000000000000b3", RETRIEVER[0], "vector store", RETRIEVER[3])
    for span in (inner, RETRIEVER, ROOT):
        live.post("/v1/traces", json=otlp(span))
    assert [row[6] for row in rows(tmp_path / "live.db")["retrievals"]] == ["kb"]


def test_what_cannot_be_used_is_rejected_and_counted(live, tmp_path):
    answer = live.post("/v1/traces", json=otlp(HTTP)).json()
    assert answer == {"partialSuccess": {"rejectedSpans": "1", "errorMessage": "not a span of ragwheel"}}
    bare = ("00000000000000b4", "", "kb", {"openinference.span.kind": "RETRIEVER"})
    answer = live.post("/v1/traces", json=otlp(bare)).json()
    assert int(answer["partialSuccess"]["rejectedSpans"]) >= 1
    assert live.post("/v1/traces", json={"resource_spans": [{"x": 1}]}).json().get("partialSuccess")


def test_the_same_span_again_is_one_row(live, tmp_path):
    for _ in range(3):
        live.post("/v1/traces", json=otlp(ROOT, RETRIEVER))
    assert len(rows(tmp_path / "live.db")["retrievals"]) == 1


def test_texts_are_redacted_live(tmp_path):
    ragwheel.configure(tmp_path / "r.db", redact=lambda text: text.replace("passage", "[gone]"))
    app = collector.traces_app(tmp_path / "r.db", token=TOKEN)
    with served(app) as url:
        httpx.post(
            f"{url}/v1/traces", json=otlp(ROOT, RETRIEVER), headers={"Authorization": f"Bearer {TOKEN}"}
        )
    ragwheel.shutdown()
    with contextlib.closing(open_store(tmp_path / "r.db")) as connection:
        texts = [text for (text,) in connection.execute("SELECT text FROM chunks")]
    assert len(texts) == 2
    assert all("[gone]" in text for text in texts)


@pytest.mark.parametrize(
    ("file", "media"),
    [
        ("phoenix/ui_download_shape_otlp.json", "application/json"),
        ("phoenix/rest_v1_spans_otlpv1.json", "application/json"),
        ("openllmetry/otlp.json", "application/json"),
        ("openllmetry/otlp.binpb", "application/x-protobuf"),
        ("langfuse/wire_otlp.binpb", "application/x-protobuf"),
        ("otel_genai/otlp.json", "application/json"),
    ],
)
def test_real_requests_of_the_tools_make_the_rows_of_their_files(live, tmp_path, file, media):
    root = os.environ.get("RAGWHEEL_TEST_DATA")
    if not root or not Path(root, "exports", file).is_file():
        pytest.skip("RAGWHEEL_TEST_DATA names no folder with exports/ of other tools")
    path = Path(root, "exports", file)
    answer = live.post("/v1/traces", content=path.read_bytes(), headers={"Content-Type": media})
    assert answer.status_code == 200
    import_traces(tmp_path / "file.db", [path])
    assert rows(tmp_path / "live.db") == rows(tmp_path / "file.db")
