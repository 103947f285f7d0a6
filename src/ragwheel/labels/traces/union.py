"""One set of rows out of those of many stores, on the engine.

Stores may hold the same row: a database was copied, a journal merged twice, a client sent an event to two
collectors. A row counts once by its span id, an event once by its id, target and person, and of a turn the
latest revision counts. What a person took back is taken back wherever either signal arrived.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import ibis
from ibis import _

from ragwheel.labels.engines.engine import EngineRows, RelationalEngine
from ragwheel.labels.traces.columns import RETRIEVAL, SIGNAL, TURN
from ragwheel.labels.traces.read import StoreTables, TableSource

__all__ = ["distinct_rows", "united"]


def united(engine: RelationalEngine, tables: StoreTables) -> StoreTables:
    """Return the tables with every row once; those of one database are returned as they are."""
    if tables.stores is None:
        return tables
    retrievals, turns, signals = distinct_rows(
        engine, tables.retrieval, tables.turn, tables.signal, stores=tables.stores
    )
    signals = engine.keep("lake_signals", signals)
    counts = _counts(engine, retrievals, turns, signals)
    standing = _standing(engine, signals, retrievals)
    return replace(
        tables,
        retrieval=EngineRows(retrievals.select(*RETRIEVAL.names), RETRIEVAL, counts["retrievals"]),
        turn=EngineRows(turns.select(*TURN.names), TURN, counts["turn"]),
        signal=EngineRows(standing.select(*SIGNAL.names), SIGNAL, engine.count(standing)),
        n_citations=counts["citations"],
        spans={kind: n for kind in ("rerank", "retrieval", "signal", "turn") if (n := counts[kind])},
        from_ns=counts["from_ns"],
        until_ns=counts["until_ns"],
        stores=None,
    )


def distinct_rows(
    engine: RelationalEngine, retrieval: TableSource, turn: TableSource, signal: TableSource, *, stores: int
) -> tuple[ibis.Table, ibis.Table, ibis.Table]:
    """Return retrievals, turns and signals (retractions among them) with every row once."""
    retrievals = engine.register("lake_retrieval", retrieval)
    turns = engine.register("lake_turn", turn)
    signals = engine.register("lake_signal", signal)
    if stores > 1:
        retrievals = _once(engine, retrievals, "retrieval", ["rid"], [_.start_ns, _.n_returned])
        turns = _once(engine, turns, "turn", ["turn_id"], [_.revision.desc(), _.start_ns])
        signals = _once(engine, signals, "signal", ["sid"], [_.received_ns, _.other.notnull()])
        events = ["event_id", "target_id", "about_turn", "person"]
        sent = signals.filter(_.event_id.notnull()).mutate(person=_.subject.fill_null(""))
        sent = _once(engine, sent, "event", events, [_.received_ns, _.signal_id]).drop("person")
        signals = signals.filter(_.event_id.isnull()).union(sent, distinct=False)
    return retrievals, turns, signals


def _once(
    engine: RelationalEngine, table: ibis.Table, name: str, key: Sequence[str], order: Sequence[Any]
) -> ibis.Table:
    """The first row of each key in an order; repeated keys are few, and looked for first."""
    counted = table.group_by(*key).agg(n=_.count()).filter(_.n > 1)
    repeated = engine.keep(f"lake_repeated_{name}", counted.select(*key))
    if not engine.count(repeated):
        return table
    again = table.semi_join(repeated, list(key))
    place = ibis.row_number().over(group_by=list(key), order_by=list(order))
    again = again.mutate(place=place).filter(_.place == 0).drop("place")
    first = engine.keep(f"lake_first_{name}", again)
    return table.anti_join(repeated, list(key)).union(first, distinct=False)


def _standing(engine: RelationalEngine, signals: ibis.Table, retrievals: ibis.Table) -> ibis.Table:
    """Every signal that is not taken back, without the retractions: the view ``_standing_signal``."""
    kept = signals.filter(_.kind != "retract")
    back = signals.filter(_.kind == "retract").select(
        back_sid="sid", about="target_id", what="other", who="subject", back_chunk="chunk",
        back_rank="rank", back_ns="at_ns", back_received="received_ns",
    )  # fmt: skip
    back = engine.keep("lake_retractions", back)
    if not engine.count(back):
        return kept
    heads = retrievals.filter(_.turn_id.notnull()).select("retrieval_id", "turn_id")
    inner = back.join(heads, back.about == heads.turn_id)
    inner = inner.mutate(about=inner.retrieval_id).select(*back.columns)
    outer = back.join(heads, back.about == heads.retrieval_id)
    outer = outer.mutate(about=outer.turn_id).select(*back.columns)
    wide = ibis.union(back, inner, outer, distinct=False)
    pairs = kept.join(wide, kept.target_id == wide.about)
    earlier = (pairs.at_ns < pairs.back_ns) | (
        (pairs.at_ns == pairs.back_ns) & (pairs.received_ns <= pairs.back_received)
    )
    unplaced = pairs.chunk.isnull() | pairs.back_chunk.isnull()
    same = ibis.ifelse(
        unplaced,
        pairs.chunk.identical_to(pairs.back_chunk) & pairs["rank"].identical_to(pairs.back_rank),
        pairs.chunk == pairs.back_chunk,
    )
    by_event = (pairs.event_id == pairs.what).fill_null(False)
    by_kind = ((pairs.kind == pairs.what) & earlier & same).fill_null(False)
    gone = pairs.filter(pairs.subject.identical_to(pairs.who) & (by_event | by_kind))
    gone = engine.keep("lake_retracted", gone.select("sid").distinct())
    return engine.keep("lake_standing", kept.anti_join(gone, "sid"))


def _counts(
    engine: RelationalEngine, retrievals: ibis.Table, turns: ibis.Table, signals: ibis.Table
) -> dict[str, Any]:
    heads = engine.arrow(
        retrievals.agg(
            retrievals=_.count(), rerank=_.reranks.cast("int64").sum(), first=_.start_ns.min(),
            last=_.start_ns.max(),
        )
    ).to_pylist()[0]  # fmt: skip
    answers = engine.arrow(
        turns.agg(
            turn=_.count(),
            citations=_.citations.length().sum(),
            first=_.start_ns.min(),
            last=_.start_ns.max(),
        )
    ).to_pylist()[0]
    acts = engine.arrow(signals.agg(signal=_.count(), first=_.at_ns.min(), last=_.at_ns.max())).to_pylist()[0]
    ends = [row for row in (heads, answers, acts) if row["first"] is not None]
    reranks = int(heads["rerank"] or 0)
    return {
        "retrievals": heads["retrievals"],
        "retrieval": heads["retrievals"] - reranks,
        "rerank": reranks,
        "turn": answers["turn"],
        "signal": acts["signal"],
        "citations": int(answers["citations"] or 0),
        "from_ns": min((row["first"] for row in ends), default=None),
        "until_ns": max((row["last"] for row in ends), default=None),
    }
