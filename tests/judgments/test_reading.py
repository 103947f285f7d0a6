"""What evaluation sets really look like: scales, numpy lists, tables, null columns, own exports, splits."""

from __future__ import annotations

import json

import pytest

from ragwheel.evaluate.beir import read_beir
from ragwheel.judgments import import_evalset
from ragwheel.judgments.examples import read_evalset


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def lines(*rows):
    return "".join(json.dumps(row) + "\n" for row in rows)


def graded(path, **options):
    return [(e.query, e.doc_id, e.text, e.grade) for e in read_evalset(path, **options).examples]


@pytest.mark.parametrize("best", [1, 1.0, True])
def test_labels_up_to_one_are_scaled_and_the_result_says_so(tmp_path, best):
    path = write(
        tmp_path / "p.jsonl",
        lines({"query": "q", "document": "A", "label": best}, {"query": "q", "document": "B", "label": 0}),
    )
    found = read_evalset(path)
    assert [e.grade for e in found.examples] == [5.0, 0.0]
    assert found.notes == ["the 2 labels go up to 1: read as 0-1 and scaled to grades of 0-5"]


def test_labels_above_one_and_grades_are_taken_as_they_are(tmp_path):
    path = write(
        tmp_path / "p.jsonl",
        lines({"query": "q", "document": "A", "label": 4}, {"query": "q", "document": "B", "label": 1}),
    )
    assert [grade for *_, grade in graded(path)] == [4.0, 1.0]
    path = write(tmp_path / "g.jsonl", lines({"query": "q", "document": "A", "grade": 1}))
    assert [grade for *_, grade in graded(path)] == [1.0]


def test_own_configs_as_json_lines_come_back_as_they_left(tmp_path):
    triplet = {"anchor": "q", "positive": "A", "negative": "B", "negative_2": "C"}
    assert [(text, grade) for _, _, text, grade in graded(write(tmp_path / "t.jsonl", lines(triplet)))] == [
        ("A", 5),
        ("B", 0),
        ("C", 0),
    ]
    listed = {"query": "q", "docs": ["A", "B"], "labels": [0.6, 0]}
    assert [(text, grade) for _, _, text, grade in graded(write(tmp_path / "l.jsonl", lines(listed)))] == [
        ("A", 3.0),
        ("B", 0),
    ]


def test_a_numpy_list_in_a_cell_is_as_many_chunks_as_it_has_texts(tmp_path):
    text = "user_input,reference_contexts\nq,\"['first text' 'second, with a comma']\"\n"
    assert [text for _, _, text, _ in graded(write(tmp_path / "r.csv", text))] == [
        "first text",
        "second, with a comma",
    ]


@pytest.mark.parametrize(
    ("name", "row"),
    [
        ("ragas", {"user_input": "q", "reference_contexts": None, "retrieved_contexts": ["A"]}),
        ("ragas", {"user_input": "q", "retrieved_contexts": ["A"]}),
        ("deepeval", {"input": "q", "context": None, "retrieval_context": ["A"]}),
        ("deepeval", {"input": "q", "context": [], "retrieval_context": ["A"]}),
    ],
)
def test_what_was_retrieved_is_no_judgment(tmp_path, name, row):
    usable = {"user_input": "p", "reference_contexts": ["B"], "input": "p", "context": ["B"]}
    found = read_evalset(write(tmp_path / "x.jsonl", lines(row, usable)), name)
    assert [e.text for e in found.examples] == ["B"]
    assert found.refused == {"no context": 1}


def test_a_markdown_table_is_one_chunk(tmp_path):
    table = "| plan | price |\n|---|---|\n| free | 0 |"
    path = write(tmp_path / "d.json", json.dumps([{"input": "q", "context": table}]))
    assert [text for _, _, text, _ in graded(path)] == [table]


def test_an_unquoted_comma_is_a_wrong_number_of_cells(tmp_path):
    found = read_evalset(write(tmp_path / "c.csv", "query,text\nq,A\nwhat, then?,B\n"))
    assert [e.text for e in found.examples] == ["A"]
    assert found.refused == {"wrong number of cells": 1}


def test_a_long_cell_is_read(tmp_path):
    text = "word " * 40_000
    assert graded(write(tmp_path / "c.csv", f"query,text\nq,{text}\n"))[0][2] == text


QRELS = {
    "integers": "query-id\tcorpus-id\tscore\n1\t2\t1\n",
    "float": "query-id\tcorpus-id\tscore\n1\t2\t1.0\n",
    "blanks": "query-id corpus-id score\n1 2 1\n",
    "four columns": "1\t0\t2\t1\n",
    "byte order mark": "\ufeff1\t2\t1\n",
}


@pytest.mark.parametrize("qrels", QRELS.values(), ids=QRELS)
def test_import_and_evaluate_read_the_same_beir_folder(tmp_path, qrels):
    write(
        tmp_path / "b" / "corpus.jsonl",
        "\ufeff" + lines({"_id": 2, "title": None, "text": "A"}, {"_id": 3, "text": None}),
    )
    write(tmp_path / "b" / "queries.jsonl", "\ufeff" + lines({"_id": 1, "text": "q"}))
    write(tmp_path / "b" / "qrels" / "test.tsv", qrels)
    assert graded(tmp_path / "b") == [("q", "2", "A", 5.0)]
    collection = read_beir(tmp_path / "b")
    assert (collection.corpus, collection.queries) == ({"2": "A", "3": ""}, {"1": "q"})
    assert collection.qrels["evalset"] == {"1": {"2": 1}}


def test_only_the_split_that_was_asked_for_is_imported(tmp_path):
    write(tmp_path / "b" / "corpus.jsonl", lines({"_id": "d", "text": "A"}))
    write(tmp_path / "b" / "queries.jsonl", lines({"_id": "1", "text": "q"}, {"_id": "2", "text": "p"}))
    write(tmp_path / "b" / "qrels" / "train.tsv", "1\td\t1\n")
    write(tmp_path / "b" / "qrels" / "test.tsv", "2\td\t1\n")
    assert [query for query, *_ in graded(tmp_path / "b", split="test")] == ["p"]
    assert len(graded(tmp_path / "b")) == 2
    with pytest.raises(Exception, match="no qrels of the split 'dev'; it has: test, train"):
        read_evalset(tmp_path / "b", split="dev")


def test_our_own_trec_export_is_read_with_its_queries(tmp_path):
    write(tmp_path / "t" / "test.qrels", "k1 0 kb/reset 5\n")
    write(tmp_path / "t" / "train.qrels", "k2 0 kb/reset 2\n")
    write(tmp_path / "t" / "test.queries.tsv", "k1\tq\n")
    write(tmp_path / "t" / "train.queries.tsv", "k2\tp\n")
    write(tmp_path / "t" / "corpus.tsv", "kb/reset\tA\n")
    assert sorted(graded(tmp_path / "t")) == [("p", "kb/reset", "A", 2.0), ("q", "kb/reset", "A", 5.0)]
    assert graded(tmp_path / "t" / "test.qrels") == [("q", "kb/reset", "A", 5.0)]


def test_an_id_with_its_source_or_version_names_the_chunk_of_the_store(store, tmp_path, judgments):
    write(tmp_path / "t" / "test.qrels", "k1 0 kb/reset 1\nk1 0 length@7 1\n")
    write(tmp_path / "t" / "test.queries.tsv", "k1\ta question\n")
    found = import_evalset(store.path, tmp_path / "t")
    assert found.chunks["id"] == 2
    assert {row[2] for row in judgments()} == {"reset", "length"}


def test_an_evaluation_set_begins_a_database(tmp_path):
    path = write(tmp_path / "p.jsonl", lines({"query": "q", "text": "A", "label": 1}))
    assert import_evalset(tmp_path / "new.db", path).new == 1
