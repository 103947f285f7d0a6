"""What people said about a chunk."""

from __future__ import annotations

import ibis
from ibis import _

from ragwheel.labels.evidence.kinds import EXPLICIT
from ragwheel.labels.evidence.rows import rows
from ragwheel.labels.policy import Policy
from ragwheel.labels.traces.exposure import Facts, subject_of

__all__ = ["explicit"]


def explicit(facts: Facts, _policy: Policy) -> ibis.Table:
    """Thumbs, ratings, deletions and comparisons of chunks. Ratings between 1 and 4 say nothing yet."""
    acts = facts.acts
    kinds = ibis.cases(
        (acts.kind.isin([*EXPLICIT]), acts.kind),
        ((acts.kind == "rating") & (acts["value"] >= 4), "rating_high"),
        ((acts.kind == "rating") & (acts["value"] <= 1), "rating_low"),
        (acts.kind == "prefer", "prefer_winner"),
        else_=ibis.null("string"),
    )
    acts = acts.mutate(says=kinds).filter(_.says.notnull())
    found = rows(acts, acts.says)
    found = found.union(_losers(facts), distinct=False)
    return found.filter((_.direction > 0) | (_.exposure != "logged"))


def _losers(facts: Facts) -> ibis.Table:
    """The other chunk of each comparison, where the same retrieval had it."""
    compared = facts.signals.filter((_.kind == "prefer") & _.chunk_version.notnull())
    compared = compared.select("sid", "rid", "signal_id", "at_ns", said="subject")
    places = facts.touches.filter(_.loses).select("sid", "rid", "rank")
    lost = compared.join(places, ["sid", "rid"])
    first = ibis.row_number().over(group_by=lost.sid, order_by=lost["rank"])
    lost = lost.mutate(n=first).filter(_.n == 0).join(facts.exposed.drop("start_ns"), ["rid", "rank"])
    return rows(lost.mutate(subject=subject_of(lost, lost.said)), "prefer_loser")
