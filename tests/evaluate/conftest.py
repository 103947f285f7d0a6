"""Small collections whose figures can be worked out by hand, and a dataset of generated traffic."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from ragwheel.datasets import build
from ragwheel.evaluate import Collection, System, from_callable
from ragwheel.testing import TraceSpec, write_traces


@pytest.fixture(scope="session")
def test_data():
    """The folder with real collections."""
    root = os.environ.get("RAGWHEEL_TEST_DATA")
    if not root or not (Path(root) / "scifact").is_dir():
        pytest.skip("RAGWHEEL_TEST_DATA names no folder with scifact/ in BEIR layout")
    return Path(root)


@pytest.fixture(scope="session")
def traces(tmp_path_factory):
    """A database of generated traffic with many thumbs; nobody writes to it."""
    path = tmp_path_factory.mktemp("evaluate") / "traces.db"
    write_traces(path, TraceSpec(turns=700, queries=80, chunks=300, zipf=0.3, p_explicit=0.3))
    return path


@pytest.fixture(scope="session")
def dataset(traces):
    return build(traces, traces.with_name("dataset")).out


@pytest.fixture
def write_beir(tmp_path):
    """Write a folder in BEIR's layout: texts by id, and qrels by split as ``{query: {document: grade}}``."""

    def write(corpus, queries, **qrels):
        folder = tmp_path / "beir"
        folder.mkdir(exist_ok=True)
        for name, rows in (("corpus", corpus), ("queries", queries)):
            lines = [json.dumps(row if isinstance(row, dict) else {"_id": i, "text": row}) for i, row in rows]
            (folder / f"{name}.jsonl").write_text("\n".join(lines) + "\n")
        for split, judged in qrels.items():
            rows = [f"{q}\t{d}\t{g}" for q, grades in judged.items() for d, g in grades.items()]
            text = "\n".join(["query-id\tcorpus-id\tscore", *rows]) + "\n"
            (folder / f"qrels.{split}.tsv").write_text(text)
        return folder

    return write


@pytest.fixture
def small():
    """Makes collections of queries q0…, each answered by the one document d0… of its number."""

    def make(n=40, documents=60, labels="evalset", **given):
        return Collection(
            name="small",
            corpus={f"d{i}": f"text number {i}" for i in range(documents)},
            queries={f"q{i}": f"question {i}" for i in range(n)},
            qrels={labels: {f"q{i}": {f"d{i}": 1} for i in range(n)}},
            **given,
        )

    return make


@pytest.fixture
def at_ranks():
    """Makes systems that put the answer of query i at rank ``ranks[i]``; of a number, at ranks drawn with
    it."""

    def make(name, ranks, **given):
        if isinstance(ranks, int):
            ranks = np.random.default_rng(ranks).integers(1, 12, 40).tolist()

        def search(text, k):
            i = int(text.split()[-1])
            others = [f"d{j}" for j in range(60) if j != i]
            return [*others[: ranks[i] - 1], f"d{i}", *others[ranks[i] - 1 :]][:k]

        made = from_callable(search, name)
        return System(name, made.spec, made.search, **given)

    return make
