"""What the demo searches: BEIR-layout folders and this Python's own documentation."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ragwheel.demo import pydocs, read_beir, read_python_docs
from ragwheel.errors import DatasetError


def write_beir(folder: Path, *, corpus=None, queries=None, qrels=None, qrels_name="qrels.tsv") -> Path:
    folder.mkdir(exist_ok=True)
    passages = corpus or [
        {"_id": "p1", "title": "Tea", "text": "Tea is made of leaves."},
        {"_id": "p2", "title": "Coffee", "text": "Coffee is made of beans."},
    ]
    asked = queries or [
        {"_id": "q1", "text": "what is tea made of?"},
        {"_id": "q2", "text": "who judged nothing?"},
    ]
    for name, rows in (("corpus", passages), ("queries", asked)):
        lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
        (folder / f"{name}.jsonl").write_text("\n".join(lines) + "\n")
    path = folder / qrels_name
    path.parent.mkdir(exist_ok=True)
    path.write_text(qrels or "query-id\tcorpus-id\tscore\nq1\tp1\t1\nq1\tp2\t0\n")
    return folder


def test_reads_a_folder(tmp_path):
    corpus = read_beir(write_beir(tmp_path / "tea"))
    assert corpus.name == "tea"
    assert [passage.id for passage in corpus.passages] == ["p1", "p2"]
    assert [(query.text, query.relevant) for query in corpus.queries] == [("what is tea made of?", {"p1"})]


@pytest.mark.parametrize("name", ["qrels/test.tsv", "qrels.train.tsv"])
def test_qrels_in_a_folder_or_by_split(tmp_path, name):
    corpus = read_beir(write_beir(tmp_path / "tea", qrels_name=name))
    assert corpus.queries[0].relevant == {"p1"}


def test_qrels_without_a_header_and_in_trec_columns(tmp_path):
    corpus = read_beir(write_beir(tmp_path / "tea", qrels="q1\t0\tp2\t2\n"))
    assert corpus.queries[0].relevant == {"p2"}


def test_numbers_as_ids(tmp_path):
    folder = write_beir(
        tmp_path / "n",
        corpus=[{"_id": 7, "text": "a"}],
        queries=[{"_id": 1, "text": "b?"}],
        qrels="1\t7\t1\n",
    )
    assert read_beir(folder).queries[0].relevant == {"7"}


@pytest.mark.parametrize(
    ("broken", "says"),
    [
        (
            {"corpus": [{"_id": "p1", "text": "a"}, '{"_id": "p2", "te']},
            ["corpus.jsonl, line 2", "not JSON", "sed -n 2p"],
        ),
        ({"corpus": [{"_id": "p1"}]}, ["corpus.jsonl, line 1", '"text"', "no such field"]),
        ({"corpus": [{"_id": "p1", "text": 3.5}]}, ["line 1", "float 3.5"]),
        ({"corpus": ["[1, 2]"]}, ["line 1", "got list", "one JSON object a line"]),
        ({"corpus": [{"_id": "p1", "text": "  "}]}, ["no passage with text", "ragwheel demo"]),
        ({"queries": [{"_id": "q1", "text": None}]}, ["queries.jsonl, line 1", "NoneType"]),
        ({"qrels": "query-id\tcorpus-id\tscore\nq1 p1 1\n"}, ["qrels.tsv, line 2", "separated by tabs"]),
        ({"qrels": "q1\tp9\t1\n"}, ["no question", "ids of the three files agree"]),
        ({"qrels": "q1\tp1\t0\n"}, ["no question", "score > 0"]),
    ],
)
def test_wrong_content_says_where_and_what_next(tmp_path, broken, says):
    folder = write_beir(tmp_path / "tea", **broken)
    with pytest.raises(DatasetError) as caught:
        read_beir(folder)
    for words in [*says, "Next:" if "Next" in str(caught.value) else "next"]:
        assert words in str(caught.value)


def test_bytes_that_are_not_utf8(tmp_path):
    folder = write_beir(tmp_path / "tea")
    (folder / "corpus.jsonl").write_bytes(b'{"_id": "1", "text": "ok"}\n{"_id": "2", "text": "\xff"}\n')
    with pytest.raises(DatasetError, match=r"corpus.jsonl, line 2: not UTF-8.*iconv"):
        read_beir(folder)


@pytest.mark.parametrize("name", ["corpus.jsonl", "queries.jsonl", "qrels.tsv"])
def test_missing_file_names_what_is_there(tmp_path, name):
    folder = write_beir(tmp_path / "tea")
    (folder / name).unlink()
    with pytest.raises(DatasetError, match=rf"{name} is missing; the folder holds: .*allowed.*Next: ls"):
        read_beir(folder)


def test_missing_folder_and_a_file_instead(tmp_path):
    with pytest.raises(DatasetError, match="where there is nothing"):
        read_beir(tmp_path / "nowhere")
    (tmp_path / "file").write_text("x")
    with pytest.raises(DatasetError, match="where there is a file"):
        read_beir(tmp_path / "file")


def test_a_real_collection(data_dir):
    corpus = read_beir(data_dir / "scifact")
    assert len(corpus.passages) > 5_000
    assert len(corpus.queries) > 600
    ids = {passage.id for passage in corpus.passages}
    assert all(query.relevant <= ids for query in corpus.queries)


@pytest.fixture(scope="module")
def python_docs():
    return read_python_docs()


def test_python_documentation_is_some_thousand_passages(python_docs):
    assert len(python_docs.passages) > 2_000
    assert len(python_docs.queries) > 1_500
    ids = [passage.id for passage in python_docs.passages]
    assert len(set(ids)) == len(ids)
    assert len({passage.text for passage in python_docs.passages}) == len(ids)


def test_no_passage_contains_the_question_it_answers(python_docs):
    texts = {passage.id: passage.text for passage in python_docs.passages}
    leaking = [
        query.text
        for query in python_docs.queries
        if any(query.text in texts[passage] for passage in query.relevant)
    ]
    assert leaking == []


def test_known_documentation_is_there(python_docs):
    dumps = next(p for p in python_docs.passages if p.id == "json.dumps")
    assert dumps.text.startswith("json.dumps(obj, *, skipkeys=False")
    query = next(q for q in python_docs.queries if q.relevant >= {"json.dumps"})
    assert query.text.startswith("Serialize ``obj``")
    assert any(p.id.startswith("topics.") for p in python_docs.passages)
    assert any(p.id.startswith("builtins.str.") for p in python_docs.passages)


def test_progress_is_counted_to_the_end():
    seen = []
    read_python_docs(lambda done, total: seen.append((done, total)))
    assert seen[0][0] == 1
    assert seen[-1][0] == seen[-1][1] == len(seen)


def test_python_without_documentation_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr("ragwheel.demo.pydocs.sysconfig.get_paths", lambda: {"stdlib": str(tmp_path)})
    monkeypatch.setattr(pydocs, "_compiled_entries", list)
    monkeypatch.setattr(pydocs, "_topic_entries", list)
    with pytest.raises(DatasetError, match=r"carries no documentation.*--data DIR"):
        read_python_docs()
