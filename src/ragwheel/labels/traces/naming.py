"""Names for people: the wording that stands for a query group, and the number of a chunk's version."""

from __future__ import annotations

import ibis
from ibis import _

from ragwheel.labels.traces.exposure import Facts

__all__ = ["version_numbers", "wordings"]


def wordings(facts: Facts) -> ibis.Table:
    """Return the most frequent wording of each query group, and when the group was first asked.

    Of equally frequent wordings the one that was asked first is taken.

    Columns: query_key, query, first_ns (of that wording), begun_ns (of the group).
    """
    asked = facts.retrievals.select("query_key", "query", at_ns="start_ns").union(
        facts.judgments.select("query_key", "query", "at_ns"), distinct=False
    )
    texts = asked.group_by("query_key", "query").agg(n=_.count(), first_ns=_.at_ns.min())
    order = [texts.n.desc(), texts.first_ns, texts.query]
    texts = texts.mutate(
        place=ibis.row_number().over(group_by=texts.query_key, order_by=order),
        begun_ns=texts.first_ns.min().over(group_by=texts.query_key),
    )
    return texts.filter(_.place == 0).select("query_key", "query", "first_ns", "begun_ns")


def version_numbers(chunks: ibis.Table) -> ibis.Table:
    """Return the number of every chunk version: 1 for the first text that was seen of a chunk, then 2, 3, …

    Columns: chunk_version (the number of its content), source, chunk_id, version.
    """
    order = [chunks.first_seen_ns, chunks.chunk_version]
    place = ibis.row_number().over(group_by=[chunks.source, chunks.chunk_id], order_by=order)
    return chunks.select("chunk_version", "source", "chunk_id", version=(place + 1).cast("int64"))
