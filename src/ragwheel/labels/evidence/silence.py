"""How much it says that somebody opened nothing in a whole turn."""

from __future__ import annotations

from typing import Final

import ibis
import numpy as np
import pyarrow as pa
from ibis import _

from ragwheel.labels.engines.engine import RelationalEngine
from ragwheel.labels.model.response import Patterns, reacting

__all__ = ["reaction_weights"]

_MOST: Final = 1_000  # turns of one person; who has more is somebody who has as many
_DECIMALS: Final = 4


def reaction_weights(engine: RelationalEngine, name: str, rows: ibis.Table) -> ibis.Table:
    """Return ``unit`` and ``weight``: how likely the person of a turn is somebody who reacts at all.

    Args:
        engine: where intermediate tables are kept, under names that begin with ``name``.
        name: what this is about.
        rows: one row per chunk of a turn: ``unit`` (the turn), ``person`` and ``event`` (0 or 1).
    """
    units = engine.keep(f"{name}_units", rows.group_by("unit", "person").agg(reacted=_.event.max()))
    people = units.group_by("person").agg(active=_.reacted.sum().cast("int64"), turns=_.count())
    people = people.mutate(
        active=ibis.least(people.active, ibis.literal(_MOST)),
        silent=ibis.least(people.turns - people.active, ibis.literal(_MOST)).cast("int64"),
    )
    keys = ["active", "silent"]
    patterns = engine.arrow(people.group_by(keys).agg(people=_.count()).order_by(keys))
    weights = engine.register(f"{name}_weights", _weighed(patterns))
    return units.join(people.join(weights, keys).select("person", "weight"), "person").select(
        "unit", "weight"
    )


def _weighed(patterns: pa.Table) -> pa.Table:
    columns = {name: _whole(patterns[name]) for name in ("people", "active", "silent")}
    weights = reacting(Patterns(**columns))
    table = {name: pa.array(columns[name], pa.int64()) for name in ("active", "silent")}
    return pa.table({**table, "weight": pa.array(np.round(weights, _DECIMALS), pa.float64())})


def _whole(column: pa.ChunkedArray) -> np.ndarray:
    """Return a column of whole numbers; DuckDB gives sums of them as decimals."""
    return np.asarray(column.to_numpy().astype(np.int64))
