"""Evidence to grades, one per (query group, chunk version).

A reading is the weight of its kind (a log-likelihood ratio) times its strength over its propensity. Readings
are summed like this, in whole millionths so that the order of rows cannot matter:

1. of one subject and kind only the strongest reading counts;
2. what one subject says for (and against) a chunk is scaled down to ``subject_cap``, and what they do and
   say about all chunks of the query group to ``subject_query_cap``;
3. each channel is one instrument: n readings count as n / (1 + (n - 1) repeat), within the channel's bound;
4. belief = logistic(prior + sum of the channels), grade = 5 x belief.

Between ``negative`` and ``positive`` belief, on conflict between channels, or with too few subjects the
policy abstains. Where opposite readings of one channel cancelled each other the reason says so: that is not
too little evidence. A person's judgment is the grade itself.
"""

from __future__ import annotations

from typing import Any, Final

import ibis
from ibis import _

from ragwheel.labels.capping import of_people, scaled
from ragwheel.labels.exposure import Facts
from ragwheel.labels.kinds import CHANNELS, KINDS, STRATEGIES
from ragwheel.labels.policy import Policy
from ragwheel.labels.trust import Trust, band_of, default_trust, trust_table

__all__ = ["CONTRADICTIONS", "STATUSES", "grade"]

#: ``middle`` only from people's judgments; ``abstain`` rows carry the belief that was not enough.
STATUSES: Final = ("positive", "negative", "middle", "abstain")
_DISAGREE: Final = "people disagree"
_TORN: Final = "the evidence contradicts itself"
_CANCELLED: Final = "opposite votes cancel each other"
#: Reasons of abstentions that more of the same does not settle, but a person does.
CONTRADICTIONS: Final = (_DISAGREE, _TORN, _CANCELLED)
_MICRO: Final = 1_000_000
_PAIR: Final = ["query_key", "chunk_version"]
_NO_STRATEGY: Final = len(STRATEGIES)
_SUMS: Final = ("log_odds", "plus", "minus", "pro", "contra", "n_people", "people_micro", "spread_micro")


def grade(facts: Facts, evidence: ibis.Table, policy: Policy, trust: Trust | None = None) -> ibis.Table:
    """One row per pair with any evidence.

    ``trust`` comes from :func:`~ragwheel.labels.learning.learn`; None: what the policy says.

    Columns: query_key, chunk_version, status (:data:`STATUSES`), grade (0-5), belief, confidence (0-1: that
    the status is right), strategy (of negatives), reason (of abstentions), n_evidence, n_subjects, and
    ``closeness``: the mean score in millionths of the way from the worst to the best of its rankings.
    """
    trust = trust or default_trust(policy)
    weighed = _weighed(evidence, trust_table(facts.engine, trust))
    totals = _totals(_capped(weighed, policy), policy, trust)
    people = _people(evidence)
    seen = evidence.group_by(_PAIR).agg(n_evidence=_.count(), n_subjects=_.subject.nunique())
    graded = _left(_left(_left(seen, totals), people), _closeness(facts))
    graded = graded.mutate(
        {name: graded[name].fill_null(0) for name in _SUMS} | {"best": graded.best.fill_null(_NO_STRATEGY)}
    )
    return _decided(graded, policy, trust)


def _left(left: ibis.Table, right: ibis.Table) -> ibis.Table:
    return left.left_join(right, _PAIR).drop("query_key_right", "chunk_version_right")


def _weighed(evidence: ibis.Table, weights: ibis.Table) -> ibis.Table:
    """The strongest reading of each subject and kind, in signed millionths of a log-odds unit."""
    direction = ibis.ifelse(
        evidence.direction == 0, evidence.strength / 2.5 - 1, evidence.direction * evidence.strength
    )
    rows = evidence.select(
        *_PAIR, "kind", "subject", "propensity",
        said=direction, sign=ibis.ifelse(direction >= 0, 1, -1).cast("int8"), band=band_of(evidence["rank"]),
    )  # fmt: skip
    rows = rows.join(weights, ["kind", "sign", "band"])
    seen = ibis.ifelse(rows.by_propensity, rows.propensity, 1.0)
    rows = rows.mutate(reading=(rows.said * rows.weight / seen * _MICRO).round().cast("int64"))
    by_kind = (
        rows.filter(_.reading != 0)
        .group_by(*_PAIR, "subject", "kind")
        .agg(high=_.reading.max(), low=_.reading.min())
    )
    return by_kind.mutate(reading=ibis.ifelse(by_kind.high > -by_kind.low, by_kind.high, by_kind.low))


def _capped(weighed: ibis.Table, policy: Policy) -> ibis.Table:
    """The same, with what each subject says for, and against, scaled down to the caps.

    ``subject_cap`` over one chunk; then, of what people do and say themselves, ``subject_query_cap`` over
    all chunks of a query group: who praises everything has as much to give as who praises one.
    """
    weighed = weighed.mutate(positive=weighed.reading > 0)
    capped = scaled(weighed, [*_PAIR, "subject", "positive"], policy.grading.subject_cap)
    theirs = of_people(capped.kind)
    over = ["query_key", "subject", "positive", "theirs"]
    spread = scaled(capped.mutate(theirs=theirs), over, policy.grading.subject_query_cap)
    return capped.select(*_PAIR, "subject", "kind", "reading").filter(~theirs).union(
        spread.filter(_.theirs).select(*_PAIR, "subject", "kind", "reading"), distinct=False
    )  # fmt: skip


def _totals(capped: ibis.Table, policy: Policy, trust: Trust) -> ibis.Table:
    """log_odds, plus and minus over channels (millionths), and the first strategy that applies.

    A channel is in ``plus`` or ``minus`` by its sum; ``pro`` and ``contra`` add up what its readings said for
    and against before they were netted, without the channels' bounds.
    """
    channels = [(capped.kind == name, kind.channel) for name, kind in KINDS.items() if kind.channel]
    strategy = [(name, STRATEGIES.index(kind.strategy)) for name, kind in KINDS.items() if kind.strategy]
    capped = capped.mutate(
        channel=ibis.cases(*channels, else_=""),
        best=ibis.cases(
            *(((capped.kind == name) & (capped.reading < 0), place) for name, place in strategy),
            else_=_NO_STRATEGY,
        ),
    )
    sums = capped.group_by(*_PAIR, "channel").agg(
        said=_.reading.sum().cast("int64"),
        contra=ibis.greatest(-_.reading, 0).sum().cast("int64"),
        n=_.count(),
        best=_.best.min(),
    )
    bound, repeat = (
        ibis.cases(*((sums.channel == name, float(found.get(name, 0.0))) for name in CHANNELS), else_=0.0)
        for found in (policy.channels, trust.repeats)
    )
    alike = 1 + (sums.n - 1) * repeat
    said, pro, contra = (
        (column / alike).round().cast("int64") for column in (sums.said, sums.said + sums.contra, sums.contra)
    )
    limit = (bound * _MICRO).cast("int64")
    sums = sums.mutate(said=ibis.least(ibis.greatest(said, -limit), limit), pro=pro, contra=contra)
    return sums.group_by(_PAIR).agg(
        log_odds=_.said.sum().cast("int64"),
        plus=ibis.greatest(_.said, 0).sum().cast("int64"),
        minus=ibis.greatest(-_.said, 0).sum().cast("int64"),
        pro=_.pro.sum().cast("int64"),
        contra=_.contra.sum().cast("int64"),
        best=_.best.min(),
    )


def _people(evidence: ibis.Table) -> ibis.Table:
    """The mean of people's grades, how many, and by how much they differ."""
    judged = evidence.filter(_.kind == "judged_human")
    judged = judged.mutate(micro=(judged.strength * _MICRO).round().cast("int64"))
    return judged.group_by(_PAIR).agg(
        n_people=_.count(),
        people_micro=_.micro.sum().cast("int64"),
        spread_micro=_.micro.max() - _.micro.min(),
    )


def _closeness(facts: Facts) -> ibis.Table:
    scored = facts.exposed.filter(_.closeness.notnull())
    sums = scored.group_by(_PAIR).agg(total=_.closeness.sum().cast("float64"), n=_.count())
    return sums.select(*_PAIR, closeness=(sums.total / sums.n).round().cast("int64"))


def _decided(graded: ibis.Table, policy: Policy, trust: Trust) -> ibis.Table:
    rule = policy.grading
    judged = graded.n_people > 0
    people = graded.people_micro / ibis.greatest(graded.n_people, 1) / _MICRO
    traces = 1 / (1 + (-(graded.log_odds / _MICRO + trust.prior_log_odds)).exp())
    graded = graded.mutate(judged=judged, belief=ibis.ifelse(judged, people / 5, traces))
    torn, cancelled = (
        ibis.least(one, other) > ibis.greatest(one, other) * rule.max_conflict
        for one, other in ((graded.plus, graded.minus), (graded.pro, graded.contra))
    )
    between = (graded.belief > rule.negative) & (graded.belief < rule.positive)
    reason: Any = ibis.cases(
        (graded.judged & (graded.spread_micro > int(rule.human_spread * _MICRO)), _DISAGREE),
        (graded.judged, ""),
        (torn, _TORN),
        (graded.n_subjects < rule.min_subjects, "too few subjects"),
        (between & cancelled, _CANCELLED),
        (between, "too little evidence"),
        ((graded.belief <= rule.negative) & (graded.best == _NO_STRATEGY), "no evidence against it"),
        else_="",
    )
    graded = graded.mutate(reason=reason)
    status = ibis.cases(
        (graded.reason != "", "abstain"),
        (graded.judged & (graded.belief >= 0.6), "positive"),
        (graded.judged & (graded.belief <= 0.2), "negative"),
        (graded.judged, "middle"),
        (graded.belief >= rule.positive, "positive"),
        else_="negative",
    )
    graded = graded.mutate(status=status)
    best = ibis.ifelse(graded.judged, STRATEGIES.index("judged"), graded.best)
    named = ibis.cases(*((best == n, name) for n, name in enumerate(STRATEGIES)), else_=ibis.null("string"))
    sure = ibis.greatest(graded.belief, 1 - graded.belief)
    return graded.select(
        *_PAIR,
        "status",
        "reason",
        "n_evidence",
        "n_subjects",
        "closeness",
        grade=(graded.belief * 5).round(3),
        belief=graded.belief.round(6),
        confidence=ibis.ifelse(graded.judged, ibis.literal(rule.human_confidence), sure).round(6),
        strategy=ibis.ifelse(graded.status == "negative", named, ibis.null("string")),
    )
