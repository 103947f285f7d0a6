"""What stands in a dataset folder, read by those who will read it."""

from __future__ import annotations

import hashlib
import json
from contextlib import closing

import datasets as hub
import pyarrow.parquet as pq
import pytest

from ragwheel.datasets import SPLITS, build, explain
from ragwheel.errors import DatasetError
from ragwheel.labels import load_policy
from ragwheel.store import open_store
from ragwheel.testing.traces import TraceSpec, write_traces

COLUMNS = {
    "triplets": ["anchor", "positive", "negative"],
    "positives": ["anchor", "positive"],
    "pairs": ["query", "document", "label"],
    "lists": ["query", "docs", "labels"],
    "ntuples": ["anchor", "positive", "negative_1", "negative_2", "negative_3"],
}


@pytest.fixture(autouse=True)
def _offline(monkeypatch, tmp_path):
    monkeypatch.setattr(hub.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(hub.config, "HF_DATASETS_CACHE", tmp_path / "cache")


@pytest.mark.parametrize("config", COLUMNS)
def test_load_dataset_opens_every_config_with_the_columns_trainers_expect(built, tmp_path, config):
    loaded = hub.load_dataset(str(built.out), config, cache_dir=str(tmp_path))
    assert list(loaded) == list(SPLITS)
    for split in SPLITS:
        assert loaded[split].column_names == COLUMNS[config]
        assert len(loaded[split]) == built.rows[config][split] > 0
    first = loaded["train"][0]
    if config == "pairs":
        assert isinstance(first["label"], float)
    if config == "lists":
        assert len(first["docs"]) == len(first["labels"]) >= 2
        assert first["labels"] == sorted(first["labels"], reverse=True)


def test_load_dataset_opens_a_build_too_small_to_be_split(tmp_path):
    db = tmp_path / "few.db"
    write_traces(db, TraceSpec(turns=60, queries=3, chunks=60))
    report = build(db, tmp_path / "out")
    assert report.rows["triplets"]["train"] > 0
    assert report.rows["triplets"]["dev"] == report.rows["triplets"]["test"] == 0
    loaded = hub.load_dataset(str(report.out), "triplets", cache_dir=str(tmp_path / "loaded"))
    assert list(loaded) == ["train"]
    assert len(loaded["train"]) == report.rows["triplets"]["train"]


def test_labels_are_grades_over_five(built):
    pairs = pq.read_table(built.out / "pairs" / "train.parquet").to_pylist()
    grades = {row["row"]: row["grade"] for row in rows_of(built, "pairs", "train")}
    assert [pair["label"] for pair in pairs] == [
        pytest.approx(grades[n] / 5, abs=1e-6) for n in range(len(pairs))
    ]
    assert 0 <= min(pair["label"] for pair in pairs) < 0.3 < 0.7 < max(pair["label"] for pair in pairs) <= 1


def test_json_lines_say_what_the_parquet_files_say(built):
    for config in COLUMNS:
        lines = (built.out / "jsonl" / config / "train.jsonl").read_text("utf-8").splitlines()
        assert [json.loads(line) for line in lines] == pq.read_table(
            built.out / config / "train.parquet"
        ).to_pylist()


def rows_of(built, config=None, split=None):
    rows = pq.read_table(built.out / "provenance.parquet").to_pylist()
    return [row for row in rows if config in (None, row["config"]) and split in (None, row["split"])]


def test_every_row_has_a_provenance_that_leads_to_spans_in_the_store(built, traces):
    with closing(open_store(traces)) as connection:
        spans = {span for (span,) in connection.execute("SELECT span_id FROM spans")}
        texts = dict(connection.execute("SELECT chunk_version, text FROM chunks").fetchall())
    found = rows_of(built)
    for row in found:
        ids = [*row["retrieval_ids"], *row["turn_ids"], *row["signal_ids"]]
        assert ids
        assert set(ids) <= spans
        assert len(row["reasons"]) == len(row["kinds"]) > 0
    for config, split in ((config, split) for config in COLUMNS for split in SPLITS):
        table = pq.read_table(built.out / config / f"{split}.parquet").to_pylist()
        some = [row for row in found if (row["config"], row["split"]) == (config, split)]
        assert {row["row"] for row in some} == set(range(len(table)))
        for row in some:
            value = table[row["row"]].get(row["role"], table[row["row"]].get("docs"))
            assert texts[row["chunk_version"]] == value or texts[row["chunk_version"]] in value
    assert len({row["row_id"] for row in found}) == sum(
        sum(counts.values()) for counts in built.rows.values()
    )


def test_negatives_name_their_strategy_and_positives_have_none(built):
    found = rows_of(built, "triplets")
    assert {row["strategy"] for row in found if row["role"] == "positive"} == {None}
    named = {row["strategy"] for row in found if row["role"] == "negative"}
    assert named <= {"explicit_rejection", "bounce", "passed_over", "prompted_not_cited"}
    assert named == set(built.negatives)


def test_manifest_says_what_was_read_and_checks_the_files(built, traces):
    manifest = json.loads((built.out / "manifest.json").read_text("utf-8"))
    assert manifest["read"]["database"] == traces.name
    assert manifest["read"]["spans"]["retrieval"] == 500
    assert manifest["read"]["from"] == "2023-11-14T22:13:20Z"
    assert manifest["configuration"]["policy"] == load_policy().model_dump()
    formats = ["jsonl", "st-list", "st-ntuple", "st-pair", "st-positive", "st-triplet"]
    assert manifest["configuration"]["formats"] == formats
    assert manifest["rows"] == built.rows
    assert manifest["dropped"] == built.dropped
    files = {path.relative_to(built.out).as_posix() for path in built.out.rglob("*") if path.is_file()}
    assert set(manifest["sha256"]) == files - {"manifest.json"}
    for name, digest in manifest["sha256"].items():
        assert hashlib.sha256((built.out / name).read_bytes()).hexdigest() == digest


def test_explain_shows_every_strategy_before_any_again(built):
    found = explain(built.out, n=4)
    every = {one.strategy for one in explain(built.out, n=10_000)}
    assert len(found) == 4
    assert len({one.strategy for one in found}) == min(4, len(every)) >= 3
    for one in found:
        assert one.why_positive
        assert one.why_negative
        assert one.span_ids
        assert one.positive_id != one.negative_id
        assert min(one.confidence_positive, one.confidence_negative) >= 0.5


def test_explain_refuses_another_folder(tmp_path):
    with pytest.raises(DatasetError, match="not a dataset folder of ragwheel's"):
        explain(tmp_path)
    (tmp_path / "manifest.json").write_text('{"made_by": "someone"}')
    with pytest.raises(DatasetError, match="not a dataset folder"):
        explain(tmp_path)
