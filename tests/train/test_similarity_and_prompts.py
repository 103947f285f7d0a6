"""A model's own similarity and the prompts that it needs are kept from training to the app."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from ragwheel.deploy import QueryEncoder
from ragwheel.errors import ConfigurationError, ModelError
from ragwheel.evaluate import Collection, adapter, embedder, parse_system
from ragwheel.evaluate.systems import Searcher
from ragwheel.models.loading import vectors_identity
from ragwheel.models.towers import query_tower
from ragwheel.train import encode, load_embedder, read_model_card, train_embedder
from ragwheel.train.adapter import AdapterOptions, train_adapter
from ragwheel.train.adapter.embedding import embedding

PROMPTS = {"query_prompt": "query: ", "document_prompt": "passage: "}


def with_similarity(tiny, folder, name):
    """A copy of the tiny model that compares as `name` says."""
    shutil.copytree(tiny, folder)
    path = folder / "config_sentence_transformers.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "similarity_fn_name": name}))
    return folder


@pytest.fixture(scope="module")
def dot(tiny, tmp_path_factory):
    return with_similarity(tiny, tmp_path_factory.mktemp("dot") / "model", "dot")


def test_vectors_keep_their_lengths_where_the_model_compares_by_dot_product(dot, tiny):
    texts = ["one", "where is the key of the house"]
    raw = load_embedder(dot).encode(texts)
    assert encode(load_embedder(dot), texts, role="query") == pytest.approx(raw, abs=1e-5)
    assert np.linalg.norm(encode(load_embedder(tiny), texts, role="query"), axis=1) == pytest.approx([1, 1])
    assert vectors_identity(dot, "document") != vectors_identity(tiny, "document")


def test_evaluation_ranks_by_the_models_own_similarity(dot, dataset):
    texts = dataset.rows("pairs", "train")["document"].to_pylist()[:40]
    corpus = {str(n): text for n, text in enumerate(dict.fromkeys(texts))}
    collection = Collection("c", corpus, {"q": "where is the key"}, {"evalset": {"q": {"0": 5}}}, positive=1)
    ranking = embedder(dot, "dot").search(collection, Searcher(cache=None))["q"]
    model = load_embedder(dot)
    scores = model.encode("where is the key") @ model.encode(list(corpus.values())).T
    assert list(ranking[:10]) == [str(n) for n in np.argsort(-scores, kind="stable")[:10]]


@pytest.mark.parametrize("side", ["query", "both"])
def test_it_is_trained_and_served_by_its_own_similarity(side, dot, quick, dataset, tmp_path):
    made = train_embedder(dataset, tmp_path / "model", options=quick(base=str(dot), side=side, epochs=1))
    model = load_embedder(made.folder)
    assert model.similarity_fn_name == "dot"
    if side == "query":
        vector = QueryEncoder(made.folder)("where is the key")
        assert vector == pytest.approx(model.encode_query("where is the key").tolist(), abs=1e-5)


@pytest.mark.parametrize("loss", ["gist", "triplet"])
def test_a_loss_that_knows_cosines_only_is_refused(loss, dot, quick, dataset, tmp_path):
    with pytest.raises(ConfigurationError, match="Allowed: infonce, marginmse"):
        train_embedder(dataset, tmp_path / "model", options=quick(base=str(dot), loss=loss))


def test_a_similarity_by_which_no_inner_product_ranks_is_refused(tiny, tmp_path):
    model = load_embedder(with_similarity(tiny, tmp_path / "model", "euclidean"))
    with pytest.raises(ModelError, match="Allowed: cosine, dot"):
        encode(model, ["a"], role="query")


def test_prompts_that_the_base_lacks_are_kept_in_the_card_and_in_what_is_served(
    tiny, quick, dataset, traces, tmp_path
):
    options = quick(side="query", epochs=1, **PROMPTS)
    made = train_embedder(dataset, tmp_path / "model", options=options, db=traces)
    model, base = load_embedder(made.folder), load_embedder(tiny)
    assert (model.prompts["query"], model.prompts["document"]) == ("query: ", "passage: ")
    card = read_model_card(made.folder)
    assert {name: card.configuration[name] for name in PROMPTS} == PROMPTS
    assert card.documents != vectors_identity(tiny, "document")
    plain = base.encode("passage: a key", normalize_embeddings=True)
    assert encode(model, ["a key"], role="document")[0] == pytest.approx(plain, abs=1e-5)
    served = QueryEncoder(made.folder)("a key")
    prompted = query_tower(model).encode("query: a key", prompt="", normalize_embeddings=True)
    assert served == pytest.approx(prompted, abs=1e-5)


def test_an_adapter_keeps_the_prompts_of_its_base_and_is_evaluated_with_them(tiny, dataset, traces, tmp_path):
    options = AdapterOptions(method="ridge", **PROMPTS)
    made = train_adapter(dataset, tmp_path / "adapter", str(tiny), options=options, db=traces)
    card = read_model_card(made.folder)
    assert {name: card.configuration[name] for name in PROMPTS} == PROMPTS
    texts = list(dict.fromkeys(dataset.rows("pairs", "train")["document"].to_pylist()))[:40]
    corpus = {str(n): text for n, text in enumerate(texts)}
    collection = Collection("c", corpus, {"q": "where is the key"}, {"evalset": {"q": {"0": 5}}}, positive=1)
    base = load_embedder(tiny)
    query = encode(base, ["query: where is the key"], role="query")
    documents = encode(base, [f"passage: {text}" for text in texts], role="document", bfloat16=None)

    def ranked(query):
        return [str(n) for n in np.argsort(-(query @ documents.T)[0], kind="stable")[:10]]

    searcher = Searcher(cache=None)
    prompts = {"query": "query: ", "document": "passage: "}
    for system in (embedder(tiny, "e", prompts=prompts), parse_system(f"embedder:{tiny}", prompts=prompts)):
        assert list(system.search(collection, searcher)["q"][:10]) == ranked(query)
    tuned = adapter(made.folder, "a").search(collection, searcher)["q"]
    assert list(tuned[:10]) == ranked(made.fit.adapter.query(query))


def test_prompts_are_refused_for_what_puts_its_own_before_texts():
    with pytest.raises(ConfigurationError, match="allowed with a model's name or folder; got a function"):
        embedding(lambda texts, role: texts, prompts={"query": "query: "})
