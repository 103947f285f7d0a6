"""Building: the same rows again, nothing half, nothing overwritten, and clear words when it cannot."""

from __future__ import annotations

import shutil

import pyarrow.parquet as pq
import pytest

from ragwheel.datasets import BuildOptions, build
from ragwheel.errors import ConfigurationError, DatasetError, StoreEmpty, StoreMissing
from ragwheel.testing import TraceStore


def files(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_same_input_and_seed_give_the_same_bytes(traces, tmp_path):
    options = BuildOptions(formats=("st-ntuple",), threads=1)
    build(traces, tmp_path / "one", options=options)
    build(traces, tmp_path / "two", options=BuildOptions(formats=("st-ntuple",), threads=2))
    assert files(tmp_path / "one") == files(tmp_path / "two")


def test_another_seed_gives_another_order_of_the_same_pairs(traces, tmp_path, built):
    other = build(traces, tmp_path / "other", options=BuildOptions(seed=1))
    ours, theirs = (
        pq.read_table(folder / "pairs" / "train.parquet").to_pylist() for folder in (built.out, other.out)
    )
    assert ours != theirs
    assert sorted(ours, key=repr) == sorted(theirs, key=repr)


def test_progress_is_told_and_stages_are_timed(traces, tmp_path):
    told = []
    report = build(
        traces, tmp_path / "out", progress=lambda stage, done, total: told.append((stage, done, total))
    )
    assert told[0] == ("build", 0, 7)
    assert told[-1] == ("build", 7, 7)
    assert any(stage == "rows" and done == total for stage, done, total in told)
    assert set(report.stages_s) == {"read", "exposure", "evidence", "grades", "splits", "rows", "write"}


@pytest.mark.parametrize("stage", ["build", "rows"])
def test_ctrl_c_leaves_nothing(traces, tmp_path, stage):
    def interrupt(now, done, total):
        if now == stage and done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build(traces, tmp_path / "out", progress=interrupt)
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_leaves_an_earlier_build_as_it_was(traces, tmp_path):
    out = tmp_path / "out"
    build(traces, out)
    before = files(out)

    def interrupt(now, done, total):
        if now == "build" and done == total - 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build(traces, out, progress=interrupt)
    assert files(out) == before
    assert list(tmp_path.iterdir()) == [out]


@pytest.mark.parametrize("content", ["notes.txt", "manifest.json"])
def test_a_folder_of_others_is_never_overwritten(traces, tmp_path, content):
    out = tmp_path / "mine"
    out.mkdir()
    (out / content).write_text("[1]")
    with pytest.raises(DatasetError, match=r"not a dataset folder of ragwheel's.*Name a new folder"):
        build(traces, out)
    assert files(out) == {next(iter(files(out))): b"[1]"}


def test_neither_is_a_file(traces, tmp_path):
    out = tmp_path / "file"
    out.write_text("mine")
    with pytest.raises(DatasetError, match="left as it is"):
        build(traces, out)
    assert out.read_text() == "mine"


def test_an_empty_folder_and_missing_parents_are_fine(traces, tmp_path):
    (tmp_path / "empty").mkdir()
    assert build(traces, tmp_path / "empty").out == tmp_path / "empty"
    assert build(traces, tmp_path / "a" / "b").rows["pairs"]["train"] > 0


def test_a_missing_or_empty_database_is_said(tmp_path):
    with pytest.raises(StoreMissing):
        build(tmp_path / "none.db", tmp_path / "out")
    with TraceStore(tmp_path / "empty.db") as store, pytest.raises(StoreEmpty):
        build(store.path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_no_usable_row_says_what_is_missing_and_makes_nothing(store, tmp_path):
    store.ask("a question", ["a", "b"])
    with pytest.raises(
        DatasetError, match=r"1 retrievals, 1 turns, 0 matched citations and 0 signals.*turn\.answer"
    ):
        build(store.path, tmp_path / "out")
    asked = store.ask("a question", ["a", "b"], answer=None)
    store.signal(asked, "click", "a")
    with pytest.raises(DatasetError, match=r"no grade is sure enough .*too little evidence: \d"):
        build(store.path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_chunks_without_text_are_left_out_and_counted(store, ask_many, tmp_path):
    ask_many(3)
    store.chunk("blank", "  ")
    store.ask("one with a blank chunk", ["blank", "fine"], cited=[1], prompted=[1, 2])
    report = build(store.path, tmp_path / "out")
    assert report.dropped["chunk: it has no text"] == 1
    documents = pq.read_table(report.out / "pairs" / "train.parquet")["document"].to_pylist()
    assert all(text.strip() for text in documents)


def test_the_same_text_under_two_ids_is_one_row(store, tmp_path):
    for name in ("one", "two"):
        store.chunk(name, "The same text.")
    asked = store.ask("what is it?", ["one", "two", "other"], cited=[1, 2], prompted=[1, 2, 3])
    for name in ("one", "two"):
        store.signal(asked, "thumbs_up", name)
    store.signal(asked, "delete", "other")
    report = build(store.path, tmp_path / "out")
    assert report.rows["pairs"]["train"] == 2
    assert report.dropped["row: the same text under another id"] == 1


def test_only_positives_still_make_pairs_and_a_warning(store, tmp_path):
    store.ask("what is it?", ["a"], cited=[1])
    report = build(store.path, tmp_path / "out")
    assert report.rows["pairs"]["train"] == 1
    assert sum(report.rows["triplets"].values()) == 0
    assert any("no triplets yet" in warning for warning in report.warnings)


def test_caps_per_query_and_chunk_are_kept_and_counted(store, tmp_path):
    policy = tmp_path / "policy.toml"
    policy.write_text(
        "[balance]\n"
        "positives_per_query = 2\nnegatives_per_positive = 3\nuses_per_chunk = 4\ndocs_per_list = 5\n"
    )
    for n in range(6):
        query = " ".join(f"{letter}{n}" for letter in "abcde")
        asked = store.ask(query, [f"p{n}", f"q{n}", f"r{n}", *"wxyz"], cited=[1, 2, 3], prompted=range(1, 8))
        for name in "pqr":
            store.signal(asked, "thumbs_up", f"{name}{n}")
        for name in "wxyz":
            store.signal(asked, "delete", name)
    report = build(store.path, tmp_path / "out", options=BuildOptions(policy=policy))
    uses = pq.read_table(report.out / "triplets" / "train.parquet").to_pylist()
    negatives = [row["negative"] for row in uses]
    assert max(negatives.count(text) for text in set(negatives)) == 4
    assert (
        max(sum(row["anchor"] == anchor for row in uses) for anchor in {row["anchor"] for row in uses}) <= 6
    )
    assert {rule.split(":")[0] for rule in report.dropped} >= {"positive", "negative"}
    assert (
        max(len(docs) for docs in pq.read_table(report.out / "lists" / "train.parquet")["docs"].to_pylist())
        == 5
    )


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"formats": ("st-triplets",)}, "no format 'st-triplets'; allowed: st-triplet, "),
        ({"negatives": 0}, "negatives is 0; allowed: 1 to 64"),
        ({"dev": 0.5, "test": 0.5}, "leave at least 0.1 for train"),
        ({"test": -0.1}, "leave at least"),
    ],
)
def test_options_that_cannot_be_used_are_refused(given, message):
    with pytest.raises(ConfigurationError, match=message):
        BuildOptions(**given)


def test_an_engine_limit_that_cannot_be_read_is_refused(traces, tmp_path):
    with pytest.raises(ConfigurationError, match="memory_limit='plenty'"):
        build(traces, tmp_path / "out", options=BuildOptions(memory_limit="plenty"))
    assert list(tmp_path.iterdir()) == []


def test_what_was_read_may_be_gone_afterwards(traces, tmp_path):
    """Nothing of a build holds on to the database."""
    copy = tmp_path / "copy.db"
    shutil.copy(traces, copy)
    report = build(copy, tmp_path / "out")
    copy.unlink()
    assert report.rows["triplets"]["train"] > 0


def test_the_most_frequent_wording_stands_for_a_group(store, ask_many, tmp_path):
    ask_many(3)
    for query, times in (("HOW to brew tea?", 1), ("how to brew tea", 3), ("How to brew tea", 2)):
        for _ in range(times):
            store.ask(query, ["leaves", "stones"], cited=[1], prompted=[1, 2])
    report = build(store.path, tmp_path / "out")
    anchors = pq.read_table(report.out / "positives" / "train.parquet")["anchor"].to_pylist()
    assert [anchor for anchor in anchors if "tea" in anchor.lower()] == ["how to brew tea"]
