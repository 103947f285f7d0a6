"""What people did with a chunk: opened it or passed it over, and how long they read."""

from __future__ import annotations

from typing import Final

import ibis
from ibis import _

from ragwheel.kinds import ATTENTION
from ragwheel.labels.evidence.rows import rows
from ragwheel.labels.evidence.silence import reaction_weights
from ragwheel.labels.policy import Policy
from ragwheel.labels.position.counts import seen
from ragwheel.labels.traces.exposure import Facts, subject_of

__all__ = ["opened", "passed_over", "reading"]

_MICRO: Final = 1_000_000


def opened(facts: Facts, _policy: Policy) -> ibis.Table:
    """Return click, copy, expand, bookmark and more_like_this: the person turned to this chunk."""
    acted = facts.acts.filter(_.kind.isin(ATTENTION))
    return rows(acted, acted.kind)


def reading(facts: Facts, policy: Policy) -> ibis.Table:
    """Return how long people read, in seconds as ``strength``; a short visit is called a bounce.

    Where longer texts are read longer in this store, seconds are brought to a text of average length. A
    short time counts only where the chunk was opened: cards that scroll by are visible for seconds, too.
    """
    rule, keys = policy.dwell, ["rid", "rank", "subject"]
    clicks = facts.acts.filter(_.kind.isin(["click", "expand"]))
    clicks = clicks.group_by(keys).agg(clicked_ns=_.at_ns.min())
    reports = facts.acts.filter((_.kind == "dwell") & _.value.notnull())
    reports = reports.group_by(keys).agg(reported_ns=_.at_ns.max())
    visits = _left(_left(_longest(facts), clicks, keys), reports, keys)
    after = visits.clicked_ns.notnull() & (visits.reported_ns >= visits.clicked_ns)
    short = visits.dwell_s < rule.bounce_s
    visits = visits.mutate(short=short).filter(~short | (after & (visits.exposure != "logged")))
    visits = _normalised(facts, visits)
    return rows(visits, ibis.ifelse(visits.short, "bounce", "dwell"), strength=visits.seconds)


def _left(left: ibis.Table, right: ibis.Table, keys: list[str]) -> ibis.Table:
    return left.left_join(right, keys).drop(*(f"{key}_right" for key in keys))


def _longest(facts: Facts) -> ibis.Table:
    """Return one row per chunk and person: the longest of the times that the client reported."""
    timed = facts.acts.filter((_.kind == "dwell") & _.value.notnull())
    order = [timed["value"].desc(), timed.at_ns, timed.signal_sid]
    first = ibis.row_number().over(group_by=[timed.rid, timed["rank"], timed.subject], order_by=order)
    return timed.mutate(n=first).filter(_.n == 0).mutate(dwell_s=_["value"])


def _normalised(facts: Facts, visits: ibis.Table) -> ibis.Table:
    """Add ``seconds``: the time that the same interest would have taken for a text of average length.

    The exponent of the length is estimated by least squares of log seconds on log characters, from 0 (length
    does not matter) to 1 (time grows with it), and 0 unless it is clearly above 0.
    """
    visits = visits.join(facts.chunks.select("chunk_version", "length"), "chunk_version")
    x = (ibis.greatest(visits.length, 1).cast("float64").log() * _MICRO).round().cast("int64")
    y = (ibis.greatest(visits.dwell_s, 0.05).log() * _MICRO).round().cast("int64")
    logs = facts.engine.keep("reading_logs", visits.filter(~_.short).select(x=x, y=y))
    scaled = logs.mutate(u=_.x // 1000, v=_.y // 1000)
    sums = facts.engine.arrow(
        scaled.agg(
            n=_.count(), u=_.u.sum(), v=_.v.sum(),
            uu=(_.u * _.u).sum(), uv=(_.u * _.v).sum(), vv=(_.v * _.v).sum(),
        )
    ).to_pylist()[0]  # fmt: skip
    slope, mean = _slope(**{name: float(value or 0) for name, value in sums.items()})
    if not slope:
        return visits.mutate(seconds=visits.dwell_s)
    factor = (-slope * ((visits.length.cast("float64") + 1).log() - mean)).exp()
    return visits.mutate(seconds=(visits.dwell_s * factor).round(3))


def _slope(n: float, u: float, v: float, uu: float, uv: float, vv: float) -> tuple[float, float]:
    """Return the slope of log seconds on log length, and the mean log length, from sums in thousandths."""
    if n < 50:
        return 0.0, 0.0
    spread = uu - u * u / n
    if spread <= n:  # lengths differ by less than a thousandth
        return 0.0, 0.0
    slope = (uv - u * v / n) / spread
    rest = max((vv - v * v / n) - slope * slope * spread, 0.0)
    error = (rest / (n - 2) / spread) ** 0.5
    return (round(min(slope, 1.0), 3) if slope > 3 * error else 0.0), u / n / 1000


def passed_over(facts: Facts, _policy: Policy) -> ibis.Table:
    """Return what was shown and not opened, weighed by how likely the person is one who reacts at all.

    Who ever opened anything is one; of others it depends on how many turns they had
    (:mod:`ragwheel.labels.model.response`). Where the app does not tell what was shown, what it
    returned counts, marked as assumed. Nothing in stores where nobody ever opened anything.
    """
    opened_places = facts.acts.filter(_.kind.isin(ATTENTION)).select("rid", "rank").distinct()
    shown = seen(facts)
    if not facts.engine.count(opened_places):
        return rows(shown.filter(ibis.literal(False)), "passed_over", **_nobody(), subject=subject_of(shown))
    shown = shown.mutate(person=subject_of(shown))
    shown = shown.left_join(opened_places.mutate(event=1), ["rid", "rank"]).drop("rid_right", "rank_right")
    shown = facts.engine.keep("shown_places", shown.mutate(event=_.event.fill_null(0).cast("int8")))
    weights = reaction_weights(facts.engine, "opening", shown.select("person", "event", unit=_.rid))
    touched = facts.acts.filter(_.kind != "impression").select("rid", "chunk_version").distinct()
    silent = shown.filter(_.event == 0).anti_join(touched, ["rid", "chunk_version"])
    silent = silent.join(weights.rename(rid="unit"), "rid")
    return rows(silent, "passed_over", strength=silent.weight, **_nobody(), subject=silent.person)


def _nobody() -> dict[str, ibis.Value]:
    """Columns of evidence that no signal stands behind."""
    return {"signal_id": ibis.null("string"), "at_ns": _.start_ns}
