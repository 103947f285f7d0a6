"""A re-ranker from graded pairs or lists."""

from __future__ import annotations

import pytest

from ragwheel.errors import ConfigurationError, ModelError
from ragwheel.train import RerankerOptions, load_embedder, load_reranker, read_model_card, train_reranker


@pytest.mark.parametrize(("loss", "rows"), [("bce", "pairs"), ("lambda", "lists"), ("auto", "pairs")])
def test_a_cross_encoder_comes_out(dataset, quick_reranker, tiny, loss, rows, tmp_path):
    out = tmp_path / "model"
    made = train_reranker(dataset, out, options=quick_reranker(loss=loss, epochs=1))
    chosen = read_model_card(out).configuration["chosen"]
    assert chosen["rows"] == rows
    assert made.recipe == chosen["loss"]
    assert (chosen["positive_weight"] is None) == (rows == "lists")
    model = load_reranker(out)
    assert model.predict([("a question", "a chunk")]).shape == (1,)
    assert {path.suffix for path in out.rglob("*") if path.is_file()} <= {
        ".safetensors",
        ".json",
        ".txt",
        ".md",
    }
    with pytest.raises(ModelError, match="of the kind reranker; asked for: embedder"):
        load_embedder(out)


def test_a_base_without_a_head_is_said_and_one_with_a_head_goes_on(dataset, quick_reranker, tmp_path):
    first = train_reranker(dataset, tmp_path / "first", options=quick_reranker(loss="bce", epochs=0.5))
    assert any("had no head for scores" in note for note in first.notes)
    options = quick_reranker(loss="bce", epochs=0.5, base=str(tmp_path / "first"))
    second = train_reranker(dataset, tmp_path / "second", options=options)
    assert not any("no head" in note for note in second.notes)


def test_it_learns_its_training_pairs(dataset, quick_reranker, tmp_path):
    train_reranker(dataset, tmp_path / "model", options=quick_reranker(loss="bce", epochs=16, seed=1))
    pairs = dataset.rows("pairs", "train").to_pydict()
    scores = load_reranker(tmp_path / "model").predict(list(zip(pairs["query"], pairs["document"])))
    useful = [score for score, label in zip(scores, pairs["label"]) if label >= 0.6]
    useless = [score for score, label in zip(scores, pairs["label"]) if label < 0.2]
    assert sum(useful) / len(useful) > sum(useless) / len(useless) + 0.02


def test_a_fresh_head_depends_on_the_seed_alone(tiny):
    heads = [load_reranker(tiny, seed=seed).state_dict() for seed in (1, 1, 2)]
    name = next(name for name in heads[0] if "classifier" in name and "weight" in name)
    assert heads[0][name].equal(heads[1][name])
    assert not heads[0][name].equal(heads[2][name])


@pytest.mark.parametrize("given", [{"loss": "infonce"}, {"positive_weight": 0}, {"max_tokens": 2}], ids=str)
def test_an_option_that_cannot_be_used_is_named(given):
    with pytest.raises(ConfigurationError, match="allowed"):
        RerankerOptions(**given)
