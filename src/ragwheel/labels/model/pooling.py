"""Questions that are asked once: paraphrases lend each other their evidence, as far as they agree.

Two query groups are close when the store itself returned nearly the same chunks for both. Closeness
alone does not make them one need: how often close questions also *use* the same chunks is counted over
the whole store, and what one lends the other is scaled by that. Two questions that both used chunks, but
none in common, lend each other nothing.
"""

from __future__ import annotations

from typing import Final

import ibis
import pyarrow as pa
from ibis import _

from ragwheel.labels.model.subject_caps import MICRO
from ragwheel.labels.policy import Policy
from ragwheel.labels.traces.exposure import Facts

__all__ = ["close_questions", "lent"]

_TOP: Final = 5  # of the best places, whose chunks are compared
_BANDS: Final = ((0.6, 0.8), (0.8, 1.01))
_USED: Final = MICRO  # log-odds from which a chunk counts as used
_ENOUGH: Final = 30  # used chunks of close questions, without which nothing is known of their agreement


def close_questions(facts: Facts, policy: Policy) -> ibis.Table:
    """Return query_key, ``other`` and ``closeness``: Jaccard similarity of the chunks on their first places.

    Every couple comes in both directions. Chunks that many questions get are left out, for they say little.
    """
    rule = policy.pooling
    top = facts.exposed.filter((_.exposure != "logged") & (_["rank"] <= _TOP))
    top = top.select("query_key", "chunk_version").distinct()
    askers = top.group_by("chunk_version").agg(askers=_.count())
    top = top.join(askers.filter(_.askers <= rule.most_questions), "chunk_version").drop("askers")
    top = facts.engine.keep("top_chunks", top)
    sizes = top.group_by("query_key").agg(n=_.count())
    others = top.select("chunk_version", other="query_key")
    shared = top.join(others, "chunk_version").filter(_.query_key != _.other)
    shared = shared.group_by("query_key", "other").agg(shared=_.count())
    shared = shared.join(sizes, "query_key").join(sizes.select(other="query_key", m="n"), "other")
    closeness = shared.shared / (shared.n + shared.m - shared.shared)
    rows = shared.select("query_key", "other", closeness=closeness.round(4))
    return facts.engine.keep("close_questions", rows.filter(_.closeness >= rule.closeness))


def lent(facts: Facts, table: ibis.Table, policy: Policy) -> ibis.Table:
    """Return query_key, chunk_version and ``lent``: what close questions say of the chunk, in millionths.

    Args:
        facts: of the store.
        said: query_key, chunk_version, ``log_odds`` in millionths: what each question's own evidence says.
        policy: ``[pooling]`` has the closeness asked for and the bound.
    """
    engine = facts.engine
    table = engine.keep("said_of_pairs", table.select("query_key", "chunk_version", "log_odds"))
    couples = _agreeing(close_questions(facts, policy), table, facts)
    theirs = couples.join(table.select("chunk_version", other="query_key", theirs="log_odds"), "other")
    own = theirs.join(table.rename(own="log_odds"), ["query_key", "chunk_version"])
    band = ibis.cases(
        *((own.closeness >= low, n) for n, (low, _high) in reversed(list(enumerate(_BANDS)))), else_=0
    )
    own = engine.keep(
        "lent_pairs", own.mutate(band=band).select("query_key", "chunk_version", "band", "own", "theirs")
    )
    shares = _agreement(facts, own)
    if not any(shares):
        return own.filter(ibis.literal(False)).select("query_key", "chunk_version", lent=_.theirs)
    scaled = own.theirs * ibis.cases(*((own.band == n, share) for n, share in enumerate(shares)), else_=0.0)
    rows = own.mutate(scaled=scaled.round().cast("int64"))
    sums = rows.group_by("query_key", "chunk_version").agg(total=_.scaled.sum().cast("int64"))
    bound = int(policy.pooling.bound * MICRO)
    return sums.select(
        "query_key", "chunk_version", lent=ibis.least(ibis.greatest(sums.total, -bound), ibis.literal(bound))
    )


def _agreeing(couples: ibis.Table, table: ibis.Table, facts: Facts) -> ibis.Table:
    """Return the couples without those that both used chunks, but none in common."""
    used = facts.engine.keep(
        "used_chunks", table.filter(_.log_odds >= _USED).select("query_key", "chunk_version")
    )
    users = used.select("query_key").distinct()
    both = couples.semi_join(users, "query_key").semi_join(users.rename(other="query_key"), "other")
    common = (
        both.join(used, "query_key")
        .join(used.select("chunk_version", other="query_key"), ["other", "chunk_version"])
        .select("query_key", "other")
        .distinct()
    )
    apart = both.anti_join(common, ["query_key", "other"])
    return couples.anti_join(apart, ["query_key", "other"])


def _agreement(facts: Facts, pairs: ibis.Table) -> list[float]:
    """Return, per band of closeness, how far one question's use of a chunk tells that of a close one (kappa).

    Cohen, A coefficient of agreement for nominal scales, Educational and Psychological Measurement 20 (1960).
    """
    mine, theirs = pairs.own >= _USED, pairs.theirs >= _USED
    counted: pa.Table = facts.engine.arrow(
        pairs.mutate(mine=mine.cast("int64"), theirs=theirs.cast("int64"))
        .group_by("band")
        .agg(n=_.count(), used=_.mine.sum(), both=(_.mine * _.theirs).sum())
    )
    shares = [0.0] * len(_BANDS)
    for row in counted.to_pylist():
        n, used, both = (float(row[name] or 0) for name in ("n", "used", "both"))
        base = used / n
        if used >= _ENOUGH and base < 1:
            shares[row["band"]] = round(max((both / used - base) / (1 - base), 0.0), 3)
    return shares
