"""Which estimate of examination the labels use: the first that the traces support, or the policy's curve."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

import numpy as np
from ibis import _

from ragwheel.kinds import ATTENTION
from ragwheel.labels.policy import Policy
from ragwheel.labels.position.cells import Floats
from ragwheel.labels.position.counts import Counts
from ragwheel.labels.position.interventions import harvested, randomised
from ragwheel.labels.position.ratios import pbm
from ragwheel.labels.position.result import DEFAULT, Examination
from ragwheel.labels.traces.exposure import Facts

__all__ = ["AUTO", "examine", "examined", "propensity_curve"]

#: What ``method = "auto"`` tries, the fewest assumptions first.
AUTO: Final = ("randomised", "harvested", "pbm")
_METHODS: Final[dict[str, Callable[[Counts], Examination]]] = {
    "randomised": lambda counts: randomised(counts.swapped()),
    "harvested": lambda counts: harvested(counts.served()),
    "pbm": lambda counts: pbm(counts.cells()),
}
_DECIMALS: Final = 4  # of a propensity: the last bits of a sum depend on the machine


def examine(facts: Facts, policy: Policy) -> Examination:
    """Estimate examination as ``[examination] method`` says; the result says what was used and why.

    An estimate is used from ``min_clicks`` clicks on, up to the last rank whose 95 % interval is at most
    ``max_half_width`` to either side. Otherwise the method is ``default`` and ``why_not`` says what was
    missing.
    """
    rule = policy.examination
    if rule.method == DEFAULT:
        return Examination(DEFAULT, why_not="the policy asks for it")
    clicks = facts.engine.count(facts.acts.filter(_.kind.isin(ATTENTION)))
    if clicks < rule.min_clicks:
        return Examination(
            DEFAULT, clicks=clicks, why_not=f"{clicks} clicks, at least {rule.min_clicks} needed"
        )
    counts = Counts(facts)
    tried: list[str] = []
    for method in AUTO if rule.method == "auto" else (rule.method,):
        estimate = _accepted(_METHODS[method](counts), policy)
        if estimate.usable:
            return estimate.noting("; ".join(tried))
        tried.append(f"{method}: {estimate.why_not}")
    return Examination(DEFAULT, clicks=clicks, why_not="; ".join(tried))


def examined(facts: Facts, policy: Policy) -> Facts:
    """The same facts with examination estimated, once."""
    return facts if facts.examination is not None else replace(facts, examination=examine(facts, policy))


def propensity_curve(places: int, policy: Policy, examination: Examination | None = None) -> Floats:
    """Return (places + 1,) how likely a person looks at each place, relative to the first.

    Index 0 is for rows without a place and counts as the first. From the estimate, no less than ``clip`` and
    no more than 1, the last estimated rank's below it; without a usable estimate ``max(place ** -exponent,
    floor)``.
    """
    rule = policy.examination
    place = np.maximum(np.arange(places + 1), 1)
    if examination is None or not examination.usable:
        return np.asarray(np.maximum(place ** (-rule.exponent), rule.floor))
    curve = np.round(np.clip(examination.theta, rule.clip, 1.0), _DECIMALS)
    return np.asarray(curve[np.minimum(place, len(curve)) - 1])


def _accepted(estimate: Examination, policy: Policy) -> Examination:
    """What of an estimate is sure enough; with a reason where it is cut."""
    rule = policy.examination
    if not estimate.identifiable:
        return estimate
    if estimate.clicks < rule.min_clicks:
        why = f"{estimate.clicks} clicks tell ranks apart, at least {rule.min_clicks} needed"
        return estimate.first(1, why)
    sure = [width <= rule.max_half_width for width in estimate.widths()]
    ranks = sure.index(False) if False in sure else len(sure)
    if ranks == len(sure):
        return estimate
    why = f"rank {ranks + 1} is not known to within {rule.max_half_width:g}"
    return estimate.first(ranks, why)
