"""Evidence to grades, one per (query group, chunk version): the label model applied in the engine.

The belief of a pair is the logistic of the prior log-odds at its mean rank and of what each instrument says:

1. one reader's repetitions of one thing are one reading (of reading times the longest);
2. what one person does and says for, and against, a chunk is scaled down to ``subject_cap``, and what they
   do and say about all chunks of the query group to ``subject_query_cap``;
3. everything one person does and says about a chunk is one reading of the channel ``people``; citations,
   reformulations and judges are channels of their own, and all answers to one person are one reading, too.
   Of a channel the strongest reading for, and against, a chunk counts in full, further ones less and less
   (:func:`ragwheel.labels.model.fit.saturated`), and all together no more than the channel's bound.

Readings are whole millionths of a log-odds unit, so that the order of rows cannot matter. Which beliefs are
positives and negatives follows from the precision that the policy asks for. A person's judgment is the grade
itself.
"""

from __future__ import annotations

import math
from typing import Any, Final

import ibis
import numpy as np
import numpy.typing as npt
import pyarrow as pa
from ibis import _

from ragwheel.labels.engines.engine import RelationalEngine
from ragwheel.labels.evidence.kinds import KINDS
from ragwheel.labels.model.learned import LabelModel, Thresholds
from ragwheel.labels.model.pooling import lent
from ragwheel.labels.model.statistics import mean_ranks, weighted_rows
from ragwheel.labels.model.subject_caps import MICRO, THEIRS, of_people, scaled
from ragwheel.labels.policy import Policy
from ragwheel.labels.strategies import STRATEGIES
from ragwheel.labels.traces.exposure import Facts

__all__ = [
    "CONTRADICTIONS", "PEOPLE", "STATUSES", "beliefs", "certain_log_odds", "channel_totals", "decided",
    "grade_of", "prior_log_odds", "single_readings", "thresholds",
]  # fmt: skip

#: ``middle`` only from people's judgments; ``abstain`` rows carry the belief that was not enough.
STATUSES: Final = ("positive", "negative", "middle", "abstain")
_DISAGREE: Final = "people disagree"
_TORN: Final = "the evidence contradicts itself"
_OPPOSED: Final = "opposite votes cancel each other"
#: Reasons of abstentions that more of the same does not settle, but a person does.
CONTRADICTIONS: Final = (_DISAGREE, _TORN, _OPPOSED)
_PAIR: Final = ["query_key", "chunk_version"]
_NO_STRATEGY: Final = len(STRATEGIES)
#: The channel of what people do and say themselves.
PEOPLE: Final = "people"
_BINS: Final = 1_000
_BELOW_BEST: Final = 0.05

Floats = npt.NDArray[np.float64]


def beliefs(facts: Facts, evidence: ibis.Table, policy: Policy, model: LabelModel) -> ibis.Table:
    """Return one row per pair with any evidence: what is believed of it, before anything is decided.

    Columns: query_key, chunk_version, ``belief`` (0-1), ``said`` (the log-odds of the evidence alone),
        ``judged`` (a person's word decides), ``spread`` (by how many grades people differ), ``torn``
        (evidence for and against is of like strength), ``opposed`` (votes for and against are, and
        outweigh everything else), ``best`` (the number of the first negative strategy that applies),
        n_evidence, n_subjects, and ``closeness``: the mean score in millionths of the way from the worst
        to the best of its rankings.
    """
    readings = single_readings(facts.engine, evidence, policy, model)
    totals = _with_lent(facts, _totals(channel_totals(readings, policy, model)), policy)
    counted = evidence.group_by(_PAIR).agg(n_evidence=_.count(), n_subjects=_.subject.nunique())
    rows = _left(_left(_left(counted, totals), _people(evidence)), _closeness(facts))
    rows = _left(rows, prior_log_odds(facts, model))
    zero = {
        name: rows[name].fill_null(0)
        for name in (
            "log_odds",
            "plus",
            "minus",
            "votes_for",
            "votes_against",
            "n_people",
            "people",
            "spread",
        )
    }
    rows = rows.mutate(zero).mutate(
        best=_.best.fill_null(_NO_STRATEGY), prior=_.prior.fill_null(int(model.priors["", 0] * MICRO))
    )
    judged = rows.n_people > 0
    most_odds = certain_log_odds(policy)
    log_odds = ibis.least(ibis.greatest((rows.log_odds + rows.prior) / MICRO, -most_odds), most_odds)
    traces = 1 / (1 + (-log_odds).exp())
    people = rows.people / ibis.greatest(rows.n_people, 1) / MICRO / 5
    most = policy.grading.max_conflict
    torn = ibis.least(rows.plus, rows.minus) > ibis.greatest(rows.plus, rows.minus) * most
    heaviest = ibis.greatest(rows.plus, rows.minus, rows.votes_for, rows.votes_against)
    opposed = ibis.least(rows.votes_for, rows.votes_against) > heaviest * most
    return rows.select(
        *_PAIR, "best", "n_evidence", "n_subjects", "closeness",
        belief=ibis.ifelse(judged, people, traces).round(6),
        judged=judged,
        spread=rows.spread / MICRO,
        torn=torn,
        opposed=opposed,
        said=rows.log_odds / MICRO,
    )  # fmt: skip


def _with_lent(facts: Facts, totals: ibis.Table, policy: Policy) -> ibis.Table:
    """Add to ``log_odds`` what close questions lend."""
    if not policy.pooling.enabled:
        return totals
    totals = facts.engine.keep("own_totals", totals)
    rows = _left(totals, lent(facts, totals, policy))
    return rows.mutate(log_odds=rows.log_odds + rows.lent.fill_null(0)).drop("lent")


def _left(left: ibis.Table, right: ibis.Table) -> ibis.Table:
    return left.left_join(right, _PAIR).drop("query_key_right", "chunk_version_right")


def single_readings(
    engine: RelationalEngine, evidence: ibis.Table, policy: Policy, model: LabelModel
) -> ibis.Table:
    """Return pair, subject, ``theirs``, ``channel``, ``best`` and ``reading``, one per reader and sign.

    ``reading`` is a log-likelihood ratio in signed millionths.
    """
    rows = weighted_rows(evidence, policy, model).join(_weights(engine, model), ["kind", "band"])
    rows = rows.mutate(reading=(rows.amount * rows.weight * MICRO).round().cast("int64")).filter(
        _.reading != 0
    )
    strategies = [(name, STRATEGIES.index(kind.strategy)) for name, kind in KINDS.items() if kind.strategy]
    channels = [(rows.kind == name, kind.channel) for name, kind in KINDS.items() if kind.channel]
    timed = rows.instrument == "reading"
    rows = rows.mutate(
        channel=ibis.cases(*channels, else_=""),
        best=ibis.cases(
            *(((rows.kind == name) & (rows.reading < 0), number) for name, number in strategies),
            else_=_NO_STRATEGY,
        ),
        positive=ibis.ifelse(timed, True, rows.reading > 0),
        theirs=of_people(rows.kind),
    )
    group = [*_PAIR, "reader", "subject", "instrument", "channel", "theirs", "positive"]
    single = rows.group_by(group).agg(high=_.reading.max(), low=_.reading.min(), best=_.best.min())
    reading = ibis.ifelse(single.positive, single.high, single.low)
    return single.mutate(
        reading=reading, best=ibis.ifelse(reading < 0, single.best, _NO_STRATEGY), positive=reading > 0
    ).drop("high", "low")


def _weights(engine: RelationalEngine, model: LabelModel) -> ibis.Table:
    """Return kind, band, weight; kinds without bands have their one weight in band 0."""
    rows = sorted(model.weights.items())
    table = {
        "kind": pa.array([kind for (kind, _band), _weight in rows], pa.string()),
        "band": pa.array([band for (_kind, band), _weight in rows], pa.int32()),
        "weight": pa.array([weight for _key, weight in rows], pa.float64()),
    }
    return engine.register("model_weights", pa.table(table))


def prior_log_odds(facts: Facts, model: LabelModel) -> ibis.Table:
    """Return pair and ``prior``: the log-odds at its source and mean rank, in millionths."""
    rows = sorted(model.priors.items())
    table = {
        "source": pa.array([source for (source, _rank), _value in rows], pa.string()),
        "mean_rank": pa.array([rank for (_source, rank), _value in rows], pa.int64()),
        "prior": pa.array([round(value * MICRO) for _key, value in rows], pa.int64()),
    }
    priors = facts.engine.register("model_priors", pa.table(table))
    ranks = mean_ranks(facts)
    known = ranks.source.isin(sorted({source for source, _rank in model.priors}))
    ranks = ranks.mutate(source=ibis.ifelse(known, ranks.source, ""))
    return ranks.join(priors, ["source", "mean_rank"]).select(*_PAIR, "prior")


def _capped(theirs: ibis.Table, policy: Policy) -> ibis.Table:
    """Return the readings with what each person says for, and against, scaled down to the caps.

    ``subject_cap`` over one chunk, then ``subject_query_cap`` over all chunks of a query group: who praises
    everything has as much to give as who praises one.
    """
    theirs = scaled(theirs, [*_PAIR, "subject", "positive"], policy.grading.subject_cap)
    return scaled(theirs, ["query_key", "subject", "positive"], policy.grading.subject_query_cap)


def certain_log_odds(policy: Policy) -> float:
    """Return the log-odds that no belief from traces goes beyond, in either direction."""
    return math.log(policy.grading.certain / (1 - policy.grading.certain))


def _of_askers(readings: ibis.Table, policy: Policy) -> ibis.Table:
    """Return the readings with all answers to one person about a chunk as one reading of a sign.

    Who asks one question again and again gets one answer again and again: together these weigh
    ``subject_cap`` at most, or as much as the strongest single one of them. Another answer can only add to
    that.
    """
    answers = readings.channel == "citation"
    sums = (
        readings.filter(answers)
        .group_by(*_PAIR, "channel", "subject", "positive")
        .agg(total=_.reading.sum().cast("int64"), most=_.reading.abs().max(), best=_.best.min())
    )
    bound = ibis.greatest(sums.most, ibis.literal(int(policy.grading.subject_cap * MICRO)))
    sums = sums.mutate(reading=ibis.least(ibis.greatest(sums.total, -bound), bound).cast("int64"))
    columns = [*_PAIR, "channel", "positive", "best", "reading"]
    return sums.select(columns).union(readings.filter(~answers).select(columns), distinct=False)


def channel_totals(readings: ibis.Table, policy: Policy, model: LabelModel) -> ibis.Table:
    """Return pair, channel, ``net`` (what it says, in millionths of log-odds), first strategy and votes.

    Everything that one person does and says about a chunk is one reading of the channel :data:`PEOPLE`, so
    that another thing that they do can only add to it. ``votes_for`` and ``votes_against`` are what explicit
    votes say before they are set against each other.
    """
    theirs = _capped(readings.filter(readings.theirs), policy)
    vote = theirs.channel == "explicit"
    persons = theirs.group_by(*_PAIR, "subject", "positive").agg(
        reading=_.reading.sum().cast("int64"),
        vote=ibis.ifelse(vote, theirs.reading.abs(), 0).sum().cast("int64"),
        best=_.best.min(),
    )
    persons = persons.mutate(channel=ibis.literal(PEOPLE))
    others = _of_askers(readings.filter(~readings.theirs), policy).mutate(vote=ibis.literal(0, "int64"))
    columns = [*_PAIR, "channel", "positive", "best", "reading", "vote"]
    sums = (
        others.select(columns)
        .union(persons.select(columns), distinct=False)
        .group_by(*_PAIR, "channel", "positive")
        .agg(
            total=_.reading.abs().sum().cast("int64"),
            most=_.reading.abs().max(),
            votes=_.vote.sum().cast("int64"),
            best=_.best.min(),
        )
    )
    scales = {**model.scales, PEOPLE: model.scales.get("opening", 1.0)}
    scale = ibis.cases(*((sums.channel == name, value) for name, value in sorted(scales.items())), else_=1.0)
    beyond = (sums.total - sums.most) / MICRO
    whole = (sums.most + (scale * (1 + beyond / scale).log() * MICRO).round()).cast("int64")
    whole = ibis.ifelse(sums.total > sums.most, whole, sums.total)
    sums = sums.mutate(
        signed=ibis.ifelse(sums.positive, whole, -whole),
        votes_for=ibis.ifelse(sums.positive, sums.votes, 0),
        votes_against=ibis.ifelse(sums.positive, 0, sums.votes),
    )
    channels = sums.group_by(*_PAIR, "channel").agg(
        net=_.signed.sum().cast("int64"),
        votes_for=_.votes_for.max(),
        votes_against=_.votes_against.max(),
        best=_.best.min(),
    )
    bounds = {**policy.channels, PEOPLE: max(policy.channels.get(name, 0.0) for name in THEIRS)}
    bound = ibis.cases(
        *((channels.channel == name, round(value * MICRO)) for name, value in sorted(bounds.items())), else_=0
    )
    return channels.mutate(net=ibis.least(ibis.greatest(channels.net, -bound), bound))


def _totals(channels: ibis.Table) -> ibis.Table:
    """Return pair, ``log_odds``, ``plus`` and ``minus`` over channels, votes, and the first strategy."""
    return channels.group_by(_PAIR).agg(
        votes_for=_.votes_for.max(),
        votes_against=_.votes_against.max(),
        log_odds=_.net.sum().cast("int64"),
        plus=ibis.greatest(_.net, 0).sum().cast("int64"),
        minus=ibis.greatest(-_.net, 0).sum().cast("int64"),
        best=_.best.min(),
    )


def _people(evidence: ibis.Table) -> ibis.Table:
    """Return the sum of people's grades, how many there are, and by how much they differ (millionths)."""
    judged = evidence.filter(_.kind == "judged_human")
    judged = judged.mutate(micro=(judged.strength * MICRO).round().cast("int64"))
    return judged.group_by(_PAIR).agg(
        n_people=_.count(), people=_.micro.sum().cast("int64"), spread=_.micro.max() - _.micro.min()
    )


def _closeness(facts: Facts) -> ibis.Table:
    scored = facts.exposed.filter(_.closeness.notnull())
    sums = scored.group_by(_PAIR).agg(total=_.closeness.sum().cast("float64"), n=_.count())
    return sums.select(*_PAIR, closeness=(sums.total / sums.n).round().cast("int64"))


def thresholds(engine: RelationalEngine, believed: ibis.Table, policy: Policy) -> Thresholds:
    """Choose from which belief on pairs are positives, and up to which negatives, by expected precision.

    The lowest threshold at which the mean belief of all pairs above it is ``precision_of_positives``, but no
    pair below ``least_positive``, and every pair from ``sure_positive`` on; likewise for negatives. Where no
    pair is as sure as that, the surest are taken (within :data:`_BELOW_BEST` of the best mean there is), and
    ``short_of`` says so.
    """
    rule = policy.grading
    rows = believed.filter(~_.judged).mutate(
        bin=ibis.least((_.belief * _BINS).floor().cast("int64"), ibis.literal(_BINS - 1)),
        micro=(_.belief * MICRO).round().cast("int64"),
    )
    counted = engine.arrow(
        rows.group_by("bin").agg(n=_.count(), total=_.micro.sum().cast("int64")).order_by("bin")
    )
    n, total = np.zeros(_BINS), np.zeros(_BINS)
    n[counted["bin"].to_numpy()] = counted["n"].to_numpy()
    total[counted["bin"].to_numpy()] = counted["total"].to_numpy() / MICRO
    up, up_mean, up_short = _threshold(
        n[::-1], total[::-1], rule.precision_of_positives, (1 - rule.sure_positive, 1 - rule.least_positive)
    )
    down, down_mean, down_short = _threshold(
        n, n - total, rule.precision_of_negatives, (rule.sure_negative, rule.most_negative)
    )
    short = [name for name, flag in (("positives", up_short), ("negatives", down_short)) if flag]
    return Thresholds(round(1 - up, 6), round(down, 6), up_mean, down_mean, tuple(short))


def _threshold(
    n: Floats, right: Floats, precision: float, bounds: tuple[float, float]
) -> tuple[float, float | None, bool]:
    """Return how far rows are taken, the expected share of right ones, and whether that falls short.

    Args:
        n: pairs per bin of belief, the surest first.
        right: the expected number of right ones among them.
        precision: what is asked for.
        bounds: how far from the sure end every pair is taken, and no pair is.
    """
    always, most = (round(bound * _BINS) for bound in bounds)
    pairs, hits = n[:most].cumsum(), right[:most].cumsum()
    if not len(pairs) or not pairs[-1]:
        return bounds[0], None, False
    means = hits / np.maximum(pairs, 1)
    good = np.flatnonzero((means >= precision) & (pairs > 0))
    last = max(int(good[-1]) + 1 if len(good) else 0, always)
    if not pairs[min(last, len(pairs)) - 1]:  # nothing is that sure
        best = float(means[pairs > 0].max())
        last = min(round((1 - best + _BELOW_BEST) * _BINS), most)
    mean = float(means[min(last, len(means)) - 1])
    return last / _BINS, round(mean, 4), mean < precision - _BELOW_BEST


def decided(believed: ibis.Table, policy: Policy, limits: Thresholds) -> ibis.Table:
    """Return the grade of every pair.

    Columns: query_key, chunk_version, status (:data:`STATUSES`), grade (0-5), belief, confidence (0-1: that
        the status is right), said (the log-odds of the evidence alone), strategy (of negatives), reason (of
        abstentions), n_evidence, n_subjects and closeness.
    """
    rule, rows = policy.grading, believed
    between = (rows.belief > limits.negative) & (rows.belief < limits.positive)
    reason: Any = ibis.cases(
        (rows.judged & (rows.spread > rule.human_spread), _DISAGREE),
        (rows.judged, ""),
        (rows.n_subjects < rule.min_subjects, "too few subjects"),
        (rows.opposed, _OPPOSED),
        (between & rows.torn, _TORN),
        (between, "too little evidence"),
        ((rows.belief <= limits.negative) & (rows.best == _NO_STRATEGY), "no evidence against it"),
        ((rows.belief <= limits.negative) & (rows.said > -rule.least_against), "too little evidence"),
        else_="",
    )
    rows = rows.mutate(reason=reason)
    status = ibis.cases(
        (rows.reason != "", "abstain"),
        (rows.judged & (rows.belief >= 0.6), "positive"),
        (rows.judged & (rows.belief <= 0.2), "negative"),
        (rows.judged, "middle"),
        (rows.belief >= limits.positive, "positive"),
        else_="negative",
    )
    rows = rows.mutate(status=status)
    best = ibis.ifelse(rows.judged, STRATEGIES.index("judged"), rows.best)
    named = ibis.cases(*((best == n, name) for n, name in enumerate(STRATEGIES)), else_=ibis.null("string"))
    sure = ibis.greatest(rows.belief, 1 - rows.belief)
    return rows.select(
        *_PAIR, "status", "reason", "n_evidence", "n_subjects", "closeness", "belief", "said",
        grade=grade_of(rows.belief),
        confidence=ibis.ifelse(rows.judged, ibis.literal(rule.human_confidence), sure).round(6),
        strategy=ibis.ifelse(rows.status == "negative", named, ibis.null("string")),
    )  # fmt: skip


def grade_of(belief: ibis.Value) -> ibis.Value:
    """Return 5 × belief with three digits, halves upwards.

    In whole numbers: of a product such as 5 × 0.0561 engines round the half each in its own way.
    """
    micro = (belief * MICRO).round().cast("int64")
    return ((micro * 5 + 500) // 1000).cast("float64") / 1000
