"""What each instrument may learn, whatever it is taught: signs and orders that no traces can turn."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ragwheel.labels.evidence.kinds import KINDS
from ragwheel.labels.model.cells import BANDS, CITATION, LAST_PLACE, OPENING, READING
from ragwheel.labels.model.channels import ChannelRows, Grades, Lengths, Shrinkage, Trials, Votes
from ragwheel.labels.model.fit import Pairs, PriorByRank, fit, saturated

HELD = Shrinkage(rates=30.0, places=200.0, informed=30.0)
PAIRS = 40
anything = settings(max_examples=60, deadline=None, derandomize=True)
seeds = st.integers(0, 2**32 - 1)


def rows(draw, kinds, bands, size=300):
    """Observations of random pairs, some kinds and bands much more often than others."""
    chances = [draw.dirichlet(np.full(n, 0.3)) for n in (kinds, bands)]
    kind, band = (draw.choice(len(chance), size, p=chance) for chance in chances)
    count = draw.uniform(0.05, 3.0, size)
    return ChannelRows(
        draw.integers(0, PAIRS, size), kind.astype(np.int64), band.astype(np.int64), count, count
    )


def channels(draw):
    """Every instrument with random readings."""
    exposures = draw.uniform(1, 20, PAIRS)
    extra = np.array([0.0, 0.5, -0.5, 0.7, -0.5])
    return [
        Trials("citation", CITATION, rows(draw, 2, LAST_PLACE + 1), HELD, (0.04, 0.65)),
        Trials("opening", OPENING, rows(draw, 6, LAST_PLACE + 1), HELD, (0.15, 0.55), extra=extra),
        Lengths("reading", READING, rows(draw, 2, BANDS), HELD),
        Votes("thumbs_up", ("thumbs_up",), rows(draw, 1, 1), HELD, 2.5, exposures),
        Votes("delete", ("delete",), rows(draw, 1, 1), HELD, -2.5, exposures),
        Grades("judge", ("judged_llm",), rows(draw, 1, 6), HELD),
    ]


def signed(channel):
    for kind, band, value in channel.weights():
        if kind in READING or kind == "judged_llm":
            continue
        assert np.isfinite(value)
        assert value * KINDS[kind].direction >= -1e-9, (kind, band, value)


def ordered(channel):
    """A longer reading and a higher grade never say less."""
    values = {}
    for kind, band, value in channel.weights():
        values.setdefault(kind, []).append((band, value))
    for kind, pairs in values.items():
        if kind in READING or kind == "judged_llm":
            says = [value for _band, value in sorted(pairs)]
            assert says == sorted(says), kind


@anything
@given(seeds)
def test_events_never_speak_against_what_they_speak_for_whatever_was_believed(seed):
    """Even where beliefs are taught upside down, or at random, all the way."""
    draw = np.random.default_rng(seed)
    for channel in channels(draw):
        for _ in range(4):
            belief = draw.choice([0.01, 0.5, 0.99], PAIRS) if seed % 2 else draw.random(PAIRS)
            channel.trust = float(draw.choice([0.0, 0.3, 1.0]))
            channel.learn(belief)
            signed(channel)
            ordered(channel)


@anything
@given(seeds)
def test_events_never_speak_against_what_they_speak_for_in_any_fit(seed):
    draw = np.random.default_rng(seed)
    everything = channels(draw)
    some = [channel for channel in everything if draw.random() < 0.7] or everything
    judged = np.where(draw.random(PAIRS) < 0.2, draw.choice([0.0, 0.4, 1.0], PAIRS), np.nan)
    pairs = Pairs(draw.integers(0, 21, PAIRS), draw.integers(0, 2, PAIRS), judged)
    prior = PriorByRank((0.0, -1.2), 30.0, 0.3)
    belief, shares = fit(pairs, some, prior, {"citation": 0.01, "judge": 0.4}, learn=True)
    assert ((belief >= 0) & (belief <= 1)).all()
    assert ((shares > 0) & (shares < 1)).all()
    for channel in some:
        signed(channel)
        ordered(channel)
        assert 0 <= channel.trust < 1
        assert 0 < channel.repeat <= 0.5


def test_with_nothing_that_other_evidence_knows_the_ratio_stays_the_priors():
    """Citations of one place only: how much they say cannot be told from how many chunks are relevant."""
    draw = np.random.default_rng(3)
    size = 2_000
    zeros = np.zeros(size, np.int64)
    kind = (draw.random(size) < 0.7).astype(np.int64)
    ones = np.ones(size)
    channel = Trials(
        "citation", CITATION, ChannelRows(np.arange(size), kind, zeros + 1, ones, ones), HELD, (0.04, 0.65)
    )
    pairs = Pairs(zeros + 1, zeros, np.full(size, np.nan))
    fit(pairs, [channel], PriorByRank((0.0, -1.2), 30.0, 0.3), {"citation": 0.01}, learn=True)
    assert channel.trust < 0.05
    happened = next(value for kind, band, value in channel.weights() if (kind, band) == ("cited", 1))
    assert happened == pytest.approx(np.log(0.65 / 0.04), abs=0.3)


def test_a_channel_that_others_contradict_says_little_and_never_the_opposite():
    draw = np.random.default_rng(5)
    size = 600
    relevant = draw.random(size) < 0.4
    ones, zeros, number = np.ones(size), np.zeros(size, np.int64), np.arange(size)
    votes, inverted = [], np.where(relevant, 1, 0)  # cited exactly where it is irrelevant
    for kind, which, sign in (("thumbs_up", relevant, 2.5), ("delete", ~relevant, -2.5)):
        n = number[which]
        some = ChannelRows(n, zeros[which], zeros[which], ones[which], ones[which])
        votes.append(Votes(kind, (kind,), some, HELD, sign, ones))
    cited = Trials(
        "citation", CITATION, ChannelRows(number, inverted, zeros + 1, ones, ones), HELD, (0.04, 0.65)
    )
    pairs = Pairs(zeros + 1, zeros, np.full(size, np.nan))
    fit(pairs, [cited, *votes], PriorByRank((0.0, -1.2), 30.0, 0.3), {}, learn=True)
    for kind, band, value in cited.weights():
        if band == 1:
            assert abs(value) < 0.5, kind
            assert value * KINDS[kind].direction >= 0


@anything
@given(st.lists(st.floats(0, 8), min_size=1, max_size=30), st.floats(0.5, 200))
def test_further_readings_add_less_and_less_and_never_nothing(readings, scale):
    most = np.array([max(readings)])
    totals = [float(saturated(np.array([sum(readings) + n]), most, scale)[0]) for n in range(4)]
    steps = np.diff(totals)
    assert (steps > 0).all()
    assert (np.diff(steps) <= 1e-9).all()
    assert most[0] <= totals[0] <= sum(readings) + 1e-9
