"""Rows of one query group: which chunks go into a list, and in which order negatives are taken."""

from __future__ import annotations

from collections import Counter

import pytest

from ragwheel.datasets.assemble import Assembler
from ragwheel.datasets.splits import Group
from ragwheel.labels.negatives import GradedChunk
from ragwheel.labels.policy import load_policy

BALANCE = load_policy().balance
GROUP = Group("key", "family", "the question", 1)


GRADES = {"positive": 5.0, "middle": 2.5, "negative": 0.0}


def chunk(number, status, *, confidence=0.9, strategy=None):
    return GradedChunk(
        chunk_version=number, source="kb", chunk_id=f"c{number}", text_id=number, text=f"text {number}",
        status=status, grade=GRADES[status],
        confidence=confidence, strategy=strategy, closeness=None, reasons=(),
    )  # fmt: skip


def rows(chunks, negatives, *, seed=0, **caps):
    dropped: Counter[str] = Counter()
    made = Assembler(BALANCE.model_copy(update=caps), negatives=None, seed=seed, dropped=dropped)
    return list(made.rows(GROUP, chunks, negatives))


def of(config, found):
    return [row.values for row in found if row.config == config]


@pytest.mark.parametrize(
    ("n_positives", "n_negatives", "labels"), [(9, 9, 3 * [1.0] + 3 * [0.0]), (1, 9, [1.0] + 5 * [0.0])]
)
def test_at_most_half_of_a_list_are_positives(n_positives, n_negatives, labels):
    positives = [chunk(n, "positive") for n in range(n_positives)]
    negatives = [chunk(100 + n, "negative", strategy="judged") for n in range(n_negatives)]
    (listed,) = of("lists", rows(positives, negatives, docs_per_list=6))
    assert listed["labels"] == labels


@pytest.mark.parametrize("seed", range(4))
def test_the_surest_come_first_within_a_strategy_and_trusted_strategies_before_others(seed):
    sure = [0.6, 0.95, 0.8, 0.7]
    positives = [chunk(n, "positive", confidence=c) for n, c in enumerate(sure)]
    negatives = [chunk(10 + n, "negative", strategy="passed_over", confidence=c) for n, c in enumerate(sure)]
    negatives.append(chunk(20, "negative", strategy="judged", confidence=0.5))
    found = rows(positives, negatives, seed=seed, positives_per_query=2, negatives_per_positive=3)
    assert [row["positive"] for row in of("positives", found)] == ["text 1", "text 2"]
    taken = [row["negative"] for row in of("triplets", found)]
    assert taken == 2 * ["text 20", "text 11", "text 12"]
