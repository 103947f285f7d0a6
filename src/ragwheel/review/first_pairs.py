"""What the page asks about before the store is graded: the order of the last visit, else new questions.

Either costs milliseconds, so that the first card waits for nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ragwheel.judgments.pairs import OpenPair
from ragwheel.store.review_order import (
    PairPlace,
    PlacedPair,
    newest_places,
    pairs_at,
    save_order,
    saved_order,
)
from ragwheel.store.reviews import reading_rows
from ragwheel.words import query_key

if TYPE_CHECKING:
    from ragwheel.labels.pipeline import GradedStore

__all__ = ["first_pairs", "keep_order"]

_KEPT: Final = 2_000
_RETRIEVALS: Final = 300
_DEPTH: Final = 3
_PAIR: Final = ["query_key", "chunk_version"]


def first_pairs(db: Path, *, check: bool = False) -> list[OpenPair]:
    """Return pairs to begin with.

    Args:
        db: the database.
        check: begin with the order that an earlier ``--check`` had.

    Raises:
        StoreError: the database cannot be read.
    """
    with reading_rows(db) as connection:
        placed = pairs_at(connection, saved_order(db, _name(check)))
        if not placed:
            placed = pairs_at(connection, newest_places(connection, retrievals=_RETRIEVALS, depth=_DEPTH))
    return [_open_pair(pair) for pair in placed]


def keep_order(store: GradedStore, pairs: Sequence[OpenPair], db: Path, *, check: bool = False) -> None:
    """Keep the beginning of the computed order for the next visit.

    Raises:
        OSError: the database's folder cannot be written.
    """
    import pyarrow as pa
    from ibis import _

    first = pairs[:_KEPT]
    listed = pa.table(
        {
            "query_key": [pair.query_key for pair in first],
            "chunk_version": pa.array([pair.chunk_version for pair in first], pa.int64()),
            "number": pa.array(range(len(first)), pa.int64()),
        }
    )
    engine = store.facts.engine
    rows = store.facts.exposed.join(engine.register("first_pairs", listed), _PAIR)
    rows = rows.group_by("number").agg(retrieval_id=_.retrieval_id.argmin(_["rank"]), best=_["rank"].min())
    places = [
        PairPlace(row["retrieval_id"], row["best"], first[row["number"]].why, first[row["number"]].belief)
        for row in engine.arrow(rows.order_by("number")).to_pylist()
    ]
    save_order(db, _name(check), places)


def _name(check: bool) -> str:
    return "check" if check else "grade"


def _open_pair(pair: PlacedPair) -> OpenPair:
    return OpenPair(
        query_key(pair.query), pair.query, pair.chunk_version, pair.source, pair.chunk_id, pair.place.rank,
        pair.place.why, pair.place.belief,
    )  # fmt: skip
