"""Why a chunk has the grade it has for a query."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from ibis import _

from ragwheel.errors import DatasetError
from ragwheel.labels.engine import Engine
from ragwheel.labels.evidence import collect
from ragwheel.labels.exposure import facts
from ragwheel.labels.grades import grade
from ragwheel.labels.kinds import KINDS
from ragwheel.labels.learning import learn
from ragwheel.labels.policy import Policy, load_policy
from ragwheel.labels.position import Examination
from ragwheel.labels.position.choose import examine
from ragwheel.labels.position.counts import ATTENTION
from ragwheel.labels.position.result import DEFAULT
from ragwheel.labels.read import TextReader, read_store
from ragwheel.labels.reasons import Reason, Seen, reason_of, reason_rows, seen_rows
from ragwheel.labels.text import query_key
from ragwheel.labels.trust import BANDS, Trust
from ragwheel.store import open_store

__all__ = ["Verdict", "why"]

_BY_ATTENTION: Final = (*ATTENTION, "dwell")


@dataclass(frozen=True)
class Verdict:
    """The grade of one chunk version for a query group, and the evidence.

    ``status`` is positive, negative, middle or abstain; ``note`` says why the policy abstained.
    ``trust`` is how far each kind of evidence was believed, and what of that was learned; ``examination`` how
    much people look at each rank, and whether that was estimated.
    """

    query: str
    source: str
    chunk_id: str
    chunk_version: int
    status: str
    grade: float
    confidence: float
    strategy: str | None
    note: str
    reasons: tuple[Reason, ...]
    trust: Trust
    examination: Examination


def why(
    db: str | Path, query: str, chunk_id: str, *, source: str | None = None, policy: Policy | None = None
) -> list[Verdict]:
    """The verdict on every version of a chunk for a query, the newest version first.

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
        with Engine() as engine:
            known = facts(engine, read_store(connection), TextReader(connection), bots=policy.signals.bots)
            examination = examine(known, policy)
            known = replace(known, examination=examination)
            chunks = known.chunks.filter(_.chunk_id == chunk_id)
            if source is not None:
                chunks = chunks.filter(_.source == source)
            every = collect(known, policy)
            trust = learn(known, every, policy)
            asked = every.filter(_.query_key == query_key(query)).semi_join(chunks, "chunk_version")
            evidence = engine.keep("asked", asked)
            graded = grade(known, evidence, policy, trust).join(
                chunks.select("chunk_version", "source", "chunk_id"), "chunk_version"
            )
            rows = engine.arrow(graded.order_by(_.chunk_version.desc())).to_pylist()
            order = ["chunk_version", "kind", "place"]
            reasons = engine.arrow(reason_rows(evidence).order_by(order)).to_pylist()
            seen = engine.arrow(seen_rows(evidence)).to_pylist()
    finally:
        connection.close()
    if not rows:
        raise DatasetError(
            f"There is no evidence on chunk {chunk_id!r} for {query!r} in {db}. "
            f"See what was asked and retrieved: ragwheel show --db {db} --list"
        )
    told = _Told(reasons, seen, trust, examination)
    return [_verdict(query, row, told) for row in rows]


@dataclass(frozen=True)
class _Told:
    """What every version's verdict is made from."""

    reasons: list[dict[str, Any]]
    seen: list[dict[str, Any]]
    trust: Trust
    examination: Examination

    def seen_as(self, chunk_version: int, kind: str) -> list[Seen]:
        """How the chunk stood when evidence of this kind arose."""
        mine = (row for row in self.seen if (row["chunk_version"], row["kind"]) == (chunk_version, kind))
        return [self._seen(row) for row in mine]

    def _seen(self, row: dict[str, Any]) -> Seen:
        learned = KINDS[row["kind"]].channel in self.trust.learned
        propensity = float(row["propensity"])  # DuckDB gives an estimated one as a Decimal
        divided = not learned and (row["kind"] in _BY_ATTENTION or propensity < 1)
        method = self.examination.method if self.examination.usable else DEFAULT
        model = "label model" if learned else method if divided else ""
        attention = propensity if divided else 1.0
        sign = KINDS[row["kind"]].direction
        band = bisect_right(BANDS, row["rank"] or 0)
        weight = self.trust.weights[row["kind"], sign, band] * sign / attention if sign else None
        return Seen(row["n"], row["rank"], row["exposure"], bool(row["assumed"]), attention, weight, model)


def _verdict(query: str, row: dict[str, Any], told: _Told) -> Verdict:
    by_kind: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for reason in told.reasons:
        if reason["chunk_version"] == row["chunk_version"]:
            by_kind[reason["kind"]].append(reason)
    return Verdict(
        query=query,
        source=row["source"],
        chunk_id=row["chunk_id"],
        chunk_version=row["chunk_version"],
        status=row["status"],
        grade=row["grade"],
        confidence=row["confidence"],
        strategy=row["strategy"],
        note=row["reason"],
        reasons=tuple(
            reason_of(found, told.seen_as(row["chunk_version"], kind)) for kind, found in by_kind.items()
        ),
        trust=told.trust,
        examination=told.examination,
    )
