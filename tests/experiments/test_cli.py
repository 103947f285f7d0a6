"""The commands, as they are typed."""

from __future__ import annotations

import json

import pytest

from ragwheel.experiments import Result, read_experiment, write_experiment

NEW = ("experiment", "new", "--hypothesis", "long chunks bury it", "--set", "retriever=lexical")


@pytest.fixture
def documents(tmp_path, collection):
    (tmp_path / "sources").mkdir()
    (tmp_path / "sources" / "all.txt").write_text("\n".join(collection.corpus.values()))


def test_plan_run_list_show(type_in, beir, documents):
    said = type_in(*NEW, "--change", "chunk_words=7", "--metric", "RECALL@10", "--expect", "+15%").stdout
    assert "met when the 95 % interval of the paired difference in recall@10" in said
    assert "next  ragwheel experiment run chunk-words-7-" in said
    name = said.split("experiment run ")[1].split()[0]
    assert "planned" in type_in("experiment", "list").stdout
    run = ("experiment", "run", name[:9], "--beir", beir, "--documents", "sources")
    said = type_in(*run).stdout
    assert "40 queries, evalset labels" in said
    assert "the baseline" in said
    assert "expectation " in said
    assert type_in(*run).stdout == said  # nothing left to run: the same record
    found = json.loads(type_in("experiment", "show", name, "--json").stdout)
    assert found["status"] == "done"
    assert found["metric"] == "recall@10"
    (listed,) = json.loads(type_in("experiment", "list", "--json").stdout)
    assert listed["id"] == name
    said = type_in("experiment", "list").stdout
    assert "+15%" in said
    assert found["verdict"]["word"] in said


def test_a_variant_that_could_not_run_is_shown_with_its_reason(type_in, tmp_path):
    words = (*NEW, "--change", "reranker=nowhere", "--expect", "+.02", "--json")
    name = json.loads(type_in(*words).stdout)["id"]
    planned = read_experiment(tmp_path / "experiments", name)
    failed = planned.with_results(
        Result("baseline", {"nDCG@10": 0.5}), Result("reranker=nowhere", error="gone")
    )
    write_experiment(tmp_path / "experiments", failed)
    said = type_in("experiment", "show", name).stdout
    assert "failed: gone" in said
    assert "failed" in type_in("experiment", "list").stdout


def test_an_empty_folder_says_what_to_type(type_in):
    assert "next  ragwheel experiment roadmap" in type_in("experiment", "list").stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((*NEW, "--change", "chunk_words=7", "--expect", "more"), "--expect is 'more'"),
        (
            (*NEW, "--change", "chunk_words=7", "--change", "reranker=x", "--expect", "+1%"),
            "Two changes at once",
        ),
        (
            (*NEW, "--change", "chunk_words=7", "--metric", "F1", "--expect", "+1%"),
            "There is no measure 'F1'",
        ),
        (("experiment", "run", "x"), "has no experiment 'x'"),
        (("experiment", "run", "x", "--labels", "mine"), "--labels is 'mine'; allowed"),
        (("experiment", "roadmap", "nowhere"), "not a dataset folder"),
    ],
)
def test_wrong_words_are_answered_in_one_line(type_in, words, said):
    done = type_in(*words, code=1)
    assert done.stderr.startswith("ragwheel: ")
    assert said in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_the_roadmap_is_a_two_by_two(type_in, dataset, traces):
    said = type_in("experiment", "roadmap", dataset, "--db", traces).stdout
    assert "high impact, low effort" in said
    assert "in perfect order" in said
    assert "type" in said
    found = json.loads(type_in("experiment", "roadmap", dataset, "--db", traces, "--json").stdout)
    assert found["steps"][0]["command"].startswith("ragwheel ")
    assert found["quadrants"][found["steps"][0]["name"]] in ("do first", "plan")
