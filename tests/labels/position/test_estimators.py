"""Every estimator finds the truth of its own world, says how sure it is, and abstains if it cannot know."""

from __future__ import annotations

import numpy as np
import position as worlds
import pytest

from ragwheel.labels.position import (
    Cells,
    Examination,
    Swapped,
    harvested,
    pbm,
    randomised,
)

IMPRESSIONS = 60_000


@pytest.mark.parametrize("world", worlds.WORLDS)
def test_the_truth_is_found_in_the_own_world(world):
    (row,) = worlds.measure(world, IMPRESSIONS, seed=3, own_only=True)
    assert row["error"] < 0.09
    assert row["identifiable"]
    assert row["clicks"] > 100
    assert all(
        low <= theta <= high for low, theta, high in zip(row["low"], row["theta"], row["high"], strict=True)
    )


def test_intervals_hold_the_truth_about_as_often_as_they_say():
    held = 0
    for seed in range(15):
        found = pbm(worlds.position_based(np.random.default_rng(seed), 1500, 5).cells())
        held += found.low[1] <= worlds.THETA[1] <= found.high[1]
    assert held >= 12


def test_what_confounds_rankings_within_a_version_does_not_reach_interventions():
    traffic = worlds.versions(np.random.default_rng(2), 20_000)
    errors = [
        np.abs(np.array(found.theta[:3]) - worlds.THETA[:3]).max()
        for found in (pbm(traffic.cells()), harvested(traffic.served()))
    ]
    assert errors[1] < 0.06 < errors[0]


def cells(*rows):
    """query, item, rank, impressions, clicks."""
    columns = list(zip(*rows, strict=True)) or [()] * 5
    ints = [np.array(column, np.int64) for column in columns[:3]]
    return Cells(*ints, *(np.array(column, float) for column in columns[3:]))


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        ([], "no clicks"),
        ([(0, 0, 1, 100, 0), (0, 0, 2, 100, 0)], "no clicks"),
        ([(0, 0, 1, 100, 50), (0, 1, 2, 100, 50)], "no chunk was seen at two ranks"),
        ([(0, 0, 1, 100, 5), (0, 0, 2, 100, 5)], "fewer than 20 clicks"),
    ],
)
def test_abstention_says_why(rows, why):
    found = pbm(cells(*rows))
    assert not found.identifiable
    assert not found.usable
    assert found.theta == ()
    assert why in found.why_not
    assert why in str(found)


def test_ranks_without_a_link_to_the_first_are_left_out():
    chain = [(0, 0, 1, 1000, 400), (0, 0, 2, 1000, 200), (1, 1, 4, 1000, 100), (1, 1, 3, 1000, 100)]
    found = pbm(cells(*chain))
    assert found.theta == pytest.approx((1, 0.5))
    assert found.clicks == 600
    linked = pbm(cells(*chain, (2, 2, 2, 1000, 200), (2, 2, 3, 1000, 100)))
    assert linked.theta == pytest.approx((1, 0.5, 0.25, 0.25))


def test_interventions_abstain_too():
    none = worlds.swaps(np.random.default_rng(0), 300)
    assert "one retriever version" in harvested(none.served()).why_not
    empty = np.zeros(0, np.int64)
    nothing = Swapped(empty, empty, empty, empty.astype(float), empty.astype(float), empty.astype(float))
    assert "nothing was randomised" in randomised(nothing).why_not


def test_an_examination_says_what_it_is():
    found = Examination("pbm", (1.0, 0.51239), (1.0, 0.4), (1.0, 0.6), 100, 50, 3, True)
    assert found.usable
    assert found.widths() == pytest.approx((0, 0.1))
    assert found.as_dict()["theta"] == [1.0, 0.5124]
    assert "rank 2: 0.51 (0.40 to 0.60)" in str(found)
    cut = found.first(1, "rank 2 is unsure")
    assert not cut.usable
    assert cut.noting("first tried another").why_not == "first tried another; rank 2 is unsure"


def test_the_benchmark_prints_a_table(capsys):
    assert worlds.main(["--impressions", "20000", "--world", "adjacent swaps, no repeats", "--json"]) in (
        0,
        1,
    )
    assert worlds.main(["--impressions", "20000", "--world", "position-based"]) in (0, 1)
    printed = capsys.readouterr().out
    assert "| position-based | **pbm** |" in printed
    assert '"method": "randomised"' in printed
