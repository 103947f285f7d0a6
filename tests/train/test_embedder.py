"""An embedding model from a dataset folder: what is chosen, what is written, what it says about itself."""

from __future__ import annotations

import json

import numpy as np
import pytest

from ragwheel.errors import ConfigurationError, TrainingError
from ragwheel.models.card import holds_subject
from ragwheel.store.artifacts import list_artifacts
from ragwheel.train import EmbedderOptions, encode, load_embedder, read_model_card, train_embedder
from ragwheel.train.dev import read_dev, score_embedder


def learned(dataset, model):
    """Mean cosine of training questions with their relevant chunks, less that with their negatives."""
    rows = dataset.rows("triplets", "train").to_pydict()
    anchor, positive, negative = (
        encode(model, rows[name], role=role)
        for name, role in (("anchor", "query"), ("positive", "document"), ("negative", "document"))
    )
    return float(((positive - negative) * anchor).sum(axis=1).mean())


@pytest.fixture(scope="module")
def made(dataset, tiny, traces, tmp_path_factory):
    """One training with the defaults of the recipe, and the calls of its progress."""
    calls = []
    options = EmbedderOptions(
        base=str(tiny), side="both", min_examples=10, epochs=8, learning_rate=1e-3, batch_size=16,
        max_tokens=32, evaluations=2, dev_documents=60, device="cpu", precision="float32",
    )  # fmt: skip
    out = tmp_path_factory.mktemp("made") / "model"
    found = train_embedder(
        dataset, out, options=options, db=traces, progress=lambda *call: calls.append(call)
    )
    return found, calls


def test_it_learns_its_training_questions(dataset, tiny, made):
    assert learned(dataset, load_embedder(made[0].folder)) > learned(dataset, load_embedder(tiny)) + 0.05


def test_progress_reaches_the_end(made):
    model, calls = made
    steps = model.figures["steps"]
    assert [call for call in calls if call[0] == "train"] == [
        ("train", n, steps) for n in range(1, steps + 1)
    ]


def test_the_dev_figures_are_those_of_the_saved_model(dataset, tiny, made):
    dev = read_dev(dataset, documents=60, seed=0)
    models = [load_embedder(one) for one in (tiny, made[0].folder)]
    for model in models:
        model.max_seq_length = 32
    before, after = (score_embedder(model, dev).mean() for model in models)
    # On a busy machine sums of floats round differently, and near ties of so small a model change places.
    assert (made[0].dev.base, made[0].dev.tuned) == pytest.approx((before, after), abs=0.01)
    assert made[0].dev.low <= made[0].dev.gain <= made[0].dev.high


def test_only_safetensors_json_and_text_are_written_and_nothing_is_left_beside(made):
    folder = made[0].folder
    kinds = {path.suffix for path in folder.rglob("*") if path.is_file()}
    assert kinds <= {".safetensors", ".json", ".txt", ".md"}
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_the_card_tells_what_went_in(dataset, made, traces):
    facts = read_model_card(made[0].folder)
    assert facts == made[0].facts or json.dumps(facts.figures) == json.dumps(made[0].facts.figures)
    assert facts.dataset_id == dataset.id
    assert facts.traces > 100
    assert facts.subjects.count == len(facts.subjects.hashes) > 0
    assert holds_subject(facts, "nobody of this name") is False
    assert facts.configuration["chosen"]["loss"] == made[0].recipe
    text = (made[0].folder / "README.md").read_text()
    assert all(why in text for why in made[0].why)
    assert [a.path for a in list_artifacts(traces) if a.kind == "model"].count(made[0].folder) == 1


def test_a_person_is_found_by_the_id_and_only_by_it(made, traces):
    from ragwheel.store import open_store

    connection = open_store(traces)
    (person,) = connection.execute(
        "SELECT user_id FROM retrievals WHERE user_id IS NOT NULL LIMIT 1"
    ).fetchone()
    connection.close()
    assert holds_subject(made[0].facts, person)
    assert person not in (made[0].folder / "ragwheel-model.json").read_text()


@pytest.mark.parametrize(
    ("given", "rows"),
    [
        ({"loss": "mnrl"}, "ntuples"),
        ({"loss": "gist"}, "triplets"),
        ({"loss": "triplet"}, "triplets"),
        ({"loss": "marginmse"}, "triplets"),
        ({"loss": "infonce", "matryoshka": (32, 8)}, "ntuples"),
        ({"loss": "infonce", "lora_rank": 4, "merge_with_base": 0.5}, "ntuples"),
    ],
    ids=str,
)
def test_every_loss_and_option_gives_a_plain_model(dataset, quick, given, rows, tmp_path):
    out = tmp_path / "model"
    made = train_embedder(dataset, out, options=quick(side="both", epochs=0.5, evaluations=1, **given))
    assert made.facts.configuration["chosen"]["rows"] == rows
    model = load_embedder(out)
    assert not [name for name, _ in model.named_parameters() if "lora" in name]
    assert np.isfinite(encode(model, ["one question"], role="query")).all()


def test_the_same_seed_gives_the_same_weights(dataset, quick, tmp_path):
    bytes_of = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        train_embedder(dataset, tmp_path / name, options=quick(loss="triplet", epochs=0.5, seed=seed))
        bytes_of.append((tmp_path / name / "model.safetensors").read_bytes())
    assert bytes_of[0] == bytes_of[1] != bytes_of[2]


def test_merging_with_the_base_stands_between_both(dataset, quick, tiny, tmp_path):
    weights = {}
    for share in (0.5, 1.0):
        train_embedder(
            dataset, tmp_path / str(share), options=quick(side="both", loss="infonce", merge_with_base=share)
        )
        weights[share] = load_embedder(tmp_path / str(share)).state_dict()
    base = load_embedder(tiny).state_dict()
    for name, value in base.items():
        if value.is_floating_point():
            assert np.allclose(weights[0.5][name], (value + weights[1.0][name]) / 2, atol=1e-6)


@pytest.mark.parametrize(
    "given",
    [
        {"loss": "hinge"}, {"epochs": 0}, {"batch_size": 1}, {"merge_with_base": 0.0}, {"matryoshka": (8, 8)},
        {"lora_rank": -1}, {"loss": "gist", "matryoshka": (8,)}, {"precision": "int4"},
        {"learning_rate": float("nan")},
    ],
    ids=str,
)  # fmt: skip
def test_an_option_that_cannot_be_used_is_named(given):
    with pytest.raises(ConfigurationError, match=r"allowed|Allowed"):
        EmbedderOptions(**given)


def test_too_many_dimensions_are_refused(dataset, quick, tmp_path):
    with pytest.raises(ConfigurationError, match=r"has 32 dimensions"):
        train_embedder(dataset, tmp_path / "model", options=quick(matryoshka=(64,)))


def test_a_folder_that_is_something_else_is_left_as_it_is(dataset, quick, tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(TrainingError, match=r"left as it is"):
        train_embedder(dataset, tmp_path, options=quick())
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]
