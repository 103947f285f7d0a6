"""Which days of which table changed since they were last read: a digest per table and day.

Rows of retrievals and signals are only ever added and erased; those of turns may get a newer revision,
judgments may be replaced, and so may a chunk's metadata. A digest is the sum over the day's rows of a hash of
what identifies the row: of its span id (random) and its revision; of everything in a judgment.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from hashlib import blake2b
from typing import Any, Final

import numpy as np
import numpy.typing as npt

__all__ = ["DAY_NS", "Partition", "partitions"]

DAY_NS: Final = 24 * 3600 * 10**9
_BATCH: Final = 100_000
#: id, time, what identifies the row (a blob, or text), revision
_KEYS: Final = {
    "retrieval": "SELECT id, start_ns, span_id, 0 FROM _retrieval",
    "turn": "SELECT id, start_ns, span_id, revision FROM _turn",
    "signal": "SELECT id, at_ns, span_id, other IS NULL FROM _signal",
    "chunk": (
        "SELECT chunk_id, first_seen_ns, json_array(name, app_id, hex(hash), metadata), 0"
        " FROM _chunk JOIN _text USING (text_id) JOIN _source USING (source_id)"
    ),
    "judgment": (
        "SELECT id, at_ns, json_array(query, source, chunk, hex(text_hash), grade, judge, judge_kind,"
        " name, use), 0 FROM _judgment LEFT JOIN _evalset USING (evalset_id)"
    ),
}
Words = npt.NDArray[np.uint64]


@dataclass(frozen=True)
class Partition:
    """The rows of one table and day: the store's first and last row number, how many, and a digest.

    ``others`` names the file whose remaining rows are written beside them, if any.
    """

    first: int
    last: int
    rows: int
    digest: int
    others: str = ""

    @property
    def digest_name(self) -> str:
        """Names what the store has of the day: 16 hex digits."""
        return blake2b(f"{self.rows}:{self.digest}".encode(), digest_size=8).hexdigest()

    @property
    def name(self) -> str:
        """Names the content of the file: 16 hex digits."""
        if not self.others:
            return self.digest_name
        return blake2b(f"{self.digest_name}:{self.others}".encode(), digest_size=8).hexdigest()

    def beside(self, others: str) -> Partition:
        """Return the partition together with the remaining rows of a file."""
        return replace(self, others=others)


def partitions(connection: sqlite3.Connection, table: str) -> dict[str, Partition]:
    """The partitions of a table by their day, ``2026-11-22``, in UTC."""
    by_day: dict[int, Partition] = {}
    cursor = connection.execute(_KEYS[table])
    while rows := cursor.fetchmany(_BATCH):
        ids, times, marks, revisions = zip(*rows)
        number = np.array(ids, np.int64)
        hashes = _mixed(_mixed(_words(marks)) ^ np.array(revisions, np.uint64))
        days, place = np.unique(np.array(times, np.int64) // DAY_NS, return_inverse=True)
        digests = np.zeros(len(days), np.uint64)
        np.add.at(digests, place, hashes)
        for n, day in enumerate(days.tolist()):
            mine = number[place == n]
            part = Partition(int(mine.min()), int(mine.max()), len(mine), int(digests[n]))
            by_day[day] = _both(by_day[day], part) if day in by_day else part
    return {_date(day): by_day[day] for day in sorted(by_day)}


def _both(first: Partition, second: Partition) -> Partition:
    return Partition(
        min(first.first, second.first),
        max(first.last, second.last),
        first.rows + second.rows,
        (first.digest + second.digest) % 2**64,
    )


def _date(day: int) -> str:
    return datetime.fromtimestamp(day * 86_400, timezone.utc).strftime("%Y-%m-%d")


def _words(marks: tuple[Any, ...]) -> Words:
    """The first eight bytes of each; of a text, of its hash."""
    blobs = (
        mark if isinstance(mark, bytes) else blake2b(mark.encode(), digest_size=8).digest() for mark in marks
    )
    return np.frombuffer(b"".join(blob[:8].ljust(8, b"\0") for blob in blobs), np.uint64)


def _mixed(words: Words) -> Words:
    """SplitMix64's finaliser: every bit of the input moves half of the output."""
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))
