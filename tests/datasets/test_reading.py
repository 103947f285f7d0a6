"""Dataset folders opened again, and what is said when they are not what they should be."""

from __future__ import annotations

import json
import shutil

import pyarrow.parquet as pq
import pytest

from ragwheel.datasets import SPLITS, build, open_dataset
from ragwheel.errors import DatasetError
from ragwheel.testing import TraceSpec, write_traces


def test_rows_and_provenance_are_those_of_the_files(built):
    data = open_dataset(built.out)
    assert data.configs == ("triplets", "positives", "pairs", "lists", "ntuples")
    for config in data.configs:
        for split in SPLITS:
            assert data.rows(config, split).num_rows == built.rows[config][split]
    whole = pq.read_table(built.out / "provenance.parquet")
    assert data.provenance().equals(whole)
    some = data.provenance("pairs", "test").to_pylist()
    assert some == [row for row in whole.to_pylist() if (row["config"], row["split"]) == ("pairs", "test")]
    assert data.provenance(split="dev").num_rows == sum(r["split"] == "dev" for r in whole.to_pylist())


def test_equal_builds_have_equal_ids_and_others_not(built, traces, tmp_path):
    shutil.copytree(built.out, tmp_path / "copy")
    assert open_dataset(tmp_path / "copy").id == open_dataset(str(built.out)).id
    other = build(traces, tmp_path / "other")
    assert open_dataset(other.out).id != open_dataset(built.out).id


def test_an_empty_split_has_its_columns(tmp_path):
    write_traces(tmp_path / "few.db", TraceSpec(turns=60, queries=3, chunks=60))
    data = open_dataset(build(tmp_path / "few.db", tmp_path / "out").out)
    assert data.rows("triplets", "test").num_rows == 0
    assert data.rows("triplets", "test").column_names == ["anchor", "positive", "negative"]


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (shutil.rmtree, "not a dataset folder"),
        (lambda out: (out / "manifest.json").write_text("{"), "not a dataset folder"),
        (lambda out: (out / "manifest.json").write_text('["made_by"]'), "not written by ragwheel"),
        (lambda out: (out / "manifest.json").write_text('{"made_by": "ragwheel"}'), "damaged"),
        (lambda out: edit(out, layout=3), "layout 3.*this one reads layouts up to 2"),
        (lambda out: (out / "pairs" / "dev.parquet").unlink(), "missing: pairs/dev.parquet"),
        (lambda out: (out / "splits.parquet").write_text("mine"), "changed: splits.parquet"),
    ],
)
def test_a_folder_that_cannot_be_trusted_is_refused(built, tmp_path, damage, said):
    out = tmp_path / "data"
    shutil.copytree(built.out, out)
    damage(out)
    with pytest.raises(DatasetError, match=said):
        open_dataset(out)


def test_the_card_may_be_edited(built, tmp_path):
    shutil.copytree(built.out, tmp_path / "data")
    (tmp_path / "data" / "README.md").write_text("mine")
    assert open_dataset(tmp_path / "data").rows("pairs", "train").num_rows


def edit(out, **values):
    manifest = json.loads((out / "manifest.json").read_text("utf-8"))
    (out / "manifest.json").write_text(json.dumps(manifest | values), "utf-8")


def test_unknown_names_are_told_what_there_is(built):
    data = open_dataset(built.out)
    with pytest.raises(DatasetError, match="no config 'triples'; it has: triplets, positives, pairs, lists"):
        data.rows("triples", "train")
    with pytest.raises(DatasetError, match="no split 'validation'; it has: train, dev, test"):
        data.rows("pairs", "validation")
    with pytest.raises(DatasetError, match="no split"):
        data.provenance(split="validation")
    (built_file := data.folder / "pairs" / "dev.parquet").rename(moved := built_file.with_suffix(".away"))
    try:
        with pytest.raises(DatasetError, match="cannot be read"):
            data.rows("pairs", "dev")
    finally:
        moved.rename(built_file)
