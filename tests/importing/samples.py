"""A small sample of the files that each tool exports, under the names that its page of the docs gives them.

All hold the same traces: a question, four passages, and an answer that cites the first. Where the tool keeps
feedback, a person liked the answer.
"""

from __future__ import annotations

import csv
import io
import json
from typing import Any

__all__ = ["QUESTIONS", "SAMPLES"]

N = 24
START_S = 1_795_856_400
ISO = "2026-11-28T09:00:00.000000Z"
QUESTIONS = [f"what is subject{n} about?" for n in range(N)]


def passages(n: int) -> list[dict[str, Any]]:
    return [
        {"id": f"c{n}-{k}", "text": f"Passage {k} tells of subject{n} and word{7 * n + k}.", "score": 4.0 - k}
        for k in range(4)
    ]


def documents(n: int) -> list[dict[str, Any]]:
    return [
        {"id": p["id"], "page_content": p["text"], "metadata": {"score": p["score"]}, "type": "Document"}
        for p in passages(n)
    ]


def answer(n: int) -> str:
    return f"It is about word{7 * n} [1]."


def prompt(n: int) -> str:
    return "\n".join(p["text"] for p in passages(n)) + "\n" + QUESTIONS[n]


def trace_id(n: int) -> str:
    return f"{n + 1:032x}"


def span_id(n: int, k: int) -> str:
    return f"{16 * (n + 1) + k:016x}"


def lines(records: list[Any]) -> str:
    return "".join(json.dumps(record) + "\n" for record in records)


def otlp(n: int, spans: list[tuple[str, dict[str, Any]]]) -> dict[str, Any]:
    """A request with a root and what ran in it; the first span is the root."""
    return {"resourceSpans": [{"scopeSpans": [{"spans": [
        {
            "traceId": trace_id(n), "spanId": span_id(n, k), "parentSpanId": span_id(n, 0) if k else "",
            "name": name, "startTimeUnixNano": str(START_S * 10**9 + k),
            "endTimeUnixNano": str(START_S * 10**9 + 10**9 - k),
            "attributes": [{"key": key, "value": {"stringValue": value}} for key, value in values.items()],
        }
        for k, (name, values) in enumerate(spans)
    ]}]}]}  # fmt: skip


def phoenix() -> dict[str, str]:
    spans: list[Any] = []
    feedback = []
    for n in range(N):
        for k, (name, kind, values) in enumerate((
            ("ask", "CHAIN", {"input.value": QUESTIONS[n], "output.value": answer(n), "session.id": f"s{n}"}),
            ("kb", "RETRIEVER", {"input.value": QUESTIONS[n],
                                 "output.value": json.dumps({"documents": documents(n)})}),
            ("model", "LLM", {"input.value": prompt(n), "output.value": answer(n)}),
        )):  # fmt: skip
            spans.append(
                {"name": name, "context": {"trace_id": trace_id(n), "span_id": span_id(n, k)},
                 "span_kind": kind, "parent_id": span_id(n, 0) if k else None, "start_time": ISO,
                 "end_time": ISO, "attributes": values}
            )  # fmt: skip
        feedback.append(
            {"span_id": span_id(n, 0), "name": "user_feedback", "annotator_kind": "HUMAN",
             "result": {"label": "thumbs-up", "score": 1.0}, "metadata": {"user_id": f"u{n}"},
             "updated_at": ISO}
        )  # fmt: skip
    return {"spans.json": json.dumps(spans), "feedback.json": json.dumps(feedback)}


def langfuse() -> dict[str, str]:
    observations, scores = [], []
    for n in range(N):
        common = {"traceId": trace_id(n), "startTime": ISO, "endTime": ISO, "sessionId": f"s{n}"}
        for k, (name, kind, inputs, outputs) in enumerate((
            ("ask", "SPAN", {"question": QUESTIONS[n]}, answer(n)),
            ("kb", "RETRIEVER", QUESTIONS[n], json.dumps(documents(n))),
            ("model", "GENERATION", prompt(n), answer(n)),
        )):  # fmt: skip
            observations.append(
                {**common, "id": span_id(n, k), "parentObservationId": span_id(n, 0) if k else None,
                 "type": kind, "name": name, "input": inputs, "output": outputs}
            )  # fmt: skip
        scores.append(
            {"id": f"s{n}", "traceId": trace_id(n), "name": "user-feedback", "value": 1, "source": "API",
             "dataType": "BOOLEAN", "timestamp": ISO, "metadata": {"user_id": f"u{n}"}}
        )  # fmt: skip
    return {"observations.json": json.dumps(observations), "scores.json": json.dumps(scores)}


def langsmith() -> dict[str, str]:
    runs, feedback = [], []
    for n in range(N):
        common = {"trace_id": f"t{n}", "start_time": ISO, "end_time": ISO, "session_id": "project",
                  "extra": {"metadata": {"thread_id": f"s{n}", "user_id": f"u{n}"}}}  # fmt: skip
        for k, (name, kind, inputs, outputs) in enumerate((
            ("ask", "chain", {"question": QUESTIONS[n]}, {"output": answer(n)}),
            ("kb", "retriever", {"query": QUESTIONS[n]}, {"documents": documents(n)}),
            ("model", "llm", {"messages": [[{"content": prompt(n)}]]}, {"output": answer(n)}),
        )):  # fmt: skip
            runs.append(
                {**common, "id": f"t{n}-{k}" if k else f"t{n}", "parent_run_id": f"t{n}" if k else None,
                 "run_type": kind, "name": name, "inputs": inputs, "outputs": outputs}
            )  # fmt: skip
        feedback.append(
            {"id": f"f{n}", "run_id": f"t{n}", "key": "user_score", "score": 1,
             "feedback_source": {"type": "api", "metadata": {"user_id": f"u{n}"}}}
        )  # fmt: skip
    return {"runs.jsonl": lines(runs), "feedback.jsonl": lines(feedback)}


def mlflow() -> dict[str, str]:
    traces = []
    for n in range(N):
        spans = [
            {"span_id": span_id(n, k), "trace_id": trace_id(n), "name": name,
             "parent_span_id": span_id(n, 0) if k else None, "start_time_unix_nano": START_S * 10**9 + k,
             "end_time_unix_nano": START_S * 10**9 + 1000, "attributes": {
                 "mlflow.spanType": json.dumps(kind), "mlflow.spanInputs": json.dumps(inputs),
                 "mlflow.spanOutputs": json.dumps(outputs)}}
            for k, (name, kind, inputs, outputs) in enumerate((
                ("ask", "CHAIN", {"question": QUESTIONS[n]}, answer(n)),
                ("kb", "RETRIEVER", {"query": QUESTIONS[n]}, documents(n)),
                ("model", "CHAT_MODEL", {"messages": [{"role": "user", "content": prompt(n)}]}, answer(n)),
            ))
        ]  # fmt: skip
        feedback = {"assessment_name": "user_feedback", "assessment_id": f"a{n}", "feedback": {"value": True},
                    "source": {"source_type": "HUMAN", "source_id": f"u{n}"}}  # fmt: skip
        info = {"trace_id": f"tr-{trace_id(n)}", "assessments": [feedback],
                "trace_metadata": {"mlflow.trace.session": f"s{n}"}}  # fmt: skip
        traces.append({"info": info, "data": {"spans": spans}})
    return {"traces.jsonl": lines(traces)}


def trulens() -> dict[str, str]:
    scope = "ai.observability."
    text = io.StringIO()
    out = csv.writer(text)
    columns = ("event_id", "record", "record_attributes", "record_type", "start_timestamp", "timestamp")
    out.writerow([*columns, "trace"])
    for n in range(N):
        kinds: tuple[tuple[str, dict[str, Any]], ...] = (
            ("app.ask", {"span_type": "record_root", "record_root.input": QUESTIONS[n],
                         "record_root.output": answer(n)}),
            ("app.Kb.search", {"span_type": "retrieval", "retrieval.query_text": QUESTIONS[n],
                               "retrieval.retrieved_contexts": [p["text"] for p in passages(n)]}),
        )  # fmt: skip
        for k, (name, values) in enumerate(kinds):
            attributes = {scope + key: value for key, value in {**values, "record_id": f"r{n}"}.items()}
            place = {"trace_id": str(n + 1), "span_id": str(16 * (n + 1) + k)}
            place["parent_id"] = str(16 * (n + 1)) if k else ""
            time = "2026-11-28 09:00:00"
            out.writerow([place["span_id"], {"name": name}, attributes, "SPAN", time, time, place])
    return {"events.csv": text.getvalue()}


def openllmetry() -> dict[str, str]:
    requests = [
        otlp(n, [
            ("ask.workflow", {"traceloop.span.kind": "workflow", "traceloop.entity.name": "ask",
                              "traceloop.entity.input": json.dumps({"args": [QUESTIONS[n]]}),
                              "traceloop.entity.output": json.dumps(answer(n)),
                              "traceloop.association.properties.session_id": f"s{n}"}),
            ("vector_db_retrieve kb", {"gen_ai.operation.name": "vector_db_retrieve",
                                       "traceloop.span.kind": "task",
                                       "traceloop.entity.input": json.dumps({"query": QUESTIONS[n]}),
                                       "traceloop.entity.output": json.dumps({"documents": documents(n)})}),
        ])
        for n in range(N)
    ]  # fmt: skip
    return {"traces.jsonl": lines(requests)}


def genai() -> dict[str, str]:
    requests = [
        otlp(n, [
            ("invoke_agent ask", {"gen_ai.operation.name": "invoke_agent",
                                  "gen_ai.input.messages": QUESTIONS[n],
                                  "gen_ai.output.messages": answer(n)}),
            ("retrieval kb", {
                "gen_ai.operation.name": "retrieval", "gen_ai.data_source.id": "kb",
                "gen_ai.retrieval.query.text": QUESTIONS[n], "gen_ai.retrieval.documents": json.dumps(
                    [{"id": p["id"], "score": p["score"]} for p in passages(n)])}),
        ])
        for n in range(N)
    ]  # fmt: skip
    return {"traces.jsonl": lines(requests), "corpus.jsonl": corpus()}


def corpus() -> str:
    return lines([{"_id": p["id"], "title": "", "text": p["text"]} for n in range(N) for p in passages(n)])


def haystack() -> dict[str, str]:
    requests = [
        otlp(n, [
            ("haystack.pipeline.run", {
                "haystack.pipeline.input_data": json.dumps({"kb": {"query": QUESTIONS[n]}}),
                "haystack.pipeline.output_data": json.dumps({"llm": {"replies": [answer(n)]}})}),
            ("haystack.component.run", {
                "haystack.component.name": "kb", "haystack.component.type": "InMemoryBM25Retriever",
                "haystack.component.input": json.dumps({"query": QUESTIONS[n]}),
                "haystack.component.output": json.dumps({"documents": [
                    {"id": p["id"], "content": p["text"], "score": p["score"]} for p in passages(n)]})}),
        ])
        for n in range(N)
    ]  # fmt: skip
    return {"traces.jsonl": lines(requests)}


def opik() -> dict[str, str]:
    traces, spans = [], []
    for n in range(N):
        common = {"start_time": ISO, "end_time": ISO, "project_name": "helpdesk"}
        traces.append(
            {**common, "id": f"t{n}", "name": "ask", "thread_id": f"s{n}",
             "input": {"question": QUESTIONS[n]}, "output": {"output": answer(n)}, "feedback_scores": [
                 {"name": "user_feedback", "value": 1.0, "source": "ui", "created_by": f"u{n}"}]}
        )  # fmt: skip
        spans.append(
            {**common, "id": f"t{n}-1", "trace_id": f"t{n}", "type": "tool", "name": "retrieve",
             "input": {"query": QUESTIONS[n]}, "output": {"output": documents(n)}}
        )  # fmt: skip
    return {"traces.jsonl": lines(traces), "spans.jsonl": lines(spans)}


def datadog() -> dict[str, str]:
    spans = []
    for n in range(N):
        for k, (name, kind, inputs, outputs) in enumerate((
            ("ask", "workflow", {"value": QUESTIONS[n]}, {"value": answer(n)}),
            ("kb", "retrieval", {"value": QUESTIONS[n]}, {"documents": passages(n)}),
        )):  # fmt: skip
            attributes = {"span_id": str(16 * (n + 1) + k), "trace_id": str(n + 1), "name": name,
                          "parent_id": str(16 * (n + 1)) if k else "undefined", "span_kind": kind,
                          "ml_app": "helpdesk", "start_ns": START_S * 10**9, "duration": 1000,
                          "input": inputs, "output": outputs, "tags": [f"session_id:s{n}"]}  # fmt: skip
            spans.append({"type": "span", "id": attributes["span_id"], "attributes": attributes})
    return {"spans.json": json.dumps({"data": spans, "meta": {"page": {"after": "x"}}})}


def weave() -> dict[str, str]:
    calls = []
    for n in range(N):
        common = {"trace_id": f"t{n}", "started_at": ISO, "ended_at": ISO}
        reaction = {"feedback_type": "wandb.reaction.1", "payload": {"emoji": "👍"}, "id": f"f{n}",
                    "wb_user_id": f"u{n}"}  # fmt: skip
        calls += [
            {**common, "id": f"t{n}-0", "op_name": "weave:///e/p/op/ask:v0", "output": answer(n),
             "inputs": {"question": QUESTIONS[n]}, "summary": {"weave": {"feedback": [reaction]}}},
            {**common, "id": f"t{n}-1", "parent_id": f"t{n}-0", "op_name": "weave:///e/p/op/Retriever.kb:v0",
             "inputs": {"query": QUESTIONS[n]}, "output": {"documents": documents(n)}},
        ]  # fmt: skip
    return {"calls.jsonl": lines(calls)}


def ubi() -> dict[str, str]:
    queries = [
        {"query_id": f"q{n}", "user_query": QUESTIONS[n], "application": "shop", "client_id": f"u{n}",
         "query_response_hit_ids": [p["id"] for p in passages(n)], "timestamp": ISO}
        for n in range(N)
    ]  # fmt: skip
    events = [
        {"action_name": name, "query_id": f"q{n}", "user_id": f"u{n}-{visitor}", "timestamp": ISO,
         "event_attributes": {"object": {"object_id": f"c{n}-0"}, "position": {"ordinal": 1}}}
        for n in range(N) for visitor in range(4) for name in ("click", "add_to_cart")
    ]  # fmt: skip
    return {"queries.json": json.dumps(queries), "events.json": json.dumps(events), "corpus.jsonl": corpus()}


SAMPLES = {
    "phoenix": phoenix, "langfuse": langfuse, "langsmith": langsmith, "mlflow": mlflow, "trulens": trulens,
    "openllmetry": openllmetry, "otel-genai": genai, "haystack": haystack, "opik": opik, "datadog": datadog,
    "weave": weave, "ubi": ubi,
}  # fmt: skip
