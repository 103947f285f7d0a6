"""What the poisoned labels cost in the end: nDCG@10 of an adapter trained on them, on unseen questions."""

from __future__ import annotations

import tempfile
from pathlib import Path

from ragwheel.datasets import BuildOptions, build
from ragwheel.evaluate import EvaluateOptions, adapter, evaluate, read_beir
from ragwheel.train.adapter import train_adapter

__all__ = ["ndcg_at_10"]


def ndcg_at_10(db: Path, policy: Path | None, data: Path, *, embed: str = "minilm") -> float:
    """Of the test questions of a BEIR folder, which nobody asked in the traffic.

    Args:
        db: the traffic.
        policy: file of the label policy; None: the packaged one.
        data: in BEIR's layout.
        embed: the base model. The corpus is embedded once and cached.
    """
    collection = read_beir(data)
    with tempfile.TemporaryDirectory() as folder:
        dataset, model = Path(folder) / "dataset", Path(folder) / "adapter"
        build(db, dataset, options=BuildOptions(policy=policy, dev=0.1, test=0.0))
        train_adapter(dataset, model, embed)
        found = evaluate(collection, [adapter(model, "adapter")], options=EvaluateOptions(measure="nDCG@10"))
    return found.measured["adapter"].mean("evalset", "nDCG@10")
