"""The benchmark is no distribution: its folder is put on the path."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

BENCHMARKS = str(Path(__file__).parents[2] / "benchmarks")
if BENCHMARKS not in sys.path:
    sys.path.insert(0, BENCHMARKS)


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A cache folder of the test run's own, shared by its tests."""
    monkeypatch.setenv("BENCH_HOME", str(tmp_path_factory.getbasetemp() / "bench-home"))
