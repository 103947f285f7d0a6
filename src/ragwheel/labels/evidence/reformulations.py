"""A question put differently: what turned out useful then also answers the old wording."""

from __future__ import annotations

import ibis
from ibis import _

from ragwheel.labels.evidence.kinds import KINDS
from ragwheel.labels.evidence.rows import rows
from ragwheel.labels.evidence.sessions.implicit import LINKS, implicit_links
from ragwheel.labels.policy import Policy
from ragwheel.labels.traces.exposure import Facts, subject_of

__all__ = ["pre_reformulation", "reformulated"]


def reformulated(facts: Facts, policy: Policy, direct: ibis.Table) -> ibis.Table:
    """For the old query, what was cited, clicked or liked in the results of the new one.

    The new retrieval is the one that the signal's handle names or, without it, the next of the same
    session with the new text; in both cases within ``window_s``, in one session where both have one. Where
    the policy says so, close questions of one session count without a signal too, less.
    """
    said = facts.engine.keep("reported_link", _links(facts, policy))
    useful = _useful(direct)
    links = said.select(*LINKS).union(
        implicit_links(facts, policy, useful, said).select(*LINKS), distinct=False
    )  # fmt: skip
    links = _chained(facts, links)
    good = _useful(direct).select(
        "retrieval_id", "chunk_version", "subject", "session_id", "exposure",
        "assumed", "at_ns", "kind", "rank", span=ibis.coalesce(_.signal_id, _.turn_id),
        useful_signal="signal_id",
    )  # fmt: skip
    text = links.join(good, [("new_retrieval", "retrieval_id")])
    order = [text.at_ns, text.kind, text.span, text["rank"]]
    first = ibis.row_number().over(group_by=[text.link, text.old_key, text.chunk_version], order_by=order)
    text = text.mutate(n=first).filter(_.n == 0)
    return rows(
        text,
        "reformulated",
        strength=text.strength,
        query_key=text.old_key,
        retrieval_id=text.new_retrieval,
        turn_id=text.old_turn,
        extra_id=text.useful_signal,
    )


def pre_reformulation(facts: Facts, policy: Policy, direct: ibis.Table) -> ibis.Table:
    """Against what stood on top of the results that somebody asked again about, when the new ones were good.

    Only what was exposed and left alone, within the first ``top`` places, and not what then was useful.
    """
    good = _useful(direct).select("chunk_version", "subject", "at_ns", new_retrieval="retrieval_id")
    links = facts.engine.keep("reported_link", _links(facts, policy)).join(
        good.select("new_retrieval").distinct(), "new_retrieval"
    ).select("signal_id", "new_retrieval", "old_retrieval", "old_ns")  # fmt: skip
    top = facts.exposed.filter(
        _.exposure.isin(["shown", "prompted"]) & (_["rank"] <= policy.reformulation.top)
    )
    old = top.join(links, [("retrieval_id", "old_retrieval")])
    used = _useful(direct).select("retrieval_id", "chunk_version").distinct()
    old = old.anti_join(used, ["retrieval_id", "chunk_version"])
    later = used.rename(new_retrieval="retrieval_id")
    old = old.anti_join(later, ["new_retrieval", "chunk_version"])
    old = old.mutate(subject=subject_of(old))
    return rows(old, "pre_reformulation", at_ns=old.old_ns)


def _useful(direct: ibis.Table) -> ibis.Table:
    """Return the evidence that a chunk was of use; a glance at it is none."""
    return direct.filter(_.kind.isin(_USEFUL) & ((_.kind != "dwell") | (_.strength >= _READ_S)))


def _links(facts: Facts, policy: Policy) -> ibis.Table:
    """:data:`LINKS`, one row per reported reformulation whose new retrieval is found."""
    heads = facts.retrievals.filter(~_.nested).select(
        "rid", "retrieval_id", "turn_id", "query_key", "session_id", "start_ns"
    )
    said = facts.signals.filter(_.kind == "reformulate").select(
        "sid", "signal_id", "new_id", "new_key", target_rid="rid", target_turn="turn_id"
    )
    by_retrieval = said.filter(_.target_rid.notnull()).join(heads, [("target_rid", "rid")])
    by_turn = said.filter(_.target_rid.isnull()).join(heads, [("target_turn", "turn_id")])
    columns = {
        "old_key": "query_key",
        "old_session": "session_id",
        "old_ns": "start_ns",
        "old_retrieval": "retrieval_id",
    }
    keep = ["sid", "signal_id", "new_id", "new_key", "target_turn"]
    old = by_retrieval.select(*keep, **columns).union(by_turn.select(*keep, **columns), distinct=False)
    new = heads.select(
        new_retrieval="retrieval_id", new_turn="turn_id", key="query_key", session="session_id", ns="start_ns"
    )
    wanted = ["sid", "signal_id", "old_key", "old_session", "old_ns", "old_retrieval", "target_turn"]
    named = old.filter(_.new_id.notnull())
    pairs = ibis.union(
        named.join(new, [("new_id", "new_retrieval")]).select(*wanted, *_NEW),
        named.join(new, [("new_id", "new_turn")]).select(*wanted, *_NEW),
        old.filter(_.new_id.isnull() & (_.new_key != ""))
        .join(new, [("old_session", "session"), ("new_key", "key")])
        .select(*wanted, *_NEW),
        distinct=False,
    )
    window_ns = int(policy.reformulation.window_s * 1_000_000_000)
    pairs = pairs.filter(
        (pairs.ns > pairs.old_ns) & (pairs.ns <= pairs.old_ns + window_ns) & (pairs.key != pairs.old_key)
    )
    pairs = pairs.filter(
        pairs.session.isnull() | pairs.old_session.isnull() | (pairs.session == pairs.old_session)
    )
    order = [pairs.ns, pairs.new_retrieval]
    first = ibis.row_number().over(group_by=[pairs.sid, pairs.old_key], order_by=order)
    return (
        pairs.mutate(n=first)
        .filter(_.n == 0)
        .select(
            "signal_id", "old_key", "old_retrieval", "old_ns", "new_retrieval", old_turn="target_turn",
            link="signal_id", strength=ibis.literal(1.0),
        )
    )  # fmt: skip


def _chained(facts: Facts, links: ibis.Table) -> ibis.Table:
    """The links, and those that follow from two or three in a row: who asked A, then B, then C, meant C by A.

    A chain is as strong as its weakest link. One that comes back to its first wording says nothing new.
    """
    step = facts.engine.keep("reformulation_step", links.select(*LINKS))
    heads = facts.retrievals.select(new_retrieval="retrieval_id", new_key="query_key")
    after = step.select(
        new_retrieval="old_retrieval", later_link="link", later_retrieval="new_retrieval", later="strength"
    )
    every, last = [step], step
    for _round in range(_LONGEST_CHAIN - 1):
        both = last.join(after, "new_retrieval").drop("new_retrieval")
        last = both.mutate(
            link=both.link + ">" + both.later_link, strength=ibis.least(both.strength, both.later)
        ).rename(new_retrieval="later_retrieval")
        last = last.join(heads, "new_retrieval").filter(_.old_key != _.new_key).select(*LINKS)
        every.append(last)
    return ibis.union(*every, distinct=False)


_LONGEST_CHAIN = 3
_USEFUL = [name for name, rule in KINDS.items() if rule.direction > 0 and name != "reformulated"]
_READ_S = 5.0  # a shorter visit is a glance
_NEW = ("new_retrieval", "key", "session", "ns")
