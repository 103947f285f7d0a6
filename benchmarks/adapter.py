"""How long training an adapter takes: ``python benchmarks/adapter.py [--rows 6000] [--dimension 384]``.

Vectors are generated: documents at random, queries carried off by a map near to identity, with noise; four
hard negatives a row. Bars: closed form in 5 s, with refinement in 60 s, on two cores. With ``--scifact
FOLDER`` (BEIR layout, ``qrels.train.tsv`` and ``qrels.test.tsv``) it compares the designs on real questions
instead, with MiniLM; the figures of docs/adapters.md come from there.
"""

from __future__ import annotations

import argparse
import csv
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ragwheel.train.adapter import AdapterOptions, fit_adapter
from ragwheel.train.adapter.embedding import embedding
from ragwheel.train.adapter.examples import unit
from ragwheel.train.adapter.ranking import per_query, top

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

DESIGNS: tuple[tuple[str, AdapterOptions], ...] = (
    ("ridge", AdapterOptions(method="ridge")),
    ("procrustes", AdapterOptions(method="procrustes")),
    ("contrastive (default)", AdapterOptions()),
    ("contrastive, rank 16", AdapterOptions(rank=16)),
    ("contrastive, temperature 0.02", AdapterOptions(temperature=0.02)),
    ("contrastive, per cluster", AdapterOptions(segments="auto")),
    ("contrastive, gate 0.05", AdapterOptions(gate=0.05)),
)
N_NEGATIVES = 8
SEEDS = (0, 1, 2)


def generated(rows: int, dimension: int) -> tuple[Floats, Floats, Floats]:
    """Queries (rows, d), their documents, and four negatives near to each document."""
    draw = np.random.default_rng(0)
    documents = draw.standard_normal((rows, dimension), dtype=np.float32)
    carried = np.eye(dimension, dtype=np.float32) + 0.05 * draw.standard_normal(
        (dimension, dimension), np.float32
    )
    queries = documents @ carried + 4 * draw.standard_normal((rows, dimension), np.float32)
    negatives = documents[:, None] + draw.standard_normal((rows, 4, dimension), np.float32)
    return queries, documents, negatives


def measure_time(rows: int, dimension: int) -> None:
    """Print the seconds of each method."""
    vectors = generated(rows, dimension)
    print(f"{rows} rows x {dimension}, four negatives each")
    for method in ("ridge", "procrustes", "contrastive"):
        began = time.perf_counter()
        fit = fit_adapter(*vectors, options=AdapterOptions(method=method))
        seconds = time.perf_counter() - began
        print(
            f"  {method:12s} {seconds:5.1f} s   dev {fit.base:.4f} -> {fit.adapted:.4f}   {fit.chosen}",
            flush=True,
        )


def compare_designs(folder: Path) -> None:
    """Print the gain in nDCG@10 of each design, by whether a test question's documents were trained on."""
    corpus, questions = (_texts(folder / f"{name}.jsonl") for name in ("corpus", "queries"))
    encode = embedding("minilm")
    documents, queries = encode([*corpus.values()], "document"), encode([*questions.values()], "query")
    train, test = (
        _qrels(folder / f"qrels.{split}.tsv", [*corpus], [*questions]) for split in ("train", "test")
    )
    rows = [
        (query, positive, [one for one in near if one not in positives][2 : 2 + N_NEGATIVES])
        for (query, positives), near in zip(train.items(), top(queries[[*train]], documents, 30), strict=True)
        for positive in positives
    ]
    vectors = (
        queries[[row[0] for row in rows]],
        documents[[row[1] for row in rows]],
        documents[np.array([row[2] for row in rows])],
    )
    relevant = [np.array(positives) for positives in test.values()]
    trained_on = {positive for positives in train.values() for positive in positives}
    seen = np.array([not trained_on.isdisjoint(positives) for positives in test.values()])

    def score(asked: Floats) -> NDArray[np.float64]:
        return per_query("ndcg@10", top(unit(asked), documents), relevant)

    base = score(queries[[*test]])
    print(
        f"{len(rows)} rows; test questions about documents trained on: {seen.sum()}, others: {(~seen).sum()}"
    )
    print(f"{'base':32s} {base.mean():.4f}   {base[seen].mean():.4f}   {base[~seen].mean():.4f}")
    for name, options in DESIGNS:
        gains = []
        for seed in SEEDS:
            adapter = fit_adapter(*vectors, options=_with_seed(options, seed)).adapter
            gains.append(score(adapter.query(queries[[*test]])) - base)
        gain = np.mean(gains, axis=0)
        print(f"{name:32s} " + "   ".join(map(_interval, (gain, gain[seen], gain[~seen]))), flush=True)


def _with_seed(options: AdapterOptions, seed: int) -> AdapterOptions:
    import dataclasses

    return dataclasses.replace(options, seed=seed)


def _interval(gains: NDArray[np.float64]) -> str:
    margin = 1.96 * gains.std(ddof=1) / len(gains) ** 0.5
    return f"{gains.mean():+.3f} [{gains.mean() - margin:+.3f}, {gains.mean() + margin:+.3f}]"


def _texts(path: Path) -> dict[str, str]:
    rows = map(json.loads, path.read_text("utf-8").splitlines())
    return {row["_id"]: f"{row.get('title', '')} {row['text']}".strip() for row in rows}


def _qrels(path: Path, documents: Sequence[str], queries: Sequence[str]) -> dict[int, list[int]]:
    """Row numbers of each query's relevant documents."""
    place, number = ({name: row for row, name in enumerate(names)} for names in (documents, queries))
    found: dict[int, list[int]] = {}
    with path.open(encoding="utf-8") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            if int(row["score"]) > 0:
                found.setdefault(number[row["query-id"]], []).append(place[row["corpus-id"]])
    return found


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=6000)
    parser.add_argument("--dimension", type=int, default=384)
    parser.add_argument("--scifact", type=Path)
    given = parser.parse_args()
    if given.scifact:
        compare_designs(given.scifact)
    else:
        measure_time(given.rows, given.dimension)


if __name__ == "__main__":
    main()
