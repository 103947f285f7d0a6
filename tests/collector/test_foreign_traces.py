"""Spans of other tools, posted live, become the rows that their files become."""

from __future__ import annotations

import contextlib
import json
import os
import random
from itertools import permutations
from pathlib import Path

import httpx
import pytest

import ragwheel
from ragwheel import collector
from ragwheel.importing import ImportOptions, import_traces
from ragwheel.store import erase, open_store
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


@contextlib.contextmanager
def collecting(db, **settings):
    """A collector from its start to its end; the client posts to it."""
    ragwheel.configure(db, **settings)
    app = collector.traces_app(db, token=TOKEN)
    with (
        served(app) as url,
        httpx.Client(base_url=url, headers={"Authorization": f"Bearer {TOKEN}"}, timeout=60) as client,
    ):
        yield client
    ragwheel.shutdown()


@pytest.fixture
def live(tmp_path):
    with collecting(tmp_path / "live.db") as client:
        yield client


def otlp(*spans):
    """An OTLP request of (span id, parent, name, attributes) in one trace."""
    return {"resourceSpans": [{"scopeSpans": [{"spans": [
        {
            "traceId": "ab" * 16, "spanId": span, "parentSpanId": parent, "name": name,
            "startTimeUnixNano": str(1795856400 * 10**9 + int(span, 16)),
            "endTimeUnixNano": "1795856401000000000",
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


def test_texts_are_redacted_live_and_stand_in_no_file(tmp_path):
    def redact(text):
        return text.replace("passage", "[gone]").replace("how", "[what]")

    spans = (RETRIEVER, MODEL, ROOT)
    with collecting(tmp_path / "live.db", redact=redact) as client:
        for span in spans:
            client.post("/v1/traces", json=otlp(span))
        for path in tmp_path.rglob("*"):
            if path.is_file():
                assert b"passage" not in path.read_bytes(), path
    (tmp_path / "file.json").write_text(json.dumps(otlp(*spans)))
    import_traces(tmp_path / "file.db", [tmp_path / "file.json"], ImportOptions(redact=redact))
    assert rows(tmp_path / "live.db") == rows(tmp_path / "file.db")
    with contextlib.closing(open_store(tmp_path / "live.db")) as connection:
        assert [chunk for (chunk,) in connection.execute("SELECT chunk_id FROM citations")] == ["x"]


def test_erasing_takes_what_waits_for_its_trace_out_of_every_file(tmp_path):
    with collecting(tmp_path / "live.db") as client:
        assert client.post("/v1/traces", json=otlp(ROOT)).json().get("partialSuccess")
        client.post("/v1/traces", json=otlp(RETRIEVER))
    report = erase(tmp_path / "live.db", session="s")
    assert (report.turns, report.still_in) == (1, ())
    for path in tmp_path.rglob("*"):
        assert not path.is_file() or b"whole text of the passage" not in path.read_bytes(), path
    with collecting(tmp_path / "live.db") as client:
        assert client.post("/v1/traces", json=otlp(RETRIEVER)).json() == {}


def test_a_damaged_file_of_waiting_traces_is_begun_anew(tmp_path):
    with collecting(tmp_path / "live.db") as client:
        client.post("/v1/traces", json=otlp(RETRIEVER))
    for path in (tmp_path / "live.db.segments").glob("pending-traces*"):
        path.write_bytes(b"no database" * 1000)
    with collecting(tmp_path / "live.db") as client:
        assert client.post("/v1/traces", json=otlp(ROOT, RETRIEVER)).json() == {}
    assert len(rows(tmp_path / "live.db")["citations"]) == 1


INNER = ("00000000000000b3", RETRIEVER[0], "vector store", RETRIEVER[3])
RERANKER = (
    "00000000000000b6",
    ROOT[0],
    "rerank",
    {
        "openinference.span.kind": "RERANKER",
        "reranker.query": "how?",
        "reranker.input_documents": documents("x", "y"),
        "reranker.output_documents": documents("y", "x"),
    },
)
MODEL = ("00000000000000bf", ROOT[0], "llm", {
    "openinference.span.kind": "LLM", "output.value": "So [2].",
    "input.value": "The whole text of the passage y. The whole text of the passage x. how?"})  # fmt: skip
SEARCH = (
    "00000000000000b7",
    ROOT[0],
    "vector-search",
    {"openinference.span.kind": "TOOL", "input.value": "how?", "output.value": documents("x", "y")},
)
PROMPT = (
    "00000000000000b8",
    ROOT[0],
    "prompt",
    {"openinference.span.kind": "CHAIN", "input.value": documents("x", "y"), "output.value": "text"},
)
SETS = {
    "nested": (INNER, RETRIEVER, MODEL, ROOT),
    "reranked": (RETRIEVER, RERANKER, MODEL, ROOT),
    "named": (SEARCH, MODEL, ROOT),
    "documents of the next step": (PROMPT, MODEL, ROOT),
    "next step and a retriever": (PROMPT, RETRIEVER, ROOT),
}


@pytest.mark.parametrize("spans", SETS.values(), ids=SETS)
@pytest.mark.parametrize("restarts", [False, True], ids=["one process", "restarted"])
def test_spans_in_any_order_of_posts_make_the_rows_of_the_file(tmp_path, spans, restarts):
    (tmp_path / "file.json").write_text(json.dumps(otlp(*spans)))
    import_traces(tmp_path / "file.db", [tmp_path / "file.json"])
    expected = rows(tmp_path / "file.db")
    orders = list(permutations(spans))
    for number, order in enumerate(random.Random(5).sample(orders, 2 if restarts else 5)):
        db = tmp_path / f"live{number}.db"
        posts = [otlp(span) for span in order]
        if restarts:
            for post in posts:
                with collecting(db) as client:
                    assert client.post("/v1/traces", json=post).status_code == 200
        else:
            with collecting(db) as client:
                for post in posts:
                    assert client.post("/v1/traces", json=post).status_code == 200
        assert rows(db) == expected, [span[2] for span in order]


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
