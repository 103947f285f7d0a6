"""A lake that does not fit into the engine's memory is built with a temporary folder, to equal bytes."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import pytest

from ragwheel.datasets import BuildOptions, build
from ragwheel.errors import ConfigurationError
from ragwheel.exporting import export_parquet
from ragwheel.labels.engines.engine import DuckDBEngine
from ragwheel.testing import TraceSpec, write_traces

build_module = import_module("ragwheel.datasets.build")


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    """Three thousand retrievals of forty chunks."""
    folder = tmp_path_factory.mktemp("larger")
    write_traces(folder / "traces.db", TraceSpec(turns=3000, queries=150, chunks=400, k=40, words=20))
    export_parquet(folder / "traces.db", folder / "lake")
    return folder / "lake"


def built(lake, out, limit, monkeypatch):
    """The bytes of every file of a build within a memory limit, and how much of the engine was on disk."""
    spilled = [0]

    class Watched(DuckDBEngine):
        def keep(self, name, expression):
            kept = super().keep(name, expression)
            spilled.append(sum(path.stat().st_size for path in Path(self._folder).iterdir()))
            return kept

    monkeypatch.setattr(build_module, "open_engine", lambda _name, **limits: Watched(**limits))
    report = build(lake, out, options=BuildOptions(memory_limit=limit, threads=1))
    paths = sorted(path for path in report.out.rglob("*") if path.is_file())
    return {path.relative_to(out): path.read_bytes() for path in paths}, max(spilled)


def test_what_does_not_fit_goes_to_disk_and_gives_equal_bytes(lake, tmp_path, monkeypatch):
    expected, in_memory = built(lake, tmp_path / "roomy", "2GB", monkeypatch)
    files, on_disk = built(lake, tmp_path / "small", "90MB", monkeypatch)
    assert in_memory == 0
    assert on_disk > 5_000_000
    assert files == expected


def test_too_little_memory_says_what_to_allow_and_leaves_nothing(lake, tmp_path):
    with pytest.raises(ConfigurationError, match=r"20MB of memory.*--memory-limit"):
        build(lake, tmp_path / "set", options=BuildOptions(memory_limit="20MB", threads=1))
    assert not list(tmp_path.iterdir())
