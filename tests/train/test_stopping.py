"""Real signals to a real training: the same call goes on, and ends with the same weights."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import asdict

import pytest

from ragwheel.errors import TrainingError
from ragwheel.train import read_model_card, train_embedder

SCRIPT = """
import json, os, signal, sys
from ragwheel.train import EmbedderOptions, train_embedder
dataset, out, options, kill_at = json.loads(sys.argv[1])
options["matryoshka"] = tuple(options["matryoshka"])
def progress(stage, done, total):
    if stage == "train" and done == kill_at:
        os.kill(os.getpid(), signal.SIGKILL)
train_embedder(dataset, out, options=EmbedderOptions(**options), progress=progress)
"""


def killed(dataset, out, options, stop_at):
    """Train in a process of its own that kills itself at a step."""
    given = json.dumps([str(dataset.folder), str(out), asdict(options), stop_at])
    done = subprocess.run([sys.executable, "-c", SCRIPT, given], capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr


def interrupted(dataset, out, options, stop_at=3):
    """Ctrl-C at a step."""

    def progress(stage, done, total):
        if stage == "train" and done == stop_at:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        train_embedder(dataset, out, options=options, progress=progress)


def weights(folder):
    """Every weights file of a model, by its place in the folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.safetensors")}


@pytest.fixture(scope="module", params=["query", "both"])
def whole(request, dataset, quick, tmp_path_factory):
    """The side that was trained, and the weights of a training that nothing disturbed."""
    out = tmp_path_factory.mktemp("whole") / "model"
    train_embedder(dataset, out, options=quick(side=request.param, loss="infonce", checkpoint_every=2))
    return request.param, weights(out)


@pytest.mark.parametrize("stop", [interrupted, killed])
def test_a_stopped_training_goes_on_to_equal_weights(dataset, quick, whole, stop, tmp_path):
    side, expected = whole
    options = quick(side=side, loss="infonce", checkpoint_every=2)
    stop(dataset, tmp_path / "halves", options, 5)
    assert not (tmp_path / "halves").exists()
    steps = []
    made = train_embedder(
        dataset, tmp_path / "halves", options=options,
        progress=lambda stage, done, total: steps.append(done) if stage == "train" else None,
    )  # fmt: skip
    assert steps[0] == 5  # the checkpoint of step 4 was the newest whole one
    assert any("went on from step 4" in note for note in made.notes)
    assert len(expected) == (2 if side == "query" else 1)
    assert weights(tmp_path / "halves") == expected
    assert [path.name for path in tmp_path.iterdir()] == ["halves"]


def test_two_processes_of_one_training_make_one_model(dataset, quick, tmp_path):
    """As torchrun starts them: the first holds the lock and writes, the second waits for it."""
    script = tmp_path / "script.py"
    script.write_text(SCRIPT, "utf-8")
    given = [str(dataset.folder), str(tmp_path / "model"), asdict(quick(loss="infonce", epochs=1)), None]
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [*command, str(script), json.dumps(given)], capture_output=True, text=True, check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert read_model_card(tmp_path / "model").figures["steps"] > 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model", "script.py"]


def test_other_options_do_not_go_on_from_it(dataset, quick, tmp_path):
    out = tmp_path / "model"
    interrupted(dataset, out, quick(loss="infonce", checkpoint_every=1))
    with pytest.raises(TrainingError, match=r"learning_rate \(there 0.001, now 0.002\).*step 2, --restart"):
        train_embedder(dataset, out, options=quick(loss="infonce", checkpoint_every=1, learning_rate=2e-3))
    made = train_embedder(
        dataset, out, options=quick(loss="infonce", checkpoint_every=1, learning_rate=2e-3), restart=True
    )
    assert not any("went on" in note for note in made.notes)


def test_a_checkpoint_that_was_being_written_is_not_used(dataset, quick, tmp_path):
    options = quick(loss="infonce", checkpoint_every=1)
    interrupted(dataset, tmp_path / "model", options)
    work = tmp_path / ".model.training"
    assert sorted(path.name for path in work.glob("checkpoint-*")) == ["checkpoint-1", "checkpoint-2"]
    (work / "checkpoint-2" / "complete").unlink()
    (work / "checkpoint-2" / "optimizer.pt").write_bytes(b"half")
    made = train_embedder(dataset, tmp_path / "model", options=options)
    assert any("went on from step 1" in note for note in made.notes)


def test_two_processes_do_not_train_one_folder(dataset, quick, tmp_path):
    def progress(stage, done, total):
        if stage == "train" and done == 1:
            train_embedder(dataset, tmp_path / "model", options=quick(loss="infonce"))

    with pytest.raises(TrainingError, match="Another process is training"):
        train_embedder(dataset, tmp_path / "model", options=quick(loss="infonce"), progress=progress)
