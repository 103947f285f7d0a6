"""Training what embeds questions: documents keep their vectors, and so does the index."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

import ragwheel
from ragwheel.deploy import QueryEncoder
from ragwheel.errors import ConfigurationError, ModelError
from ragwheel.evaluate import embedder
from ragwheel.models.loading import load_reranker, vectors_identity
from ragwheel.models.towers import has_towers, join_towers, query_tower
from ragwheel.store import open_store
from ragwheel.train import EmbedderOptions, encode, load_embedder, read_model_card, train_embedder
from ragwheel.train.documents import DocumentBank, bank_loss, known_chunks, make_bank
from ragwheel.train.examples import Examples
from ragwheel.train.recipe import choose_embedder


@pytest.fixture(scope="module")
def made(dataset, quick, traces, tmp_path_factory):
    """One training of enough epochs to see that something was learned."""
    options = quick(side="query", epochs=60, learning_rate=3e-3, known_chunks=10_000, dev_documents=None)
    return train_embedder(dataset, tmp_path_factory.mktemp("query") / "model", options=options, db=traces)


def ranks(dataset, queries, documents):
    """Mean reciprocal rank of the relevant chunks of the training questions, among all chunks of training."""
    rows = dataset.rows("pairs", "train").to_pydict()
    texts = sorted(set(rows["document"]))
    vectors = encode(documents, texts, role="document")
    found = []
    for question, text, label in zip(rows["query"], rows["document"], rows["label"]):
        if label >= 0.6:
            scores = vectors @ encode(queries, [question], role="query")[0]
            found.append(1 / (1 + (scores > scores[texts.index(text)]).sum()))
    return float(np.mean(found))


def test_questions_move_towards_their_chunks_and_chunks_stay(dataset, tiny, made):
    base, tuned = load_embedder(tiny), load_embedder(made.folder)
    texts = dataset.rows("pairs", "train")["document"].to_pylist()[:50]
    assert np.array_equal(encode(tuned, texts, role="document"), encode(base, texts, role="document"))
    assert ranks(dataset, tuned, base) > 2 * ranks(dataset, base, base)


def test_plain_encode_is_that_of_documents(tiny, made):
    base, tuned = load_embedder(tiny), load_embedder(made.folder)
    text = "where is the key"
    assert np.array_equal(tuned.encode(text), base.encode(text))
    assert not np.allclose(tuned.encode_query(text), base.encode(text), atol=1e-3)


def test_the_card_and_the_cost_say_that_the_index_stays(tiny, made):
    card = read_model_card(made.folder)
    assert card.configuration["chosen"]["side"] == "query"
    assert card.documents == vectors_identity(made.folder, "document") == vectors_identity(tiny, "document")
    assert vectors_identity(made.folder, "query") != vectors_identity(tiny, "query")
    assert embedder(made.folder, "tuned").cost == "light"
    assert embedder(tiny, "base").cost == "re-index"


def test_it_embeds_questions_in_the_app_and_the_retrieval_says_so(made, tmp_path):
    encoder, model = QueryEncoder(made.folder), load_embedder(made.folder)
    ragwheel.configure(db=tmp_path / "app.db")

    @ragwheel.retriever(source="kb", version="index-3")
    def search(question):
        assert encoder(question) == pytest.approx(encode(model, [question], role="query")[0])
        return ["one", "two"]

    search("where is the key")
    ragwheel.shutdown()
    connection = open_store(tmp_path / "app.db")
    assert connection.execute("SELECT version FROM retrievals").fetchall() == [
        (f"index-3+{encoder.version}",)
    ]
    connection.close()
    assert np.shape(encoder(["one", "two", "three"])) == (3, 32)


def test_it_embeds_questions_for_langchain(made):
    langchain = pytest.importorskip("ragwheel_langchain")
    from langchain_core.embeddings import DeterministicFakeEmbedding

    base = DeterministicFakeEmbedding(size=32)
    embeddings = langchain.AdaptedEmbeddings(base, made.folder)
    expected = QueryEncoder(made.folder)("where is the key")
    assert embeddings.embed_query("where is the key") == pytest.approx(expected)
    assert asyncio.run(embeddings.aembed_query("where is the key")) == pytest.approx(expected)
    assert embeddings.embed_documents(["a"]) == base.embed_documents(["a"])
    assert embeddings.version == QueryEncoder(made.folder).version


def test_a_model_of_both_sides_is_not_put_before_the_old_index(dataset, quick, tiny, tmp_path):
    train_embedder(dataset, tmp_path / "both", options=quick(side="both", epochs=0.5))
    with pytest.raises(ModelError, match="index again"):
        QueryEncoder(tmp_path / "both")
    with pytest.raises(ModelError, match=r"ragwheel-model\.json"):
        QueryEncoder(tiny)


def test_the_wheel_turns_again_on_what_was_trained(dataset, tiny, made, quick, tmp_path):
    options = quick(base=str(made.folder), side="query", epochs=2)
    again = train_embedder(dataset, tmp_path / "again", options=options)
    assert read_model_card(again.folder).documents == vectors_identity(tiny, "document")
    assert np.array_equal(load_embedder(again.folder).encode("a b"), load_embedder(tiny).encode("a b"))
    both = train_embedder(dataset, tmp_path / "both", options=quick(base=str(made.folder), side="both"))
    assert read_model_card(both.folder).documents == ""
    assert has_towers(load_embedder(both.folder))


def test_low_rank_additions_are_folded_into_the_questions_tower(dataset, quick, tmp_path):
    options = quick(side="query", lora_rank=4, epochs=1)
    model = load_embedder(train_embedder(dataset, tmp_path / "model", options=options).folder)
    assert not [name for name, _ in model.named_parameters() if "lora" in name]


def test_a_model_with_two_towers_is_no_base_for_a_reranker(made):
    with pytest.raises(ModelError, match="two encoders"):
        load_reranker(made.folder)


def test_prompts_and_similarity_go_with_the_towers(tiny):
    base = load_embedder(tiny)
    base.prompts = {"query": "q: ", "document": "d: "}
    both = join_towers(query_tower(base), base)
    assert both.prompts == base.prompts
    assert both.similarity_fn_name == base.similarity_fn_name
    assert np.array_equal(both.encode_query("x"), base.encode("q: x"))


class Table:
    """A model that gives the vectors it was told to."""

    def __init__(self, vectors):
        import torch

        self.vectors = torch.tensor(vectors)

    def __call__(self, numbers):
        return {"sentence_embedding": self.vectors[numbers["row"]]}


def test_the_loss_leaves_out_what_may_be_relevant_and_keeps_what_is_judged(dataset):
    import torch

    right, close, rejected, other, unsure = np.eye(5, dtype=np.float32)
    texts = {"right": right, "close": close, "rejected": rejected, "other": other, "unsure": unsure}
    base = np.array([0.3, 0.9, 0.95, 0.1, 0.2], dtype=np.float32)

    class Judged:
        def rows(self, config, split):
            import pyarrow as pa

            return pa.table(
                {"query": ["q"] * 3, "document": ["right", "rejected", "unsure"], "label": [1.0, 0.0, 0.4]}
            )

    examples = Examples("pairs", {"anchor": ["q"], "positive": ["right"]}, [1.0])
    bank = make_bank(
        Judged(), examples, list(texts),
        lambda some, role: np.stack([base] if role == "query" else [texts[one] for one in some]),
    )  # fmt: skip
    value = bank_loss(Table([[0.0, 0.5, 0.5, 0.5, 0.5]]), bank)([{"row": [0]}], torch.tensor([0]))
    # `close` is nearer by the base and unjudged, `unsure` is in between: two are left, rejected and other
    assert float(value) == pytest.approx(np.log(1 + 2 * np.exp(0.5 / 0.05)), rel=1e-4)


def test_chunks_of_the_store_stand_against_questions_too(dataset, traces, tmp_path):
    named = set(dataset.rows("pairs", "train")["document"].to_pylist())
    connection = open_store(traces)
    every = {text for (text,) in connection.execute("SELECT DISTINCT text FROM chunks")}
    connection.close()
    assert len(every) > len(named)
    assert set(known_chunks(dataset, None, most=10_000, seed=0)) == named
    assert set(known_chunks(dataset, traces, most=10_000, seed=0)) == every
    some = known_chunks(dataset, traces, most=len(named) + 5, seed=0)
    assert named < set(some) <= every
    assert len(some) == len(set(some)) == len(named) + 5
    assert some == known_chunks(dataset, traces, most=len(named) + 5, seed=0)
    assert some != known_chunks(dataset, traces, most=len(named) + 5, seed=1)
    assert set(known_chunks(dataset, traces, most=1, seed=0)) == named
    assert set(known_chunks(dataset, tmp_path / "gone.db", most=10_000, seed=0)) == named


@pytest.mark.parametrize(
    ("given", "side"),
    [({}, "query"), ({"loss": "mnrl"}, "query"), ({"loss": "gist"}, "both"), ({"matryoshka": (8,)}, "both"),
     ({"side": "both"}, "both"), ({"lora_rank": 4}, "query")],
    ids=str,
)  # fmt: skip
def test_which_side_is_trained(dataset, given, side):
    options = EmbedderOptions(**given).decided()
    assert options.side == choose_embedder(dataset, options).side == side
    assert options.decided() == options


@pytest.mark.parametrize("given", [{"loss": "gist"}, {"loss": "triplet"}, {"matryoshka": (8,)}], ids=str)
def test_what_needs_documents_to_move_is_refused(given):
    with pytest.raises(ConfigurationError, match="Allowed: side auto or both"):
        EmbedderOptions(side="query", **given)


def test_an_unknown_side_is_named():
    with pytest.raises(ConfigurationError, match="allowed: auto, query, both"):
        EmbedderOptions(side="left")


def test_which_chunks_are_masked_follows_the_base_models_scores_of_each_question():
    """Two questions whose base scores rank the chunks differently: each has other chunks masked."""
    import torch

    documents = np.eye(4, dtype=np.float32)
    questions = np.array([[0.5, 0.8, 0.1, 0.2], [0.8, 0.5, 0.9, 0.1]], dtype=np.float32)
    nothing = np.array([], dtype=np.int64)
    bank = DocumentBank(
        documents, questions, np.array([0, 1]), np.ones(2, np.float32),
        (nothing, np.array([2])), (nothing, np.array([3])),
    )  # fmt: skip
    loss = bank_loss(Table([[0.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]]), bank)
    # the first masks chunk 1; the second masks 0 (nearer) and 3 (graded in between), not the rejected 2
    one = loss([{"row": [0]}], torch.tensor([0]))
    other = loss([{"row": [1]}], torch.tensor([1]))
    assert float(one) == pytest.approx(np.log(3), rel=1e-4)
    assert float(other) == pytest.approx(np.log(2), rel=1e-4)


def test_a_row_counts_as_far_as_its_chunk_is_believed_and_doubtful_chunks_are_masked():
    import torch

    from ragwheel.train.beliefs import Belief, Believed

    vectors = np.eye(4, dtype=np.float32)
    texts = {n: f"chunk {n}" for n in range(4)}
    rows = [Belief("k", "k", "q", "kb", str(n), n, belief, 1.0) for n, belief in enumerate((0.9, 0.3, 0.2))]
    believed = Believed(rows, [], texts)

    class Unjudged:
        def rows(self, config, split):
            import pyarrow as pa

            return pa.table({"query": ["q"], "document": ["chunk 3"], "label": [0.0]})

    examples = Examples("beliefs", {"anchor": ["q", "q"], "positive": ["chunk 0", "chunk 1"]}, [0.9, 0.3])
    bank = make_bank(
        Unjudged(), examples, list(texts.values()),
        lambda some, role: vectors if role == "document" else np.zeros((len(some), 4), np.float32),
        believed,
    )  # fmt: skip
    assert bank.weight == pytest.approx([1.5, 0.5])
    loss = bank_loss(Table([[0.0, 0.0, 0.0, 0.0]]), bank)
    # of the four chunks the other believed ones are masked, chunk 3 is rejected: two are left
    assert float(loss([{"row": [0]}], torch.tensor([0]))) == pytest.approx(1.5 * np.log(2), rel=1e-4)
    assert float(loss([{"row": [0]}], torch.tensor([1]))) == pytest.approx(0.5 * np.log(2), rel=1e-4)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"confidence": "weight", "side": "both"}, "Allowed: resample, ignore; side query"),
        ({"confidence": "weight", "loss": "gist"}, "Allowed: resample, ignore; side query"),
        ({"confidence": "some"}, "allowed: auto, weight, resample, ignore"),
        ({"labels": "people"}, "allowed: model, dataset"),
    ],
)
def test_what_a_side_cannot_do_with_its_labels_is_refused(given, message):
    with pytest.raises(ConfigurationError, match=message):
        EmbedderOptions(**given)
