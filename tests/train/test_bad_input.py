"""What can be wrong with a dataset, a model or a machine: said clearly, nothing lost."""

from __future__ import annotations

import errno
import os
import shutil

import pyarrow.parquet as pq
import pytest
import torch
from typer.testing import CliRunner

from ragwheel.cli import app
from ragwheel.datasets import BuiltDataset, build
from ragwheel.errors import ConfigurationError, DatasetError, ModelError, TrainingError
from ragwheel.testing import TraceSpec, write_traces
from ragwheel.train import load_embedder, load_reranker, train_embedder, train_reranker
from ragwheel.train.trainer import trainer_class


def test_too_few_examples_name_the_milestone_and_what_to_do(dataset, quick, tmp_path):
    with pytest.raises(
        TrainingError, match=r"1,000.*ragwheel fewshot.*train adapter.*--min-examples"
    ) as caught:
        train_embedder(dataset, tmp_path / "model", options=quick(min_examples=5000))
    assert "5,000" in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def without_dev(tmp_path_factory):
    """Fewer than ten families of questions: everything is train."""
    folder = tmp_path_factory.mktemp("small")
    write_traces(folder / "traces.db", TraceSpec(turns=60, queries=8, chunks=60, k=10))
    build(folder / "traces.db", folder / "data")
    return folder / "data"


def test_no_dev_split(without_dev, quick, tmp_path):
    options = quick(min_examples=1, epochs=1, loss="infonce", batch_size=4)
    with pytest.raises(TrainingError, match=r"no dev question.*--without-dev"):
        train_embedder(without_dev, tmp_path / "model", options=options)
    options = quick(min_examples=1, epochs=1, loss="infonce", batch_size=4, without_dev=True)
    made = train_embedder(without_dev, tmp_path / "model", options=options)
    assert made.dev is None
    assert any("without dev" in note for note in made.notes)
    load_embedder(tmp_path / "model")


@pytest.mark.parametrize("config", ["pairs", "triplets"])
def test_wrong_columns(dataset, quick, config, tmp_path):
    copy = tmp_path / "data"
    shutil.copytree(dataset.folder, copy)
    path = copy / config / "train.parquet"
    table = pq.read_table(path)
    pq.write_table(table.rename_columns([f"my_{name}" for name in table.column_names]), path)
    broken = BuiltDataset(copy, dataset.manifest, dataset.id)
    with pytest.raises(TrainingError, match=rf"{config} lacks the column.*got: my_.*ragwheel build"):
        train_embedder(broken, tmp_path / "model", options=quick(loss="triplet"))


def test_no_negatives_where_the_loss_needs_them(dataset, quick, tmp_path):
    manifest = {**dataset.manifest, "rows": {"pairs": {"train": 9}, "triplets": {"train": 0}}}
    bare = BuiltDataset(dataset.folder, manifest, dataset.id)
    with pytest.raises(TrainingError, match=r"needs triplets.*--loss infonce"):
        train_embedder(bare, tmp_path / "model", options=quick(loss="triplet"))
    made = train_embedder(bare, tmp_path / "model", options=quick(loss="infonce", epochs=0.5))
    assert made.facts.configuration["chosen"]["rows"] == "pairs"


def test_not_a_dataset(quick, tmp_path):
    with pytest.raises(DatasetError, match=r"ragwheel build"):
        train_embedder(tmp_path, tmp_path / "model", options=quick())


@pytest.mark.parametrize("load", [load_embedder, load_reranker])
@pytest.mark.parametrize("name", ["./nowhere", "/nowhere/at/all", "two words", "a/b/c"])
def test_a_base_that_does_not_exist(load, name):
    with pytest.raises(ModelError, match=r"Allowed: a folder, a hub id"):
        load(name)


def test_after_a_slip_the_right_command_is_not_refused(dataset, quick, tmp_path):
    """Nothing was reached, so there is nothing that other options could throw away."""
    with pytest.raises(ModelError, match=r"no model folder"):
        train_embedder(dataset, tmp_path / "model", options=quick(base="./nowhere"))
    killed_between = tmp_path / ".model.training" / "evaluations.json"
    killed_between.write_text('{"1": 0.99}')
    made = train_embedder(dataset, tmp_path / "model", options=quick(loss="infonce", epochs=0.5))
    assert made.figures.get("dev_step_1") != 0.99
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


@pytest.mark.parametrize("kind", ["embedder", "reranker", "adapter"])
def test_a_database_that_is_not_there_is_said_before_hours_of_training(dataset, kind, tmp_path):
    command = [
        "train",
        kind,
        str(dataset.folder),
        "--out",
        str(tmp_path / "m"),
        "--db",
        str(tmp_path / "no.db"),
    ]
    ended = CliRunner().invoke(app, command)
    assert ended.exit_code == 1
    assert f"There is no database at {tmp_path / 'no.db'}" in ended.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("device", ["tpu9", "cuda:99"])
def test_a_device_that_is_not_there(dataset, quick, device, tmp_path):
    with pytest.raises(ConfigurationError, match=rf"device is '{device}', .* cannot use here.*Allowed: cpu"):
        train_embedder(dataset, tmp_path / "model", options=quick(device=device))


def test_a_folder_without_a_model_and_one_with_pickled_weights(tiny, tmp_path):
    with pytest.raises(ModelError, match=r"a folder without a model"):
        load_embedder(tmp_path)
    copy = tmp_path / "pickled"
    shutil.copytree(tiny, copy)
    torch.save(load_embedder(tiny)[0].auto_model.state_dict(), copy / "pytorch_model.bin")
    (copy / "model.safetensors").unlink()
    with pytest.raises(ModelError, match=r"safetensors"):
        load_embedder(copy)


@pytest.fixture
def spoil(monkeypatch):
    """Put something in the way of the real trainer's loss or saving; what it is given is called first."""

    def wrap(kind, name, before):
        real = getattr(trainer_class(kind), name)

        def method(self, *args, **kwargs):
            found = before(self, *args, **kwargs)
            result = real(self, *args, **kwargs)
            return result if found is None else found(result)

        monkeypatch.setattr(trainer_class(kind), name, method)

    return wrap


def test_a_loss_that_is_no_number_stops_and_keeps_the_last_checkpoint(dataset, quick, spoil, tmp_path):
    spoil(
        "embedder", "compute_loss",
        lambda self, *_, **__: (lambda loss: loss * float("nan")) if self.state.global_step == 4 else None,
    )  # fmt: skip
    options = quick(loss="infonce", checkpoint_every=2)
    with pytest.raises(TrainingError, match=r"nan at step 5.*step 4 is kept.*--learning-rate 0.00025"):
        train_embedder(dataset, tmp_path / "model", options=options)
    assert (tmp_path / ".model.training" / "checkpoint-4" / "complete").exists()


def test_weights_that_are_no_numbers_are_not_kept(dataset, quick, spoil, tmp_path):
    def before(self, *_, **__):
        if self.state.global_step == 4:
            with torch.no_grad():
                next(self.model.parameters()).fill_(float("inf"))

    spoil("embedder", "_save", before)
    with pytest.raises(TrainingError, match=r"step 2 is kept"):
        train_embedder(dataset, tmp_path / "model", options=quick(loss="infonce", checkpoint_every=2))


class TestOutOfMemory:
    """A GPU's error, raised in the real trainer where a mini-batch is larger than what fits."""

    def limit(self, monkeypatch, most):
        from sentence_transformers import CrossEncoder, SentenceTransformer

        for model in (SentenceTransformer, CrossEncoder):
            real = model.forward

            def forward(self, features, *args, real=real, **kwargs):
                if self.training and len(features["input_ids"]) > most:
                    raise torch.OutOfMemoryError("CUDA out of memory (simulated)")
                return real(self, features, *args, **kwargs)

            monkeypatch.setattr(model, "forward", forward)

    @pytest.mark.parametrize("loss", ["infonce", "gist"])
    def test_the_cached_loss_takes_over_and_its_mini_batch_is_halved(
        self, dataset, quick, monkeypatch, loss, tmp_path
    ):
        self.limit(monkeypatch, 5)
        made = train_embedder(dataset, tmp_path / "model", options=quick(side="both", loss=loss, epochs=1))
        told = [note for note in made.notes if "out of memory" in note]
        assert told == [
            "out of memory: the cached loss takes over, 8 rows at once",
            "out of memory: 4 rows at once from here on",
        ]

    def test_questions_for_themselves_are_cut(self, dataset, quick, monkeypatch, tmp_path):
        self.limit(monkeypatch, 9)
        made = train_embedder(dataset, tmp_path / "model", options=quick(side="query", epochs=1))
        told = [note for note in made.notes if "out of memory" in note]
        assert told == ["out of memory: 8 rows at once from here on"]

    @pytest.mark.parametrize("loss", ["bce", "lambda"])
    def test_a_batch_of_rows_for_themselves_is_cut(
        self, dataset, quick_reranker, monkeypatch, loss, tmp_path
    ):
        self.limit(monkeypatch, 9)
        made = train_reranker(dataset, tmp_path / "model", options=quick_reranker(loss=loss, epochs=1))
        assert any("rows at once from here on" in note for note in made.notes)

    def test_cutting_changes_nothing_but_the_memory(self, dataset, quick, monkeypatch, tmp_path):
        """The gradient is the same, so after one step the weights are, up to rounding."""
        options = quick(loss="marginmse", epochs=0.04, without_dev=True, merge_with_base=1.0)
        whole = train_embedder(dataset, tmp_path / "whole", options=options)
        self.limit(monkeypatch, 5)
        cut = train_embedder(dataset, tmp_path / "cut", options=options)
        assert whole.figures["steps"] == cut.figures["steps"] == 1
        one, other = (load_embedder(made.folder).state_dict() for made in (whole, cut))
        assert all(torch.allclose(one[name].float(), other[name].float(), atol=5e-3) for name in one)

    def test_not_even_one_row_fits(self, dataset, quick, monkeypatch, tmp_path):
        self.limit(monkeypatch, 0)
        with pytest.raises(TrainingError, match=r"single row.*--max-tokens"):
            train_embedder(dataset, tmp_path / "model", options=quick(loss="infonce"))


def test_a_disk_that_fills_up(dataset, quick, spoil, tmp_path):
    full = True

    def before(self, output_dir=None, *_, **__):
        if full and self.state.global_step >= 4:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    spoil("embedder", "_save", before)
    options = quick(loss="infonce", checkpoint_every=2)
    with pytest.raises(TrainingError, match=r"disk is full.*stands at step 2.*same command again"):
        train_embedder(dataset, tmp_path / "model", options=options)
    full = False
    made = train_embedder(dataset, tmp_path / "model", options=options)
    assert any("went on from step 2" in note for note in made.notes)


def test_a_disk_that_is_too_small_is_known_before(dataset, quick, monkeypatch, tmp_path):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1000))
    with pytest.raises(TrainingError, match=r"MiB free; the checkpoints"):
        train_embedder(dataset, tmp_path / "model", options=quick())
