"""Questions that are asked once: paraphrases lend each other their evidence, as far as they agree.

Two query groups are close when the store itself returned nearly the same chunks for both. How far close
questions agree on what is relevant is learned from the whole store, apart for questions that have many words
in common and for those that have few (:func:`ragwheel.labels.model.agreement.agreement`). What another
question's evidence says of a chunk is then weighed by the probability that the chunk is as relevant here as
there. So evidence of another question never says more than the agreement allows.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import Any, Final

import ibis
import numpy as np
import numpy.typing as npt
import pyarrow as pa
from ibis import _

from ragwheel.labels.model.agreement import Transfer, agreement
from ragwheel.labels.model.subject_caps import MICRO
from ragwheel.labels.policy import Policy
from ragwheel.labels.traces.exposure import Facts
from ragwheel.labels.traces.naming import wordings
from ragwheel.labels.traces.text import tokens

__all__ = ["close_questions", "lent"]

_TOP: Final = 5  # of the best places, whose chunks are compared
_CHUNKS: Final = (0.6, 0.8)  # where bands of closeness by chunks end
_WORDS: Final = (0.2, 0.4, 0.6)  # ... and by words
_WORD_BANDS: Final = len(_WORDS) + 1
_CELLS: Final = (len(_CHUNKS) + 1) * _WORD_BANDS
_USED: Final = MICRO  # log-odds from which a chunk counts as used
_ENOUGH: Final = 30  # used chunks of close questions, without which nothing is known of their agreement
_STEP: Final = MICRO // 4  # log-odds are rounded to quarters when agreement is learned
_BOUND: Final = 12 * MICRO


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
        table: query_key, chunk_version, ``log_odds`` in millionths: what each question's own evidence says.
        policy: ``[pooling]`` has the closeness asked for and the bound.
    """
    engine = facts.engine
    table = engine.keep("said_of_pairs", table.select("query_key", "chunk_version", "log_odds"))
    couples = _in_cells(facts, close_questions(facts, policy))
    theirs = couples.join(table.select("chunk_version", other="query_key", theirs="log_odds"), "other")
    own = theirs.join(table.rename(own="log_odds"), ["query_key", "chunk_version"])
    own = engine.keep("lent_pairs", own.select("query_key", "chunk_version", "cell", "own", "theirs"))
    transfers = _transfers(facts, own)
    if not transfers:
        return own.filter(ibis.literal(False)).select("query_key", "chunk_version", lent=_.theirs)
    message = ibis.cases(
        *((own.cell == cell, _message(own.theirs, transfer)) for cell, transfer in sorted(transfers.items())),
        else_=0.0,
    )
    rows = own.mutate(message=(message * MICRO).round().cast("int64"))
    sums = rows.group_by("query_key", "chunk_version").agg(total=_.message.sum().cast("int64"))
    bound = int(policy.pooling.bound * MICRO)
    return sums.select(
        "query_key", "chunk_version", lent=ibis.least(ibis.greatest(sums.total, -bound), ibis.literal(bound))
    )


def _message(theirs: Any, transfer: Transfer) -> Any:
    """Return what another question's evidence says here, in log-odds; it grows with ``theirs``."""
    bounded = ibis.least(ibis.greatest(theirs, ibis.literal(-_BOUND)), ibis.literal(_BOUND))
    odds = (bounded / MICRO).exp()
    relevant = transfer.relevant * odds + (1 - transfer.relevant)
    irrelevant = transfer.irrelevant * odds + (1 - transfer.irrelevant)
    return (relevant / irrelevant).log()


def _in_cells(facts: Facts, couples: ibis.Table) -> ibis.Table:
    """Return query_key, other and ``cell``: the number of the bands of closeness by chunks and by words."""
    words = _words(facts, couples)
    totals = words.group_by("query_key").agg(total=_.weight.sum().cast("int64"))
    shared = couples.join(words, "query_key").join(
        words.select("word", other="query_key"), ["other", "word"]
    ).group_by("query_key", "other").agg(shared=_.weight.sum().cast("int64"))  # fmt: skip
    rows = couples.left_join(shared, ["query_key", "other"]).drop("query_key_right", "other_right")
    rows = rows.join(totals, "query_key").join(totals.rename(other="query_key", others="total"), "other")
    common = rows.shared.fill_null(0)
    alike = (common / ibis.greatest(rows.total + rows.others - common, 1)).round(4)
    cell = _band(rows.closeness, _CHUNKS) * _WORD_BANDS + _band(alike, _WORDS)
    return facts.engine.keep("close_cells", rows.select("query_key", "other", cell=cell.cast("int32")))


def _band(value: Any, ends: tuple[float, ...]) -> Any:
    return ibis.cases(*((value < end, number) for number, end in enumerate(ends)), else_=len(ends))


def _words(facts: Facts, couples: ibis.Table) -> ibis.Table:
    """Return query_key, word and ``weight`` in millionths: more for a rarer word."""
    asked = wordings(facts).semi_join(couples, "query_key").select("query_key", "query")
    rows = facts.engine.arrow(asked.order_by("query_key"))
    words = {
        key: sorted(tokens(text))
        for key, text in zip(rows["query_key"].to_pylist(), rows["query"].to_pylist())
    }
    questions = Counter(word for each in words.values() for word in each)
    pairs = [(key, word) for key, each in words.items() for word in each]
    weights = [round(math.log1p(len(words) / questions[word]) * MICRO) for _key, word in pairs]
    table = {
        "query_key": pa.array([key for key, _word in pairs], pa.string()),
        "word": pa.array([word for _key, word in pairs], pa.string()),
        "weight": pa.array(weights, pa.int64()),
    }
    return facts.engine.register("close_words", pa.table(table))


def _transfers(facts: Facts, pairs: ibis.Table) -> dict[int, Transfer]:
    """Return, per cell of closeness, what relevance to one question says of relevance to a close one.

    A cell with too few chunks that were used takes what all couples of its band of closeness by chunks say.
    """

    def quarters(value: Any) -> Any:
        return (value / _STEP).round().cast("int64")

    counted: pa.Table = facts.engine.arrow(
        pairs.mutate(mine=quarters(pairs.own), other=quarters(pairs.theirs))
        .group_by("cell", "mine", "other")
        .agg(n=_.count(), used=(_.own >= _USED).cast("int64").sum())
        .order_by("cell", "mine", "other")
    )
    columns = ("cell", "mine", "other", "n", "used")
    cell, mine, other, n, used = (counted[name].to_numpy().astype(float) for name in columns)

    def learned(inside: npt.NDArray[np.bool_]) -> Transfer | None:
        quarter = _STEP / MICRO
        return agreement(mine[inside] * quarter, other[inside] * quarter, n[inside])

    transfers = {}
    for band in range(0, _CELLS, _WORD_BANDS):
        parts = {number: cell == number for number in range(band, band + _WORD_BANDS)}
        whole = np.logical_or.reduce(list(parts.values()))
        overall = learned(whole) if used[whole].sum() >= _ENOUGH else None
        for number, part in parts.items():
            own = learned(part) if used[part].sum() >= _ENOUGH else overall
            if own is not None:
                transfers[number] = own
    return transfers
