"""One dataset built from generated traffic, shared by the tests that only read it."""

from __future__ import annotations

import pytest

from ragwheel.datasets import BuildOptions, build
from ragwheel.testing import TraceSpec, TraceStore, write_traces


@pytest.fixture(scope="session")
def traces(tmp_path_factory):
    """The database; nobody writes to it."""
    path = tmp_path_factory.mktemp("traces") / "traces.db"
    write_traces(path, TraceSpec(turns=500, queries=60, chunks=400, k=20))
    return path


@pytest.fixture(scope="session")
def built(traces, tmp_path_factory):
    """A report of a build in every format; its folder is ``built.out``."""
    out = tmp_path_factory.mktemp("built") / "data"
    return build(traces, out, options=BuildOptions(formats=("st-triplet", "st-ntuple", "jsonl"), negatives=3))


@pytest.fixture
def store(tmp_path):
    with TraceStore(tmp_path / "traces.db") as made:
        yield made


@pytest.fixture
def ask_many(store):
    """Ask ``n`` questions whose first chunk is cited and whose others are not; returns the queries."""

    def ask(n, prefix="question", **given):
        queries = []
        for i in range(n):
            # words of its own: questions that differ in a number alone would be one family
            query = " ".join(f"{prefix}{i}{letter}" for letter in "abcd")
            queries.append(query)
            store.ask(query, [f"{prefix}{i}-{c}" for c in "xyz"], cited=[1], prompted=[1, 2, 3], **given)
        return queries

    return ask
