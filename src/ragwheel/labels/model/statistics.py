"""Sufficient statistics from the relational engine: observations of each pair by kind and band."""

from __future__ import annotations

import math
from dataclasses import dataclass
from operator import attrgetter
from typing import Final

import ibis
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from ibis import _

from ragwheel.kinds import BUILT_IN
from ragwheel.labels.model.cells import CITATION, READING, band_of, instrument_of
from ragwheel.labels.model.fit import RANKS, Pairs
from ragwheel.labels.model.learned import LabelModel
from ragwheel.labels.model.subject_caps import MICRO, of_people
from ragwheel.labels.policy import Policy
from ragwheel.labels.traces.exposure import Facts

__all__ = ["NON_EVENTS", "PAIR", "Observations", "mean_ranks", "observe", "weighted_rows"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

PAIR: Final = ("query_key", "chunk_version")
#: Kinds that say that something did not happen.
NON_EVENTS: Final = ("prompted_not_cited", "passed_over")
_MIDDLE: Final = 2.5  # the grade by people that leaves open whether a chunk is relevant ...
_STEEPNESS: Final = 4.0  # ... and how fast that is settled beside it: 3 is relevant with .88
_ROWS: Final = 1_000_000  # that rates are learned from: those of the first query groups by key, a hash
#: Of several things that a person did to a chunk the most telling one is learned from.
_PRIORITY: Final = tuple(kind.name for kind in sorted(BUILT_IN, key=attrgetter("telling")) if kind.attention)


@dataclass(frozen=True)
class Observations:
    """Everything that the model is fitted to.

    ``kind`` has the names of kinds per row; ``count`` what rates are learned from, ``weight`` how much each
    row says. ``exposures`` is (pairs,) how often each pair was shown, prompted or returned; ``sources`` the
    names of sources.
    """

    pairs: Pairs
    sources: list[str]
    exposures: Floats
    pair: Ints
    instrument: npt.NDArray[np.object_]
    kind: npt.NDArray[np.object_]
    band: Ints
    count: Floats
    weight: Floats


def weighted_rows(evidence: ibis.Table, policy: Policy, model: LabelModel | None = None) -> ibis.Table:
    """Return evidence with ``instrument``, ``band``, ``reader`` and ``amount``.

    ``reader`` is whose repetitions are one reading: the person, and of citations the turn, since every
    answer is written anew. ``amount`` is how much of a full observation a row is. Without a ``model`` that is
    how likely somebody was reacting; with one, exposure that is only assumed counts less as far as the rates
    are not learned, for what is learned from assumed exposure allows for it.
    """
    used = [kind for kind, weight in policy.weights.items() if weight > 0]
    whole = evidence.kind.isin([*READING, "judged_llm"])
    rows = evidence.filter(_.kind.isin(used)).mutate(
        instrument=instrument_of(_.kind),
        band=band_of(_.kind, _.place, _.strength),
        reader=ibis.ifelse(_.kind.isin(CITATION), _.turn_id.coalesce(_.retrieval_id), _.subject).coalesce(""),
        amount=ibis.ifelse(whole, 1.0, evidence.strength),
    )
    if model is None:
        return rows
    factors = [
        (rows.assumed & (rows.kind == kind), 1 - (1 - policy.exposure.assumed_factor) * (1 - trust))
        for kind, instrument in zip(NON_EVENTS, ("citation", "opening"))
        for trust in [model.channels[instrument].trust if instrument in model.channels else 0.0]
    ]
    return rows.mutate(amount=(rows.amount * ibis.cases(*factors, else_=1.0)).round(6))


def mean_ranks(facts: Facts) -> ibis.Table:
    """Return pair, ``mean_rank`` (rounded, 1 to :data:`RANKS`), ``exposures`` and ``source``."""
    shown = facts.exposed.filter(_.exposure != "logged")
    sums = shown.group_by(PAIR).agg(total=_["rank"].sum().cast("int64"), exposures=_.count())
    rank = ibis.least((sums.total / sums.exposures).round().cast("int64"), ibis.literal(RANKS))
    return sums.select(*PAIR, "exposures", mean_rank=rank).join(
        facts.chunks.select("chunk_version", "source"), "chunk_version"
    )


def observe(facts: Facts, evidence: ibis.Table, policy: Policy) -> Observations | None:
    """Count what was observed; None where there is nothing.

    Judgments of questions that an evaluation set for test has are left out: what is tested teaches nothing.
    """
    tested = facts.judgments.filter(_.evalset_use == "test").select("query_key").distinct()
    judged = evidence.kind.isin(["judged_human", "judged_llm"])
    usable = evidence.filter(~judged).union(
        evidence.filter(judged).anti_join(tested, "query_key"), distinct=False
    )  # fmt: skip
    counted = _counted(facts, weighted_rows(usable, policy), policy)
    keys = [*PAIR, "instrument", "kind", "band"]
    rows = facts.engine.arrow(counted.order_by(keys).limit(_ROWS))
    if not rows.num_rows:
        return None
    last = rows["query_key"][-1].as_py()
    ranks = facts.engine.arrow(mean_ranks(facts).filter(_.query_key <= last).order_by(PAIR))
    people = usable.filter((_.kind == "judged_human") & (_.query_key <= last))
    table = facts.engine.arrow(people.group_by(PAIR).agg(grade=_.strength.mean()).order_by(PAIR))
    return _observations(rows, ranks, table)


def _counted(facts: Facts, rows: ibis.Table, policy: Policy) -> ibis.Table:
    """Return pair, instrument, kind, band, ``count`` and ``weight`` in millionths; one reading per reader."""
    rank = ibis.cases(*((rows.kind == kind, n) for n, kind in enumerate(_PRIORITY, 1)), else_=0)
    event = ~rows.kind.isin(NON_EVENTS)
    group = ibis.ifelse(rows.instrument.isin(["citation", "opening", "reading"]), rows.instrument, rows.kind)
    rows = rows.mutate(group=group, event=event, priority=rank)
    readings = rows.group_by(*PAIR, "reader", "subject", "group", "instrument", "event").agg(
        priority=_.priority.max(),
        kind=_.kind.max(),
        low=_.band.min(),
        high=_.band.max(),
        count=(ibis.least(_.amount.max(), ibis.literal(1.0)) * MICRO).round().cast("int64"),
        weight=(_.amount.max() * MICRO).round().cast("int64"),
    )
    named = ibis.cases(*((readings.priority == n, kind) for n, kind in enumerate(_PRIORITY, 1)), else_=_.kind)
    readings = readings.mutate(
        kind=named, band=ibis.ifelse(readings.instrument == "reading", readings.high, readings.low)
    )
    bounded = _bounded(facts, readings.drop("low", "high", "priority", "event", "group"), policy)
    counted = bounded.group_by(*PAIR, "instrument", "kind", "band").agg(
        count=_.reading.sum().cast("int64"), weight=_.weight.sum().cast("int64")
    )
    return counted.filter(_.weight > 0)


def _bounded(facts: Facts, readings: ibis.Table, policy: Policy) -> ibis.Table:
    """Return the readings with ``reading``: how much each teaches, where what one person teaches is bounded.

    Who says something about everything would otherwise decide how far everybody is believed. What a person
    does is bounded by ``subject_medians`` times what the middle one does; all readings of a person are scaled
    alike, what they left alone as well, so that their proportions stay.
    """
    theirs = readings.filter(of_people(readings.kind))
    acts = theirs.filter(~_.kind.isin(NON_EVENTS))
    totals = acts.group_by("instrument", "subject").agg(total=_["count"].sum().cast("int64"))
    table = facts.engine.arrow(totals)
    limits = []
    for instrument in sorted(set(table["instrument"].to_pylist())):
        sums = table.filter(pc.equal(table["instrument"], instrument))["total"].to_numpy().astype(float)
        most = policy.learning.subject_medians * max(float(np.median(sums)) / MICRO, 1.0)
        limits.append((totals.instrument == instrument, round(most * MICRO)))
    most = ibis.cases(*limits, else_=0) if limits else ibis.literal(0)
    shares = totals.mutate(share=ibis.least(most / totals.total, ibis.literal(1.0)))
    theirs = theirs.left_join(shares, ["instrument", "subject"]).drop("instrument_right", "subject_right")
    share = theirs.share.fill_null(1.0)
    scaled = theirs.mutate(reading=(theirs["count"] * share).round().cast("int64")).drop("total", "share")
    others = readings.filter(~of_people(readings.kind)).mutate(reading=_["count"])
    return others.select(scaled.columns).union(scaled, distinct=False)


def _relevance(grade: float) -> float:
    """Return the probability that a chunk is relevant of which people say this, 0-5: from 3 on it is."""
    return 1 / (1 + math.exp(_STEEPNESS * (_MIDDLE - grade)))


def _observations(rows: pa.Table, ranks: pa.Table, table: pa.Table) -> Observations:
    numbers: dict[tuple[str, int], int] = {}
    keys = list(zip(rows["query_key"].to_pylist(), rows["chunk_version"].to_pylist()))
    pair = np.array([numbers.setdefault(key, len(numbers)) for key in keys], np.int64)
    size = len(numbers)
    rank, source, exposures = np.zeros(size, np.int64), np.zeros(size, np.int64), np.zeros(size)
    names = sorted(set(ranks["source"].to_pylist()))
    codes = {name: n for n, name in enumerate(names)}
    columns = (ranks[name].to_pylist() for name in (*PAIR, "mean_rank", "source", "exposures"))
    for query, version, mean, origin, n in zip(*columns):
        number = numbers.get((query, version))
        if number is not None:
            rank[number], source[number], exposures[number] = mean, codes[origin], n
    anchors = np.full(size, np.nan)
    for query, version, grade in zip(*(table[name].to_pylist() for name in (*PAIR, "grade"))):
        number = numbers.get((query, version))
        if number is not None:
            anchors[number] = _relevance(grade)
    return Observations(
        Pairs(rank, source, anchors),
        names or [""],
        np.maximum(exposures, 1.0),
        pair,
        np.array(rows["instrument"].to_pylist(), object),
        np.array(rows["kind"].to_pylist(), object),
        rows["band"].to_numpy().astype(np.int64),
        rows["count"].to_numpy().astype(float) / MICRO,
        rows["weight"].to_numpy().astype(float) / MICRO,
    )
