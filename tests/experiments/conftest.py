"""Collections whose answers stand at known ranks, generated traffic, and the command line."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from ragwheel.cli.app import app
from ragwheel.datasets import build
from ragwheel.evaluate import StatisticsOptions, read_beir
from ragwheel.testing import TraceSpec, write_traces


@pytest.fixture(scope="session")
def traces(tmp_path_factory):
    """A database of generated traffic; only to be read."""
    path = tmp_path_factory.mktemp("experiments") / "traces.db"
    write_traces(path, TraceSpec(turns=500, queries=60, chunks=200, zipf=0.3, p_explicit=0.3, k=20))
    return path


@pytest.fixture(scope="session")
def dataset(traces):
    return build(traces, traces.with_name("dataset")).out


@pytest.fixture(scope="session")
def beir(tmp_path_factory):
    """40 questions; the first 20 share a rare word with their answer, the rest share none."""
    folder = tmp_path_factory.mktemp("beir")
    corpus = [{"_id": f"d{i}", "text": f"alpha word{i} about topic{i % 7} and more"} for i in range(80)]
    queries = [
        {"_id": f"q{i}", "text": f"word{i} please" if i < 20 else f"something else{i}"} for i in range(40)
    ]
    for name, rows in {"corpus": corpus, "queries": queries}.items():
        (folder / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n")
    judged = [f"q{i}\td{i}\t1" for i in range(40)]
    (folder / "qrels.test.tsv").write_text("\n".join(["query-id\tcorpus-id\tscore", *judged]) + "\n")
    return folder


@pytest.fixture
def collection(beir):
    return read_beir(beir)


@pytest.fixture
def quick():
    """Few draws: the tests ask what is concluded, not how finely."""
    return StatisticsOptions(draws=400, seeds=(0,))


@pytest.fixture
def type_in(monkeypatch, tmp_path):
    monkeypatch.setenv("COLUMNS", "150")
    monkeypatch.setenv("RAGWHEEL_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)

    def run(*words, code=0):
        done = CliRunner().invoke(app, [str(word) for word in words])
        assert done.exit_code == code, done.output
        return done

    return run
