"""Explicit grades by people and by LLM judges."""

from __future__ import annotations

import ibis
from ibis import _

from ragwheel.labels.evidence.rows import rows
from ragwheel.labels.policy import Policy
from ragwheel.labels.traces.exposure import Facts

__all__ = ["judged"]


def judged(facts: Facts, _policy: Policy) -> ibis.Table:
    """One row per judgment, about the version that was judged.

    Where the version is not said it is the last one that the store had seen by then, else the first.
    """
    found = facts.judgments.join(facts.chunks.drop("text_id", "length"), ["source", "chunk_id"])
    found = found.filter(_.content_hash.isnull() | (_.content_hash == _.content_hash_right))
    known = found.first_seen_ns <= found.at_ns
    nearest = [
        known.desc(),
        ibis.ifelse(known, -found.first_seen_ns, found.first_seen_ns),
        found.chunk_version,
    ]
    first = ibis.row_number().over(group_by=found.judgment_id, order_by=nearest)
    found = found.mutate(n=first).filter(_.n == 0)
    nothing = {name: ibis.null("string") for name in ("turn_id", "retrieval_id", "session_id", "signal_id")}
    return rows(
        found,
        ibis.ifelse(found.human, "judged_human", "judged_llm"),
        strength=found.grade,
        subject=found.judge,
        rank=ibis.null("int32"),
        exposure=ibis.null("string"),
        assumed=ibis.literal(False),
        **nothing,
    )
