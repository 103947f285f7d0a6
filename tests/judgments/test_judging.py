"""Grades by people: kept once, the latest counts, nothing bad slips in and nothing good is lost with it."""

from __future__ import annotations

import multiprocessing
from datetime import datetime, timezone

import pytest

from ragwheel import offline
from ragwheel.errors import JudgmentError, StoreForeign, StoreMissing
from ragwheel.labels import why

QUERY = "how do I reset it?"


def test_the_same_grade_again_changes_nothing_and_another_replaces_it(store, judgments):
    assert offline.judge(store.path, QUERY, "reset", 5, judge="ann") == "new"
    before = judgments("*")
    assert offline.judge(store.path, QUERY, "reset", 5, judge="ann") == "same"
    assert judgments("*") == before
    assert offline.judge(store.path, QUERY, "reset", 2, judge="ann", note="only half") == "changed"
    assert offline.judge(store.path, QUERY, "reset", 4, judge="bob") == "new"
    assert judgments() == [(QUERY, "kb", "reset", 2.0, "ann"), (QUERY, "kb", "reset", 4.0, "bob")]


def test_of_one_judge_the_latest_counts_whatever_comes_in_last(store, judgments):
    at = datetime(2026, 3, 1, tzinfo=timezone.utc)
    assert offline.judge(store.path, QUERY, "reset", 5, at=at) == "new"
    assert offline.judge(store.path, QUERY, "reset", 1, at=at.timestamp() - 60) == "older"
    assert judgments("grade, at_ns") == [(5.0, int(at.timestamp() * 1e9))]


def test_a_grade_is_taken_back(store, judgments):
    offline.judge(store.path, QUERY, "reset", 5)
    assert offline.unjudge(store.path, QUERY, "reset")
    assert not offline.unjudge(store.path, QUERY, "reset")
    assert judgments() == []


def test_a_persons_grade_wins_over_the_citation(store):
    (verdict,) = why(store.path, QUERY, "reset")
    assert verdict.grade > 2.5
    offline.judge(store.path, QUERY, "reset", 0, judge="ann")
    (verdict,) = why(store.path, QUERY, "reset")
    assert (verdict.status, verdict.grade) == ("negative", 0)


@pytest.mark.parametrize(
    ("query", "chunk", "grade", "message"),
    [
        (QUERY, "reset", 6, r"grade out of range: got 6, allowed: a number from 0 to 5"),
        (QUERY, "reset", float("nan"), "grade out of range"),
        (QUERY, "reset", True, "grade out of range"),
        (QUERY, "nowhere", 3, "unknown chunk: the store has no chunk 'nowhere'"),
        ("  ", "reset", 3, "blank query"),
    ],
)
def test_what_cannot_be_a_judgment_is_refused_in_words(store, judgments, query, chunk, grade, message):
    with pytest.raises(JudgmentError, match=message):
        offline.judge(store.path, query, chunk, grade)
    assert judgments() == []


def test_an_id_that_two_sources_have_needs_the_source(store, judgments):
    store._run("INSERT INTO _source VALUES (2, 'wiki')")
    store._run(
        "INSERT INTO _chunk (source_id, app_id, text_id, first_seen_ns, number) VALUES (2, 'reset', 1, 0, 7)"
    )
    with pytest.raises(JudgmentError, match="ambiguous chunk: 'reset' is in the sources kb, wiki"):
        offline.judge(store.path, QUERY, "reset", 3)
    offline.judge(store.path, QUERY, "reset", 3, source="wiki")
    with pytest.raises(JudgmentError, match="no chunk 'length' in source 'wiki'"):
        offline.judge(store.path, QUERY, "length", 3, source="wiki")
    assert [row[1] for row in judgments()] == ["wiki"]


def test_no_database_and_a_foreign_one_are_said_and_left_alone(tmp_path):
    with pytest.raises(StoreMissing):
        offline.judge(tmp_path / "none.db", QUERY, "reset", 3)
    other = tmp_path / "other.db"
    other.write_text("not a database at all")
    with pytest.raises(StoreForeign):
        offline.judge(other, QUERY, "reset", 3)
    assert other.read_text() == "not a database at all"


def test_many_at_once_are_counted_and_the_bad_ones_left_out(store):
    some = [
        offline.Judgment(QUERY, "reset", 5),
        offline.Judgment(QUERY, "reset", 5),
        offline.Judgment(QUERY, "nowhere", 5),
        offline.Judgment(QUERY, "length", -1),
        offline.Judgment("lone \ud800 surrogate", "length", 2),
        offline.Judgment(QUERY, "length", 2, judge=" "),
        offline.Judgment(QUERY, "length", 2, kind="dog"),
    ]
    told = []
    found = offline.judge_many(store.path, some, progress=told.append)
    assert (found.new, found.same, found.written) == (2, 1, 2)
    assert found.refused == {
        "blank judge": 1,
        "grade out of range": 1,
        "unknown chunk": 1,
        "unknown judge kind": 1,
    }
    assert found.examples[0].startswith("judgment 3: unknown chunk")
    assert told == [7]


def _judge_ten(path, judge):
    for n in range(10):
        offline.judge(path, f"question {n}", "reset", n % 6, judge=judge)


def test_several_processes_judge_at_once(store, judgments):
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_judge_ten, args=(store.path, name)) for name in ("ann", "bob")]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0, 0]
    assert len(judgments()) == 20


def test_a_csv_file_goes_in_again_without_doubling(store, judgments, tmp_path):
    path = tmp_path / "grades.csv"
    path.write_text(
        "query,chunk_id,grade,judge,note,at\n"
        f"{QUERY},reset,5,ann,fully,2026-01-31T12:00:00Z\n"
        f"{QUERY},length,0,,,\n"
        f"{QUERY},length,9,,,\n"
        f"{QUERY},gone,1,,,\n"
        f"{QUERY},reset,1,,,yesterday\n"
        f"{QUERY}\n"
        f"{QUERY},reset,much,,,\n"
    )
    found = offline.import_judgments(store.path, path, judge="team")
    assert (found.new, found.same) == (2, 0)
    assert found.refused == {
        "grade out of range": 2,
        "unknown chunk": 1,
        "unreadable time": 1,
        "wrong number of cells": 1,
    }
    assert any(example.startswith("grades.csv, line 4: grade out of range") for example in found.examples)
    assert judgments("chunk_id, grade, judge, note") == [
        ("reset", 5.0, "ann", "fully"),
        ("length", 0.0, "team", None),
    ]
    again = offline.import_judgments(store.path, path, judge="team")
    assert (again.new, again.changed, again.same) == (0, 0, 2)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"question,doc,score\n", "without query, chunk_id, grade and with the unknown 'question'"),
        (b"", "without query, chunk_id, grade"),
        (b"query,chunk_id,grade\n\xff\xfe,a,1\n", "cannot be read: 'utf-8' codec"),
    ],
)
def test_another_file_is_refused_whole(store, judgments, tmp_path, content, message):
    path = tmp_path / "other.csv"
    path.write_bytes(content)
    with pytest.raises(JudgmentError, match=message):
        offline.import_judgments(store.path, path)
    with pytest.raises(JudgmentError, match="cannot be read"):
        offline.import_judgments(store.path, tmp_path / "none.csv")
    assert judgments() == []


def test_a_file_of_many_rows_is_taken_in_batches(store, tmp_path):
    path = tmp_path / "many.csv"
    with path.open("w") as file:
        file.write("query,chunk_id,grade\n")
        file.writelines(f"question {n},reset,{n % 6}\n" for n in range(12_000))
    told = []
    found = offline.import_judgments(store.path, path, progress=told.append)
    assert found.new == 12_000
    assert told == [5_000, 10_000, 12_000]
