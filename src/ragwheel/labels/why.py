"""Why a chunk has the grade it has for a query: the log-likelihood ratios that add up to the belief."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import ibis
from ibis import _

from ragwheel.errors import DatasetError
from ragwheel.labels.engines.engine import DuckDBEngine
from ragwheel.labels.evidence.kinds import KINDS
from ragwheel.labels.model.beliefs import (
    PEOPLE,
    certain_log_odds,
    channel_totals,
    prior_log_odds,
    single_readings,
)
from ragwheel.labels.model.cells import band_of
from ragwheel.labels.model.learned import LabelModel
from ragwheel.labels.model.statistics import weighted_rows
from ragwheel.labels.model.subject_caps import MICRO, THEIRS
from ragwheel.labels.pipeline import GradedStore, grade_store
from ragwheel.labels.policy import Policy, load_policy
from ragwheel.labels.position import Examination
from ragwheel.labels.reasons import EvidenceCount, Reason, reason_of, reason_rows
from ragwheel.labels.traces.read import TextReader, read_store
from ragwheel.labels.traces.text import query_key
from ragwheel.store import open_store

__all__ = ["GradeExplanation", "verdicts_of", "why"]

_PAIR: Final = ["query_key", "chunk_version"]
_CORRECTIONS: Final = {
    "calibration": "as people's judgments of other chunks say",
    "certainty": "no traces are certain",
}


@dataclass(frozen=True)
class GradeExplanation:
    """The grade of one chunk version for a query group, and the evidence.

    Unless a person judged the chunk, ``prior``, the ``log_odds`` of all reasons, the ``corrections`` and
    what is ``lent`` add up to ``log_odds``, whose logistic is ``belief``.

    Attributes:
        version: 1 for the first text that the store saw under this id, 2 for the next, and so on.
        status: positive, negative, middle or abstain; ``note`` says why the policy abstained.
        belief: the probability that the chunk is relevant, 0-1; ``grade`` is five times that.
        prior: log-odds at the mean rank of the chunk, before any evidence.
        corrections: by instrument, how much less its readings count because they repeat each other, or
            because one person may only say so much; ``calibration``: what people's judgments make of
            beliefs like this one; ``certainty``: no traces are believed more than ``certain`` in the policy.
        lent: what close questions say about the chunk, as far as they agree.
        model: the rates by which evidence was weighed, learned or from the policy.
        examination: how much people look at each rank, and whether that was estimated; None: not estimated.
    """

    query: str
    source: str
    chunk_id: str
    version: int
    status: str
    grade: float
    belief: float
    confidence: float
    strategy: str | None
    note: str
    prior: float
    log_odds: float
    reasons: tuple[Reason, ...]
    corrections: dict[str, float]
    lent: float
    model: LabelModel
    examination: Examination | None

    @property
    def corrections_in_words(self) -> dict[str, float]:
        """The ``corrections``, each with what a reader is told that it is."""
        return {
            _CORRECTIONS.get(name, f"{name}: repeats and caps"): value
            for name, value in self.corrections.items()
        }


def why(
    db: str | Path, query: str, chunk_id: str, *, source: str | None = None, policy: Policy | None = None
) -> list[GradeExplanation]:
    """Return the verdict on every version of a chunk for a query, the newest version first.

    Args:
        db: the database.
        query: any wording of the query group.
        chunk_id: the app's id.
        source: where ids are not unique over sources.
        policy: defaults to the packaged one.

    Raises:
        StoreError: the database cannot be read.
        DatasetError: there is no evidence on this chunk for this query.
    """
    policy = policy or load_policy()
    connection = open_store(db, require_traces=True)
    try:
        with DuckDBEngine() as engine:
            store = grade_store(engine, read_store(connection), TextReader(connection), policy)
            verdicts = verdicts_of(store, policy, query, chunk_id, source=source)
    finally:
        connection.close()
    if not verdicts:
        raise DatasetError(
            f"There is no evidence on chunk {chunk_id!r} for {query!r} in {db}. "
            f"See what was asked and retrieved: ragwheel show --db {db} --list"
        )
    return verdicts


def verdicts_of(
    store: GradedStore, policy: Policy, query: str, chunk_id: str, *, source: str | None = None
) -> list[GradeExplanation]:
    """Return what :func:`why` does, of a store that is graded already; empty where there is no evidence."""
    engine = store.facts.engine
    chunks = store.facts.chunks.filter(_.chunk_id == chunk_id)
    if source is not None:
        chunks = chunks.filter(_.source == source)
    number = ibis.row_number().over(group_by=_.source, order_by=[_.first_seen_ns, _.chunk_version])
    chunks = chunks.mutate(version=number + 1).select("chunk_version", "source", "chunk_id", "version")
    key = query_key(query)
    asked = store.evidence.filter(_.query_key == key).semi_join(chunks, "chunk_version")
    evidence = engine.keep("asked", asked)
    graded = store.grades.filter(_.query_key == key).join(chunks, "chunk_version")
    priors = prior_log_odds(store.facts, store.model).filter(_.query_key == key)
    graded = graded.left_join(priors, _PAIR).drop("query_key_right", "chunk_version_right")
    rows = engine.arrow(graded.order_by(_.source, _.version.desc())).to_pylist()
    # one query's subject_query_cap needs all of its evidence, so totals come from the whole query group
    whole = engine.keep("asked_group", store.evidence.filter(_.query_key == key))
    totals = channel_totals(single_readings(engine, whole, policy, store.model), policy, store.model)
    nets = engine.arrow(totals.select("chunk_version", "channel", "net")).to_pylist()
    order = ["chunk_version", "kind", "place"]
    reasons = engine.arrow(reason_rows(evidence).order_by(order)).to_pylist()
    sums = engine.arrow(_sums(evidence, policy, store.model)).to_pylist()
    return [_verdict(store, policy, query, row, (reasons, sums, nets)) for row in rows]


def _sums(evidence: ibis.Table, policy: Policy, model: LabelModel) -> ibis.Table:
    """Return how often each (chunk version, kind) has which rank, exposure and band, and how much it says."""
    used = weighted_rows(evidence, policy, model).select(
        "chunk_version", "kind", "rank", "exposure", "assumed", "band", "amount"
    )
    people = evidence.filter(_.kind == "judged_human").mutate(
        band=band_of(_.kind, _.place, _.strength), amount=ibis.literal(0.0)
    )
    rows = used.union(people.select(used.columns), distinct=False)
    how = ["chunk_version", "kind", "rank", "exposure", "assumed", "band"]
    sums = rows.group_by(how).agg(n=_.count(), amount=(_.amount * MICRO).round().cast("int64").sum())
    return sums.order_by(_.n.desc(), "rank", "exposure", "band")


def _verdict(
    store: GradedStore,
    policy: Policy,
    query: str,
    row: dict[str, Any],
    parts: tuple[list[dict[str, Any]], ...],
) -> GradeExplanation:
    reasons, sums, nets = (
        [part for part in rows if part["chunk_version"] == row["chunk_version"]] for rows in parts
    )
    by_kind: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for reason in reasons:
        by_kind[reason["kind"]].append(reason)
    seen: defaultdict[str, list[EvidenceCount]] = defaultdict(list)
    said: defaultdict[str, float] = defaultdict(float)
    for part in sums:
        kind = str(part["kind"])
        weight = store.model.weights.get((kind, part["band"]), 0.0)
        amount = float(part["amount"] or 0) / MICRO  # DuckDB gives a sum as a decimal
        seen[kind].append(
            EvidenceCount(
                part["n"], part["rank"], part["exposure"], bool(part["assumed"]), weight, amount * weight
            )
        )
        channel = KINDS[kind].channel
        said[PEOPLE if channel in THEIRS else channel] += amount * weight
    unranked = store.model.priors["", 0]
    prior = unranked if row["prior"] is None else float(row["prior"]) / MICRO
    corrections = {
        str(part["channel"]): round(float(part["net"]) / MICRO - said[part["channel"]], 3) for part in nets
    }
    own = sum(float(part["net"]) for part in nets) / MICRO
    lent = float(row["said"]) - own
    most = certain_log_odds(policy)
    traces = min(max(prior + own + lent, -most), most)
    recalibration = store.model.recalibration
    people = traces if recalibration is None else recalibration.log_odds(traces)
    log_odds = min(max(people, -most), most)
    corrections["calibration"] = round(people - traces, 3)
    corrections["certainty"] = round(traces - (prior + own + lent) + log_odds - people, 3)
    return GradeExplanation(
        query=query,
        source=row["source"],
        chunk_id=row["chunk_id"],
        version=row["version"],
        status=row["status"],
        grade=row["grade"],
        belief=row["belief"],
        confidence=row["confidence"],
        strategy=row["strategy"],
        note=row["reason"],
        prior=round(prior, 3),
        log_odds=round(log_odds, 3),
        reasons=tuple(reason_of(found, seen[kind]) for kind, found in by_kind.items()),
        corrections={name: value for name, value in sorted(corrections.items()) if abs(value) >= 0.001},
        lent=round(lent, 3),
        model=store.model,
        examination=store.facts.examination,
    )
