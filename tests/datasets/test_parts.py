"""A dataset whose tables are folders of parts, as workers write them, is read and erased from like others."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import datasets as hub
import pandas as pd
import pyarrow.parquet as pq
import pytest

from ragwheel import offline
from ragwheel.datasets import SPLITS, BuildOptions, build, explain, open_dataset
from ragwheel.datasets.describe import recount_card
from ragwheel.datasets.formats import write_formats
from ragwheel.datasets.parts import part_name
from ragwheel.datasets.writer import checksums
from ragwheel.errors import DatasetError
from ragwheel.store.artifacts import register_artifact
from ragwheel.testing import TraceStore


def parted(folder: Path, out: Path, rows: int) -> Path:
    """Copy a dataset folder, each table as parts of so many rows."""
    shutil.copytree(folder, out)
    for path in list(out.rglob("*.parquet")):
        table = pq.read_table(path)
        path.unlink()
        path.mkdir()
        for number, begin in enumerate(range(0, max(table.num_rows, 1), rows)):
            pq.write_table(table.slice(begin, rows), path / part_name(number), compression="zstd")
    manifest = json.loads((out / "manifest.json").read_text())
    card = (out / "README.md").read_text()
    for config in manifest["rows"]:
        for split in SPLITS:
            name = f"path: {config}/{split}.parquet"
            card = card.replace(f"{name}\n", f"{name}/part-*.parquet\n")
    (out / "README.md").write_text(card)
    recount_card(out, manifest["rows"], manifest["rows"])
    (out / "manifest.json").unlink()
    manifest |= {"layout": 2, "sha256": checksums(out)}
    (out / "manifest.json").write_text(json.dumps(manifest))
    return out


@pytest.fixture(scope="module")
def parts(built, tmp_path_factory):
    return parted(built.out, tmp_path_factory.mktemp("parts") / "data", 50)


def contents(folder: Path) -> dict[str, list[dict[str, object]]]:
    paths = {path for path in folder.rglob("*.parquet") if not path.name.startswith("part-")}
    return {path.relative_to(folder).as_posix(): pq.read_table(path).to_pylist() for path in paths}


def test_rows_and_provenance_are_those_of_the_folder_of_files(built, parts):
    files, folder = open_dataset(built.out), open_dataset(parts)
    assert len(list((parts / "pairs" / "train.parquet").iterdir())) > 3
    assert folder.examples == files.examples
    assert folder.example_keys() == files.example_keys()
    for config in files.configs:
        for split in SPLITS:
            assert folder.rows(config, split).equals(files.rows(config, split))
            assert folder.provenance(config, split).equals(files.provenance(config, split))
    assert explain(parts, 5) == explain(built.out, 5)
    frame = pd.read_parquet(parts / "triplets" / "train.parquet")
    assert frame.equals(pd.read_parquet(built.out / "triplets" / "train.parquet"))


def test_load_dataset_reads_the_parts_in_order(built, parts, tmp_path, monkeypatch):
    monkeypatch.setattr(hub.config, "HF_HUB_OFFLINE", True)
    for config in ("triplets", "lists"):
        here, there = (
            hub.load_dataset(str(folder), config, cache_dir=str(tmp_path / folder.parent.name))
            for folder in (parts, built.out)
        )
        assert list(here) == list(SPLITS)
        for split in SPLITS:
            assert here[split].to_list() == there[split].to_list()


def test_formats_of_other_tools_are_the_same(built, parts, tmp_path):
    names = ("st-pair-5", "parquet", "jsonl", "beir", "flagembedding")
    for folder, out in ((built.out, "files"), (parts, "parts")):
        write_formats(folder, tmp_path / out, names)
    texts = {
        out: {
            path.relative_to(tmp_path / out): path.read_bytes()
            for path in (tmp_path / out).rglob("*.*")
            if path.is_file()
        }
        for out in ("files", "parts")
    }
    assert texts["files"] == texts["parts"]
    assert len(texts["parts"]) > 20


def test_a_part_that_is_missing_is_noticed(parts, tmp_path):
    out = shutil.copytree(parts, tmp_path / "data")
    (out / "pairs" / "train.parquet" / part_name(1)).unlink()
    with pytest.raises(DatasetError, match=r"missing: pairs/train.parquet/part-00001.parquet"):
        open_dataset(out)


def test_erasing_leaves_the_same_rows(tmp_path):
    with TraceStore(tmp_path / "app.db") as store:
        for person in ("ada", "bob"):
            for i in range(12):
                query = " ".join(f"{person}{i}{letter}" for letter in "abcd")
                store.ask(query, [f"{person}{i}-{c}" for c in "xyz"], cited=[1], prompted=[1, 2, 3],
                          user_id=person)  # fmt: skip
    options = BuildOptions(formats=("st-triplet", "jsonl"))
    files = build(tmp_path / "app.db", tmp_path / "files", options=options).out
    parts = parted(files, tmp_path / "parts", 4)
    for folder in (files, parts):
        assert register_artifact(tmp_path / "app.db", "dataset", folder)
    before = contents(parts)
    erasure = offline.erase(tmp_path / "app.db", offline.Selection(user="ada"))
    assert [erased.n > 12 for erased in erasure.datasets] == [True, True]
    assert erasure.still_in == ()
    assert contents(parts) == contents(files) != before
    for part in parts.rglob("part-*.parquet"):  # datasets refuses a file without rows
        assert pq.read_metadata(part).num_rows or part.name == part_name(0)
    assert open_dataset(parts).manifest["rows"] == open_dataset(files).manifest["rows"]
