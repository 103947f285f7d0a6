"""From traces to counts: who saw what at which rank, and clicked."""

from __future__ import annotations

from typing import Final

import ibis
import numpy as np
import pyarrow as pa
from ibis import _

from ragwheel.kinds import ATTENTION
from ragwheel.labels.position.cells import Cells, Ints
from ragwheel.labels.position.interventions import Served, Swapped
from ragwheel.labels.traces.exposure import Facts

__all__ = ["RANKS", "Counts", "seen"]

#: Ranks beyond this one are not estimated.
RANKS: Final = 10
_ROWS: Final = 2_000_000  # of counts, those of the first query groups by key, which is a hash


class Counts:
    """The inputs of the estimators, counted when they are asked for.

    A person saw what the app said was shown; without that, what an ``impression`` was reported of; without
    either, what the app was given. Queries without any click are left out, except where chance decided the
    ranks: there, a query enters by what was served, never by what was clicked. Selecting by clicks would make
    lower ranks look better examined than they are.
    """

    def __init__(self, facts: Facts) -> None:
        self._engine = facts.engine
        clicks = facts.acts.filter(_.kind.isin(ATTENTION)).select("rid", "rank").distinct()
        served = facts.retrievals.select("rid", "version", "swap_probability", "moves", "n_returned")
        rows = seen(facts).select("rid", "rank", "place", "query_key", "chunk_version")
        rows = rows.filter(_.place <= RANKS).left_join(clicks, ["rid", "rank"])
        rows = rows.mutate(clicked=_.rid_right.notnull().cast("int64")).drop("rid_right", "rank_right")
        asked = rows.filter(_.clicked == 1).select("query_key").distinct()
        self._swapped = rows.join(served.filter(_.swap_probability.notnull()), "rid")
        self._rows = self._engine.keep(
            "examination_rows", rows.semi_join(asked, "query_key").join(served, "rid")
        )

    def served(self) -> Served:
        """Counts by query group, chunk, retriever version and rank."""
        keys = ["query_key", "chunk_version", "version", "place"]
        counted = self._arrow(_counted(self._rows, keys).order_by(keys).limit(_ROWS))
        query = _numbers(counted["query_key"])
        item = _pairs(query, counted["chunk_version"].to_numpy())
        cells = Cells(query, item, *_columns(counted))
        return Served(cells, _numbers(counted["version"]))

    def cells(self) -> Cells:
        """Counts by query group, chunk and rank."""
        keys = ["query_key", "chunk_version", "place"]
        counted = self._arrow(_counted(self._rows, keys).order_by(keys).limit(_ROWS))
        query = _numbers(counted["query_key"])
        return Cells(query, _pairs(query, counted["chunk_version"].to_numpy()), *_columns(counted))

    def swapped(self) -> Swapped:
        """Counts by query group, base rank and rank, of all rankings that ``ragwheel.explore`` swapped."""
        rows = self._swapped.filter(_.place == _["rank"])
        move = rows.moves.substr(rows.place - 1, 1)
        rows = rows.filter(move.isin(["-", "u", "d"]))
        move = rows.moves.substr(rows.place - 1, 1)
        rows = rows.mutate(base=rows.place + ibis.cases((move == "u", 1), (move == "d", -1), else_=0))
        rows = rows.mutate(
            sides=(rows.base > 1).cast("int64") + (rows.base < rows.n_returned).cast("int64"),
            stayed=rows.base == rows.place,
        )
        keys = ["query_key", "base", "place", "sides", "swap_probability", "stayed"]
        counted = self._arrow(_counted(rows, keys).order_by(keys).limit(_ROWS))
        half = counted["swap_probability"].to_numpy() / 2
        stayed = counted["stayed"].to_numpy(zero_copy_only=False)
        chance = np.where(stayed, 1 - half * counted["sides"].to_numpy(), half)
        rank, impressions, clicks = _columns(counted)
        base = counted["base"].to_numpy().astype(np.int64)
        return Swapped(_numbers(counted["query_key"]), base, rank, chance, impressions, clicks)

    def _arrow(self, expression: ibis.Table) -> pa.Table:
        return self._engine.arrow(expression)


def seen(facts: Facts) -> ibis.Table:
    """Return the rows of ``facts.exposed`` that a person saw, with ``place`` (1-based) and ``assumed``.

    What the app said was shown; without that, what an ``impression`` was reported of; without either, what
    the app was given, as an assumption.
    """
    rows = facts.exposed.mutate(place=_.shown_position.coalesce(_["rank"]).cast("int64"))
    told = rows.filter(_.shown_position.notnull()).select("rid").distinct()
    reported = facts.signals.filter((_.kind == "impression") & _["rank"].notnull() & _.rid.notnull())
    reported = reported.select("rid", "rank").distinct()
    others = rows.anti_join(told, "rid")
    return ibis.union(
        rows.filter(_.shown_position.notnull()).mutate(assumed=False),
        others.semi_join(reported, ["rid", "rank"]).mutate(assumed=False),
        others.anti_join(reported.select("rid").distinct(), "rid")
        .filter(_.was_returned)
        .mutate(assumed=True),
        distinct=False,
    )


def _counted(rows: ibis.Table, keys: list[str]) -> ibis.Table:
    return rows.group_by(keys).agg(impressions=_.count(), clicks=_.clicked.sum().cast("int64"))


def _columns(counted: pa.Table) -> tuple[Ints, np.ndarray, np.ndarray]:
    return (
        counted["place"].to_numpy().astype(np.int64),
        counted["impressions"].to_numpy().astype(np.float64),
        counted["clicks"].to_numpy().astype(np.float64),
    )


def _numbers(column: pa.ChunkedArray) -> Ints:
    """Each value's number, from 0, in sorted order of the rows."""
    encoded = column.combine_chunks().dictionary_encode()
    return np.asarray(encoded.indices.to_numpy(zero_copy_only=False), np.int64)


def _pairs(one: Ints, other: Ints) -> Ints:
    """The number of each pair, from 0."""
    _, number = np.unique(np.stack([one, other.astype(np.int64)], 1), axis=0, return_inverse=True)
    return np.asarray(number.reshape(-1), np.int64)
