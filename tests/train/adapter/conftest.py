"""A dataset whose dev split is large enough to choose an adapter on."""

from __future__ import annotations

import pytest

from ragwheel.datasets import BuildOptions, build, open_dataset
from ragwheel.testing import TraceSpec, write_traces


@pytest.fixture(scope="session")
def traces(tmp_path_factory):
    path = tmp_path_factory.mktemp("adapter-traces") / "traces.db"
    write_traces(path, TraceSpec(turns=600, queries=110, chunks=150, k=10, seed=3))
    return path


@pytest.fixture(scope="session")
def dataset(traces, tmp_path_factory):
    out = tmp_path_factory.mktemp("adapter-data") / "data"
    build(traces, out, options=BuildOptions(dev=0.35, test=0.05))
    return open_dataset(out)
