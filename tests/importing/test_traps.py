"""What exports do to a reader: ids in odd places and spellings, copies, cuts, mixtures, wrong clocks."""

from __future__ import annotations

import base64
import contextlib
import csv
import gzip
import json

import pytest

import ragwheel
from ragwheel.errors import ImportingError
from ragwheel.importing.keys import span_key, trace_key
from ragwheel.importing.passages import passages
from ragwheel.importing.values import parse_loosely, time_ns
from ragwheel.store import open_store

T0 = 1_795_000_000_000_000_000


def test_every_spelling_of_an_id_gives_the_same_bytes():
    raw = bytes.fromhex("fe2f8db75d15aedb")
    spellings = [
        "fe2f8db75d15aedb",
        "0xFE2F8DB75D15AEDB",
        base64.b64encode(raw).decode(),
        str(int.from_bytes(raw, "big")),
        raw,
    ]
    assert {span_key(spelling) for spelling in spellings} == {raw}
    trace = bytes.fromhex("8dde2d08284a16f5fbc60748e9812458")
    spellings = [
        "tr-8dde2d08284a16f5fbc60748e9812458",
        "8dde2d08-284a-16f5-fbc6-0748e9812458",
        base64.b64encode(trace).decode(),
    ]
    assert {trace_key(spelling) for spelling in spellings} == {trace}
    assert [span_key(nothing) for nothing in (None, "", "0", 0, "null", "undefined", b"\0" * 8)] == [None] * 7
    assert span_key("run-1") != span_key("run-2")


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ('"{\\"a\\": [1]}"', {"a": [1]}),
        ("{'a': None, 'b': <object object at 0x7f>, 'c': nan}", {"a": None, "b": None, "c": None}),
        ("['a' 'b']", ["a", "b"]),
        ("['it''s' \"b, c\"\n 'd']", ["it", "s", "b, c", "d"]),
        ("array(['a', 'b'], dtype=object)", "array(['a', 'b'], dtype=object)"),
        ("{'docs': array(['a', 'b'], dtype=object)}", {"docs": ["a", "b"]}),
        ("[{'x': 1}\n {'x': 2}]", [{"x": 1}, {"x": 2}]),
        ("[1] is a citation", "[1] is a citation"),
    ],
)
def test_json_in_json_and_python_reprs_are_read(cell, value):
    assert parse_loosely(cell) == value


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"matches": [{"id": "a", "score": 0.5, "metadata": {"text": "A"}}]}, [("a", "A", 0.5)]),
        ({"hits": {"hits": [{"_id": "a", "_score": 2, "_source": {"text": "A"}}]}}, [("a", "A", 2.0)]),
        ({"ids": [["a"]], "documents": [["A"]], "distances": [[0.1]]}, [("a", "A", 0.1)]),
        ([[{"page_content": "A", "metadata": {"doc_id": "a"}}, 0.7]], [("a", "A", 0.7)]),
        ([{"node": {"id_": "a", "text": "A"}, "score": 0}], [("a", "A", 0.0)]),
        ([{"lc": 1, "type": "constructor", "kwargs": {"id": "a", "page_content": "A"}}], [("a", "A", None)]),
        (["page_content='A' metadata={'id': 'a'}"], [("a", "A", None)]),
        (["Node ID: a\nText: A\nShort\nScore:  0.900\n"], [("a", "A\nShort", 0.9)]),
        (["A", "B"], [(None, "A", None), (None, "B", None)]),
        ([{"id": 7, "score": 1}], [("7", None, 1.0)]),
        ([{"pageContent": "A", "id": "a", "metadata": {}}], [("a", "A", None)]),
        ({"sourceDocuments": [{"lc": 1, "kwargs": {"pageContent": "A"}}]}, [(None, "A", None)]),
        ([{"uuid": "a", "properties": {"text": "A"}, "metadata": {}}], [("a", "A", None)]),
        ([{"id": "a", "distance": 0.5, "entity": {"text": "A"}}], [("a", "A", 0.5)]),
        ({"value": [{"@search.score": 2.5, "chunk_id": "a", "chunk": "A"}]}, [("a", "A", 2.5)]),
        ({"retrievalResults": [{"content": {"text": "A"}, "score": 0.5}]}, [(None, "A", 0.5)]),
        ({"results": [{"index": 0, "relevance_score": 0.5, "document": {"text": "A"}}]}, [(None, "A", 0.5)]),
        ({"documents": []}, []),
    ],
)
def test_answers_of_retrievers_and_vector_databases_are_read(value, expected):
    assert [(p.id, p.text, p.score) for p in passages(value, texts=True)] == expected


def test_plain_texts_and_messages_are_no_passages_of_a_step():
    assert passages(["a", "b"]) is None
    assert passages([{"role": "user", "content": "hi"}]) is None


@pytest.mark.parametrize(
    "text",
    ["2026-11-28T09:00:00Z", "2026-11-28 09:00:00.000000", 1795856400, 1795856400000, "1795856400000000000"],
)
def test_times_of_any_spelling_and_unit_are_one(text):
    assert time_ns(text) == 1795856400 * 10**9


def test_an_id_only_in_the_output_joins_texts_in_the_attributes(imported, write, phoenix_trace):
    spans = phoenix_trace(chunks=[{"content": "Open Settings."}, {"content": "SAML."}])
    documents = [
        {"id": "reset", "page_content": "Open Settings.", "metadata": {"score": 0}},
        {"id": "sso", "page_content": "SAML."},
    ]
    spans[1]["attributes"]["output.value"] = json.dumps({"documents": documents})
    imported(write("spans.jsonl", spans))
    (rows,) = imported.ranked().values()
    assert [(chunk, score) for _, chunk, _, score in rows] == [("reset", 0.0), ("sso", None)]


def test_an_inner_copy_is_no_second_retrieval_and_another_result_is_an_inner_one(
    imported, write, phoenix_trace
):
    spans = phoenix_trace()
    copy = {**spans[1], "name": "vector store", "parent_id": spans[1]["context"]["span_id"]}
    copy["context"] = {**copy["context"], "span_id": "00000000000000a1"}
    other = {**copy, "context": {**copy["context"], "span_id": "00000000000000a2"}}
    other["attributes"] = {"input.value": "reset", "retrieval.documents.0.document.content": "Another."}
    report = imported(write("spans.jsonl", [*spans, copy, other]))
    assert report.left_out["inner spans with the same result"] == 1
    assert imported.rows("SELECT retriever, outer_id IS NULL FROM retrievals ORDER BY 1") == [
        ("kb", 1),
        ("vector store", 0),
    ]


def test_documents_in_the_input_of_the_next_step_stand_for_a_retriever_without_any(imported, write):
    common = {"trace_id": "t", "type": "general", "start_time": "2026-11-28T09:00:00Z"}
    documents = [{"id": "reset", "page_content": "Open Settings.", "type": "Document"}]
    imported(
        write(
            "opik.jsonl",
            [
                {
                    **common,
                    "id": "1",
                    "name": "chain",
                    "input": {"input": "how?"},
                    "output": {"output": "So [1]."},
                },
                {
                    **common,
                    "id": "2",
                    "parent_span_id": "1",
                    "name": "format",
                    "input": {"input": documents},
                    "output": {"output": "x"},
                },
            ],
        )
    )
    assert imported.ranked() == {"how?": [(1, "reset", "Open Settings.", None)]}
    assert imported.rows("SELECT chunk_id FROM citations") == [("reset",)]


def test_the_prompt_says_which_chunks_the_model_saw_and_in_which_order(imported, write, phoenix_trace):
    texts = [
        "The first passage is about passwords.",
        "The second passage is about SAML.",
        "The third one is on invoices.",
    ]
    spans = phoenix_trace(
        answer="So [1].", chunks=[{"id": str(n), "content": text} for n, text in enumerate(texts, 1)]
    )
    model = {
        **spans[0], "name": "llm", "span_kind": "LLM", "parent_id": spans[0]["context"]["span_id"],
        "context": {**spans[0]["context"], "span_id": "00000000000000b1"},
        "attributes": {"llm.input_messages.0.message.content": f"Notes: {texts[2]} {texts[0]}",
                       "output.value": "So [1]."},
    }  # fmt: skip
    imported(write("spans.jsonl", [*spans, model]))
    exposures = imported.rows("SELECT chunk_id, exposure FROM impressions ORDER BY rank")
    assert exposures == [("1", "prompted"), ("2", "returned"), ("3", "prompted")]
    assert imported.rows("SELECT chunk_id FROM citations") == [("3",)], "[1] counts in the prompt's order"


def test_the_langsmith_project_is_not_the_session(imported, write):
    run = {
        "id": "r1", "trace_id": "r1", "run_type": "retriever", "name": "kb", "session_id": "project",
        "inputs": {"query": "q"},
        "outputs": {"documents": [{"page_content": "A", "metadata": {}}]},
        "extra": {"metadata": {"thread_id": "s1"}},
    }  # fmt: skip
    imported(write("runs.jsonl", [run]))
    assert imported.rows("SELECT session_id FROM retrievals") == [("s1",)]


def test_a_retrieval_that_came_alone_joins_the_turn_that_comes_later(imported, write, phoenix_trace):
    root, retriever = phoenix_trace()
    imported(write("a.jsonl", [retriever]))
    assert imported.rows("SELECT turn_id FROM retrievals") == [(None,)]
    imported(write("b.jsonl", [root]))
    imported(write("c.jsonl", [root, retriever]))
    assert imported.rows("SELECT r.turn_id = t.turn_id FROM retrievals r, turns t") == [(1,)]


def test_scores_are_read_on_the_scale_of_their_name(imported, write, phoenix_trace):
    spans = [span for n in range(3) for span in phoenix_trace(trace=f"a{n}")]
    trace_ids = [f"a{n}" * 16 for n in range(3)]
    scores = [
        {
            "id": f"s{n}",
            "traceId": t,
            "name": "user-rating",
            "value": n + 1,
            "dataType": "NUMERIC",
            "source": "API",
        }
        for n, t in enumerate(trace_ids)
    ]
    scores.append(
        {
            "id": "x",
            "traceId": trace_ids[0],
            "name": "faithfulness",
            "value": 1,
            "dataType": "NUMERIC",
            "source": "API",
        }
    )
    report = imported(write("spans.jsonl", spans), write("scores.json", json.dumps(scores)))
    assert imported.rows("SELECT kind, value FROM signals ORDER BY value") == [
        ("rating", 1.0),
        ("rating", 2.0),
        ("rating", 3.0),
    ]
    assert report.left_out["score 'faithfulness' by unknown author: not a person's word"] == 1
    imported(write("scores.json", json.dumps(scores)), people=("faithfulness",))
    assert imported.rows("SELECT count(*) FROM signals") == [(4,)]


def test_ubi_queries_and_clicks_become_retrievals_and_signals(imported, write):
    query = {"query_id": "q", "user_query": "reset", "application": "shop",
             "query_response_hit_ids": ["a", "b"], "client_id": "c",
             "timestamp": "2026-11-28T09:00:00Z"}  # fmt: skip
    click = {"action_name": "click", "query_id": "q", "user_id": "u", "timestamp": "2026-11-28T09:00:05Z",
             "event_attributes": {"object": {"object_id": "b"}, "position": {"ordinal": 2}}}  # fmt: skip
    imported(write("events.jsonl", [click]))
    imported(write("queries.jsonl", [query]))
    assert imported.rows("SELECT kind, rank, chunk_id, subject FROM signals") == [("click", 2, "b", "u")]


def test_a_truncated_file_gives_the_records_that_are_whole_and_says_so(
    imported, write, phoenix_trace, tmp_path
):
    whole = json.dumps({"data": phoenix_trace(trace="ab") + phoenix_trace(trace="cd")})
    report = imported(write("spans.json", whole[: len(whole) - 400]))
    assert report.contents.unreadable == {"the file ends inside a record": 1}
    assert imported.rows("SELECT count(*) FROM retrievals") == [(1,)]
    imported(write("spans.json", whole))
    assert imported.rows("SELECT count(*), count(turn_id) FROM retrievals") == [(2, 2)]
    packed = tmp_path / "packed.gz"
    packed.write_bytes(gzip.compress(whole.encode()))
    assert imported(packed).same["retrievals"] == 2
    packed.write_bytes(gzip.compress(whole.encode())[:-20])
    with pytest.raises(ImportingError, match="cannot be read"):
        imported(packed)


def test_a_broken_line_costs_only_itself(imported, write, phoenix_trace):
    lines = [json.dumps(span) for span in phoenix_trace(trace="ab") + phoenix_trace(trace="cd")]
    report = imported(
        write(
            "spans.jsonl", "\n".join([lines[0], lines[1], '{"name": "x", ', "nonsense", lines[2], lines[3]])
        )
    )
    assert sum(report.contents.unreadable.values()) >= 1
    assert imported.rows("SELECT count(*) FROM retrievals") == [(2,)]


def test_two_tools_in_one_file_are_both_read(imported, write, phoenix_trace):
    run = {"id": "r1", "trace_id": "r1", "run_type": "retriever", "name": "kb2", "inputs": {"query": "q"},
           "outputs": {"documents": [{"page_content": "A"}]}}  # fmt: skip
    report = imported(write("mixed.jsonl", [*phoenix_trace(), run, {"something": "else"}]))
    assert report.contents.tools == {"phoenix": 2, "langsmith": 1}
    assert report.contents.unknown == {"something": 1}
    assert imported.rows("SELECT retriever FROM retrievals ORDER BY 1") == [("kb",), ("kb2",)]


@pytest.mark.parametrize(
    ("text", "saw"),
    [
        ('{"query": "q", "positive": "p"}', "positive, query"),
        ("a,b\n1,2\n", "a, b"),
        ("[]", "no record"),
    ],
)
def test_an_unknown_tool_is_refused_with_what_was_sought_and_seen_and_nothing_is_made(
    imported, write, text, saw
):
    with pytest.raises(ImportingError, match=r"Looked for: .*LangSmith: runs with run_type") as caught:
        imported(write("x", text))
    assert saw in str(caught.value)
    assert not imported.path.exists()


def test_a_binary_file_and_a_foreign_database_are_refused(imported, tmp_path):
    import sqlite3

    (tmp_path / "x").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100))
    with pytest.raises(ImportingError, match="Looked for JSON"):
        imported(tmp_path / "x")
    connection = sqlite3.connect(tmp_path / "y.db")
    connection.execute("CREATE TABLE chat (id)")
    connection.commit()
    connection.close()
    with pytest.raises(ImportingError, match="saw: chat"):
        imported(tmp_path / "y.db")


def test_duplicates_and_impossible_times_are_counted(imported, write, phoenix_trace):
    spans = phoenix_trace()
    spans[1]["start_time"] = "1970-01-01T00:00:10+00:00"
    report = imported(write("spans.jsonl", [*spans, spans[1]]))
    assert report.left_out["spans that came twice"] == 1
    assert report.left_out["spans with an impossible time"] >= 1
    assert "clock" in imported.rows("SELECT flags FROM retrievals")[0][0]


def test_a_csv_with_python_reprs_is_read(imported, tmp_path):
    path = tmp_path / "frame.csv"
    with path.open("w", newline="") as file:
        out = csv.writer(file)
        out.writerow(
            [
                "context.span_id",
                "context.trace_id",
                "name",
                "span_kind",
                "parent_id",
                "start_time",
                "attributes.input.value",
                "attributes.retrieval.documents",
            ]
        )
        first = "{'document.content': 'A', 'document.metadata': {'id': 'a'}}"
        documents = f"[{first}\n {{'document.content': 'B', 'document.score': 0.5}}]"
        out.writerow(
            ["00000000000000a1", "b" * 32, "kb", "RETRIEVER", "", "2026-11-28 09:00:00+00:00", "q", documents]
        )
    imported(path)
    assert [row[2] for row in imported.ranked()["q"]] == ["A", "B"]


def test_chunk_texts_and_comments_pass_the_redaction(imported, write, phoenix_trace):
    spans = phoenix_trace(
        question="Who is ann@example.org?", chunks=[{"id": "a", "content": "Write to ann@example.org."}]
    )
    note = {"span_id": spans[0]["context"]["span_id"], "name": "user_feedback", "annotator_kind": "HUMAN",
            "result": {"score": 1, "explanation": "ann@example.org said so"}}  # fmt: skip
    imported(write("spans.jsonl", [*spans, note]), redact="email")
    everything = repr(
        [
            imported.rows(f"SELECT * FROM {t}")
            for t in ("chunks", "turns", "retrievals", "signals", "citations")
        ]
    )
    assert "example.org" not in everything


def test_spans_spilled_to_disk_give_the_same_rows(imported, write, phoenix_trace, tmp_path, monkeypatch):
    from ragwheel.importing import staging

    spans = [span for n in range(40) for span in phoenix_trace(trace=f"{n:02x}")]
    file = write("spans.jsonl", spans[::2] + spans[1::2])
    imported(file)
    in_memory = imported.rows("SELECT retrieval_id, turn_id, query FROM retrievals ORDER BY 1")
    imported.path = tmp_path / "spilled.db"
    monkeypatch.setattr(staging.Staging.__init__, "__defaults__", (2_000,))
    imported(file)
    assert imported.rows("SELECT retrieval_id, turn_id, query FROM retrievals ORDER BY 1") == in_memory
    assert len(in_memory) == 40
    assert not list(tmp_path.glob(".ragwheel-import-*"))


def test_attributes_dropped_at_a_limit_are_made_good_from_the_output_or_keep_their_ranks(
    imported, write, phoenix_trace
):
    chunks = [{"id": f"c{n}", "content": f"Passage number {n}."} for n in range(6)]
    spans = phoenix_trace(chunks=chunks)
    kept = {k: v for k, v in spans[1]["attributes"].items() if k.split(".")[2:3] not in (["0"], ["1"])}
    del kept["input.value"]
    documents = [{"id": c["id"], "page_content": c["content"]} for c in chunks]
    whole = {**spans[1], "attributes": {**kept, "output.value": json.dumps({"documents": documents})}}
    imported(write("whole.jsonl", [spans[0], whole]))
    assert [row[:2] for row in imported.ranked()["How do I reset it?"]] == [
        (n + 1, f"c{n}") for n in range(6)
    ]
    other = phoenix_trace(trace="bb", question="Another question?")
    imported(write("cut.jsonl", [other[0], {**other[1], "attributes": kept}]))
    ranked = imported.ranked()["Another question?"]
    assert [row[:2] for row in ranked[2:]] == [(n + 1, f"c{n}") for n in range(2, 6)]
    assert "no_text" in imported.rows("SELECT flags FROM retrievals WHERE query LIKE 'Another%'")[0][0]


def test_datadog_takes_the_payload_that_its_sdk_sends(imported, write):
    output = {"documents": [{"id": "a", "text": "A", "score": 1}]}
    meta = {"kind": "retrieval", "input": {"value": "q"}, "output": output}
    span = {
        "trace_id": "1",
        "span_id": "2",
        "parent_id": "undefined",
        "name": "kb",
        "start_ns": T0,
        "meta": meta,
    }
    attributes = {"ml_app": "shop", "session_id": "s1", "tags": ["user_id:u1"], "spans": [span]}
    imported(write("dd.json", json.dumps({"data": {"type": "span", "attributes": attributes}})))
    assert imported.ranked() == {"q": [(1, "a", "A", 1.0)]}
    assert imported.rows("SELECT app, session_id, user_id FROM retrievals") == [("shop", "s1", "u1")]


def test_an_older_mlflow_trace_joins_its_spans_by_the_request_id(imported, write):
    attributes = {
        "mlflow.traceRequestId": json.dumps("req1"),
        "mlflow.spanType": json.dumps("RETRIEVER"),
        "mlflow.spanInputs": json.dumps({"query": "q"}),
        "mlflow.spanOutputs": json.dumps([{"page_content": "A", "id": "a", "metadata": {}}]),
    }
    context = {"span_id": "0x1234567890abcdef", "trace_id": "0x" + "c" * 32}
    span = {"name": "kb", "context": context, "start_time": T0, "end_time": T0 + 5, "attributes": attributes}
    metadata = {"mlflow.traceInputs": '{"question": "q"}', "mlflow.traceOutputs": '"A [1]."'}
    info = {"request_id": "req1", "timestamp_ms": T0 // 10**6, "request_metadata": metadata}
    imported(write("mlflow.jsonl", [{"info": info, "data": {"spans": [span]}}]))
    rows = imported.rows("SELECT t.answer, r.query FROM turns t JOIN retrievals r USING (turn_id)")
    assert rows == [("A [1].", "q")]


def test_langfuse_traces_and_observations_join_whatever_the_spelling_and_order(imported, write):
    documents = json.dumps([{"id": "reset", "page_content": "Open Settings."}])
    observation = {"id": "00000000000000a1", "traceId": "c" * 32, "type": "RETRIEVER", "name": "kb",
                   "parentObservationId": "00000000000000a0", "startTime": "2026-11-28T09:00:00Z",
                   "input": "how?", "output": documents}  # fmt: skip
    trace = {"id": "c" * 32, "timestamp": "2026-11-28 09:00:00.000000", "user_id": "u", "session_id": "s",
             "input": "how?", "output": "So [1].", "environment": "default"}  # fmt: skip
    page = json.dumps({"data": [observation], "meta": {"page": 1, "limit": 50}})
    for file in (write("traces.jsonl", [trace]), write("page.json", page)):
        report = imported(file)
        assert not report.contents.unknown
    assert imported.rows("SELECT r.turn_id = t.turn_id, t.answer, t.user_id FROM retrievals r, turns t") == [
        (1, "So [1].", "u")
    ]


def test_langsmith_child_runs_are_spans_of_their_root(imported, write):
    child = {"id": "b", "run_type": "retriever", "name": "kb", "inputs": {"query": "how?"},
             "outputs": {"documents": [{"page_content": "Open Settings.", "id": "reset"}]}}  # fmt: skip
    root = {"id": "a", "trace_id": "a", "run_type": "chain", "name": "ask", "inputs": {"input": "how?"},
            "outputs": {"output": "So [1]."}, "child_runs": [child]}  # fmt: skip
    imported(write("runs.json", json.dumps([root], indent=2)))
    assert imported.rows("SELECT chunk_id, matched FROM citations") == [("reset", 1)]


@pytest.mark.parametrize("form", ["jsonl", "csv", "parquet", "beir", "gz"])
def test_a_corpus_of_any_form_gives_the_texts_of_ids(imported, write, phoenix_trace, tmp_path, form):
    spans = phoenix_trace(chunks=[{"id": "a"}, {"id": "7", "content": "Its own text."}, {"id": "gone"}])
    texts = {"a": "Text of a.", "7": "Another text.", "b": "Of no use."}
    rows = [{"_id": key, "title": "Title" if key == "a" else "", "text": text} for key, text in texts.items()]
    corpus = tmp_path / "corpus"
    if form == "csv":
        with corpus.open("w", newline="") as file:
            out = csv.DictWriter(file, ["_id", "title", "text"])
            out.writeheader()
            out.writerows(rows)
    elif form == "parquet":
        pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
        renamed = [{"doc_id": row["_id"], "title": row["title"], "content": row["text"]} for row in rows]
        pq.write_table(pa.Table.from_pylist(renamed), corpus)
    else:
        lines = "".join(json.dumps(row) + "\n" for row in rows).encode()
        if form == "beir":
            corpus.mkdir()
        path = corpus / "corpus.jsonl" if form == "beir" else corpus
        path.write_bytes(gzip.compress(lines) if form == "gz" else lines)
    report = imported(write("spans.jsonl", spans), corpus=corpus)
    (ranked,) = imported.ranked().values()
    assert [row[1:3] for row in ranked] == [("a", "Title Text of a."), ("7", "Its own text."), ("gone", "")]
    assert (report.corpus_joined, report.corpus_missing) == (1, 1)


def test_a_chunk_without_an_id_gets_the_one_that_live_capture_gives_it(
    imported, write, phoenix_trace, tmp_path
):
    text = "Open Settings, then Security."
    imported(write("spans.jsonl", phoenix_trace(chunks=[{"content": text}])))
    ragwheel.configure(tmp_path / "live.db")
    ragwheel.retriever(lambda query: [{"text": text}], name="kb")("how?")
    ragwheel.shutdown()
    with contextlib.closing(open_store(tmp_path / "live.db")) as connection:
        (live,) = connection.execute("SELECT chunk_id FROM chunks").fetchone()
    assert imported.rows("SELECT chunk_id FROM chunks") == [(live,)]


def test_snake_case_otlp_with_every_kind_of_value_spelled_out_is_read(imported, write):
    kinds = ("string_value", "bool_value", "int_value", "double_value", "array_value", "kvlist_value",
             "bytes_value")  # fmt: skip

    def value(kind, content):
        return {**dict.fromkeys(kinds), kind: content}

    def span(span_id, parent, name, attributes):
        listed = [{"key": key, "value": value(*content)} for key, content in attributes.items()]
        return {"trace_id": base64.b64encode(b"t" * 16).decode(), "name": name, "attributes": listed,
                "span_id": base64.b64encode(span_id * 8).decode(),
                "parent_span_id": base64.b64encode(parent * 8).decode() if parent else "",
                "start_time_unix_nano": str(T0), "end_time_unix_nano": str(T0 + 5)}  # fmt: skip

    prefix = "retrieval.documents.0.document."
    spans = [
        span(b"a", None, "ask", {"openinference.span.kind": ("string_value", "CHAIN"),
                                 "input.value": ("string_value", "how?"),
                                 "output.value": ("string_value", "So [1].")}),
        span(b"b", b"a", "kb", {"openinference.span.kind": ("string_value", "RETRIEVER"),
                                "input.value": ("string_value", "how?"),
                                prefix + "id": ("string_value", "reset"),
                                prefix + "score": ("double_value", 0.0),
                                prefix + "content": ("string_value", "Open Settings.")}),
    ]  # fmt: skip
    document = {"resource_spans": [{"scope_spans": [{"spans": spans}]}]}
    imported(write("spans.json", json.dumps(document)))
    assert imported.ranked() == {"how?": [(1, "reset", "Open Settings.", 0.0)]}
    assert imported.rows("SELECT chunk_id FROM citations") == [("reset",)]


@pytest.mark.parametrize(
    "output",
    [
        "So [1].",
        {"content": [{"type": "text", "text": "So [1]."}]},
        [{"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "So [1]."}]}],
        {"messages": [{"type": "human", "content": "how?"}, {"type": "ai", "content": "So [1].", "id": "r"}]},
        {"generations": [[{"text": "So [1].", "type": "ChatGeneration"}]]},
        {"output": [{"text": "So [1].", "type": "ChatGeneration", "message": {"kwargs": {"id": "r"}}}]},
        {"result": "So [1].", "source_documents": [{"page_content": "Open Settings.", "id": "reset"}]},
        {"question": "how?", "context": [{"page_content": "Open Settings."}], "answer": "So [1]."},
        {"input": "how?", "query": "how?", "output": {"question": "how?", "text": "So [1]."}},
        {"choices": [{"message": {"role": "assistant", "content": "So [1]."}}]},
        {"llm": {"replies": ["So [1]."]}},
        {"replies": [{"role": "assistant", "content": [{"text": "So [1]."}]}]},
    ],
    ids=lambda output: json.dumps(output)[:40],
)
def test_the_answer_is_read_however_the_output_of_the_root_is_wrapped(imported, write, phoenix_trace, output):
    answer = output if isinstance(output, str) else json.dumps(output)
    report = imported(write("spans.jsonl", phoenix_trace(answer=answer)))
    assert imported.rows(
        "SELECT t.answer, c.chunk_id FROM turns t LEFT JOIN citations c USING (turn_id)"
    ) == [("So [1].", "reset")]
    assert report.new["retrievals"] == 1
