"""The tests of significance, by hand where that can be done and by simulation where it cannot."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ttest_1samp

from ragwheel.evaluate import StatisticsOptions, paired_difference
from ragwheel.evaluate.criterion import Gain
from ragwheel.evaluate.statistics import holm
from ragwheel.evaluate.verdict import judge, judge_expected

QUICK = StatisticsOptions(draws=1_000, seeds=(0,))
SMALL = StatisticsOptions(draws=200, seeds=(0,))


def each_alone(n):
    return [str(i) for i in range(n)]


def test_small_numbers_are_enumerated():
    a = [0.9, 0.4, 0.8, 0.7, 0.6]
    b = [0.1, 0.5, 0.3, 0.2, 0.5]
    gaps = np.subtract(a, b)
    as_far = sum(
        abs(np.dot(signs, gaps)) >= abs(gaps.sum()) - 1e-9 for signs in itertools.product((1, -1), repeat=5)
    )
    found = paired_difference(a, b, each_alone(5))
    assert found.p == as_far / 32
    assert found.mean == pytest.approx(gaps.mean())
    assert found.effect == pytest.approx(gaps.mean() / gaps.std(ddof=1))
    assert (found.wins, found.losses, found.queries, found.clusters) == (4, 1, 5, 5)


def test_many_agree_with_the_t_test():
    gaps = np.random.default_rng(1).normal(0.02, 0.1, 200)
    found = paired_difference(gaps, np.zeros(200), each_alone(200))
    t = ttest_1samp(gaps, 0)
    assert found.p == pytest.approx(t.pvalue, abs=0.01)
    interval = t.confidence_interval()
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high), abs=0.002)


def test_queries_of_one_session_count_as_one():
    gaps = np.random.default_rng(2).normal(0.03, 0.1, 30)
    alone = paired_difference(gaps, np.zeros(30), each_alone(30))
    repeated = np.repeat(gaps, 5)
    together = paired_difference(repeated, np.zeros(150), np.repeat(each_alone(30), 5).tolist())
    naive = paired_difference(repeated, np.zeros(150), each_alone(150))
    assert together.mean == pytest.approx(alone.mean)
    assert (together.low, together.high) == pytest.approx((alone.low, alone.high))
    assert together.high - together.low > 1.8 * (naive.high - naive.low)
    assert (together.queries, together.clusters) == (150, 30)
    assert together.needed > 4 * naive.needed


def test_equal_systems_and_single_clusters_prove_nothing():
    same = paired_difference([0.5] * 20, [0.5] * 20, each_alone(20))
    assert (same.mean, same.low, same.high, same.p, same.effect, same.needed) == (0, 0, 0, 1, 0, None)
    assert judge(same, "evalset", same.p).why == "equal on every query"
    one = paired_difference([0.9, 0.8], [0.1, 0.2], ["s", "s"])
    assert math.isnan(one.low)
    assert one.p == 1
    assert "too few" in judge(one, "evalset", one.p).why


def test_two_clusters_tell_how_many_queries_are_needed_and_one_does_not():
    gaps = [0.2, 0.1, 0.3, -0.1]
    two = paired_difference(gaps, [0.0] * 4, ["s", "s", "t", "t"], QUICK)
    sums, mean = np.array([0.3, 0.2]), 0.125
    error = math.sqrt(2 * float(((sums - 2 * mean) ** 2).sum())) / 4
    assert two.needed + 4 == max(math.ceil(((1.959964 + 0.841621) * error / mean) ** 2 * 4), 10)
    assert paired_difference(gaps, [0.0] * 4, ["s"] * 4, QUICK).needed is None


def test_two_clusters_have_an_interval_and_a_p_value():
    two = paired_difference([0.2, 0.1, 0.3, 0.4], [0.0] * 4, ["s", "s", "t", "t"], QUICK)
    assert (two.low, two.high) == pytest.approx((0.15, 0.35))
    assert two.p == 0.5  # of four signs, ++ and -- are as far from zero


def test_two_queries_have_an_effect_and_one_has_none():
    two = paired_difference([0.3, 0.1], [0.0, 0.0], each_alone(2), QUICK)
    assert two.effect == pytest.approx(0.2 / np.std([0.3, 0.1], ddof=1))
    assert math.isnan(paired_difference([0.3], [0.0], ["s"], QUICK).effect)
    assert paired_difference([0.3], [0.3], ["s"], QUICK).effect == 0


@pytest.mark.parametrize(
    ("queries", "words"), [(1, "1 query is too few"), (3, "3 queries are too few"), (9, "9 ")]
)
@pytest.mark.parametrize("gap", [0.4, -0.4])
def test_of_fewer_than_ten_queries_nothing_is_said(queries, words, gap):
    found = paired_difference([0.5 + gap] * queries, [0.5] * queries, each_alone(queries))
    verdict = judge(found, "evalset", found.p)
    assert verdict.word == "can't tell"
    assert verdict.why.startswith(words)
    assert verdict.why.endswith("needed: 10")
    ten = paired_difference([0.5 + gap] * 10, [0.5] * 10, each_alone(10))
    assert judge(ten, "evalset", ten.p).word == ("better" if gap > 0 else "worse")


def test_no_gain_is_expected_of_fewer_than_ten_questions():
    gain = Gain(-0.1, -0.2, -0.05, 1.0, -0.1, -0.1, 9)
    assert judge_expected(gain, StatisticsOptions()).word == "can't tell"
    assert judge_expected(replace(gain, queries=10), StatisticsOptions()).word == "worse"


def test_every_seed_gives_the_same_again():
    gaps = np.random.default_rng(3).normal(0.02, 0.1, 50)
    options = StatisticsOptions(seeds=(7, 8, 9))
    first = paired_difference(gaps, np.zeros(50), each_alone(50), options)
    assert paired_difference(gaps, np.zeros(50), each_alone(50), options) == first
    single = [
        paired_difference(gaps, np.zeros(50), each_alone(50), StatisticsOptions(seeds=(s,)))
        for s in (7, 8, 9)
    ]
    assert first.p == max(one.p for one in single)
    assert first.low == min(one.low for one in single)
    assert first.high == max(one.high for one in single)


def test_the_queries_asked_for_are_about_enough():
    """With as many queries as it asks for, a difference is found four times in five."""
    rng, found = np.random.default_rng(4), []
    pilot = paired_difference(rng.normal(0.03, 0.15, 60), np.zeros(60), each_alone(60))
    expected = ((1.96 + 0.84) * 0.15 / 0.03) ** 2
    assert pilot.needed is not None
    exact = paired_difference(np.tile([0.18, -0.12], 30), np.zeros(60), each_alone(60))  # mean .03, sd .15
    assert exact.needed + 60 == pytest.approx(expected, rel=0.05)
    n = exact.needed + 60
    for _ in range(100):
        one = paired_difference(rng.normal(0.03, 0.15, n), np.zeros(n), each_alone(n), QUICK)
        found.append(judge(one, "evalset", one.p).word == "better")
    assert 0.68 <= np.mean(found) <= 0.92


def test_holm():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def ndcg_like(rng, n):
    """Differences as nDCG has them: mostly none, else lumpy and not symmetric, with mean zero."""
    lumps = np.array([-0.37, -0.13, 0.0, 0.0, 0.0, 0.0, 0.13, 0.37, 0.63, -0.63])
    return rng.choice(lumps, n) + rng.normal(0, 0.02, n)


@pytest.mark.parametrize("clustered", [False, True])
def test_intervals_cover_and_no_difference_is_seldom_better(clustered):
    """At no difference: the 95 % interval holds zero in 93-97 %, and *better* is said in at most 5 %."""
    rng, runs, covered, better = np.random.default_rng(5), 1_200, 0, 0
    for _ in range(runs):
        if clustered:
            shared = np.repeat(ndcg_like(rng, 40), 3)
            gaps, clusters = shared + rng.normal(0, 0.1, 120), np.repeat(each_alone(40), 3).tolist()
        else:
            gaps, clusters = ndcg_like(rng, 60), each_alone(60)
        found = paired_difference(gaps, np.zeros(len(gaps)), clusters, QUICK)
        covered += found.low <= 0 <= found.high
        better += judge(found, "evalset", found.p).word == "better"
    print(f"clustered={clustered}: covered {covered / runs:.3f}, better {better / runs:.3f}")
    assert 0.93 <= covered / runs <= 0.97
    assert better / runs <= 0.05


def test_among_many_equal_systems_none_is_better():
    """With Holm's correction the risk over eight systems together stays below one in twenty."""
    rng, wrong, runs = np.random.default_rng(6), 0, 200
    for _ in range(runs):
        found = [
            paired_difference(rng.normal(0, 0.2, 40), np.zeros(40), each_alone(40), QUICK) for _ in range(8)
        ]
        corrected = holm([one.p for one in found])
        wrong += any(judge(one, "evalset", p).word == "better" for one, p in zip(found, corrected))
    assert wrong / runs <= 0.06


@pytest.mark.parametrize("n", [8, 15])
def test_intervals_of_few_queries_are_as_wide_as_those_of_the_t_test(n):
    rng, widths = np.random.default_rng(7), []
    for _ in range(40):
        gaps = rng.normal(0, 0.2, n)
        found = paired_difference(
            gaps, np.zeros(n), each_alone(n), StatisticsOptions(draws=4_000, seeds=(0,))
        )
        interval = ttest_1samp(gaps, 0).confidence_interval()
        widths.append((found.high - found.low) / (interval.high - interval.low))
    assert 0.9 <= np.mean(widths) <= 1.1


def test_p_is_never_zero():
    found = paired_difference(np.full(60, 0.5), np.zeros(60), each_alone(60), QUICK)
    assert found.p == 1 / (QUICK.draws + 1)


values = st.integers(0, 16).map(lambda n: n / 16)  # their sums are exact in any order


@settings(max_examples=60)
@given(st.lists(st.tuples(values, values, st.integers(0, 20)), max_size=40))
def test_comparisons_are_symmetric(queries):
    """What a is against b, b is against a with the other sign."""
    a, b = [a for a, _, _ in queries], [b for _, b, _ in queries]
    clusters = [str(cluster) for _, _, cluster in queries]
    one, other = paired_difference(a, b, clusters, SMALL), paired_difference(b, a, clusters, SMALL)
    about = {"abs": 1e-9, "nan_ok": True}
    assert other.mean == pytest.approx(-one.mean, **about)
    assert (other.low, other.high) == (pytest.approx(-one.high, **about), pytest.approx(-one.low, **about))
    assert other.effect == pytest.approx(-one.effect, **about)
    assert (other.p, other.needed) == (one.p, one.needed)
    assert (other.wins, other.losses, other.queries) == (one.losses, one.wins, one.queries)


def compared(queries, name):
    a, b, clusters = zip(*queries, strict=True)
    return paired_difference(a, b, [name.format(cluster) for cluster in clusters], SMALL)


@settings(max_examples=60)
@given(st.lists(st.tuples(values, values, st.integers(0, 20)), min_size=1, max_size=40), st.randoms())
def test_the_order_of_the_queries_and_the_names_of_the_clusters_do_not_matter(queries, random):
    """Up to what the bootstrap draws, which the interval alone depends on."""
    one = compared(queries, "{}")
    other = compared(random.sample(queries, len(queries)), "session {}")
    assert other.mean == pytest.approx(one.mean, abs=1e-9)
    assert (other.wins, other.losses, other.clusters) == (one.wins, one.losses, one.clusters)
    if one.clusters <= 12:
        assert other.p == one.p
