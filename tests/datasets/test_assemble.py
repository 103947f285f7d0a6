"""Rows of one query group: which chunks go into a list, and in which order negatives are taken."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from ragwheel.datasets.assemble import Assembler
from ragwheel.datasets.splits import Group
from ragwheel.datasets.strikes import Strikes
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


def assembled(*groups, negatives=None, seed=0, strikes=None, **caps):
    """The rows of several groups, each (positives and middle, negatives), and what was left out."""
    dropped: Counter[str] = Counter()
    balance = BALANCE.model_copy(update=caps)
    assembler = Assembler(balance, negatives=negatives, seed=seed, dropped=dropped, strikes=strikes)
    found = []
    for n, (chunks, of_group) in enumerate(groups):
        found += assembler.rows(Group(f"key{n}", f"family{n}", f"question {n}", n), chunks, of_group)
    return found, +dropped


def positives_of(n, first=0):
    return [chunk(first + i, "positive", confidence=0.9 - i / 100) for i in range(n)]


def negatives_of(n, first=100):
    return [chunk(first + i, "negative", strategy="judged", confidence=0.9 - i / 100) for i in range(n)]


def test_a_query_and_a_positive_have_no_more_rows_than_the_policy_allows_and_the_rest_is_counted():
    caps = {"positives_per_query": 2, "negatives_per_positive": 3, "uses_per_chunk": 99}
    found, dropped = assembled((positives_of(5), negatives_of(7)), **caps)
    assert Counter(row.config for row in found) == {"pairs": 12, "lists": 1, "positives": 2, "triplets": 6}
    assert dropped == {
        "positive: more than 2 for one query": 3,
        "negative: more than 3 for one positive": 8,
    }
    exactly, dropped = assembled((positives_of(2), negatives_of(3)), **caps)
    assert Counter(row.config for row in exactly)["triplets"] == 6
    assert dropped == {}


def test_a_chunk_is_used_so_often_in_each_role_and_then_the_next_takes_its_place():
    popular, rare = chunk(1, "positive", confidence=0.9), chunk(2, "positive", confidence=0.5)
    bad, worse = negatives_of(2)
    found, dropped = assembled(
        *(3 * [([popular, rare], [bad, worse])]),
        positives_per_query=1, negatives_per_positive=1, uses_per_chunk=2,
    )  # fmt: skip
    assert [row["positive"] for row in of("positives", found)] == ["text 1", "text 1", "text 2"]
    assert [row["negative"] for row in of("triplets", found)] == ["text 100", "text 100", "text 101"]
    assert dropped["positive: the chunk was used 2 times"] == 1
    assert dropped["negative: the chunk was used 2 times"] == 1
    other_role, _ = assembled(
        ([popular], [bad]), ([chunk(100, "positive")], [chunk(1, "negative", strategy="judged")]),
        uses_per_chunk=1,
    )  # fmt: skip
    assert len(of("triplets", other_role)) == 2


def test_an_n_tuple_has_all_its_negatives_or_is_counted():
    found, dropped = assembled((positives_of(1), negatives_of(3)), negatives=2)
    (row,) = [row for row in found if row.config == "ntuples"]
    assert row.values == {
        "anchor": "question 0", "positive": "text 0", "negative_1": "text 100", "negative_2": "text 101",
    }  # fmt: skip
    assert [role for role, _ in row.chunks] == ["positive", "negative_1", "negative_2"]
    assert dropped == {}
    found, dropped = assembled((positives_of(1), negatives_of(1)), negatives=2)
    assert of("ntuples", found) == []
    assert len(of("triplets", found)) == 1
    assert dropped == {"n-tuple: fewer than 2 negatives": 1}


def test_a_positive_without_a_negative_is_in_pairs_and_positives_and_counted():
    found, dropped = assembled((positives_of(2), []))
    assert Counter(row.config for row in found) == {"pairs": 2, "positives": 2}
    assert dropped == {"positive: its query has no usable negative (it is still in positives and pairs)": 2}


def test_the_same_passage_under_two_ids_is_one_row_and_the_positive_wins():
    twin = replace(chunk(100, "negative", strategy="judged"), text="TEXT  0")
    other = replace(chunk(7, "positive", confidence=0.1), text="text 0 ")
    found, dropped = assembled(([*positives_of(1), other], [twin, *negatives_of(1, first=200)]))
    assert [row["label"] for row in of("pairs", found)] == [1.0, 0.0]
    assert [row["document"] for row in of("pairs", found)] == ["text 0", "text 200"]
    assert len(of("triplets", found)) == 1
    assert dropped == {"row: the same text under another id": 2}


def test_chunks_of_the_middle_are_in_pairs_and_lists_alone():
    found, _ = assembled(([*positives_of(1), chunk(50, "middle")], negatives_of(1)))
    assert [row["label"] for row in of("pairs", found)] == [1.0, 0.5, 0.0]
    (listed,) = of("lists", found)
    assert listed == {
        "query": "question 0", "docs": ["text 0", "text 50", "text 100"], "labels": [1.0, 0.5, 0.0],
    }  # fmt: skip
    assert len(of("positives", found)) == len(of("triplets", found)) == 1
    without, _ = assembled(([chunk(50, "middle")], negatives_of(1)))
    assert Counter(row.config for row in without) == {"pairs": 2}


@pytest.mark.parametrize(("size", "n_positives"), [(4, 2), (5, 2), (6, 3)])
def test_a_list_is_no_longer_than_the_policy_allows(size, n_positives):
    found, _ = assembled((positives_of(9), negatives_of(9)), docs_per_list=size)
    (listed,) = of("lists", found)
    assert listed["labels"] == n_positives * [1.0] + (size - n_positives) * [0.0]


def test_of_equal_chunks_the_seed_decides_the_order_and_the_same_seed_decides_the_same():
    same = [chunk(n, "positive") for n in range(8)]
    orders = {
        seed: tuple(row["document"] for row in of("pairs", assembled((same[::step], []), seed=seed)[0]))
        for seed in range(4)
        for step in (1, -1)
    }
    assert len(set(orders.values())) == 4
    assert all(
        orders[seed] == tuple(row["document"] for row in of("pairs", assembled((same, []), seed=seed)[0]))
        for seed in orders
    )


def test_a_struck_out_triplet_is_left_out_for_its_query_alone_and_counted():
    (positive,), (bad, worse) = positives_of(1), negatives_of(2)
    strikes = Strikes(rows=frozenset({("key0", positive.key, bad.key)}))
    found, dropped = assembled(
        ([positive], [bad, worse]), ([positive], [bad, worse]), strikes=strikes, uses_per_chunk=99
    )
    triplets = [(row["anchor"], row["negative"]) for row in of("triplets", found)]
    assert triplets == [("question 0", "text 101"), ("question 1", "text 100"), ("question 1", "text 101")]
    assert dropped == {"triplet: struck out by a person": 1}
