"""What is known already: which chunks were served, which events have come.

Both are asked of memory first and of the database second, and both only shape the answer: a chunk that is
not known yet joins its retrieval whenever that is stored, and an event that comes twice is one row anyhow.
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
"""Chunk ids in rank order, of each retrieval that a handle names."""


class EventHistory:
    """Answers from memory of bounded size, else from the database.

    Args:
        runtime: whose database it is.
        remembered: events and retrievals that are kept in memory.
    """

    def __init__(self, runtime: Runtime, *, remembered: int = 20_000) -> None:
        self.runtime = runtime
        self._events: OrderedDict[object, bytes] = OrderedDict()
        self._served: OrderedDict[tuple[int, bytes], Served] = OrderedDict()
        self._remembered = remembered
        self._database = Inquiry(runtime.settings.db)
        self._lock = threading.Lock()

    def recall(self, records: Iterable[SignalRecord]) -> None:
        """Look up in the database which of these events have come, for :meth:`event` to know."""
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
        """Whether this event has come: never, this very one, or another under its id, target and subject."""
        with self._lock:
            previous = self._events.get(event_key(record))
        if previous is None:
            return "new"
        return "same" if previous == fingerprint(record) else "other"

    def keep(self, record: SignalRecord) -> None:
        """An event is in the journal or in the database."""
        with self._lock:
            self._events[event_key(record)] = fingerprint(record)
            if len(self._events) > self._remembered:
                self._events.popitem(last=False)

    def is_ambiguous(self, record: SignalRecord) -> bool:
        """Whether chunks of several sources in a turn have the id that a signal gives."""
        if record.target != 1 or record.chunk is None or record.rank is not None:
            return False
        key = (record.target_id, record.chunk)
        return len(self.runtime.sources_of(1, *key) or self._database.sources(*key)) > 1

    def matches(self, record: SignalRecord) -> bool:
        """Whether what the signal is about is known to exist: the chunk was served, or the turn is stored."""
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
        """Let go of the database."""
        self._database.close()


def _has(served: Served | None, wanted: list[tuple[str | None, int | None]]) -> bool:
    return served is not None and all(
        any(_is_in(chunk, rank, ids) for ids in served) for chunk, rank in wanted
    )


def _is_in(chunk: str | None, rank: int | None, ids: tuple[str, ...]) -> bool:
    if chunk is None:
        return rank is not None and rank <= len(ids)
    return chunk in ids if rank is None else ids[rank - 1 : rank] == (chunk,)
