"""The order in which the review page asks, kept beside the journal, and a cheap order to begin with.

A pair is kept as a place in a retrieval: the retrieval's id and a rank, no text and no id of a chunk. What
was erased meanwhile is therefore not read again; erasing removes the file, too.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from ragwheel.ids import new_span_id
from ragwheel.journal.files import hand_over, ready_folder, segment_folder

__all__ = [
    "PairPlace",
    "PlacedPair",
    "forget_order",
    "newest_places",
    "pairs_at",
    "save_order",
    "saved_order",
    "store_state",
]

_NAME: Final = "review-order"
_NEWEST: Final = """
SELECT lower(hex(r.span_id)), r.n_returned, json_array_length(r.chunks),
       EXISTS (SELECT 1 FROM _signal g WHERE g.target_id IN (r.span_id, r.turn_id)
                  AND g.kind IN ('thumbs_down', 'delete', 'reformulate', 'abandon'))
  FROM (SELECT * FROM _retrieval WHERE outer_id IS NULL AND query <> '' AND chunks <> '[]'
         ORDER BY id DESC LIMIT ?) r
"""


class PairPlace(msgspec.Struct, frozen=True, array_like=True):
    """A ranked chunk of a retrieval, why its pair is asked about, and the belief of the last computation."""

    retrieval_id: str
    rank: int
    why: str
    belief: float | None = None


@dataclass(frozen=True, slots=True)
class PlacedPair:
    """The question and the chunk at a place."""

    place: PairPlace
    query: str
    chunk_version: int
    source: str
    chunk_id: str


def save_order(db: Path, name: str, places: Sequence[PairPlace]) -> None:
    """Keep an order under a name, in place of the one before.

    Raises:
        OSError: the journal's folder cannot be written.
    """
    orders = _read(db) | {name: list(places)}
    ready_folder(db)
    path = segment_folder(db) / _NAME
    fresh = path.with_name(f"{_NAME}.{new_span_id().hex()}.new")
    fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(fd, "wb") as file:
            hand_over(fd, db)
            file.write(msgspec.json.encode(orders))
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)


def saved_order(db: Path, name: str) -> list[PairPlace]:
    """Return the order that was kept under a name, or an empty list."""
    return _read(db).get(name, [])


def forget_order(db: Path) -> None:
    """Remove the orders that are kept beside a database."""
    (segment_folder(db) / _NAME).unlink(missing_ok=True)


def pairs_at(connection: sqlite3.Connection, places: Iterable[PairPlace]) -> list[PlacedPair]:
    """Return the questions and chunks at some places, in their order; what was erased is left out."""
    listed = list(places)
    rows = connection.execute(
        "SELECT e.key, r.query, c.number, s.name, c.app_id"
        " FROM json_each(?1) e JOIN _retrieval r ON lower(hex(r.span_id)) = json_extract(e.value, '$[0]')"
        " JOIN _chunk c"
        " ON c.chunk_id = json_extract(r.chunks, '$[' || (json_extract(e.value, '$[1]') - 1) || ']')"
        " JOIN _source s USING (source_id) ORDER BY e.key",
        (json.dumps([[pair.retrieval_id, pair.rank] for pair in listed]),),
    )
    return [PlacedPair(listed[index], *row) for index, *row in rows]


def newest_places(connection: sqlite3.Connection, *, retrievals: int, depth: int) -> list[PairPlace]:
    """Return the first ranks of the newest retrievals, those that somebody complained about first.

    The best ranked chunk of each comes before the second best of any. It costs a look at so many rows,
    however large the store is.
    """
    rows = connection.execute(_NEWEST, (retrievals,)).fetchall()
    rows.sort(key=lambda row: not row[3])
    return [
        PairPlace(retrieval_id, rank, "newest")
        for rank in range(1, depth + 1)
        for retrieval_id, n_returned, length, _complaint in rows
        if rank <= min(n_returned, length)
    ]


def store_state(connection: sqlite3.Connection) -> tuple[int, ...]:
    """Return numbers that change whenever something that grades depend on is added or erased."""
    row = connection.execute(
        "SELECT (SELECT max(id) FROM _retrieval), (SELECT max(id) FROM _turn),"
        " (SELECT sum(revision) FROM _turn), (SELECT max(id) FROM _signal),"
        " (SELECT count(*) FROM _judgment), (SELECT max(at_ns) FROM _judgment),"
        " (SELECT sum(n) FROM _account WHERE name = 'removed')"
    ).fetchone()
    return tuple(value or 0 for value in row)


def _read(db: Path) -> dict[str, list[PairPlace]]:
    """Return what is kept; nothing where the file is missing or not ours to read: it is only an order."""
    try:
        content = (segment_folder(db) / _NAME).read_bytes()
        return msgspec.json.decode(content, type=dict[str, list[PairPlace]])
    except (OSError, msgspec.DecodeError):
        return {}
