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
    text = facts.judgments.join(facts.chunks.drop("text_id", "length"), ["source", "chunk_id"])
    text = text.filter(_.content_hash.isnull() | (_.content_hash == _.content_hash_right))
    known = text.first_seen_ns <= text.at_ns
    nearest = [
        known.desc(),
        ibis.ifelse(known, -text.first_seen_ns, text.first_seen_ns),
        text.chunk_version,
    ]
    first = ibis.row_number().over(group_by=text.judgment_id, order_by=nearest)
    text = text.mutate(n=first).filter(_.n == 0)
    nothing = {name: ibis.null("string") for name in ("turn_id", "retrieval_id", "session_id", "signal_id")}
    return rows(
        text,
        ibis.ifelse(text.human, "judged_human", "judged_llm"),
        strength=text.grade,
        subject=text.judge,
        rank=ibis.null("int32"),
        exposure=ibis.null("string"),
        assumed=ibis.literal(False),
        **nothing,
    )
