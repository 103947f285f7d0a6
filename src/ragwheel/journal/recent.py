"""What this process has written lately: chunk ids by retrieval and turn, and events. Bounded, in memory."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Final, NamedTuple

from ragwheel.journal.records import Retrieval

__all__ = ["RecentRecords", "Served"]

REMEMBERED: Final = 2000
"""Retrievals, turns and events that are remembered, each."""


class Served(NamedTuple):
    """The source of a retrieval, and the app's ids of its chunks in rank order."""

    source: str
    ids: tuple[str, ...]


class RecentRecords:
    """Remembers the latest records, to tell an unknown chunk, or an event that came before, at once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._served: OrderedDict[bytes, str] = (
            OrderedDict()
        )  # source and ids, which hold no NUL, as one text
        self._turns: OrderedDict[bytes, list[bytes]] = OrderedDict()
        self._events: OrderedDict[object, None] = OrderedDict()

    def retrieved(self, record: Retrieval, ids: list[str]) -> None:
        """Remember a retrieval and its chunk ids, and where it is an outermost one of a turn, that too."""
        with self._lock:
            self._served[record.span_id] = "\0".join((record.source, *ids))
            if len(self._served) > REMEMBERED:
                self._served.popitem(last=False)
            if record.turn_id is not None and record.outer_id is None:
                spans = self._turns.setdefault(record.turn_id, [])
                if len(spans) <= REMEMBERED:  # more are never all remembered
                    spans.append(record.span_id)
                if len(self._turns) > REMEMBERED:
                    self._turns.popitem(last=False)

    def served(self, target: int, span_id: bytes) -> list[Served] | None:
        """The retrieval (0), or each outermost one of the turn (1); None: this process can't tell."""
        with self._lock:
            spans = [span_id] if target == 0 else self._turns.get(span_id)
            texts = [self._served.get(span) for span in spans or ()]
        known = [
            Served(parts[0], tuple(parts[1:])) for parts in (t.split("\0") for t in texts if t is not None)
        ]
        return known if known and len(known) == len(texts) else None

    def happened(self, event: object) -> bool:
        """Whether an event was written before."""
        with self._lock:
            return event is not None and event in self._events

    def add_event(self, event: object) -> None:
        """Remember an event that was written; None has no id and is not remembered."""
        if event is None:
            return
        with self._lock:
            self._events[event] = None
            if len(self._events) > REMEMBERED:
                self._events.popitem(last=False)

    def forget_events(self) -> None:
        """Forget all events: some were not acknowledged and will be sent again."""
        with self._lock:
            self._events.clear()
