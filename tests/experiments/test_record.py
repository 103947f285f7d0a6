"""Records: sealed before the run, whole on disk, kept whatever comes out."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timezone

import pytest

from ragwheel.errors import ExperimentError
from ragwheel.experiments import (
    ExperimentVerdict,
    Gap,
    Plan,
    Result,
    Variant,
    list_experiments,
    plan_experiment,
    read_experiment,
    scan_experiments,
    write_experiment,
)
from ragwheel.experiments.record import RECORD

PLAN = Plan(
    hypothesis="people type exact names",
    change="retriever=hybrid",
    metric="recall@10",
    expect="+15%",
    variants=(Variant("baseline", {"retriever": "dense"}), Variant("hybrid", {"retriever": "hybrid"})),
)


@pytest.fixture
def planned(tmp_path):
    return plan_experiment(tmp_path, PLAN)


def test_a_plan_is_kept_with_its_criterion(tmp_path, planned):
    assert planned.status == "planned"
    assert planned.id.startswith("retriever-hybrid-")
    assert "+15.0%" in planned.criterion
    assert read_experiment(tmp_path, planned.id) == planned
    assert read_experiment(tmp_path, "retriever-h") == planned
    assert [path.name for path in (tmp_path / planned.id).iterdir()] == [RECORD]


def test_results_are_added_and_read_again(tmp_path, planned):
    base = Result("baseline", {"recall@10": 0.5}, 40, "evalset", elapsed_s=1.5, facts={"cost": "light"})
    half = planned.with_results(base)
    assert half.status == "running"
    write_experiment(tmp_path, half)
    gap = Gap(0.1, 0.02, None, 0.01)
    done = half.with_results(
        Result("hybrid", {"recall@10": 0.6}, 40, gap=gap, verdict=ExperimentVerdict("met")),
        verdict=ExperimentVerdict("met"),
    )
    assert done.status == "done"
    write_experiment(tmp_path, done)
    assert read_experiment(tmp_path, planned.id) == done
    assert done.result("hybrid").gap == gap
    assert done.result("nobody") is None


def test_failures_are_kept(planned):
    failed = planned.with_results(Result("baseline"), Result("hybrid", error="no such model"))
    assert failed.status == "failed"
    assert failed.with_results(Result("hybrid", {"recall@10": 0.6})).status == "done"


def test_what_was_not_planned_has_no_result(planned):
    with pytest.raises(ExperimentError, match="has no variant 'other', only baseline, hybrid"):
        planned.with_results(Result("other"))


@pytest.mark.parametrize(
    "edit",
    [
        {"hypothesis": "I knew it"},
        {"expect": "+1%"},
        {"criterion": "met when I like it"},
        {"metric": "recall@40"},
        {"created_at": "2020-01-01T00:00:00.000000Z"},
        {"variants": (Variant("baseline"), Variant("hybrid", {"retriever": "lexical"}))},
    ],
)
def test_what_was_decided_before_cannot_be_changed_after(tmp_path, planned, edit):
    with pytest.raises(ExperimentError, match="stand before the run"):
        write_experiment(tmp_path, replace(planned, **edit))
    assert read_experiment(tmp_path, planned.id) == planned


def test_an_edited_file_is_not_believed(tmp_path, planned):
    path = tmp_path / planned.id / RECORD
    path.write_text(path.read_text().replace("+15%", "+1%"))
    with pytest.raises(ExperimentError, match="was edited after it was written"):
        read_experiment(tmp_path, planned.id)


@pytest.mark.parametrize(
    ("old", "new"), [('"recall@10": 0.5', '"recall@10": 0.4'), ('"status": "running"', '"status": "done"')]
)
def test_edited_results_are_not_believed_and_do_not_hide_the_others(tmp_path, planned, old, new):
    write_experiment(tmp_path, planned.with_results(Result("baseline", {"recall@10": 0.5}, 40, "evalset")))
    path = tmp_path / planned.id / RECORD
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(ExperimentError, match="results are not those that were measured"):
        read_experiment(tmp_path, planned.id)
    good = plan_experiment(tmp_path, replace(PLAN, change="retriever=bm25"))
    assert list_experiments(tmp_path) == [good]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "cannot be read"),
        ("[]", "cannot be read"),
        (json.dumps({"made_by": "somebody"}), "another program wrote it"),
        (json.dumps({"made_by": "ragwheel", "format": 99}), "pip install --upgrade ragwheel"),
        (json.dumps({"made_by": "ragwheel", "format": 1}), "cannot be read"),
    ],
)
def test_damaged_files_say_so(tmp_path, planned, text, said):
    (tmp_path / planned.id / RECORD).write_text(text)
    with pytest.raises(ExperimentError, match=said):
        read_experiment(tmp_path, planned.id)
    good = plan_experiment(tmp_path, replace(PLAN, change="retriever=bm25"))
    assert list_experiments(tmp_path) == [good]
    (error,) = scan_experiments(tmp_path)[1]
    assert said in str(error)


def test_lists_are_in_the_order_of_planning(tmp_path):
    days = [datetime(2026, 1, day, tzinfo=timezone.utc) for day in (3, 1, 2)]
    made = [plan_experiment(tmp_path, replace(PLAN, change=f"retriever={day.day}"), now=day) for day in days]
    assert [one.id for one in list_experiments(tmp_path)] == [made[1].id, made[2].id, made[0].id]
    assert list_experiments(tmp_path / "nowhere") == []
    with pytest.raises(ExperimentError, match="more than one experiment 'retriever'"):
        read_experiment(tmp_path, "retriever")
    with pytest.raises(ExperimentError, match="no experiment 'x'"):
        read_experiment(tmp_path, "x")


@pytest.mark.parametrize("name", ["../outside", "..", "."])
def test_names_do_not_leave_the_folder(tmp_path, planned, name):
    inner = tmp_path / "inner"
    inner.mkdir()
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / RECORD).write_text((tmp_path / planned.id / RECORD).read_text())
    with pytest.raises(ExperimentError, match="no experiment"):
        read_experiment(inner, name)


def test_a_plan_that_decides_nothing_is_refused():
    with pytest.raises(ExperimentError, match="without a hypothesis"):
        replace(PLAN, hypothesis=" ")
    with pytest.raises(ExperimentError, match="Two variants have one name"):
        replace(PLAN, variants=(Variant("a"), Variant("a")))
    with pytest.raises(ExperimentError, match="--expect is"):
        replace(PLAN, expect="much")


def test_a_folder_that_cannot_be_written_to(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ExperimentError, match="cannot be written"):
        plan_experiment(tmp_path / "file", PLAN)
