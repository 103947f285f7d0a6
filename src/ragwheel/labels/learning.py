"""The label model: how far each instrument can be trusted, learned from where instruments agree.

Nobody knows which chunks are relevant, but an instrument that is right often agrees with the others and with
itself. Expectation-maximisation after Dawid and Skene (Maximum likelihood estimation of observer error-rates,
Applied Statistics 28, 1979): the observers are the channels, their answers the outcomes in
:data:`~ragwheel.labels.trust.OUTCOMES`, the class is relevant or not.

* Outcome rates differ by **band of ranks**: an LLM seldom cites the middle of its prompt, people click what
  stands first even when it is wrong. Learning false positives per place is the affine correction of trust
  bias (Agarwal et al., Addressing trust bias for unbiased learning-to-rank, WWW 2019).
* Readings of one chunk by one instrument are **not independent**: *n* of them count as n / (1 + (n - 1) rho),
  the design effect (Kish, Survey Sampling, 1965), rho by moments.
* Everything is **shrunk** to the policy, which weighs as much as ``default_votes`` readings, and bands to
  their channel.
* Chunks that a person judged are **anchors**: their class is known. Judgments of an evaluation set for test
  are none, or what tests would have been trained on.
* One subject teaches **no more than** ``subject_medians`` times what the middle one does: who says something
  about everything would otherwise decide how far everybody is trusted.

A channel with fewer than ``min_votes`` readings, or that never says both yes and no, is weighed as the policy
says.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

import ibis
import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc
from ibis import _

from ragwheel.labels.capping import MICRO, of_people, scaled
from ragwheel.labels.exposure import Facts
from ragwheel.labels.kinds import CHANNELS, KINDS
from ragwheel.labels.policy import Policy
from ragwheel.labels.trust import BANDS, OUTCOMES, ChannelTrust, Trust, band_of, default_trust

__all__ = ["learn"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

_ROWS: Final = 1_000_000  # of votes that are learned from: those of the first query groups by key, a hash
_ROUNDS: Final = 100
_CONVERGED: Final = 1e-5
_N_BANDS: Final = len(BANDS) + 1
_PAIR: Final = ["query_key", "chunk_version"]


class _Votes(NamedTuple):
    """Columns of votes: the pair's number, the outcome's, the band, how much the vote says and teaches."""

    pair: Ints
    number: Ints
    band: Ints
    weight: Floats
    teaches: Floats


@dataclass
class _Channel:
    """The votes of one instrument as arrays, and what is believed of it.

    ``rates[y]`` is (outcomes, bands): how often it says what of an irrelevant (0) or relevant (1) chunk.
    """

    name: str
    outcomes: list[int]
    pair: Ints
    outcome: Ints
    band: Ints
    weight: Floats
    teaches: Floats
    n: Floats
    bound: float
    repeat: float
    ratios: Floats
    learned: bool = False
    rates: tuple[Floats, Floats] | None = None

    @property
    def signs(self) -> Floats:
        """+1 or -1 per outcome."""
        return np.array([OUTCOMES[number].sign for number in self.outcomes], float)

    @property
    def effect(self) -> Floats:
        """Per pair: by how much its readings count less than as many independent ones."""
        return 1 + np.maximum(self.n - 1, 0) * self.repeat

    def log_odds(self) -> Floats:
        """Per pair: what this instrument says."""
        said = self.weight * self.ratios[self.outcome, self.band]
        total = np.bincount(self.pair, said, len(self.n)) / self.effect
        return np.clip(total, -self.bound, self.bound)


def learn(facts: Facts, evidence: ibis.Table, policy: Policy) -> Trust:
    """What the evidence of a store says about its own instruments, on top of the policy.

    The policy's own trust where learning is off or no channel has enough readings.
    """
    default = default_trust(policy)
    if not policy.learning.enabled:
        return default
    counted = _votes(facts, _untested(facts, evidence), policy)
    votes = facts.engine.arrow(counted.order_by(*_PAIR, "kind", "sign", "band").limit(_ROWS))
    if not votes.num_rows:
        return default
    keys = votes["query_key"].combine_chunks().dictionary_encode().indices.to_numpy(zero_copy_only=False)
    versions = votes["chunk_version"].to_numpy()
    _pairs, pair = np.unique(np.stack([keys.astype(np.int64), versions]), axis=1, return_inverse=True)
    pair = pair.reshape(-1).astype(np.int64)
    place = {(outcome.kind, outcome.sign): number for number, outcome in enumerate(OUTCOMES)}
    number = np.array(
        [place.get(key, -1) for key in zip(votes["kind"].to_pylist(), votes["sign"].to_pylist())]
    )
    weight, teaches = (votes[name].to_numpy().astype(float) / MICRO for name in ("votes", "teaches"))
    band = votes["band"].to_numpy().astype(np.int64)
    size = int(pair.max()) + 1
    known = np.full(size, np.nan)
    human = number == -1  # rows of judged pairs: `votes` is the belief
    known[pair[human]] = weight[human]
    channels = []
    for name in CHANNELS:
        made = _channel(name, default, policy, _Votes(pair, number, band, weight, teaches))
        if made is not None:
            channels.append(made)
    if not any(channel.learned for channel in channels):
        return default
    return _fitted(channels, known, policy, default)


def _untested(facts: Facts, evidence: ibis.Table) -> ibis.Table:
    """Evidence without the judgments of questions that an evaluation set for test has."""
    tested = facts.judgments.filter(_.evalset_use == "test").select("query_key").distinct()
    judged = evidence.kind.isin(["judged_human", "judged_llm"])
    return evidence.filter(~judged).union(
        evidence.filter(judged).anti_join(tested, "query_key"), distinct=False
    )  # fmt: skip


def _votes(facts: Facts, evidence: ibis.Table, policy: Policy) -> ibis.Table:
    """Per pair, outcome and band: how many subjects said it, in millionths; and people's beliefs (sign 0).

    Of one subject and kind only the strongest reading is a vote, and none is more than one. ``teaches`` is
    the same with what one subject does and says bounded: rates are counted from that.
    """
    rows = evidence.filter(_.kind != "judged_human")
    direction = ibis.ifelse(rows.direction == 0, rows.strength / 2.5 - 1, rows.direction * rows.strength)
    rows = rows.mutate(
        sign=ibis.ifelse(direction >= 0, 1, -1).cast("int8"),
        micro=(ibis.least(direction.abs(), ibis.literal(1.0)) * MICRO).round().cast("int64"),
        band=band_of(rows["rank"]),
    )
    order = [rows.micro.desc(), rows.band]
    group = [*_PAIR, "kind", "sign", "subject"]
    first = rows.mutate(n=ibis.row_number().over(group_by=group, order_by=order)).filter(_.n == 0)
    first = _bounded(facts, first.select(*group, "band", "micro"), policy)
    counted = first.group_by(*_PAIR, "kind", "sign", "band").agg(
        votes=_.micro.sum().cast("int64"), teaches=_.reading.sum().cast("int64")
    )
    human = evidence.filter(_.kind == "judged_human")
    judged = human.group_by(_PAIR).agg(votes=(human.strength.mean() / 5 * MICRO).round().cast("int64"))
    judged = judged.mutate(
        kind=ibis.literal("judged_human"),
        sign=ibis.literal(0, "int8"),
        band=ibis.literal(0, "int32"),
        teaches=ibis.literal(0, "int64"),
    )
    columns = [*_PAIR, "kind", "sign", "band", "votes", "teaches"]
    return counted.filter(_.votes > 0).select(columns).union(judged.select(columns), distinct=False)


def _bounded(facts: Facts, votes: ibis.Table, policy: Policy) -> ibis.Table:
    """Votes with ``reading``: what each teaches when a subject's in all of a channel are bounded.

    All of a subject's votes are scaled alike, so that what they say of relevant and of irrelevant chunks, or
    of high and low ranks, stays in proportion.
    """
    channels = [(votes.kind == name, kind.channel) for name, kind in KINDS.items() if kind.channel]
    votes = votes.mutate(reading=votes.micro, channel=ibis.cases(*channels, else_=""))
    theirs = votes.filter(of_people(votes.kind))
    totals = theirs.group_by("channel", "subject").agg(total=_.micro.sum().cast("int64"))
    found = facts.engine.arrow(totals)
    kept = [votes.filter(~of_people(votes.kind))]
    for channel in sorted(set(found["channel"].to_pylist())):
        said = found.filter(pc.equal(found["channel"], channel))["total"].to_numpy()
        most = policy.learning.subject_medians * max(float(np.median(said)) / MICRO, 1.0)
        kept.append(scaled(theirs.filter(_.channel == channel), ["subject"], most))
    columns = [*_PAIR, "kind", "sign", "band", "micro", "reading"]
    return ibis.union(*(table.select(columns) for table in kept), distinct=False)


def _channel(name: str, default: Trust, policy: Policy, votes: _Votes) -> _Channel | None:
    pair, number, band, weight, teaches = votes
    outcomes = [
        n
        for n, outcome in enumerate(OUTCOMES)
        if outcome.channel == name and policy.weights.get(outcome.kind, 0.0) > 0
    ]
    mine = np.isin(number, outcomes)
    if not mine.any():
        return None
    ratios = np.array(
        [
            [
                OUTCOMES[n].sign * default.weights[OUTCOMES[n].kind, OUTCOMES[n].sign, b]
                for b in range(_N_BANDS)
            ]
            for n in outcomes
        ]
    )
    made = _Channel(
        name=name,
        outcomes=outcomes,
        pair=pair[mine],
        outcome=np.searchsorted(np.array(outcomes), number[mine]),
        band=band[mine],
        weight=weight[mine],
        teaches=teaches[mine],
        n=np.bincount(pair[mine], weight[mine], int(pair.max()) + 1).astype(float),
        bound=policy.channels.get(name, 0.0),
        repeat=default.repeats.get(name, 0.0),
        ratios=ratios,
    )
    says = made.signs[made.outcome]
    enough = policy.learning.min_votes
    made.learned = bool(
        min(made.weight[says > 0].sum(), made.weight[says < 0].sum()) >= enough / 4
        and made.weight.sum() >= enough
    )
    return made


def _fitted(channels: list[_Channel], known: Floats, policy: Policy, default: Trust) -> Trust:
    """Expectation and maximisation in turn until beliefs stand still."""
    strength = policy.learning.default_votes
    start = {channel.name: channel.ratios.copy() for channel in channels}
    rho = {channel.name: channel.repeat for channel in channels}
    prior = policy.grading.prior
    belief = np.full(len(known), prior)
    anchored = ~np.isnan(known)
    for _round in range(_ROUNDS):
        log_odds = np.log(prior / (1 - prior)) + sum(channel.log_odds() for channel in channels)
        now = 1 / (1 + np.exp(-log_odds))
        now[anchored] = np.clip(known[anchored], 0.03, 0.97)
        moved = float(np.abs(now - belief).max())
        belief = now
        if moved < _CONVERGED:
            break
        free = belief[~anchored]
        prior = float((strength * policy.grading.prior + free.sum()) / (strength + len(free)))
        for channel in channels:
            if channel.learned:
                _maximise(channel, belief, prior, strength, start[channel.name])
                channel.repeat = _correlation(channel, belief, strength, rho[channel.name])
    return _trust(channels, prior, default, known)


def _maximise(channel: _Channel, belief: Floats, prior: float, strength: float, default: Floats) -> None:
    """Outcome rates given beliefs, pooled over bands first; ratios never change their direction."""
    counted = channel.teaches / channel.effect[channel.pair]
    shape = (len(channel.outcomes), _N_BANDS)
    flat = channel.outcome * _N_BANDS + channel.band
    seen = np.bincount(channel.outcome, counted, shape[0])
    share = (seen + 1) / (seen + 1).sum()
    irrelevant = share / (prior * np.exp(default[:, 0]) + 1 - prior)
    relevant = irrelevant * np.exp(default[:, 0])
    rates = []
    for mass, expected in ((1 - belief, irrelevant), (belief, relevant)):
        cells = np.bincount(flat, counted * mass[channel.pair], shape[0] * shape[1]).reshape(shape)
        pooled = cells.sum(axis=1) + strength * expected / expected.sum()
        pooled /= pooled.sum()
        banded = cells + strength * pooled[:, None]
        rates.append(banded / banded.sum(axis=0))
    channel.rates = rates[0], rates[1]
    signs = channel.signs[:, None]
    channel.ratios = signs * np.maximum(signs * np.log(rates[1] / rates[0]), 0.0)


def _correlation(channel: _Channel, belief: Floats, strength: float, default: float) -> float:
    """Intra-chunk correlation of yes and no, given the class, by moments; shrunk to the default."""
    if channel.rates is None:
        return channel.repeat
    yes = channel.signs > 0
    said = yes[channel.outcome].astype(float)
    above = below = 0.0
    for mass, rates in zip((1 - belief, belief), channel.rates):
        p = rates[yes].sum(axis=0)[channel.band]
        size = len(belief)
        off = np.bincount(channel.pair, channel.weight * (said - p), size)
        spread = np.bincount(channel.pair, channel.weight * p * (1 - p), size)
        many = channel.n > 1.5
        above += float((mass * (off**2 - spread))[many].sum())
        below += float((mass * np.maximum(channel.n - 1, 0) * spread)[many].sum())
    shrunk = (above + strength * default) / (below + strength)
    return float(np.clip(shrunk, 0.02, 0.8))


def _trust(channels: list[_Channel], prior: float, default: Trust, known: Floats) -> Trust:
    weights, repeats = dict(default.weights), dict(default.repeats)
    learned: dict[str, ChannelTrust] = {}
    for channel in channels:
        if not channel.learned or channel.rates is None:
            continue
        yes = channel.signs > 0
        share = np.bincount(channel.band, channel.weight, _N_BANDS)
        share = share / share.sum()
        irrelevant, relevant = (float(rates[yes].sum(axis=0) @ share) for rates in channel.rates)
        learned[channel.name] = ChannelTrust(
            round(float(channel.weight.sum())), relevant, 1 - irrelevant, channel.repeat
        )
        repeats[channel.name] = round(channel.repeat, 6)
        for row, number in enumerate(channel.outcomes):
            outcome = OUTCOMES[number]
            for band in range(_N_BANDS):
                weight = abs(float(channel.ratios[row, band]))
                weights[outcome.kind, outcome.sign, band] = round(weight, 6)
    log_odds = round(float(np.log(prior / (1 - prior))), 6)
    anchors = int((~np.isnan(known)).sum())
    return Trust(log_odds, repeats, weights, learned, len(known), anchors)
