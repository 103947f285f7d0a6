"""What a build reads: a database, or the Parquet partitions that were exported from one."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Final

from ragwheel.errors import StoreEmpty, StoreMissing
from ragwheel.labels.traces.lake import is_traces, located, open_lake
from ragwheel.labels.traces.read import StoreTables, TextReader, read_store
from ragwheel.labels.traces.read_parquet import evalsets_of, read_parquet
from ragwheel.labels.traces.steady import steady
from ragwheel.labels.traces.struck import StruckRow, struck_in, struck_rows
from ragwheel.store import open_store
from ragwheel.store.reviews import review_rows
from ragwheel.store.unreadable import UnreadableRetrievals, unreadable_retrievals

__all__ = ["Source", "open_source", "store_source"]

_EVALSETS: Final = "SELECT evalset_use, query, evalset FROM judgments WHERE evalset IS NOT NULL"


@dataclass(frozen=True)
class Source:
    """Traces to be read.

    Args:
        database: the name of the database's file, whatever the traces are read from.
        read: the tables, and the text of a ``text_id``.
        evalsets: use, query and name of every judgment of an evaluation set.
        unreadable: retrievals of whose results nothing could be read; exported partitions do not say.
        struck: training rows that people struck out.
    """

    database: str
    read: Callable[[], tuple[StoreTables, Callable[[int], str]]]
    evalsets: Callable[[], Iterable[tuple[str, str, str]]]
    unreadable: Callable[[], list[UnreadableRetrievals]] = list
    struck: Callable[[], list[StruckRow]] = list


def store_source(connection: sqlite3.Connection, database: str = "") -> Source:
    """The traces of an open database."""
    return Source(
        database,
        lambda: (read_store(connection), TextReader(connection)),
        lambda: connection.execute(_EVALSETS).fetchall(),
        lambda: unreadable_retrievals(connection),
        lambda: struck_rows(review_rows(connection, "strike")),
    )


@contextmanager
def open_source(place: str | Path, *, judgments_alone: bool = True) -> Iterator[Source]:
    """Open a database, or a folder or URL that ``ragwheel export traces`` wrote.

    A database without traces is accepted where it has judgments and these alone are enough.

    Raises:
        StoreError: the database cannot be read, or there are no traces.
        DatasetError: the partitions cannot be read.
        ConfigurationError: the URL cannot be reached.
    """
    if not is_traces(place):
        store = _opened(place) if judgments_alone else open_store(place, require_traces=True)
        with closing(store) as connection:
            yield store_source(connection, Path(place).name)
        return
    lake = open_lake(*located(place))
    if not lake.stores:
        raise StoreMissing(
            f"There are no traces at {place}. Export some: ragwheel export traces --out {place}"
        )
    if not any(any(manifest["spans"].values()) for manifest in lake.stores.values()):
        raise StoreEmpty(f"{place} holds no traces yet. See what is recorded: ragwheel status")
    with steady(lake) as copied:
        read = lru_cache(maxsize=1)(partial(read_parquet, copied))
        yield Source(
            ", ".join(sorted({manifest["database"] for manifest in copied.stores.values()})),
            read,
            lambda: evalsets_of(read()[0].judgment),
            struck=lambda: [row for manifest in copied.stores.values() for row in struck_in(manifest)],
        )


def _opened(place: str | Path) -> sqlite3.Connection:
    """A database for reading; one with judgments alone, of an evaluation set, is enough."""
    connection = open_store(place)
    (judged,) = connection.execute("SELECT EXISTS (SELECT 1 FROM judgments)").fetchone()
    if judged:
        return connection
    connection.close()
    return open_store(place, require_traces=True)
