"""Discounted cumulative gain over arrays equals the field's measure."""

from __future__ import annotations

import math

import ir_measures
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragwheel.evaluate.dcg import discount, ideal_dcg, ndcg

grades = st.lists(st.integers(0, 5), min_size=1, max_size=30)


@given(ranked=grades, others=grades)
def test_ndcg_is_that_of_ir_measures(ranked, others):
    judged = ranked + others
    qrels = [ir_measures.Qrel("q", str(number), grade) for number, grade in enumerate(judged)]
    run = [ir_measures.ScoredDoc("q", str(number), -number) for number in range(len(ranked))]
    value = ndcg(ranked, judged)
    if any(judged):
        assert value == pytest.approx(
            ir_measures.calc_aggregate([ir_measures.nDCG @ 10], qrels, run)[ir_measures.nDCG @ 10]
        )
    else:
        assert math.isnan(value)


def test_ranks_below_the_depth_count_nothing():
    assert discount([1, 3, 10, 11]).tolist() == pytest.approx([1, 0.5, 1 / math.log2(11), 0])
    assert discount([3, 4], depth=3).tolist() == [0.5, 0]


def test_the_ideal_holds_no_more_than_fit_into_the_depth():
    assert ideal_dcg([1, 2]).tolist() == pytest.approx([1, 1 + 1 / math.log2(3)])
    assert ideal_dcg(200) == ideal_dcg(10) == pytest.approx(discount(np.arange(1, 11)).sum())


def test_half_a_relevant_document_is_half_the_way_to_the_next():
    assert ideal_dcg(1.5) == pytest.approx((ideal_dcg(1) + ideal_dcg(2)) / 2)
