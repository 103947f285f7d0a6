"""A dataset from generated traffic and a tiny random transformer, shared by the tests that only read them."""

from __future__ import annotations

import re

import pytest

pytest.importorskip("sentence_transformers", reason="needs the extra train")

from ragwheel.datasets import BuildOptions, build, open_dataset
from ragwheel.testing import TraceSpec, write_traces
from ragwheel.train import EmbedderOptions, RerankerOptions


@pytest.fixture(scope="session")
def traces(tmp_path_factory):
    """The database that the dataset was built from."""
    path = tmp_path_factory.mktemp("train-traces") / "traces.db"
    write_traces(path, TraceSpec(turns=400, queries=60, chunks=150, k=10, seed=3))
    return path


@pytest.fixture(scope="session")
def dataset(traces, tmp_path_factory):
    out = tmp_path_factory.mktemp("train-data") / "data"
    build(traces, out, options=BuildOptions(formats=("st-triplet", "st-ntuple"), negatives=2))
    return open_dataset(out)


@pytest.fixture(scope="session")
def tiny(dataset, tmp_path_factory):
    """A folder with a BERT of 32 dimensions and two layers that knows the words of the dataset."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer import modules
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast, set_seed

    pairs = dataset.rows("pairs", "train")
    texts = [*pairs["query"].to_pylist(), *pairs["document"].to_pylist()]
    words = {word for text in texts for word in re.findall(r"\w+", text.lower())}
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    vocabulary = {word: number for number, word in enumerate([*special, *sorted(words)])}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    folder = tmp_path_factory.mktemp("tiny")
    set_seed(0)
    bert = BertModel(
        BertConfig(
            vocab_size=len(vocabulary), hidden_size=32, num_hidden_layers=2, num_attention_heads=2,
            intermediate_size=64, max_position_embeddings=64,
        )
    )  # fmt: skip
    bert.save_pretrained(folder / "bert")
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="[UNK]", pad_token="[PAD]", cls_token="[CLS]",
        sep_token="[SEP]", mask_token="[MASK]", model_max_length=64,
    ).save_pretrained(folder / "bert")  # fmt: skip
    transformer = modules.Transformer(str(folder / "bert"))
    pooling = modules.Pooling(transformer.get_embedding_dimension())
    SentenceTransformer(modules=[transformer, pooling], device="cpu").save_pretrained(
        str(folder / "model"), create_model_card=False
    )
    return folder / "model"


@pytest.fixture(scope="session")
def quick(tiny):
    """Options of a training that takes a second or two."""

    def make(kind=EmbedderOptions, **given):
        defaults = {
            "base": str(tiny), "min_examples": 10, "epochs": 2, "learning_rate": 1e-3, "batch_size": 16,
            "max_tokens": 32, "evaluations": 2, "dev_documents": 60, "device": "cpu", "precision": "float32",
        }  # fmt: skip
        return kind(**{**defaults, **given})

    return make


@pytest.fixture(scope="session")
def quick_reranker(quick):
    return lambda **given: quick(RerankerOptions, **given)
