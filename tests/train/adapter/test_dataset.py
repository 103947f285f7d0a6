"""From a dataset to a folder: with a model, a function, LangChain embeddings or an HTTP endpoint."""

from __future__ import annotations

import json
from hashlib import blake2b

import numpy as np
import pytest
from typer.testing import CliRunner

from ragwheel.cli.app import app
from ragwheel.datasets import BuildOptions, build, open_dataset
from ragwheel.deploy import Adapter
from ragwheel.errors import ConfigurationError, ModelError
from ragwheel.testing.serving import served
from ragwheel.train import read_model_card
from ragwheel.train.adapter import AdapterOptions, EmbeddingEndpoint, train_adapter
from ragwheel.train.adapter.embedding import embedding
from ragwheel.train.adapter.rows import rows_of_beliefs
from ragwheel.train.beliefs import LEAST, Believed, beliefs, read_believed

RIDGE = AdapterOptions(method="ridge")


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("RAGWHEEL_CACHE", str(tmp_path / "cache"))


def words(texts, role="query"):
    """Texts as hashed bags of words, 64 dimensions."""
    found = np.zeros((len(texts), 64), np.float32)
    for row, text in enumerate(texts):
        for word in text.lower().split():
            found[row, blake2b(word.encode(), digest_size=1).digest()[0] % 64] += 1
    return found + 1e-3


def test_from_a_function_to_a_folder(dataset, traces, tmp_path):
    told = []
    made = train_adapter(
        dataset.folder,
        tmp_path / "adapter",
        words,
        options=RIDGE,
        db=traces,
        progress=lambda *a: told.append(a[0]),
    )
    adapter = Adapter.load(made.folder)
    assert adapter.id == made.fit.adapter.id
    assert adapter.dimension == 64
    facts = read_model_card(made.folder)
    assert (facts.kind, facts.dataset_id, facts.recommended) == (
        "adapter",
        dataset.id,
        not adapter.is_identity,
    )
    assert facts.traces > 0
    assert {path.name for path in made.folder.iterdir()} == {
        "README.md", "adapter.json", "adapter.safetensors", "ragwheel-model.json",
    }  # fmt: skip
    assert "embedding documents" in told
    again = train_adapter(dataset, tmp_path / "adapter", words, options=RIDGE, db=traces)
    assert again.fit.adapter.id == adapter.id


def test_with_the_database_every_question_is_held_out_and_beliefs_choose(dataset, traces, tmp_path):
    made = train_adapter(dataset, tmp_path / "a", words, options=RIDGE, db=traces)
    rows = beliefs(dataset, traces)
    asked = {row.query for split in rows.values() for row in split}
    assert made.fit.gain.all.queries == len(asked)
    assert read_model_card(made.folder).figures["expected gain nDCG@10"]["queries"] == len(asked)


def test_without_the_database_the_labels_of_every_question_choose(dataset, traces, tmp_path):
    by_labels = AdapterOptions(method="ridge", labels="dataset")
    fits = [
        train_adapter(dataset, tmp_path / "a", words, options=by_labels, db=traces).fit,
        train_adapter(dataset, tmp_path / "b", words, options=RIDGE).fit,
    ]
    graded = {q for split in ("train", "dev") for q in dataset.rows("pairs", split)["query"].to_pylist()}
    assert [fit.gain.all.queries for fit in fits] == [len(graded)] * 2
    assert fits[0].adapter.id == fits[1].adapter.id


def test_a_row_is_a_chunk_that_is_believed_in_with_a_negative_or_without(dataset, traces):
    believed = read_believed(dataset, traces)
    rows = rows_of_beliefs(dataset, believed, dev_from_train=False)
    wanted = [row for split in ("train", "dev") for row in believed.split(split) if row.belief >= LEAST]
    assert rows.weights == [row.belief for row in wanted]
    assert rows.positives == [believed.texts[row.version] for row in wanted]
    assert sum(rows.dev) == sum(row.belief >= LEAST for row in believed.dev) > 0
    assert {len(texts) for texts in rows.negatives} >= {0, 4}
    without_dev = rows_of_beliefs(dataset, believed, dev_from_train=True)
    assert not any(without_dev.dev)
    assert len(without_dev.weights) == len(rows.weights) - sum(rows.dev)


def test_an_adapter_needs_no_dev_split_of_its_own(traces, tmp_path):
    few = tmp_path / "few"
    build(traces, few, options=BuildOptions(dev=0.03, test=0.05))
    questions = open_dataset(few).examples["dev"]
    assert questions < 10
    for db in (None, traces):
        fit = train_adapter(few, tmp_path / "adapter", words, options=RIDGE, db=db).fit
        assert fit.n_dev >= 10


def test_too_few_questions_are_counted_whatever_they_are_learned_from(dataset, traces, tmp_path):
    believed = read_believed(dataset, traces)
    three = {row.query for row in believed.train if row.belief >= LEAST}
    some = sorted(three)[:3]
    left = Believed([row for row in believed.train if row.query in some], [], believed.texts)
    with pytest.raises(ModelError, match="3 training questions with a chunk that is believed"):
        rows_of_beliefs(dataset, left, dev_from_train=False)


def test_langchain_embeddings_do(dataset, tmp_path):
    class Embeddings:
        def embed_query(self, text):
            return words([text])[0].tolist()

        def embed_documents(self, texts):
            return words(texts).tolist()

    made = train_adapter(dataset, tmp_path / "a", Embeddings(), options=RIDGE)
    assert made.fit.adapter.id == train_adapter(dataset, tmp_path / "b", words, options=RIDGE).fit.adapter.id


def test_types_of_questions_can_be_named(dataset, tmp_path):
    options = AdapterOptions(method="ridge", segments="column")
    with pytest.raises(ModelError, match="two or more"):  # the chunks are all of one source
        train_adapter(dataset, tmp_path / "a", words, options=options, dev_from_train=True)
    made = train_adapter(
        dataset,
        tmp_path / "a",
        words,
        options=options,
        segment_of=lambda text: "short" if len(text) % 2 else "long",
    )
    assert [part.name for part in made.fit.segments] == ["long", "short"]


def asgi_embeddings(answer):
    async def respond(scope, receive, send):
        if scope["type"] == "lifespan":
            return
        body = b""
        more = True
        while more:
            message = await receive()
            body, more = body + message["body"], message.get("more_body", False)
        status, content = answer(json.loads(body), dict(scope["headers"]))
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": json.dumps(content).encode()})

    return respond


def test_an_endpoint_is_asked_once_for_each_text(tmp_path, monkeypatch):
    monkeypatch.setenv("EMBED_KEY", "secret")
    asked = []

    def answer(body, headers):
        assert headers[b"authorization"] == b"Bearer secret"
        asked.extend(body["input"])
        vectors = words(body["input"]).tolist()
        rows = [{"index": n, "embedding": vector} for n, vector in enumerate(vectors)]
        return 200, {"data": rows[::-1]}

    with served(asgi_embeddings(answer), lifespan="off") as url:
        encode = embedding(EmbeddingEndpoint(f"{url}/v1/", "some-model", "EMBED_KEY"))
        texts = [f"text {n}" for n in range(100)]
        found = encode([*texts, "text 0"], "query")
        assert np.array_equal(found, words([*texts, "text 0"]))
        assert np.array_equal(encode(texts, "query"), words(texts))
        assert sorted(asked) == sorted(texts)
        encode(texts[:1], "query", cache=False)
        assert len(asked) == 101
    assert encode.name == f"{url}/v1#some-model"


@pytest.mark.parametrize(
    ("status", "content", "message"),
    [
        (
            401,
            {"error": "no key"},
            r"wants a key, and none was sent; set RAGWHEEL_EMBED_KEY \(HTTP 401: no key",
        ),
        (200, {"x": 1}, "did not answer as"),
    ],
)
def test_an_endpoint_that_refuses_is_an_error(status, content, message):
    app = asgi_embeddings(lambda body, headers: (status, content))
    with served(app, lifespan="off") as url, pytest.raises(ModelError, match=message):
        embedding(EmbeddingEndpoint(url, "m"))(["text"], "query", cache=False)
    with pytest.raises(ModelError, match="cannot be reached"):
        embedding(EmbeddingEndpoint(url, "m", timeout_s=5, retries=0))(["text"], "query", cache=False)


@pytest.mark.parametrize(
    "wrong", [lambda texts, role: [[1.0]], lambda texts, role: "x", lambda texts, role: [1.0] * len(texts)]
)
def test_a_function_that_gives_no_vectors_is_an_error(wrong):
    with pytest.raises(ModelError, match="the embedding function gave"):
        embedding(wrong)(["a", "b"], "query")


def test_what_names_no_embeddings_is_refused():
    with pytest.raises(ConfigurationError, match="embed: got a int"):
        embedding(3)
    with pytest.raises(ModelError, match="no model folder"):
        embedding("./nowhere")


def test_vectors_that_are_not_finite_leave_nothing(dataset, tmp_path):
    with pytest.raises(ModelError, match="NaN"):
        train_adapter(dataset, tmp_path / "out", lambda texts, role: words(texts) * np.inf, options=RIDGE)
    assert not (tmp_path / "out").exists()


def test_a_folder_of_something_else_is_left_alone(dataset, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "file").write_text("x")
    with pytest.raises(ModelError, match="exists and is no adapter"):
        train_adapter(dataset, tmp_path / "mine", words, options=RIDGE)


def test_a_two_sided_adapter_is_a_sentence_transformer(dataset, tiny, tmp_path):
    from sentence_transformers import SentenceTransformer

    with pytest.raises(ModelError, match="give embed as a model's name"):
        train_adapter(dataset, tmp_path / "out", words, options=AdapterOptions(side="both"))
    options = AdapterOptions(side="both", epochs=6, learning_rate=3e-3, pull=0.1)
    made = train_adapter(dataset, tmp_path / "out", str(tiny), options=options)
    model, base = (SentenceTransformer(str(path), device="cpu") for path in (made.folder, tiny))
    texts = ["one text", "another text"]
    assert model.encode(texts) == pytest.approx(
        made.fit.adapter.query(base.encode(texts, normalize_embeddings=True)), abs=1e-4
    )
    assert read_model_card(made.folder).kind == "adapter"


def test_the_command(dataset, tiny, tmp_path):
    out = tmp_path / "adapter"
    typed = [
        "train",
        "adapter",
        str(dataset.folder),
        "--out",
        str(out),
        "--base",
        str(tiny),
        "--method",
        "ridge",
    ]
    done = CliRunner().invoke(app, typed, env={"COLUMNS": "100"})
    assert done.exit_code == 0, done.output
    assert "dev ndcg@10" in done.stdout
    assert Adapter.load(out).version in done.stdout or "changes nothing" in done.stdout
    done = CliRunner().invoke(app, [*typed, "--json", "--segments", "auto", "--dev-from-train"])
    summary = json.loads(done.stdout)
    assert summary["folder"] == str(out)
    assert summary["dimension"] == 32


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--base", "./nowhere"], "There is no model folder"),
        (["--segments", "some"], "allowed: a whole number from 2, auto or source"),
        (["--embed-url", "http://127.0.0.1:9", "--no-cache"], "cannot be reached"),
    ],
)
def test_the_command_says_what_is_wrong(options, message, dataset, tmp_path):
    done = CliRunner().invoke(
        app, ["train", "adapter", str(dataset.folder), "--out", str(tmp_path / "a"), *options]
    )
    assert done.exit_code == 1
    assert message in done.stderr
    assert not (tmp_path / "a").exists()
