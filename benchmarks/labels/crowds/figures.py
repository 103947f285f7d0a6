"""One crowd on one collection: ragwheel's labels from a real store, beside the optimum and two other recipes.

Beliefs are compared on every distinct (wording, chunk) that was shown or prompted, whether ragwheel returns a
row for it or not: without a row its belief is 0. The optimum knows which wordings are one need; ragwheel has
to learn that from the store. The optimum *wordings apart* knows the rates alone.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from labels.crowds.bound import bayes_beliefs, pairs_of
from labels.crowds.crowd import Crowd
from labels.crowds.measures import calibration_error, recall_at_precision
from labels.crowds.turns import Bools, Exposures, Floats, Ints
from labels.systems import Labels, Miner, naive, ragwheel_labels
from ragwheel.labels import graded
from ragwheel.labels.traces.text import query_key

__all__ = ["BeliefQuality", "CrowdResult", "Mining", "RowQuality", "Share", "Units", "compare", "mining"]

Mining = Callable[[Exposures, Labels], Mapping[str, Labels]]
_LEAST_RECALL = 0.05  # of the optimum; below, there is nothing to compare with


@dataclass(frozen=True)
class Share:
    """How many of ``n`` were right."""

    right: int
    n: int

    @property
    def value(self) -> float:
        """0-1; nan of nothing."""
        return self.right / self.n if self.n else float("nan")


@dataclass(frozen=True)
class BeliefQuality:
    """Recall of relevant chunks at 90 % precision, and expected calibration error."""

    recall: float
    ece: float


@dataclass(frozen=True)
class RowQuality:
    """How many rows are right; ``traces`` are the negatives that were shown or prompted, not mined."""

    positives: Share
    negatives: Share
    traces: Share


@dataclass(frozen=True)
class CrowdResult:
    """Everything measured about one crowd on one collection; the dictionaries are by system."""

    collection: str
    crowd: Crowd
    turns: int
    questions: int
    pairs: int
    relevant: int
    beliefs: Mapping[str, BeliefQuality]
    rows: Mapping[str, RowQuality]

    @property
    def ratio(self) -> float:
        """Ragwheel's recall over that of the optimum; nan where even the optimum has next to none."""
        best = self.beliefs["optimum"].recall
        return self.beliefs["ragwheel"].recall / best if best >= _LEAST_RECALL else float("nan")


class Units:
    """The distinct (wording, chunk) pairs that were shown or prompted, in a fixed order."""

    def __init__(self, rows: Exposures) -> None:
        self._rows = rows
        keys = rows.wording * len(rows.chunks) + rows.chunk
        _, self._first = np.unique(keys, return_index=True)

    def __len__(self) -> int:
        return len(self._first)

    @cached_property
    def names(self) -> list[tuple[str, str]]:
        """Wording and chunk id of each."""
        rows, first = self._rows, self._first
        return [(rows.wordings[w], rows.chunks[c]) for w, c in zip(rows.wording[first], rows.chunk[first])]

    @property
    def relevant(self) -> Bools:
        """Whether the chunk answers the need behind the wording."""
        return np.asarray(self._rows.grade[self._first] > 0)

    def optimum(self, crowd: Crowd, *, pooled: bool = True) -> Floats:
        """The Bayes-optimal beliefs: those of the need and the chunk, or without pooling of the wording."""
        rows = self._rows if pooled else replace(self._rows, question=self._rows.wording)
        pair: Ints = pairs_of(rows)[0]
        return np.asarray(bayes_beliefs(rows, crowd, rows.world.top)[pair[self._first]])

    def beliefs(self, beliefs: Mapping[tuple[str, str], float]) -> Floats:
        """Beliefs by (query key, chunk id) in this order; 0 where there is none."""
        return np.array([beliefs.get((query_key(wording), chunk), 0.0) for wording, chunk in self.names])

    def quality(self, beliefs: Floats) -> BeliefQuality:
        """How good beliefs in this order are."""
        relevant = self.relevant
        return BeliefQuality(recall_at_precision(beliefs, relevant), calibration_error(beliefs, relevant))

    def calibration_error(self, beliefs: Floats, where: Bools) -> float:
        """Expected calibration error of the beliefs of some pairs."""
        return calibration_error(beliefs[where], self.relevant[where])

    def row_quality(self, labels: Labels) -> RowQuality:
        """How right positives and negatives by (wording, chunk id) are."""
        world, needs, exposed = self._rows.world, self._rows.world.needs, set(self.names)

        def share(rows: Iterable[tuple[str, str]], expected: bool) -> Share:
            right = [(world.grades[needs[wording]].get(chunk, 0) > 0) == expected for wording, chunk in rows]
            return Share(sum(right), len(right))

        return RowQuality(
            share(labels.positives, True),
            share(labels.negatives, False),
            share(exposed & set(labels.negatives), False),
        )


def compare(
    db: Path, rows: Exposures, crowd: Crowd, *, policy: Path | None = None, miner: Mining | None = None
) -> CrowdResult:
    """Read the labels of a store that ``rows`` were played into, and measure them.

    Args:
        db: the database.
        rows: what happened.
        crowd: the rates that it happened by.
        policy: a TOML file of the label policy; None: the packaged one.
        miner: mines negatives for the naive recipe's positives; None: this system is left out.
    """
    units = Units(rows)
    table = graded(db, policy=policy).select(["query_key", "chunk_id", "belief"]).to_pylist()
    beliefs = {(row["query_key"], row["chunk_id"]): row["belief"] for row in table}
    wordings = {wording: wording for wording in rows.wordings}
    plain = naive(db, wordings)
    clicked = {(query_key(wording), chunk): 1.0 for wording, chunk in plain.positives}
    row_quality = {
        "ragwheel": units.row_quality(ragwheel_labels(db, wordings, policy)),
        "naive recipe": units.row_quality(plain),
    }
    if miner is not None:
        for system, labels in miner(rows, plain).items():
            row_quality[system] = units.row_quality(labels)
    return CrowdResult(
        collection=rows.world.name,
        crowd=crowd,
        turns=len(np.unique(rows.turn)),
        questions=len(rows.questions),
        pairs=len(units),
        relevant=int(units.relevant.sum()),
        beliefs={
            "ragwheel": units.quality(units.beliefs(beliefs)),
            "optimum": units.quality(units.optimum(crowd)),
            "optimum, wordings apart": units.quality(units.optimum(crowd, pooled=False)),
            "naive recipe": units.quality(units.beliefs(clicked)),
        },
        rows=row_quality,
    )


def mining(miner: Miner, questions: int) -> Mining:
    """``mine_hard_negatives`` for the naive positives of some wordings, over the chunks returned for them."""

    def mine(rows: Exposures, plain: Labels) -> dict[str, Labels]:
        world = rows.world
        asked = sorted({wording for wording, _ in plain.positives})
        sample = set(random.Random(0).sample(asked, min(questions, len(asked))))
        positives = {(wording, chunk) for wording, chunk in plain.positives if wording in sample}
        rest = {chunk for wording, chunk in plain.negatives if wording in sample}
        corpus = sorted(rest | {chunk for _, chunk in positives})
        return {
            "mine_hard_negatives": miner.mine(world, positives, corpus),
            "mine_hard_negatives, 5 % margin": miner.mine(world, positives, corpus, relative_margin=0.05),
        }

    return mine
