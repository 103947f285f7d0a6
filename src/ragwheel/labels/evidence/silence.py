"""How much it says that nothing was cited, or opened, in a whole turn."""

from __future__ import annotations

import ibis
import numpy as np
import pyarrow as pa
from ibis import _

from ragwheel.labels.engines.engine import RelationalEngine
from ragwheel.labels.model.cells import LAST_PLACE
from ragwheel.labels.model.response import Patterns, Places, silent_weights

__all__ = ["reaction_weights"]

_MOST = 1_000  # turns of one person; who has more is somebody who has as many
_DECIMALS = 4


def reaction_weights(engine: RelationalEngine, name: str, rows: ibis.Table) -> ibis.Table:
    """Return ``unit`` and ``weight``: 1 where somebody reacted, else the probability that they would have.

    Args:
        engine: where intermediate tables are kept, under names that begin with ``name``.
        name: what this is about.
        rows: one row per chunk of a turn: ``unit`` (the turn), ``person``, ``place`` from 1 and ``event`` (0
            or 1).
    """
    units = engine.keep(
        f"{name}_units", rows.group_by("unit", "person").agg(reacted=_.event.max(), n=_.count())
    )
    band = ibis.least(rows.place, ibis.literal(LAST_PLACE, "int32")).cast("int32")
    placed = rows.mutate(band=band).join(units.select("unit", "reacted"), "unit")
    places = engine.arrow(
        placed.group_by("band")
        .agg(events=_.event.sum().cast("int64"), impressions=_.reacted.sum().cast("int64"))
        .order_by("band")
    )
    silent = (1 - units.reacted).cast("int64")
    totals = units.mutate(silent=silent, length=silent * units.n)
    people = totals.group_by("person").agg(
        active=_.reacted.sum().cast("int64"),
        silent=_.silent.sum().cast("int64"),
        length=_.length.sum().cast("int64"),
    )
    mean = ibis.ifelse(people.silent > 0, people.length / ibis.greatest(people.silent, 1), 0.0)
    people = people.mutate(
        active=ibis.least(people.active, ibis.literal(_MOST)),
        silent=ibis.least(people.silent, ibis.literal(_MOST)),
        length=mean.round().cast("int64"),
    )
    keys = ["active", "silent", "length"]
    patterns = engine.arrow(people.group_by(keys).agg(people=_.count()).order_by(keys))
    weights = engine.register(f"{name}_weights", _weighed(patterns, places))
    joined = units.join(people.join(weights, keys).select("person", "weight"), "person")
    return joined.select("unit", weight=ibis.ifelse(joined.reacted > 0, 1.0, joined.weight))


def _weighed(patterns: pa.Table, places: pa.Table) -> pa.Table:
    events, impressions = np.zeros(LAST_PLACE, np.int64), np.zeros(LAST_PLACE, np.int64)
    at = _whole(places["band"]) - 1
    events[at], impressions[at] = _whole(places["events"]), _whole(places["impressions"])
    columns = {name: _whole(patterns[name]) for name in ("people", "active", "silent", "length")}
    weights = silent_weights(Patterns(**columns), Places(events, impressions))
    names = ("active", "silent", "length")
    table = {name: pa.array(columns[name], pa.int64()) for name in names}
    return pa.table({**table, "weight": pa.array(np.round(weights, _DECIMALS), pa.float64())})


def _whole(column: pa.ChunkedArray) -> np.ndarray:
    """Return a column of whole numbers; DuckDB gives sums of them as decimals."""
    return np.asarray(column.to_numpy().astype(np.int64))
