"""What single tools do: their frames, spans of vector databases, documents as text, records of old."""

from __future__ import annotations

import base64
import json
import pickle
import shutil
import sqlite3

import pytest

from ragwheel.errors import ImportingError
from ragwheel.importing.passages import passages

TIMES = {"start_time": "2026-11-28T09:00:00Z", "end_time": "2026-11-28T09:00:01Z"}


def span(name, span_id, parent, attributes, events=()):
    """A span as ``ReadableSpan.to_json`` writes it."""
    context = {"trace_id": "0x" + "ab" * 16, "span_id": f"0x{span_id:016x}", "trace_state": "[]"}
    return {
        "name": name, "context": context, "kind": "SpanKind.INTERNAL",
        "parent_id": f"0x{parent:016x}" if parent else None, **TIMES, "status": {"status_code": "UNSET"},
        "attributes": attributes, "events": list(events), "links": [],
    }  # fmt: skip


def openllmetry(name, span_id, parent, inputs=None, outputs=None, **more):
    values = {"traceloop.entity.name": name, "traceloop.span.kind": "task", **more}
    if inputs is not None:
        values["traceloop.entity.input"] = json.dumps({"args": [inputs], "kwargs": {}})
    if outputs is not None:
        values["traceloop.entity.output"] = json.dumps(outputs)
    return span(f"{name}.task", span_id, parent, values)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<NodeWithScore(node=TextNode(id_=reset), score=0.5)>", ("reset", None, 0.5)),
        ("<NodeWithScore(node=TextNode(id_=reset), score=None)>", ("reset", None, None)),
        (
            (
                "NodeWithScore(node=TextNode(id_='reset', embedding=None, metadata={'a': 'b'}, "
                "text='It\\'s in \"Settings\".', mimetype='text/plain'), score=0.5)"
            ),
            ("reset", 'It\'s in "Settings".', 0.5),
        ),
        (
            "Document(id=reset, content: 'Open Settings.', meta: {'source': 'a.md'}, score: 4.5)",
            ("reset", "Open Settings.", 4.5),
        ),
        ("Document(id=reset, content: 'Open Sett...')", ("reset", None, None)),
        (
            "Document(id='reset', metadata={'a': 1}, page_content='Open Settings.')",
            ("reset", "Open Settings.", None),
        ),
    ],
)
def test_documents_recorded_as_their_repr_are_documents_and_never_texts(text, expected):
    assert [(p.id, p.text, p.score) for p in passages([text], texts=True)] == [expected]


def test_plain_columns_of_a_row_are_the_metadata_of_a_document_that_has_none():
    (passage,) = passages([{"id": "a", "text": "A", "_distance": 0.5, "url": "a.md", "vector": [1.0]}])
    assert (passage.score, passage.metadata) == (0.5, {"url": "a.md"})


@pytest.mark.parametrize(
    "events",
    [
        [("db.query.result", {"db.query.result.id": i, "db.query.result.distance": d,
                              "db.query.result.document": i.upper()})
         for i, d in (("a", 0.0), ("b", 0.5))],
        [("db.query.result", {"db.query.result.id": i, "db.query.result.score": d,
                              "db.query.result.metadata": str({"text": i.upper()})})
         for i, d in (("a", 0.0), ("b", 0.5))],
        [("db.search.result", {"db.search.query.id": 0, "db.search.result.id": i,
                               "db.search.result.distance": str(d),
                               "db.search.result.entity": str({"text": i.upper()})})
         for i, d in (("a", 0.0), ("b", 0.5))],
    ],
    ids=["chroma", "pinecone", "milvus"],
)  # fmt: skip
@pytest.mark.parametrize("documents_outside", [True, False])
def test_hits_of_a_vector_database_are_its_events_and_the_retriever_around_it_is_one_retrieval(
    imported, write, events, documents_outside
):
    hits = [{"name": name, "timestamp": TIMES["start_time"], "attributes": values} for name, values in events]
    output = [{"id": i, "text": i.upper()} for i in "ab"] if documents_outside else None
    imported(
        write(
            "spans.json",
            json.dumps(
                [
                    span("db.query", 3, 2, {"db.system": "chroma", "db.operation": "query"}, hits),
                    openllmetry("search", 2, 1, "how?", output),
                    openllmetry("ask", 1, None, "how?", "So [2]."),
                ]
            ),
        )
    )
    assert [row[:3] for row in imported.ranked()["how?"]] == [(1, "a", "A"), (2, "b", "B")]
    assert [row[3] for row in imported.ranked()["how?"]] == [0.0, 0.5]
    assert imported.rows("SELECT count(*), sum(outer_id IS NULL) FROM retrievals") == [(1, 1)]
    assert imported.rows("SELECT chunk_id FROM citations") == [("b",)]


def test_one_call_with_several_queries_is_no_ranking(imported, write):
    hits = [
        {"name": "db.search.result", "attributes": {"db.search.query.id": n, "db.search.result.id": "a"}}
        for n in (0, 1)
    ]
    spans = [
        span("milvus.search", 2, 1, {"db.system": "milvus"}, hits),
        openllmetry("ask", 1, None, "how?", "So."),
    ]
    report = imported(write("spans.json", json.dumps(spans)))
    assert report.left_out["vector database calls without documents"] == 1
    assert imported.rows("SELECT count(*) FROM retrievals") == [(0,)]


def test_haystacks_own_spans_are_read_by_the_type_of_the_component(imported, write):
    documents = [{"id": "reset", "content": "Open Settings, then Security.", "score": 4.1, "source": "a.md"}]
    spans = [
        span("haystack.component.run", 2, 1, {
            "haystack.component.name": "kb", "haystack.component.type": "InMemoryBM25Retriever",
            "haystack.component.input": json.dumps({"query": "how?", "top_k": None}),
            "haystack.component.output": json.dumps({"documents": documents})}),
        span("haystack.component.run", 3, 1, {
            "haystack.component.name": "llm", "haystack.component.type": "OpenAIGenerator",
            "haystack.component.input": json.dumps({"prompt": "Open Settings, then Security. how?"}),
            "haystack.component.output": json.dumps({"replies": ["So [1]."]})}),
        span("haystack.pipeline.run", 1, None, {
            "haystack.pipeline.input_data": json.dumps({"kb": {"query": "how?"}}),
            "haystack.pipeline.output_data": json.dumps({"llm": {"replies": ["So [1]."]}})}),
    ]  # fmt: skip
    imported(write("spans.jsonl", spans))
    assert imported.ranked() == {"how?": [(1, "reset", "Open Settings, then Security.", 4.1)]}
    assert imported.rows("SELECT t.answer, c.chunk_id FROM turns t JOIN citations c USING (turn_id)") == [
        ("So [1].", "reset")
    ]
    assert imported.rows("SELECT metadata FROM chunks") == [('{"source":"a.md"}',)]


@pytest.mark.parametrize("orient", ["columns", "split", "records", "table"])
def test_a_data_frame_as_json_is_read_in_any_orientation(imported, tmp_path, phoenix_trace, orient):
    pandas = pytest.importorskip("pandas")
    rows = []
    for record in phoenix_trace():
        flat = {f"attributes.{key}": value for key, value in record["attributes"].items()}
        flat |= {f"context.{key}": value for key, value in record["context"].items()}
        rows.append({**{k: v for k, v in record.items() if k not in {"attributes", "context"}}, **flat})
    frame = pandas.DataFrame(rows).astype(object)
    frame.to_json(tmp_path / "frame.json", orient=orient)
    imported(tmp_path / "frame.json")
    (ranked,) = imported.ranked().values()
    assert [row[1] for row in ranked] == ["reset", "sso"]
    assert imported.rows("SELECT answer FROM turns") == [("Settings [1].",)]


def test_annotations_of_a_data_frame_have_their_result_in_columns(imported, write, phoenix_trace):
    spans = phoenix_trace()
    row = {"span_id": spans[0]["context"]["span_id"], "annotation_name": "user_feedback",
           "annotator_kind": "HUMAN", "metadata": "{'user_id': 'u7'}", "result.label": "thumbs-down",
           "result.score": "0.0", "result.explanation": "wrong page"}  # fmt: skip
    imported(write("spans.jsonl", spans), write("notes.jsonl", [row]))
    assert imported.rows("SELECT kind, comment, subject FROM signals") == [
        ("thumbs_down", "wrong page", "u7")
    ]


def test_a_step_that_is_named_a_search_and_gives_documents_is_a_retrieval(imported, write):
    common = {"traceId": "t", "startTime": "2026-11-28T09:00:00Z", "parentObservationId": "1"}
    documents = [{"id": "reset", "content": "Open Settings.", "score": 0}]
    root = {**common, "id": "1", "parentObservationId": None, "type": "SPAN", "name": "ask",
            "input": {"question": "how?"}, "output": "So [1]."}  # fmt: skip
    tool = {**common, "id": "2", "type": "TOOL", "name": "vector-search", "input": {"query": "how?"},
            "output": {"matches": documents}}  # fmt: skip
    imported(write("observations.jsonl", [root, tool]))
    assert imported.ranked() == {"how?": [(1, "reset", "Open Settings.", 0.0)]}
    assert imported.rows("SELECT retriever FROM retrievals") == [("vector-search",)]


def test_source_documents_beside_an_answer_are_the_retrieval_where_there_is_no_other(imported, write):
    run = {"id": "r", "trace_id": "r", "run_type": "chain", "name": "RetrievalQA",
           "inputs": {"query": "how?"}, "outputs": {"result": "So [1].", "source_documents": [
               {"page_content": "Open Settings.", "metadata": {"id": "reset"}}]}}  # fmt: skip
    report = imported(write("runs.jsonl", [run]))
    assert imported.ranked() == {"how?": [(1, "reset", "Open Settings.", None)]}
    assert report.left_out["retrievals read from the output of a step"] == 1
    assert imported.rows("SELECT answer FROM turns") == [("So [1].",)]


def test_a_preview_that_was_cut_gives_way_to_the_whole_answer(imported, write):
    answer = "So it is, as the manual says in many words. [1]"
    inputs, outputs = json.dumps({"question": "how?"}), json.dumps(answer)
    documents = json.dumps([{"page_content": "A", "id": "a", "metadata": {}}])
    spans = [
        {"span_id": "00000000000000a1", "trace_id": "c" * 32, "parent_span_id": None, "name": "ask",
         "start_time_unix_nano": 1795856400 * 10**9, "attributes": {
             "mlflow.spanType": '"CHAIN"', "mlflow.spanInputs": inputs, "mlflow.spanOutputs": outputs}},
        {"span_id": "00000000000000a2", "trace_id": "c" * 32, "parent_span_id": "00000000000000a1",
         "name": "kb", "start_time_unix_nano": 1795856400 * 10**9, "attributes": {
             "mlflow.spanType": '"RETRIEVER"', "mlflow.spanInputs": inputs,
             "mlflow.spanOutputs": documents}},
    ]  # fmt: skip
    info = {"trace_id": "tr-" + "c" * 32, "request_preview": "how?", "response_preview": answer[:20] + "...",
            "trace_metadata": {}}  # fmt: skip
    imported(write("traces.jsonl", [{"info": info, "data": {"spans": spans}}]))
    assert imported.rows("SELECT answer, n_citations FROM turns") == [(answer, 1)]


def test_the_model_answers_where_the_root_is_not_in_the_file(imported, write):
    common = {"trace_id": "t", "start_time": "2026-11-28T09:00:00Z", "end_time": "2026-11-28T09:00:09Z"}
    documents = [{"id": "reset", "page_content": "Open Settings."}]
    spans = [
        {**common, "id": "1", "type": "general", "name": "passthrough", "input": {"input": "how?"},
         "output": {"output": "how?"}},
        {**common, "id": "2", "type": "general", "name": "prompt", "input": {"context": documents},
         "output": {"output": "text"}},
        {**common, "id": "3", "type": "llm", "name": "model", "input": {"messages": ["how?"]},
         "output": {"output": "So [1]."}},
    ]  # fmt: skip
    imported(write("spans.jsonl", spans))
    assert imported.rows("SELECT answer FROM turns") == [("So [1].",)]


def trulens_call(rets, *path):
    stack = [{"path": p, "method": {"name": m, "obj": {"cls": {"name": c}}}} for p, m, c in path]
    return {"stack": stack, "args": {"query": "how?"}, "rets": rets, "perf": TIMES}


def test_calls_of_old_trulens_records_are_nested_as_their_stacks_are(imported, write):
    documents = [{"id": "reset", "page_content": "Open Settings.", "metadata": {"score": 0}}]
    app, step = ("app", "invoke", "Sequence"), ("app.first", "invoke", "Inner")
    calls = [
        trulens_call(documents, app, step, ("app.first", "_get_relevant_documents", "Inner")),
        trulens_call(documents, app, step),
        trulens_call({"context": documents, "question": "how?"}, app, ("app.map", "invoke", "Parallel")),
        trulens_call("So [1].", app),
    ]
    record = {"record_id": "r", "ts": "2026-11-28 09:00:00", "input": '"how?"', "output": '"So [1]."',
              "record_json": json.dumps({"calls": calls})}  # fmt: skip
    imported(write("records.jsonl", [record]))
    assert imported.ranked() == {"how?": [(1, "reset", "Open Settings.", 0.0)]}
    assert imported.rows("SELECT count(*) FROM retrievals WHERE outer_id IS NULL") == [(1,)]
    assert imported.rows("SELECT answer, n_citations FROM turns") == [("So [1].", 1)]


def test_a_trulens_record_and_the_events_of_its_trace_are_one_turn(imported, write):
    scope = "ai.observability."
    values = {"span_type": "retrieval", "record_id": "r1", "retrieval.query_text": "how?",
              "retrieval.retrieved_contexts": ["Open Settings."]}  # fmt: skip
    event = {"event_id": "2", "record": {"name": "app.Kb.search"}, "trace": {"trace_id": "7", "span_id": "2"},
             "start_timestamp": "2026-11-28 09:00:00",
             "record_attributes": {scope + key: value for key, value in values.items()}}  # fmt: skip
    record = {"record_id": "r1", "input": "how?", "output": "So [1].", "record_json": "{}"}
    imported(write("events.jsonl", [event]))
    imported(write("records.jsonl", [record]))
    assert imported.rows("SELECT t.answer FROM turns t JOIN retrievals r USING (turn_id)") == [("So [1].",)]


def test_evaluations_that_datadogs_sdk_sends_join_their_span(imported, write):
    trace = {"trace_id": "11", "ml_app": "shop", "start_ns": 1795856400 * 10**9, "duration": 5}
    root = {**trace, "span_id": "1", "parent_id": "undefined", "name": "ask",
            "meta": {"span.kind": "workflow", "kind": "workflow", "input": {"value": "how?"},
                     "output": {"value": "So."}}}  # fmt: skip
    meta = {"kind": "retrieval", "input": {"value": "how?"}, "output": {"documents": [{"text": "A"}]}}
    kb = {**trace, "span_id": "2", "parent_id": "1", "name": "kb", "meta": meta}
    metric = {"join_on": {"span": {"span_id": "1", "trace_id": "11"}}, "label": "user_feedback",
              "metric_type": "score", "score_value": 1, "tags": ["user_id:u1"],
              "timestamp_ms": 1795856401000}  # fmt: skip
    sent = {"data": {"type": "evaluation_metric", "attributes": {"metrics": [metric]}}}
    imported(write("spans.jsonl", [root, kb]), write("metrics.json", json.dumps(sent)))
    assert imported.rows("SELECT kind, subject FROM signals WHERE turn_id IS NOT NULL") == [
        ("thumbs_up", "u1")
    ]


def test_an_empty_file_beside_others_is_named_and_all_empty_is_refused(imported, write, phoenix_trace):
    report = imported(write("spans.jsonl", phoenix_trace()), write("notes.json", "[]"))
    assert [path.rsplit("/", 1)[-1] for path in report.contents.empty] == ["notes.json"]
    assert imported.rows("SELECT count(*) FROM retrievals") == [(1,)]
    with pytest.raises(ImportingError, match="no record"):
        imported(write("notes.json", "[]"), write("more.json", "[]"))


def test_a_pickle_is_never_opened(imported, tmp_path):
    (tmp_path / "frame.pkl").write_bytes(pickle.dumps({"a": 1}))
    with pytest.raises(ImportingError, match=r"pickle.*any code.*to_parquet"):
        imported(tmp_path / "frame.pkl")


def test_a_database_whose_rows_are_still_in_its_log_says_which_file_is_missing(imported, tmp_path):
    path = tmp_path / "mlflow.db"
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("CREATE TABLE trace_info (request_id, timestamp_ms)")
    connection.execute("CREATE TABLE spans (trace_id, start_time_unix_nano, content)")
    connection.commit()
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.execute("INSERT INTO trace_info VALUES ('tr-1', 1795856400000)")
    connection.commit()
    (tmp_path / "copy").mkdir()
    shutil.copy(path, tmp_path / "copy" / "mlflow.db")
    with pytest.raises(ImportingError, match=r"mlflow\.db-wal"):
        imported(tmp_path / "copy" / "mlflow.db")
    shutil.copy(f"{path}-wal", tmp_path / "copy" / "mlflow.db-wal")
    assert imported(tmp_path / "copy" / "mlflow.db").contents.tools == {"mlflow": 1}
    connection.close()


def request_of(*spans):
    """An OTLP request in protobuf of spans as :func:`openllmetry` makes them."""
    from google.protobuf.json_format import Parse
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    listed = [
        {
            "traceId": base64.b64encode(bytes.fromhex(s["context"]["trace_id"][2:])).decode(),
            "spanId": base64.b64encode(bytes.fromhex(s["context"]["span_id"][2:])).decode(),
            "parentSpanId": base64.b64encode(bytes.fromhex((s["parent_id"] or "0x")[2:])).decode(),
            "name": s["name"],
            "attributes": [{"key": k, "value": {"stringValue": v}} for k, v in s["attributes"].items()],
        }
        for s in spans
    ]
    text = json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": listed}]}]})
    return Parse(text, ExportTraceServiceRequest()).SerializeToString()


def test_requests_with_their_length_before_them_are_read_and_a_cut_one_is_counted(imported, tmp_path):
    pytest.importorskip("google.protobuf", reason="protobuf files need pip install 'ragwheel[serve]'")
    root = openllmetry("ask", 1, None, "how?", "So [1].")
    search = openllmetry("search", 2, 1, "how?", [{"id": "a", "text": "A"}])
    framed = b"".join(len(r).to_bytes(4, "big") + r for r in (request_of(search), request_of(root)))
    (tmp_path / "traces.proto").write_bytes(framed)
    imported(tmp_path / "traces.proto")
    assert imported.ranked() == {"how?": [(1, "a", "A", None)]}
    assert imported.rows("SELECT answer FROM turns") == [("So [1].",)]
    (tmp_path / "cut.proto").write_bytes(framed[:-5])
    report = imported(tmp_path / "cut.proto")
    assert report.contents.unreadable == {"the file ends inside a record": 1}
    assert report.same["retrievals"] == 1


def test_a_trace_from_jaeger_is_read(imported, write):
    def tags(values):
        return [{"key": key, "type": "string", "value": value} for key, value in values.items()]

    def jaeger(span_id, parent, name, values, logs=()):
        references = [{"refType": "CHILD_OF", "traceID": "ab12", "spanID": parent}] if parent else []
        return {"traceID": "ab12", "spanID": span_id, "operationName": name, "references": references,
                "startTime": 1795856400000000, "duration": 5000, "tags": tags(values), "processID": "p1",
                "logs": [{"timestamp": 1795856400000001, "fields": tags(log)} for log in logs]}  # fmt: skip

    inputs = json.dumps({"args": ["how?"], "kwargs": {}})
    hits = [{"event": "db.query.result", "db.query.result.id": i, "db.query.result.document": i.upper()}
            for i in "ab"]  # fmt: skip
    spans = [
        jaeger("1", None, "ask.workflow", {"traceloop.entity.name": "ask", "traceloop.entity.input": inputs,
                                           "traceloop.entity.output": '"So [2]."'}),
        jaeger("2", "1", "chroma.query", {"db.system": "chroma"}, hits),
    ]  # fmt: skip
    trace = {
        "traceID": "ab12",
        "spans": spans,
        "processes": {"p1": {"serviceName": "shop"}},
        "warnings": None,
    }
    report = imported(write("jaeger.json", json.dumps({"data": [trace], "total": 0, "errors": None})))
    assert not report.contents.unknown
    assert imported.ranked() == {"how?": [(1, "a", "A", None), (2, "b", "B", None)]}
    assert imported.rows("SELECT chunk_id FROM citations") == [("b",)]
    assert imported.rows("SELECT start_ns, duration_ns FROM turns") == [(1795856400 * 10**9, 5_000_000)]


@pytest.mark.parametrize("order", ["spans first", "traces first", "together"])
@pytest.mark.parametrize("prompted", [False, True])
def test_citations_are_matched_whichever_of_trace_and_spans_comes_first(imported, write, order, prompted):
    common = {"start_time": "2026-11-28T09:00:00Z", "end_time": "2026-11-28T09:00:09Z"}
    texts = ["Passage number one is on passwords.", "Passage number two is on invoices."]
    documents = [{"id": f"d{n}", "page_content": text} for n, text in enumerate(texts, 1)]
    spans = [{**common, "id": "1", "trace_id": "t", "type": "tool", "name": "retrieve",
              "input": {"query": "how?"}, "output": {"output": documents}}]  # fmt: skip
    if prompted:
        spans.append(
            {**common, "id": "2", "trace_id": "t", "type": "llm", "name": "model",
             "input": {"prompt": f"{texts[1]} {texts[0]}"}, "output": {}}
        )  # fmt: skip
    trace = {**common, "id": "t", "name": "ask", "project_name": "p", "thread_id": "s",
             "input": {"question": "how?"}, "output": {"output": "So [1]. Or [7]."}}  # fmt: skip
    files = [write("spans.jsonl", spans), write("traces.jsonl", [trace])]
    if order == "together":
        imported(*files)
    else:
        for file in files if order == "spans first" else reversed(files):
            imported(file)
    cited = imported.rows("SELECT chunk_id, matched FROM citations ORDER BY matched")
    assert cited == [(None, 0), ("d2" if prompted else "d1", 1)]
    for file in files:
        report = imported(file)
        assert not report.new
        assert not report.joined
