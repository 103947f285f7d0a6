"""A class of chunks that answer in part, where the traces ask for one."""

from __future__ import annotations

import numpy as np
import pytest

from ragwheel.labels.model.channels import ChannelRows, Shrinkage, Trials
from ragwheel.labels.model.fit import Pairs, PriorByRank, fit
from ragwheel.labels.model.middle import with_middle_class

PRIOR = PriorByRank((-0.2, -1.2), 30.0, 0.3)


def instrument(name, rng, response, turns, rates):
    """Trials of pairs that respond so far, 0-1, like fully relevant ones."""
    size = len(response)
    events = rng.binomial(turns, rates[0] + response * (rates[1] - rates[0]))
    kind = np.repeat([0, 1], size)
    count = np.concatenate([events, turns - events]).astype(float)
    pair, kept = np.tile(np.arange(size), 2), count > 0
    rows = ChannelRows(pair[kept], kind[kept], np.ones(int(kept.sum()), np.int64), count[kept], count[kept])
    return Trials(name, ("event", "none"), rows, Shrinkage(10.0, 50.0, 30.0), prior=(0.1, 0.5))


def store(responses, turns=20, seed=3, size=600, second=None):
    """Two instruments, and which share of the pairs responds how: irrelevant, in part, fully."""
    rng = np.random.default_rng(seed)
    number = rng.choice(3, size=size, p=responses)
    response = np.array([0.0, 0.35, 1.0])[number]
    pairs = Pairs(np.ones(size, np.int64), np.zeros(size, np.int64), np.full(size, np.nan))
    other = response if second is None else np.array(second)[number]
    channels = [
        instrument("citation", rng, response, turns, (0.05, 0.7)),
        instrument("opening", rng, other, turns, (0.08, 0.6)),
    ]
    belief, shares = fit(pairs, channels, PRIOR, {}, learn=True)
    return number, pairs, channels, belief, shares


def refined(pairs, channels, belief, shares):
    return with_middle_class(pairs, channels, PRIOR, belief, shares)


def test_chunks_that_respond_in_part_become_relevant_ones():
    number, pairs, channels, belief, shares = store((0.6, 0.2, 0.2))
    three = refined(pairs, channels, belief, shares)
    assert three is not None
    assert belief[number == 1].mean() < 0.5, "two classes count them as irrelevant"
    assert three.shares[0, 1] == pytest.approx((number > 0).mean(), abs=0.05)
    assert three.responses["citation"] == pytest.approx(0.35, abs=0.11)
    assert all(0 < channel.middle < 1 for channel in three.channels)


def test_where_all_relevant_chunks_respond_alike_two_classes_stay():
    _number, *fitted = store((0.8, 0.0, 0.2))
    assert refined(*fitted) is None


def test_chunks_that_were_seen_a_few_times_show_no_middle_class():
    _number, *fitted = store((0.6, 0.2, 0.2), turns=3)
    assert refined(*fitted) is None


def test_a_habit_of_one_instrument_alone_is_no_class():
    """Chunks that answers cite and people never open are not half relevant."""
    _number, *fitted = store((0.6, 0.2, 0.2), second=(0.0, 0.0, 1.0))
    assert refined(*fitted) is None


def test_events_still_speak_for_and_non_events_against_a_chunk():
    _number, *fitted = store((0.6, 0.2, 0.2))
    for channel in refined(*fitted).channels:
        signs = {
            kind: {np.sign(value) for k, _band, value in channel.weights() if k == kind}
            for kind in ("event", "none")
        }
        assert signs["event"] <= {0.0, 1.0}
        assert signs["none"] <= {0.0, -1.0}


def test_the_channels_that_two_classes_were_fitted_to_are_left_as_they_are():
    _number, pairs, channels, belief, shares = store((0.6, 0.2, 0.2))
    before = [channel.rates.copy() for channel in channels]
    refined(pairs, channels, belief, shares)
    for channel, rates in zip(channels, before):
        np.testing.assert_array_equal(channel.rates, rates)
        assert channel.middle == 1
