"""Evidence: one small rule per row of the table in ``docs/labels.md``, each a relational step.

Every rule takes the :class:`~ragwheel.labels.traces.exposure.Facts` and the policy and gives rows of
:data:`COLUMNS`. ``strength`` is how much of the kind's full weight the row carries (1.0 is all of it); for
judgments it is the grade, for reading times the seconds. A chunk that was only ``logged`` or ``returned``
never gets evidence against it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import ibis
from ibis import _

from ragwheel.labels.evidence.behaviour import opened, passed_over, reading
from ragwheel.labels.evidence.citations import cited, prompted_not_cited
from ragwheel.labels.evidence.explicit import explicit
from ragwheel.labels.evidence.judgments import judged
from ragwheel.labels.evidence.reformulations import pre_reformulation, reformulated
from ragwheel.labels.evidence.rows import COLUMNS
from ragwheel.labels.policy import Policy
from ragwheel.labels.position.choose import examined
from ragwheel.labels.traces.exposure import Facts

__all__ = ["COLUMNS", "RULES", "collect", "described"]

Rule = Callable[[Facts, Policy], Any]

#: The rules that look at traces and judgments; those about reformulations build on what they found.
RULES: Final[tuple[Rule, ...]] = (
    cited,
    prompted_not_cited,
    opened,
    reading,
    passed_over,
    explicit,
    judged,
)


def collect(facts: Facts, policy: Policy) -> ibis.Table:
    """All evidence of the store, kept in the engine as ``evidence``.

    How much people look at each rank is estimated first, where ``facts.examination`` does not say it yet.
    """
    facts = examined(facts, policy)
    direct = facts.engine.keep("direct", ibis.union(*(rule(facts, policy) for rule in RULES), distinct=False))
    later = [rule(facts, policy, direct) for rule in (reformulated, pre_reformulation)]
    kept = facts.engine.keep("evidence", ibis.union(direct, *later, distinct=False).filter(_.query_key != ""))
    facts.engine.drop("direct")
    return kept


def described(facts: Facts, evidence: ibis.Table) -> ibis.Table:
    """Evidence as people read it: with the chunk's source and id, and the span ids in one list."""
    ids = [evidence.signal_id, evidence.retrieval_id, evidence.turn_id, evidence.extra_id]
    spans = ibis.array(ids).filter(lambda span: span.notnull())
    named = facts.chunks.select("chunk_version", "source", "chunk_id")
    columns = (*COLUMNS[:2], "source", "chunk_id", *COLUMNS[2:])
    return evidence.mutate(span_ids=spans).join(named, "chunk_version").select(
        *(column for column in columns if column not in ("signal_id", "extra_id")), "span_ids"
    )  # fmt: skip
