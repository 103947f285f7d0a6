"""What people did with a chunk without saying what they think of it."""

from __future__ import annotations

from typing import Final

import ibis
from ibis import _

from ragwheel.labels.exposure import Facts
from ragwheel.labels.policy import Policy
from ragwheel.labels.position.choose import propensity
from ragwheel.labels.rows import rows

__all__ = ["behaviour", "bounce", "dwell", "passed_over"]

_ATTENTION: Final = ("click", "copy", "expand", "bookmark", "more_like_this")
_LOOKED: Final = ("click", "copy", "expand", "bookmark", "more_like_this", "dwell")


def behaviour(facts: Facts, policy: Policy) -> ibis.Table:
    """click, copy, expand, bookmark, more_like_this: for the chunk, unless the click was a bounce."""
    acted = facts.acts.filter(_.kind.isin(_ATTENTION))
    bounced = _bounced(facts, policy).select("signal_id")
    acted = acted.anti_join(bounced, "signal_id")
    return rows(acted, acted.kind, propensity=propensity(acted.place, policy, facts.examination))


def dwell(facts: Facts, policy: Policy) -> ibis.Table:
    """Time visible, as a share of the time that reading the chunk takes; too little of it says nothing."""
    rule = policy.dwell
    seen = _longest_dwell(facts).join(facts.chunks.select("chunk_version", "length"), "chunk_version")
    needed = (seen.length / rule.read_chars_per_s).clip(lower=rule.read_s_min, upper=rule.read_s_max)
    seen = seen.mutate(share=ibis.least(seen.dwell_s / needed, ibis.literal(1.0)))
    seen = seen.filter((_.share >= rule.min_share) & (_.dwell_s >= rule.bounce_s))
    return rows(
        seen, "dwell", strength=seen.share, propensity=propensity(seen.place, policy, facts.examination)
    )


def bounce(facts: Facts, policy: Policy) -> ibis.Table:
    """Clicked and left at once: against, and only where the client measured the time."""
    left = _bounced(facts, policy)
    return rows(left.filter(_.exposure != "logged"), "bounce")


def _longest_dwell(facts: Facts) -> ibis.Table:
    """One row per chunk and person: the longest time that the client reported (it may report often)."""
    seen = facts.acts.filter((_.kind == "dwell") & _.value.notnull())
    order = [seen["value"].desc(), seen.at_ns, seen.signal_sid]
    first = ibis.row_number().over(group_by=[seen.rid, seen["rank"], seen.subject], order_by=order)
    return seen.mutate(n=first).filter(_.n == 0).mutate(dwell_s=_["value"])


def _bounced(facts: Facts, policy: Policy) -> ibis.Table:
    """Clicks after which the client still measured the chunk's time, all of it short.

    A dwell that was reported before the click says nothing about what the person found behind it.
    """
    keys = ["rid", "rank", "subject"]
    short = _longest_dwell(facts).filter(_.dwell_s < policy.dwell.bounce_s).select(*keys)
    reports = facts.acts.filter((_.kind == "dwell") & _.value.notnull())
    latest = reports.group_by(keys).aggregate(reported_ns=_.at_ns.max())
    measured = latest.semi_join(short, keys)
    clicks = facts.acts.filter(_.kind == "click")
    same = [clicks[key] == measured[key] for key in keys]
    return clicks.semi_join(measured, [*same, measured.reported_ns >= clicks.at_ns])


def passed_over(facts: Facts, _policy: Policy) -> ibis.Table:
    """Shown above the lowest chunk that somebody opened, and left alone: weakly against.

    Joachims et al., Accurately interpreting clickthrough data as implicit feedback, SIGIR 2005
    ("click > skip above"). Only what the app, or an ``impression``, said was shown.
    """
    signals = facts.acts
    looked = signals.filter(_.kind.isin(_LOOKED))
    order = [looked.place.desc(), looked.at_ns, looked.signal_sid]
    lowest = looked.mutate(n=ibis.row_number().over(group_by=looked.rid, order_by=order)).filter(_.n == 0)
    lowest = lowest.select("rid", "signal_id", "at_ns", "subject", lowest_place="place")
    shown = facts.exposed.filter(_.exposure == "shown")
    shown = shown.mutate(place=shown.shown_position.coalesce(shown["rank"])).drop("start_ns")
    above = shown.join(lowest, "rid")
    above = above.filter(above.place < above.lowest_place)
    touched = signals.filter(_.kind != "impression").select("rid", "chunk_version")
    cited = facts.cited.select("turn_id", "chunk_version")
    above = above.anti_join(touched, ["rid", "chunk_version"]).anti_join(cited, ["turn_id", "chunk_version"])
    return rows(above, "passed_over")
