"""Reads exported folders with the loaders of the tools they are for; prints what came out as one JSON object.

Run by the tests in an environment that has those tools (RAGWHEEL_READERS), which need not have ragwheel:
``python read_formats.py NAME FOLDER``.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace


def beir(folder):
    from beir.datasets.data_loader import GenericDataLoader

    found = {}
    for split in ("train", "test"):
        corpus, queries, qrels = GenericDataLoader(data_folder=str(folder)).load(split=split)
        found[split] = {"corpus": len(corpus), "queries": queries, "qrels": qrels}
    return found


def llamaindex(folder):
    from llama_index.core.llama_dataset.legacy.embedding import EmbeddingQAFinetuneDataset

    data = EmbeddingQAFinetuneDataset.from_json(str(folder / "train.json"))
    return {"queries": data.queries, "relevant_docs": data.relevant_docs, "corpus": len(data.corpus),
            "pairs": len(data.query_docid_pairs)}  # fmt: skip


def flagembedding(folder):
    from FlagEmbedding.abc.finetune.embedder.AbsArguments import AbsEmbedderDataArguments
    from FlagEmbedding.abc.finetune.embedder.AbsDataset import AbsEmbedderTrainDataset

    args = AbsEmbedderDataArguments(
        train_data=[str(folder / "train.jsonl")],
        train_group_size=3,
        knowledge_distillation=True,
        cache_path=str(folder.parent / "cache"),
    )
    data = AbsEmbedderTrainDataset(args, tokenizer=None)
    return {"rows": len(data), "first": data[0]}


def tevatron(folder):
    from tevatron.retriever.arguments import DataArguments
    from tevatron.retriever.dataset import TrainDataset

    args = DataArguments(
        dataset_name="json",
        dataset_path=str(folder / "train.jsonl"),
        train_group_size=3,
        dataset_cache_dir=str(folder.parent / "cache"),
    )
    trainer = SimpleNamespace(state=SimpleNamespace(epoch=0), args=SimpleNamespace(seed=0))
    data = TrainDataset(args, trainer=trainer)
    query, documents = data[0]
    return {"rows": len(data), "query": query[0], "documents": [one[0] for one in documents]}


def deepeval(folder):
    from deepeval.dataset import EvaluationDataset

    data = EvaluationDataset()
    data.add_goldens_from_json_file(str(folder / "goldens.json"))
    return [[golden.input, golden.context] for golden in data.goldens]


def ubi(folder):
    import jsonschema

    found = {}
    for name in ("query.request", "event"):
        schema = json.loads((folder / f"{name}.schema.json").read_text())
        # as published, the names that UBI itself lists fit both branches of `oneOf`, so that none is allowed
        if "action_name" in schema["properties"]:
            schema["properties"]["action_name"]["anyOf"] = schema["properties"]["action_name"].pop("oneOf")
        validator = jsonschema.Draft202012Validator(schema, format_checker=jsonschema.FormatChecker())
        path = folder / ("ubi_queries.jsonl" if name == "query.request" else "ubi_events.jsonl")
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        errors = [error.message for row in rows for error in validator.iter_errors(row)]
        found[name] = {"rows": len(rows), "errors": errors[:3]}
    return found


if __name__ == "__main__":
    _, name, folder = sys.argv
    print("\n" + json.dumps(globals()[name](Path(folder))))
