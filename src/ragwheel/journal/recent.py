"""What this process has written lately: chunk ids by retrieval and turn, and events. Bounded, in memory."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Final, NamedTuple

from ragwheel.journal.records import RetrievalRecord

__all__ = ["RecentRecords", "ServedRanking"]

REMEMBERED: Final = 2000
"""Retrievals, turns and events that are remembered, each."""


class ServedRanking(NamedTuple):
    """The source of a retrieval or re-ranking, its kind, and the app's ids of its chunks in rank order."""

    source: str
    kind: int
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

    def retrieved(self, record: RetrievalRecord, ids: list[str]) -> None:
        """Remember a retrieval and its chunk ids, and where it is an outermost one of a turn, that too."""
        with self._lock:
            self._served[record.span_id] = "\0".join((record.source, str(record.kind), *ids))
            if len(self._served) > REMEMBERED:
                self._served.popitem(last=False)
            if record.turn_id is not None and record.outer_id is None:
                spans = self._turns.setdefault(record.turn_id, [])
                if len(spans) <= REMEMBERED:  # more are never all remembered
                    spans.append(record.span_id)
                if len(self._turns) > REMEMBERED:
                    self._turns.popitem(last=False)

    def served(self, target: int, span_id: bytes) -> list[ServedRanking] | None:
        """The retrieval (0), or each outermost one of the turn (1); None: this process can't tell."""
        with self._lock:
            spans = [span_id] if target == 0 else self._turns.get(span_id)
            texts = [self._served.get(span) for span in spans or ()]
        parts = [text.split("\0") for text in texts if text is not None]
        rankings = [ServedRanking(source, int(kind), tuple(ids)) for source, kind, *ids in parts]
        return rankings if rankings and len(rankings) == len(texts) else None

    def sources(self, turn_id: bytes, app_id: str) -> set[str]:
        """The sources that a chunk's id may mean in a turn: those of re-rankings before retrievals'."""
        holding = [served for served in self.served(1, turn_id) or () if app_id in served.ids]
        last = max((served.kind for served in holding), default=0)
        return {served.source for served in holding if served.kind == last}

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
