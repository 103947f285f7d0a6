"""The commands, as they are typed."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from ragwheel.cli.app import app


@pytest.fixture
def type_in(monkeypatch, tmp_path):
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.setenv("RAGWHEEL_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)

    def run(*words, code=0):
        done = CliRunner().invoke(app, [str(word) for word in words])
        assert done.exit_code == code, done.output
        return done

    return run


@pytest.fixture
def results(type_in, dataset, traces, tmp_path):
    type_in("evaluate", dataset, "--db", traces, "--base", "none", "--out", tmp_path / "res")
    return tmp_path / "res"


def test_evaluate_prints_tables_and_a_recommendation(type_in, dataset, traces):
    said = type_in("evaluate", dataset, "--db", traces, "--base", "none").stdout
    assert "labels: inferred from clicks and citations" in said
    assert "labels: explicit, what people said about chunks" in said
    assert "no relevant document was a positive in training" in said
    assert "nDCG@10 against captured" in said
    assert "use captured" in said
    assert "Nothing is proved to be better than captured: keep it." in said


def test_evaluate_for_scripts_and_documents(type_in, dataset, traces):
    args = ("evaluate", dataset, "--db", traces, "--base", "none", "--reference", "bm25")
    found = json.loads(type_in(*args, "--json", "--metric", "recall@10").stdout)
    assert found["reference"] == "bm25"
    assert found["recommendation"]["system"] in ("bm25", "captured")
    assert {one["measure"] for one in found["comparisons"]} == {"recall@10"}
    assert {row["labels"] for row in found["table"]} == {"explicit", "inferred"}
    assert "| system | nDCG@10 |" in type_in(*args, "--markdown").stdout


def test_compare_reads_results(type_in, results):
    said = type_in("compare", f"{results}:captured", f"{results}:bm25").stdout
    assert "captured against bm25" in said
    assert "recall@40" in said
    found = json.loads(type_in("compare", f"{results}:captured", f"{results}:bm25", "--json").stdout)
    assert found["verdict"]["word"] in ("better", "can't tell")
    assert (
        "has the systems bm25, captured; got none of them"
        in type_in("compare", results, results, code=1).stderr
    )


def test_the_tables_fit_80_columns_whatever_the_systems_are_called(
    type_in, dataset, traces, results, monkeypatch
):
    monkeypatch.setenv("COLUMNS", "80")
    named = "the-embedder-of-last-week=bm25"
    printed = [
        type_in("evaluate", dataset, "--db", traces, "--base", "none", "--system", named).stdout,
        type_in("compare", f"{results}:captured", f"{results}:bm25").stdout,
    ]
    for text in printed:
        tables = [line for line in text.splitlines() if not line.startswith("next ")]
        assert max(map(len, tables)) <= 80
        assert "…" not in text
    assert "recall@5" in printed[1]


def test_compare_can_evaluate_first(type_in, dataset, traces):
    args = (dataset, "--db", traces, "--json")
    found = json.loads(type_in("compare", "captured", "bm25", *args).stdout)
    assert (found["a"], found["b"]) == ("captured", "bm25")


def test_an_evaluation_set(type_in, write_beir):
    folder = write_beir([("a", "alpha one"), ("b", "beta two")], [("1", "alpha"), ("2", "beta")],
                        test={"1": {"a": 1}, "2": {"b": 1}})  # fmt: skip
    said = type_in("evaluate", "--beir", folder, "--base", "none", "--system", "mine=bm25").stdout
    assert "labels: an evaluation set" in said
    assert "equal on every query" in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "Name what to measure on: the folder that"),
        (("a", "--beir", "b"), "Name what to measure on"),
        (("nowhere",), "not a dataset folder of ragwheel's"),
        (("--beir", "nowhere"), "corpus.jsonl cannot be read"),
        (("--beir", "x", "--metric", "F1"), "There is no measure 'F1'"),
        (("x", "--cluster", "user"), "--cluster is 'user'; allowed: family, session"),
    ],
)
def test_wrong_words_are_answered_in_one_line(type_in, words, said):
    done = type_in("evaluate", *words, code=1)
    assert done.stderr.startswith("ragwheel: ")
    assert said in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_folder_of_somebody_else_is_refused_before_the_work(type_in, tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "one.txt").write_text("dear")
    done = type_in("evaluate", "--beir", "nowhere", "--out", tmp_path / "thesis", code=1)
    assert "is not a folder of results, so it was left as it is" in done.stderr


def test_compare_without_systems_or_an_experiment_says_what_to_do(type_in, traces):
    assert "Name two systems, such as results:mine" in type_in("compare", code=1).stderr
    done = type_in("compare", "--online", "--db", traces, code=1)
    assert "no interleaved retrieval" in done.stderr
