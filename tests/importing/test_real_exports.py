"""Every real export gives its four questions with six ranked passages, and what else the file holds."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

QUESTIONS = {
    "How do I reset my password?",
    "When do invoices go out?",
    "Can I get a refund to my card?",
    "how do i turn on two-factor login",
}
ANSWERS = {
    "Open Settings, then Security [1].",
    "On the first of each month [1].",
    "Yes, within five working days [1].",
    "Settings, then Security [1].",
}
BEST = {"reset", "billing", "twofa"}
WITH_IDS = [
    "phoenix/client_get_spans.json",
    "phoenix/rest_v1_spans.json",
    "phoenix/rest_v1_spans_otlpv1.json",
    "phoenix/get_spans_dataframe.parquet",
    "phoenix/ui_download_shape_otlp.json",
    "phoenix/ui_download_shape_spans.jsonl",
    "phoenix/phoenix.db",
    "langfuse/wire_otlp.json",
    "langfuse/wire_otlp.binpb",
    "langsmith/wire_runs_and_feedback.json",
    "mlflow/traces.to_json.jsonl",
    "mlflow/search_traces.records.json",
]
WITHOUT_IDS = ["openllmetry/otlp.json", "openllmetry/otlp.binpb", "openllmetry/spans_to_json.json"]


@pytest.mark.parametrize("file", WITH_IDS + WITHOUT_IDS)
def test_an_export_gives_four_questions_with_six_passages_their_answers_and_citations(
    exports, imported, file
):
    imported(exports / file)
    ranked = {query: rows for query, rows in imported.ranked().items() if query in QUESTIONS}
    assert ranked.keys() == QUESTIONS
    for rows in ranked.values():
        assert [rank for rank, *_ in rows] == [1, 2, 3, 4, 5, 6]
        assert all(text for _, _, text, _ in rows)
        assert rows[0][3] > 1
        assert all(score is not None for *_, score in rows), "a score of 0 is a score"
    turns = imported.rows("SELECT query, answer FROM turns")
    assert {query for query, _ in turns} == QUESTIONS
    assert {answer for _, answer in turns} == ANSWERS
    cited = imported.rows("SELECT matched, rank, chunk_id FROM citations")
    assert [(matched, rank) for matched, rank, _ in cited] == [(1, 1)] * 4
    if file in WITH_IDS:
        assert {chunk for *_, chunk in cited} == BEST
    else:
        assert all(chunk.startswith("text:") for *_, chunk in cited)


@pytest.mark.parametrize("file", WITH_IDS + WITHOUT_IDS)
def test_a_second_import_of_a_file_adds_nothing(exports, imported, file):
    imported(exports / file)
    tables = ("retrievals", "turns", "chunks", "citations", "signals", "judgments", "impressions")
    before = {table: imported.rows(f"SELECT * FROM {table}") for table in tables}
    again = imported(exports / file)
    assert not again.new
    assert not again.joined
    assert {table: imported.rows(f"SELECT * FROM {table}") for table in tables} == before


@pytest.mark.parametrize("form", ["otlp.json", "otlp.binpb", "spans_to_json.json"])
def test_ids_without_texts_are_kept_flagged_and_completed_by_a_corpus(exports, imported, tmp_path, form):
    file = exports / "otel_genai" / form
    report = imported(file)
    assert report.contents.passages_without_text == 24
    assert report.left_out["retrievals without texts"] == 4
    ranked = imported.ranked()
    assert ranked.keys() == QUESTIONS
    assert all(len(rows) == 6 for rows in ranked.values())
    assert {flags for (flags,) in imported.rows("SELECT flags FROM retrievals")} == {'["no_text"]'}
    ids = {chunk for rows in ranked.values() for _, chunk, _, _ in rows}
    corpus = tmp_path / "corpus.jsonl"
    corpus.write_text("".join(json.dumps({"_id": i, "title": "", "text": f"About {i}."}) + "\n" for i in ids))
    assert imported(file, corpus=corpus).joined["retrievals"] == 4
    assert {text for rows in imported.ranked().values() for _, _, text, _ in rows} == {
        f"About {i}." for i in ids
    }
    assert imported.rows("SELECT count(*) FROM retrievals WHERE flags IS NOT NULL") == [(0,)]
    assert imported.rows("SELECT DISTINCT session_id FROM retrievals ORDER BY 1") == [
        ("sess-0",),
        ("sess-1",),
    ]


THUMBS = {"thumbs_up": 2, "thumbs_down": 2}
FEEDBACK = [
    ("phoenix/client_get_spans.json", "phoenix/client_get_span_annotations.json"),
    ("phoenix/client_get_spans.json", "phoenix/rest_span_annotations.json"),
    ("langfuse/wire_otlp.json", "langfuse/wire_scores.json"),
    ("langsmith/wire_runs_and_feedback.json",),
    ("mlflow/traces.to_json.jsonl",),
    ("phoenix/phoenix.db",),
]


@pytest.mark.parametrize("files", FEEDBACK, ids=lambda files: files[-1])
@pytest.mark.parametrize("order", ["together", "feedback later", "feedback first"])
def test_thumbs_become_signals_of_their_turns_in_any_order_of_import(exports, imported, files, order):
    paths = [exports / file for file in files]
    if order == "together" or len(paths) == 1:
        imported(*paths)
    else:
        for path in paths if order == "feedback later" else reversed(paths):
            imported(path)
    signals = imported.rows(
        "SELECT s.kind, s.comment, t.query, s.subject, t.user_id FROM signals s JOIN turns t USING (turn_id)"
    )
    assert sorted(kind for kind, *_ in signals) == ["thumbs_down"] * 2 + ["thumbs_up"] * 2
    assert {comment for _, comment, *_ in signals} == {"from the chat page"}
    liked = {query for kind, _, query, *_ in signals if kind == "thumbs_up"}
    assert liked == {"How do I reset my password?", "Can I get a refund to my card?"}
    assert {subject for *_, subject, _ in signals} == {"user-0", "user-1", "user-2"}
    assert imported.rows("SELECT * FROM unmatched_signals") == []


@pytest.mark.parametrize("form", ["database", "graphql"])
def test_annotations_of_documents_become_judgments_and_a_models_are_marked(exports, imported, form):
    if form == "database":
        imported(exports / "phoenix" / "phoenix.db")
    else:
        imported(
            exports / "phoenix" / "rest_v1_spans.json",
            exports / "phoenix" / "graphql_document_annotations.json",
        )
    rows = imported.rows("SELECT query, grade, judge_kind FROM judgments")
    assert sorted((grade, kind) for _, grade, kind in rows) == (
        [(0.0, "human")] * 4 + [(0.0, "llm")] * 4 + [(5.0, "human")] * 4
    )
    assert {query for query, *_ in rows} == QUESTIONS


def test_mlflow_assessments_keep_people_and_judges_apart(exports, imported):
    imported(exports / "mlflow" / "traces.to_json.jsonl")
    rows = imported.rows("SELECT judge, judge_kind, grade, chunk_id FROM judgments ORDER BY judgment_id")
    assert {(judge, kind) for judge, kind, *_ in rows} == {
        ("mlflow:retrieval_relevance", "llm"),
        ("ann", "human"),
    }
    assert {chunk for judge, _, _, chunk in rows if judge == "ann"} == {"reset"}


def test_one_record_of_every_further_shape_is_recognised(exports, imported):
    report = imported(exports / "SAMPLES.jsonl")
    assert not report.contents.unknown
    assert report.contents.tools.keys() == {
        "phoenix", "langfuse", "langsmith", "mlflow", "trulens", "openllmetry", "otel-genai", "datadog",
        "opik", "weave", "ubi",
    }  # fmt: skip


TRULENS = [
    ("trulens_otel_langchain_rag.csv", 4),
    ("trulens_otel_llamaindex_rag.csv", 3),
    ("trulens_otel_feedback.csv", 4),
]


@pytest.mark.parametrize(("file", "n"), TRULENS)
def test_trulens_csv_gives_one_retrieval_whatever_was_nested(imported, file, n):
    root = os.environ.get("RAGWHEEL_TEST_DATA")
    if not root or not Path(root, "traces", file).is_file():
        pytest.skip("RAGWHEEL_TEST_DATA names no folder with traces/ of TruLens")
    report = imported(Path(root, "traces", file))
    assert {query: len(rows) for query, rows in imported.ranked().items()} == {
        "What is multi-headed attention?": n
    }
    assert imported.rows("SELECT count(*) FROM retrievals") == [(1,)]
    if "llamaindex" in file:
        (rows,) = imported.ranked().values()
        assert [(chunk[:8], score) for _, chunk, _, score in rows][:2] == [
            ("de270429", 0.9),
            ("dd93cd0f", 0.891),
        ]
        assert all("..." not in text[-5:] for _, _, text, _ in rows), "the whole text, not the shortened one"
    if "feedback" in file:
        assert imported.rows("SELECT count(*) FROM signals") == [(0,)]
        assert any("baby_grader" in reason for reason in report.left_out)
