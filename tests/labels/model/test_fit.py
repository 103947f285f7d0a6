"""Rates and the share of relevant chunks, found again in traces that were made with them."""

from __future__ import annotations

import numpy as np
import pytest

from ragwheel.labels.model.cells import BANDS, CITATION, OPENING, READING, middle_log_seconds
from ragwheel.labels.model.channels import ChannelRows, Grades, Lengths, Shrinkage, Trials, Votes
from ragwheel.labels.model.fit import Pairs, PriorByRank, fit
from ragwheel.labels.model.minimise import minimise
from ragwheel.labels.model.parameters import parameters_of
from ragwheel.labels.model.response import Patterns, reacting

HELD = Shrinkage(rates=30.0, places=200.0, informed=30.0)
PRIOR = PriorByRank((-0.2, -1.2), 30.0, 0.3)


def trials(name, kinds, event, place, prior):
    kind = np.where(event, 0, len(kinds) - 1)
    ones = np.ones(len(event))
    return Trials(name, kinds, ChannelRows(np.arange(len(event)), kind, place, ones, ones), HELD, prior)


def one_off_questions(share, questions=1_500, size=6, seed=2):
    """Everything is seen once: citations, openings and reading times of chunks at six places."""
    rng = np.random.default_rng(seed)
    place = np.tile(np.arange(1, size + 1), questions)
    falling = share * size * place**-0.7 / (np.arange(1, size + 1) ** -0.7).sum()
    relevant = rng.random(len(place)) < falling
    cited = rng.random(len(place)) < np.where(relevant, 0.6, 0.08)
    opened = rng.random(len(place)) < np.where(relevant, 0.6, 0.12) * place**-0.7
    seconds = rng.normal(np.where(relevant, 2.4, 1.0), 0.8)[opened]
    band = np.abs(middle_log_seconds()[:, None] - seconds).argmin(axis=0)
    ones = np.ones(len(band))
    times = ChannelRows(np.flatnonzero(opened), np.zeros(len(band), np.int64), band, ones, ones)
    channels = [
        trials("citation", CITATION, cited, place, (0.04, 0.65)),
        trials("opening", OPENING, opened, place, (0.15, 0.55)),
        Lengths("reading", READING, times, HELD),
    ]
    return Pairs(place, np.zeros(len(place), np.int64), np.full(len(place), np.nan)), channels, relevant


@pytest.mark.parametrize("share", [0.1, 0.25, 0.45])
def test_the_share_of_relevant_chunks_is_found_where_every_question_is_asked_once(share):
    pairs, channels, relevant = one_off_questions(share)
    belief, _shares = fit(pairs, channels, PRIOR, {}, learn=True)
    assert belief.mean() == pytest.approx(relevant.mean(), abs=0.04)
    number = np.minimum((belief * 10).astype(int), 9)
    gap = np.abs(np.bincount(number, belief, 10) - np.bincount(number, relevant, 10)).sum()
    assert gap / len(belief) < 0.05


def test_gradients_are_those_of_the_likelihood():
    rng = np.random.default_rng(1)
    pair, ones = rng.integers(0, 30, 200), rng.uniform(0.2, 2, 200)

    def rows(kinds, bands):
        return ChannelRows(pair, rng.integers(0, kinds, 200), rng.integers(0, bands, 200), ones, ones)

    mass = rng.random(30)
    masses = np.stack([1 - mass, mass])
    for channel in (
        Trials("opening", OPENING, rows(6, 12), HELD, (0.15, 0.55)),
        Lengths("reading", READING, rows(2, BANDS), HELD),
        Votes("delete", ("delete",), rows(1, 1), HELD, -2.5, rng.uniform(1, 9, 30)),
        Grades("judge", ("judged_llm",), rows(1, 6), HELD),
    ):
        block = parameters_of(channel)
        values = block.mean + 0.3 * block.sd * rng.normal(size=len(block.mean))
        for number, slope in enumerate(block.gradient(values, masses)):
            step = np.zeros(len(values))
            step[number] = 1e-5
            up, down = (
                float((masses * block.log_likelihoods(values + sign * step, 30)).sum()) for sign in (1, -1)
            )
            assert slope == pytest.approx((up - down) / 2e-5, abs=1e-4), (channel.name, number)


def test_a_curved_valley_is_followed_to_its_end():
    def valley(x):
        a, b = 1 - x[0], x[1] - x[0] ** 2
        return float(a**2 + 100 * b**2), np.array([-2 * a - 400 * x[0] * b, 200 * b])

    end = minimise(valley, np.array([-1.2, 1.0]), rounds=200, tolerance=1e-12)
    assert end == pytest.approx([1, 1], abs=1e-3)


def test_people_who_never_react_are_known_by_their_turns_and_not_by_what_was_worth_it():
    """Readers who open something in one turn of four are not taken for people who never do."""
    rng = np.random.default_rng(0)
    active = np.concatenate([rng.binomial(12, 0.25, 300), np.zeros(100, int)])
    patterns = Patterns(np.ones(400, int), active, 12 - active)
    weight = reacting(patterns)
    assert (weight[active > 0] == 1).all()
    assert weight[300:].mean() < 0.15
    assert weight.sum() == pytest.approx(300, abs=15)


def test_people_who_came_once_count_as_people_who_may_react():
    patterns = Patterns(np.array([40, 60]), np.array([1, 0]), np.array([0, 1]))
    assert reacting(patterns)[1] > 0.9
