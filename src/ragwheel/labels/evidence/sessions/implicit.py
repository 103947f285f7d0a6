"""Reformulations that nobody reported: two close questions, of which only the second was answered well.

Candidates are a retrieval and the next few of the same session within the window, of other turns and other
query groups, where the newer one's results were cited, clicked or liked and the older one's were not. A
session without end costs no more than a short one, for every retrieval looks at a bounded number of later
ones.
"""

from __future__ import annotations

from typing import Final

import ibis
import pyarrow as pa
from ibis import _

from ragwheel.labels.evidence.sessions.closeness import Scorer, rarity
from ragwheel.labels.policy import Policy
from ragwheel.labels.traces.exposure import Facts

__all__ = ["LINKS", "implicit_links"]

#: Columns of links between an old wording and the retrieval of a new one.
LINKS: Final = {
    "link": pa.string(),
    "signal_id": pa.string(),
    "old_key": pa.string(),
    "old_retrieval": pa.string(),
    "old_ns": pa.int64(),
    "new_retrieval": pa.string(),
    "old_turn": pa.string(),
    "strength": pa.float64(),
}
_MOST_PAIRS: Final = 200_000
_MOST_TEXTS: Final = 100_000
_S: Final = 1_000_000_000


def implicit_links(facts: Facts, policy: Policy, useful: ibis.Table, explicit: ibis.Table) -> ibis.Table:
    """Links by closeness alone, as strong as ``implicit_strength`` times the closeness; none where that is 0.

    Args:
        facts, policy: as for every rule.
        useful: ``retrieval_id`` of retrievals with a result that was cited, clicked or liked.
        explicit: links that a signal gave: their old retrievals need no guess.
    """
    rule = policy.reformulation
    rows = []
    if rule.implicit_strength > 0:
        found = facts.engine.arrow(_candidates(facts, policy, useful, explicit)).to_pylist()
        scorer = Scorer(rarity(_texts(facts)) if found else None)
        for row in found:
            gap_s = (row["new_ns"] - row["old_ns"]) / _S
            close = scorer(row["old_query"], row["new_query"]).score(gap_s, rule.window_s)
            if close >= rule.closeness:
                name = f"{row['old_retrieval']}>{row['new_retrieval']}"
                strength = round(rule.implicit_strength * close, 6)
                rows.append({**row, "link": name, "signal_id": None, "strength": strength})
    table = pa.Table.from_pylist([{name: row[name] for name in LINKS} for row in rows], pa.schema(LINKS))
    return facts.engine.register("implicit_link", table)


def _candidates(facts: Facts, policy: Policy, useful: ibis.Table, explicit: ibis.Table) -> ibis.Table:
    rule = policy.reformulation
    heads = facts.retrievals.filter(~_.nested & _.session_id.notnull()).select(
        "rid", "retrieval_id", "turn_id", "query_key", "query", "session_id", "start_ns"
    )
    order = [heads.start_ns, heads.rid]
    heads = heads.mutate(place=ibis.row_number().over(group_by=heads.session_id, order_by=order))
    good = useful.select("retrieval_id").distinct()
    old = heads.anti_join(good, "retrieval_id").anti_join(
        explicit.select(retrieval_id="old_retrieval").distinct(), "retrieval_id"
    )
    new = heads.semi_join(good, "retrieval_id").select(
        "session_id", "place", new_retrieval="retrieval_id", new_turn="turn_id", new_key="query_key",
        new_query="query", new_ns="start_ns", new_rid="rid",
    )  # fmt: skip
    steps = [
        old.mutate(place=old.place + step).join(new, ["session_id", "place"])
        for step in range(1, rule.lookahead + 1)
    ]
    pairs = ibis.union(*steps, distinct=False) if len(steps) > 1 else steps[0]
    apart = pairs.turn_id.isnull() | pairs.new_turn.isnull() | (pairs.turn_id != pairs.new_turn)
    soon = (pairs.new_ns > pairs.start_ns) & (pairs.new_ns <= pairs.start_ns + int(rule.window_s * _S))
    pairs = pairs.filter(apart & soon & (pairs.query_key != pairs.new_key))
    return (
        pairs.select(
            "rid", "new_rid", "new_retrieval", "new_query", "new_ns", old_key="query_key", old_query="query",
            old_retrieval="retrieval_id", old_ns="start_ns", old_turn="turn_id",
        )
        .order_by("rid", "new_rid")
        .limit(_MOST_PAIRS)
    )  # fmt: skip


def _texts(facts: Facts) -> list[str]:
    """One wording per query group, some of them: what is rare is told from these."""
    asked = facts.retrievals.group_by("query_key").agg(query=_["query"].min()).order_by("query_key")
    return [str(text) for text in facts.engine.arrow(asked.limit(_MOST_TEXTS))["query"].to_pylist()]
