"""From evidence to a label model: the priors of the policy and the rates of the store."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Final

import ibis
import numpy as np
import numpy.typing as npt

from ragwheel.labels.evidence.kinds import KINDS
from ragwheel.labels.model.cells import (
    BANDS,
    CITATION,
    EVENTS,
    FIXED,
    JUDGE,
    LAST_PLACE,
    OPENING,
    READING,
)  # fmt: skip
from ragwheel.labels.model.channels import Channel, ChannelRows, Grades, Lengths, Shrinkage, Trials, Votes
from ragwheel.labels.model.fit import RANKS, PriorByRank, fit, scale_of
from ragwheel.labels.model.learned import ChannelSummary, LabelModel
from ragwheel.labels.model.middle import with_middle_class
from ragwheel.labels.model.shrinkage import Freedom
from ragwheel.labels.model.statistics import Observations, observe
from ragwheel.labels.policy import Policy
from ragwheel.labels.position.choose import propensity_curve
from ragwheel.labels.traces.exposure import Facts

__all__ = ["learn", "prior_model"]

Floats = npt.NDArray[np.float64]
_DECIMALS: Final = 6
_LONG: Final = int(BANDS * 0.75)  # the bin of reading times that stands for a long one: about 40 s


def learn(facts: Facts, evidence: ibis.Table, policy: Policy) -> LabelModel:
    """Fit the label model to a store.

    Args:
        facts: of the store; ``examination`` gives the attention by place that opening rates start from.
        evidence: from :func:`ragwheel.labels.evidence.collect`.
        policy: priors, their strength, and caps.

    Returns:
        The model, without thresholds. Where learning is switched off or nothing was observed, the policy's
        priors.
    """
    observations = observe(facts, evidence, policy)
    if observations is None:
        return prior_model(policy)
    channels = _channels(facts, observations, policy)
    prior = _prior(policy)
    pairs, repeats = observations.pairs, _repeats(policy)
    belief, shares = fit(pairs, channels, prior, repeats, learn=policy.learning.enabled)
    three = with_middle_class(pairs, channels, prior, belief, shares) if policy.learning.enabled else None
    if three is not None:
        channels, shares = three.channels, three.shares
        for channel in channels:  # what two classes took for alike readings is the middle class
            channel.repeat = min(channel.repeat, repeats.get(channel.name, channel.repeat))
    table = shares if policy.learning.enabled else prior.table(len(observations.sources))
    base = prior_model(policy)
    weights, scales = dict(base.weights), dict(base.scales)
    for channel in channels:
        weights.update({(kind, band): round(value, _DECIMALS) for kind, band, value in channel.weights()})
        if isinstance(channel, Trials):
            scales[channel.name] = round(scale_of(channel), 3)
    priors = {**base.priors, **_priors(table, observations.sources)}
    summaries = {channel.name: _summary(channel, policy) for channel in channels}
    anchors = int((~np.isnan(observations.pairs.known)).sum())
    learned = policy.learning.enabled
    return LabelModel(
        weights, scales, priors, summaries if learned else {}, None, len(observations.pairs.rank), anchors
    )


def prior_model(policy: Policy) -> LabelModel:
    """Return the model that nothing was learned for: the policy's priors everywhere."""
    empty = np.zeros(0, np.int64)
    rows = ChannelRows(empty, empty, empty, np.zeros(0), np.zeros(0))
    weights: dict[tuple[str, int], float] = {}
    for channel in _made(policy, dict.fromkeys(_ALL, rows), np.ones(LAST_PLACE + 1), np.zeros(0)):
        weights.update({(kind, band): round(value, _DECIMALS) for kind, band, value in channel.weights()})
    for kind in FIXED:
        weights[kind, 0] = policy.weights.get(kind, 0.0) * KINDS[kind].direction
    scales = {}
    for name, repeat in policy.repeats.items():
        scales[name] = round(max((1 - repeat) / max(repeat, 1e-6) * 0.5, 1.0), 3)
    return LabelModel(weights, scales, _priors(_prior(policy).table(1), [""]))


_ALL: Final = ("citation", "opening", "reading", *EVENTS, "judge")


def _prior(policy: Policy) -> PriorByRank:
    rule = policy.prior
    deviations = (rule.level_deviation, rule.slope_deviation, rule.rank_deviation)
    return PriorByRank((rule.log_odds_first, rule.slope), rule.held, rule.unranked, deviations)


def _repeats(policy: Policy) -> dict[str, float]:
    repeats = dict(policy.repeats)
    repeats.update(dict.fromkeys(EVENTS, policy.repeats.get("explicit", 0.1)))
    return repeats


def _priors(table: Floats, sources: list[str]) -> dict[tuple[str, int], float]:
    clipped = np.clip(table, 1e-3, 0.99)
    log_odds = np.log(clipped / (1 - clipped))
    rows = {
        (name, rank): round(float(log_odds[n, rank]), _DECIMALS)
        for n, name in enumerate(sources)
        for rank in range(RANKS + 1)
    }
    mean = log_odds.mean(axis=0)
    return rows | {("", rank): round(float(mean[rank]), _DECIMALS) for rank in range(RANKS + 1)}


def _channels(facts: Facts, observations: Observations, policy: Policy) -> list[Channel]:
    rows: dict[str, ChannelRows] = {}
    kinds = {"citation": CITATION, "opening": OPENING, "reading": READING, "judge": JUDGE}
    for name in _ALL:
        mine = observations.instrument == name
        if not mine.any():
            continue
        names = kinds.get(name, (name,))
        numbers = {kind: n for n, kind in enumerate(names)}
        rows[name] = ChannelRows(
            observations.pair[mine],
            np.array([numbers[kind] for kind in observations.kind[mine]], np.int64),
            observations.band[mine],
            observations.count[mine],
            observations.weight[mine],
        )
    attention = propensity_curve(LAST_PLACE, policy, facts.examination)
    return _made(policy, rows, attention, observations.exposures)


def _made(
    policy: Policy, rows: dict[str, ChannelRows], attention: Floats, exposures: Floats
) -> list[Channel]:
    """Make the channels that have rows, with the policy's priors."""
    rule, weights = policy.learning, policy.weights
    freedom = Freedom(rule.rate_deviation, rule.slope_deviation, rule.trust_deviation, rule.place_deviation)
    held = Shrinkage(rule.prior_exposures, rule.place_exposures, rule.informed, freedom)
    channels: list[Channel] = []
    if "citation" in rows:
        channels.append(
            Trials(
                "citation", CITATION, rows["citation"], held, _rates(weights, "cited", "prompted_not_cited")
            )
        )
    if "opening" in rows:
        extra = np.array([weights.get(kind, 0.0) - weights["click"] for kind in OPENING[:-1]])
        base = _rates(weights, "click", "passed_over")
        channels.append(Trials("opening", OPENING, rows["opening"], held, base, attention, extra))
    if "reading" in rows:
        times = policy.dwell
        means = (math.log(times.irrelevant_s), math.log(times.relevant_s))
        bounds = (weights["bounce"], weights["dwell"])
        channels.append(Lengths("reading", READING, rows["reading"], held, means, times.spread, bounds))
    for kind in EVENTS:
        if kind in rows:
            prior = weights.get(kind, 0.0) * KINDS[kind].direction
            channels.append(Votes(kind, (kind,), rows[kind], held, prior, exposures))
    if "judge" in rows:
        ratios = weights["judged_llm"] * (np.arange(6) / 2.5 - 1)
        channels.append(Grades("judge", JUDGE, rows["judge"], held, ratios))
    return channels


def _rates(weights: dict[str, float], event: str, absence: str) -> tuple[float, float]:
    """Return the rates, for irrelevant and relevant chunks, that two log-likelihood ratios describe."""
    happened, not_happened = max(weights.get(event, 0.0), 1e-3), max(weights.get(absence, 0.0), 1e-3)
    low = (1 - math.exp(-not_happened)) / (math.exp(happened) - math.exp(-not_happened))
    return low, min(low * math.exp(happened), 0.97)


def _summary(channel: Channel, policy: Policy) -> ChannelSummary:
    if isinstance(channel, Trials):
        events = np.bincount(
            channel.rows.band[channel.event], channel.rows.count[channel.event], LAST_PLACE + 1
        )
        ratios = np.array([value for kind, _band, value in channel.weights() if kind == channel.kinds[0]])
        ratio = float(ratios @ events / events.sum()) if events.sum() else float(ratios[1])
        prior = policy.weights[channel.kinds[0]]
    elif isinstance(channel, Votes):
        ratio, prior = channel.ratio, channel.prior
    elif isinstance(channel, Lengths):
        curve = [value for kind, _band, value in channel.weights() if kind == channel.kinds[0]]
        start = [value for kind, _band, value in replace(channel).weights() if kind == channel.kinds[0]]
        ratio, prior = curve[_LONG], start[_LONG]
    else:
        ratio, prior = max(value for _kind, _band, value in channel.weights()), policy.weights["judged_llm"]
    readings = round(float(channel.rows.count.sum()))
    return ChannelSummary(readings, channel.informed, channel.trust, ratio, prior, channel.repeat)
