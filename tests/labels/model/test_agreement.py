"""How far close questions agree is learned from evidence that is itself uncertain."""

from __future__ import annotations

import numpy as np
import pytest

from ragwheel.labels.model.agreement import agreement


def evidence(rng, relevant, readings, rates=(0.1, 0.5)):
    """Log-likelihood ratios of chunks that were read ``readings`` times each."""
    events = rng.binomial(readings, np.where(relevant, rates[1], rates[0]))
    happened, not_happened = np.log(rates[1] / rates[0]), np.log((1 - rates[1]) / (1 - rates[0]))
    return events * happened + (readings - events) * not_happened


def questions(kept, n=4_000, share=0.2, readings=2, seed=1):
    """Evidence of two questions that are relevant to the same chunks as often as ``kept``."""
    rng = np.random.default_rng(seed)
    first = rng.random(n) < share
    second = np.where(rng.random(n) < kept, first, rng.random(n) < share)
    return first, second, evidence(rng, first, readings), evidence(rng, second, readings)


def learned(own, theirs):
    both = np.concatenate([own, theirs]), np.concatenate([theirs, own])
    return agreement(*both, np.ones(len(both[0])))


@pytest.mark.parametrize("kept", [0.95, 0.7, 0.4])
def test_the_agreement_of_what_is_relevant_is_found_although_two_readings_show_little(kept):
    first, second, own, theirs = questions(kept)
    transfer = learned(own, theirs)
    assert transfer.relevant == pytest.approx(second[first].mean(), abs=0.08)
    assert transfer.irrelevant == pytest.approx(second[~first].mean(), abs=0.04)


def test_counting_what_was_used_would_understate_it():
    _first, _second, own, theirs = questions(0.95)
    used = theirs[own >= 1] >= 1
    assert learned(own, theirs).kappa > used.mean() + 0.2


def test_questions_that_have_nothing_in_common_say_next_to_nothing_of_each_other():
    _first, _second, own, theirs = questions(0.0)
    transfer = learned(own, theirs)
    assert transfer is None or transfer.kappa < 0.1


def test_questions_that_contradict_each_other_say_nothing_of_each_other():
    rng = np.random.default_rng(2)
    first = rng.random(4_000) < 0.5
    assert learned(evidence(rng, first, 3), evidence(rng, ~first, 3)) is None


def test_evidence_that_says_nothing_shows_no_agreement():
    nothing = np.zeros(10_000)
    transfer = learned(nothing, nothing)
    assert transfer is None or transfer.kappa < 0.2


def test_few_pairs_are_held_to_independence():
    few, many = questions(0.95, n=30), questions(0.95, n=3_000)
    assert learned(few[2], few[3]).kappa < learned(many[2], many[3]).kappa
