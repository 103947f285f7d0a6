"""How many of the built rows are right, which only a simulation can know."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ragwheel.demo.corpus import Corpus

__all__ = ["TruthCheck", "agreement"]


@dataclass(frozen=True, slots=True)
class TruthCheck:
    """Distinct (question, passage) pairs in the triplets, and how many the truth confirms."""

    positives: int
    positives_right: int
    negatives: int
    negatives_right: int


def agreement(dataset: Path, corpus: Corpus, truth: Mapping[str, frozenset[str]]) -> TruthCheck:
    """Compare the triplets of a built folder with ``truth``: question -> ids of its relevant passages.

    A positive is right when it is one of them, a negative when it is not. A passage that nobody judged
    counts as not relevant, as the visitors treated it.
    """
    import pyarrow.parquet as pq

    ids: dict[str, set[str]] = {}
    for passage in corpus.passages:
        ids.setdefault(passage.text, set()).add(passage.id)
    positives: dict[tuple[str, str], bool] = {}
    negatives: dict[tuple[str, str], bool] = {}
    for path in sorted((dataset / "triplets").glob("*.parquet")):
        for row in pq.read_table(path).to_pylist():
            relevant = truth.get(row["anchor"], frozenset())
            for role, labelled in (("positive", positives), ("negative", negatives)):
                labelled[row["anchor"], row[role]] = not relevant.isdisjoint(ids.get(row[role], ()))
    return TruthCheck(
        positives=len(positives),
        positives_right=sum(positives.values()),
        negatives=len(negatives),
        negatives_right=sum(not relevant for relevant in negatives.values()),
    )
