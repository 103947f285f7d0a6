"""The steps of workers, run on one share of the query groups after the other, write a plain build's rows."""

from __future__ import annotations

import pickle
import shutil
from dataclasses import replace
from functools import partial
from importlib import import_module
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ragwheel.datasets import BuildOptions, build, open_dataset, workers
from ragwheel.errors import DatasetError
from ragwheel.labels.engines.engine import DuckDBEngine
from ragwheel.labels.engines.workers import Workers
from ragwheel.testing import TraceSpec, write_traces

build_module = import_module("ragwheel.datasets.build")


class OwnProcess(Workers):
    """Runs steps here, each pickled as for another process, on a few rows at a time."""

    def __init__(self, engine):
        self._engine = engine

    def mapped(self, name, rows, step, schema, *, by, order):
        step = pickle.loads(pickle.dumps(step))
        table = self._engine.arrow(rows).sort_by([(column, "ascending") for column in order])
        values = [None] if by is None else sorted(set(table[by].to_pylist()), key=str)
        shares = [
            table if by is None else table.filter(pa.compute.equal(table[by], value)) for value in values
        ]
        batches = [batch for share in shares for batch in step(share.to_batches(max_chunksize=50))]
        result = pa.Table.from_batches(batches, schema)
        return self._engine.keep(name, self._engine.register(f"{name}_rows", result))

    def share(self, path):
        return partial(Path, shutil.copy(path, path.with_name(f"sent-{path.name}")))


class WithWorkers(DuckDBEngine):
    """DuckDB, and its steps in Python on workers."""

    @property
    def workers(self):
        return OwnProcess(self)


@pytest.fixture
def on_workers(monkeypatch):
    monkeypatch.setattr(build_module, "open_engine", lambda _name, **limits: WithWorkers(**limits))
    monkeypatch.setattr(workers, "PART_GROUPS", 7)


def same(here, there):
    """The tables of both folders have equal rows in equal order; their manifests and JSON lines are equal."""
    paths = [path.relative_to(here) for path in here.rglob("*") if path.suffix in (".parquet", ".jsonl")]
    for path in paths:
        if path.suffix == ".parquet":
            assert pq.read_table(there / path).equals(pq.read_table(here / path)), path
        else:
            assert (there / path).read_bytes() == (here / path).read_bytes(), path
    one, other = open_dataset(here).manifest, open_dataset(there).manifest
    assert {name for name in one if one[name] != other[name]} == {"layout", "sha256"}
    return len(paths)


OPTIONS = BuildOptions(formats=("st-triplet", "st-ntuple", "jsonl"), negatives=2)


def test_parts_have_the_rows_of_a_plain_build(traces, tmp_path, on_workers):
    there = build(traces, tmp_path / "parts", options=OPTIONS).out
    assert len(list((there / "provenance.parquet").iterdir())) > 5
    with pytest.MonkeyPatch.context() as plain:
        plain.setattr(build_module, "open_engine", lambda _name, **limits: DuckDBEngine(**limits))
        here = build(traces, tmp_path / "files", options=OPTIONS).out
    assert same(here, there) > 30


def test_a_cap_that_holds_over_all_parts_and_pairs_of_chunks(store, tmp_path, monkeypatch):
    """A chunk that every question shares is used as often as in one process, by the same questions."""
    for n in range(30):
        query = " ".join(f"{n}{letter}" for letter in "abcd")
        asked = store.ask(query, ["shared", f"own{n}", f"other{n}"], cited=[1], prompted=[1, 2, 3],
                          user_id=f"u{n}", session_id=f"s{n}")  # fmt: skip
        store.signal(asked, "more_like_this", "shared", subject=f"u{n}")
        store.signal(asked, "click", f"own{n}", subject=f"u{n}")
    policy = tmp_path / "policy.toml"
    policy.write_text("[balance]\nuses_per_chunk = 5\n")
    options = replace(OPTIONS, policy=policy)
    here = build(store.path, tmp_path / "files", options=options)
    assert any("was used 5 times" in rule for rule in here.dropped)
    assert sum(here.rows["chunk_pairs"].values()) > 1
    monkeypatch.setattr(build_module, "open_engine", lambda _name, **limits: WithWorkers(**limits))
    monkeypatch.setattr(workers, "PART_GROUPS", 4)
    there = build(store.path, tmp_path / "parts", options=options)
    assert there.dropped == here.dropped
    same(here.out, there.out)


def test_a_later_build_keeps_the_splits_of_one_in_parts(tmp_path, on_workers):
    write_traces(tmp_path / "few.db", TraceSpec(turns=200, queries=40, chunks=100))
    first = pq.read_table(build(tmp_path / "few.db", tmp_path / "set").out / "splits.parquet")
    write_traces(tmp_path / "more.db", TraceSpec(turns=300, queries=60, chunks=100))
    later = pq.read_table(build(tmp_path / "more.db", tmp_path / "set").out / "splits.parquet").to_pylist()
    splits = {row["query_key"]: row["split"] for row in later}
    assert {row["query_key"]: splits[row["query_key"]] for row in first.to_pylist()} == {
        row["query_key"]: row["split"] for row in first.to_pylist()
    }


def test_workers_that_write_to_another_disk_are_noticed(traces, tmp_path, monkeypatch):
    class Elsewhere(OwnProcess):
        def mapped(self, name, rows, step, schema, **shares):
            if isinstance(step, workers.PartWriter):
                step = replace(step, folder=tmp_path / "disk of a worker")
            return super().mapped(name, rows, step, schema, **shares)

    class Remote(DuckDBEngine):
        workers = property(Elsewhere)

    monkeypatch.setattr(build_module, "open_engine", lambda _name, **limits: Remote(**limits))
    with pytest.raises(DatasetError, match="Name a folder on a disk that all machines of the cluster see"):
        build(traces, tmp_path / "set")
    assert not (tmp_path / "set").exists()
