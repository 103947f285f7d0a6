"""One number of examples: status, milestones, builds, training, the roadmap and evaluation agree on it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from ragwheel import offline
from ragwheel.datasets import BuildOptions, build, open_dataset
from ragwheel.datasets.reading import count_written
from ragwheel.evaluate.traces import read_traces
from ragwheel.experiments.headroom import measure_headroom
from ragwheel.offline.examples import count_examples
from ragwheel.report import ReportOptions, make_report
from ragwheel.testing import TraceSpec, TraceStore, write_traces
from ragwheel.train.examples import check_amount


@pytest.fixture(scope="module")
def traffic(tmp_path_factory):
    path = tmp_path_factory.mktemp("traffic") / "traces.db"
    write_traces(path, TraceSpec(turns=300, queries=120, chunks=300, k=10))
    return path


@pytest.fixture
def judged(tmp_path):
    """Thirteen questions that people judged, two of them with a positive of 5 and one without any."""
    with TraceStore(tmp_path / "judged.db") as store:
        for n in range(12):
            words = " ".join(f"judged{n}{letter}" for letter in "abcd")
            store.ask(words, [f"{n}x", f"{n}y"], answer=None)
            store.judge(words, f"{n}x", 5)
            store.judge(words.upper() + "?", f"{n}y", 0)
        store.ask("only a negative", ["z"], answer=None)
        store.judge("only a negative", "z", 0)
        store.chunk("blank", "  \n ")
        store.ask("its positive has no text", ["blank"], answer=None)
        store.judge("its positive has no text", "blank", 5)
    return store.path


def test_the_number_is_the_same_everywhere(traffic, tmp_path):
    before = offline.status(traffic)
    report = build(traffic, tmp_path / "data")
    data = open_dataset(report.out)
    after = offline.status(traffic)
    total = sum(report.examples.values())
    assert total > 0
    assert before.examples == after.examples == total
    counts = after.example_counts
    assert {"train": counts.train, "dev": counts.dev, "test": counts.test} == report.examples
    assert report.examples == data.examples == data.manifest["examples"] == count_written(report.out)
    written = {
        split: set(data.provenance("positives", split)["query_key"].to_pylist()) for split in data.examples
    }
    assert {split: len(keys) for split, keys in written.items()} == data.examples
    assert check_amount(data, 1)[0] == data.examples["train"]
    head = measure_headroom(data, traffic)
    assert (head.examples, head.liked) == (total, counts.liked)
    assert [rung.have for rung in after.milestones] == [counts.test, counts.liked, total, total]
    page = make_report(traffic, options=ReportOptions(dataset=report.out)).html()
    assert f"{total:,} training examples from" in page


def test_evaluation_measures_on_the_examples_of_its_split(traffic, tmp_path):
    out = build(traffic, tmp_path / "data", options=BuildOptions(test=0.3)).out
    collection = read_traces(out, traffic)
    measured = set().union(*collection.qrels.values())
    assert len(measured) == open_dataset(out).examples["test"] > 0


def test_a_question_counts_once_whatever_its_wording_and_only_with_a_positive_that_has_text(judged, tmp_path):
    counts = count_examples(judged)
    assert counts.exact
    assert counts.total == 12 == sum(build(judged, tmp_path / "data").examples.values())
    assert counts.train + counts.dev + counts.test == 12


def test_a_question_whose_evidence_is_too_weak_is_no_example(tmp_path):
    with TraceStore(tmp_path / "traces.db") as store:
        asked = store.ask("a weak question", ["a", "b"], answer=None)
        store.signal(asked, "impression", "a")
    assert count_examples(store.path).total == 0


def test_liked_are_the_examples_whose_answer_was_liked(tmp_path):
    with TraceStore(tmp_path / "traces.db") as store:
        for question, positive, liked in (
            ("liked and positive", True, True),
            ("positive alone", True, False),
            ("liked alone", False, True),
        ):
            asked = store.ask(question, [f"{question}-a"], cited=[1], answer="An answer [1].")
            if liked:
                store.signal(asked, "thumbs_up", of_answer=True)
            store.judge(question, f"{question}-a", 5 if positive else 0)
    counts = count_examples(store.path)
    assert (counts.total, counts.liked) == (2, 1)
    assert offline.status(store.path).milestones[1].have == 1


def test_an_earlier_folder_decides_the_splits_and_a_damaged_one_nothing(judged, tmp_path):
    first = count_examples(judged)
    out = build(judged, tmp_path / "data", options=BuildOptions(test=0.5)).out
    assert count_examples(judged).test == open_dataset(out).examples["test"] > first.test
    (out / "splits.parquet").write_bytes(b"damaged")
    assert count_examples(judged) == first


def test_what_is_erased_is_no_example_of_the_folder_any_more(store_of_two, tmp_path):
    out = build(store_of_two, tmp_path / "data").out
    assert open_dataset(out).examples["train"] == 2
    offline.erase(store_of_two, offline.Selection(user="ada"))
    data = open_dataset(out)
    assert data.examples["train"] == 1 == data.manifest["examples"]["train"]
    assert offline.status(store_of_two).examples == 1


@pytest.fixture
def store_of_two(tmp_path):
    with TraceStore(tmp_path / "two.db") as store:
        for user in ("ada", "bob"):
            asked = store.ask(f"asked by {user}", [f"{user}-a"], cited=[1], prompted=[1], user_id=user)
            store.signal(asked, "bookmark", f"{user}-a", subject=user)
            store.signal(asked, "thumbs_up", f"{user}-a", subject=user)
    return store.path


def test_without_the_build_extra_the_number_is_an_upper_bound_and_says_so(judged):
    code = (
        "import sys; sys.modules['ibis'] = None\n"
        "from ragwheel.offline.examples import count_examples\n"
        f"counts = count_examples({str(judged)!r})\n"
        "print(counts.total, counts.exact)\n"
        f"sys.argv = ['ragwheel', 'status', '--db', {str(judged)!r}]\n"
        "from ragwheel.cli.app import main\n"
        "main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("13 False")
    assert "at most 13 questions" in done.stdout
