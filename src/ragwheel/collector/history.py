"""The served chunks and the events that a collector knows already.

Memory is asked first, then the database. The answers only decide the status that the sender gets: an unknown
chunk joins its retrieval as soon as that is stored, and the database keeps a repeated event as one row.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Literal

from ragwheel.collector.accept import fingerprint
from ragwheel.journal.records import SignalRecord, event_key
from ragwheel.runtime import Runtime
from ragwheel.store.known import Inquiry

__all__ = ["EventHistory"]

Served = list[tuple[str, ...]]
"""The chunk ids, in rank order, of each retrieval that a handle names."""


class EventHistory:
    """Events and served chunks, from a bounded memory and else from the database.

    Args:
        runtime: the runtime whose database is read.
        remembered: how many events and retrievals are kept in memory.
    """

    def __init__(self, runtime: Runtime, *, remembered: int = 20_000) -> None:
        self.runtime = runtime
        self._events: OrderedDict[object, bytes] = OrderedDict()
        self._served: OrderedDict[tuple[int, bytes], Served] = OrderedDict()
        self._remembered = remembered
        self._database = Inquiry(runtime.settings.db)
        self._lock = threading.Lock()

    def recall(self, records: Iterable[SignalRecord]) -> None:
        """Load from the database which of these events are stored, for :meth:`event`."""
        with self._lock:
            unknown = [r.event_id for r in records if r.event_id and event_key(r) not in self._events]
        if not unknown:
            return
        for event in self._database.events(unknown):
            self.keep(
                SignalRecord(
                    b"", b"", event.event_id, event.kind, event.target, event.target_id, event.chunk,
                    event.rank, event.value, None, event.other, event.subject, 0, 0, (),
                )
            )  # fmt: skip

    def event(self, record: SignalRecord) -> Literal["new", "same", "other"]:
        """Return whether an event is new, stored already, or in conflict with a stored one of its id."""
        with self._lock:
            previous = self._events.get(event_key(record))
        if previous is None:
            return "new"
        return "same" if previous == fingerprint(record) else "other"

    def keep(self, record: SignalRecord) -> None:
        """Remember an event that is in the journal or in the database."""
        with self._lock:
            self._events[event_key(record)] = fingerprint(record)
            if len(self._events) > self._remembered:
                self._events.popitem(last=False)

    def is_ambiguous(self, record: SignalRecord) -> bool:
        """Return whether a turn has chunks of several sources with the id that a signal names."""
        if record.target != 1 or record.chunk is None or record.rank is not None:
            return False
        key = (record.target_id, record.chunk)
        return len(self.runtime.sources_of(1, *key) or self._database.sources(*key)) > 1

    def matches(self, record: SignalRecord) -> bool:
        """Return whether the signal's chunk is known to have been served, or its turn is stored."""
        if record.chunk is None and record.rank is None:
            key = (record.target, record.target_id)
            return bool(self.runtime.served(*key)) or self._database.holds(*key)
        wanted = [(record.chunk, record.rank)]
        if record.kind == "prefer":
            wanted.append((record.other, None))
        key = (record.target, record.target_id)
        sources: tuple[Callable[[], Served | None], ...] = (
            lambda: self.runtime.served(*key),
            lambda: self._served.get(key),
            lambda: self._stored_chunks(key),
        )
        return any(_has(source(), wanted) for source in sources)

    def _stored_chunks(self, key: tuple[int, bytes]) -> Served:
        served = self._database.served(*key)
        if served:
            with self._lock:
                self._served[key] = served
                if len(self._served) > self._remembered // 10:
                    self._served.popitem(last=False)
        return served

    def close(self) -> None:
        """Close the connection to the database."""
        self._database.close()


def _has(served: Served | None, wanted: list[tuple[str | None, int | None]]) -> bool:
    return served is not None and all(
        any(_is_in(chunk, rank, ids) for ids in served) for chunk, rank in wanted
    )


def _is_in(chunk: str | None, rank: int | None, ids: tuple[str, ...]) -> bool:
    if chunk is None:
        return rank is not None and rank <= len(ids)
    return chunk in ids if rank is None else ids[rank - 1 : rank] == (chunk,)
