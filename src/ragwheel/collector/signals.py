"""Storing a batch of signals. Every signal gets a status; one with the status *kept* is on disk.

============  ==================================================================  =====
status        means                                                               again
============  ==================================================================  =====
``kept``      stored                                                              no
``pending``   stored; joins when its retrieval, turn or chunk is known            no
``duplicate`` had been stored before                                              no
``refused``   never will be; ``reason`` says why                                  no
``later``     not now: a rate was exceeded, or the disk did not take it           yes
============  ==================================================================  =====
"""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ragwheel.collector.accept import RejectedHandle, Sender, SignalValidator, fingerprint, printable
from ragwheel.collector.history import EventHistory
from ragwheel.collector.limits import Buckets, RequestLimits
from ragwheel.collector.wire import BadItem, decode
from ragwheel.journal.records import SignalRecord, event_key
from ragwheel.runtime import Runtime

__all__ = ["BatchAnswer", "Collector", "SignalResult"]

Status = Literal["kept", "pending", "duplicate", "refused", "later"]
STORED = frozenset({"kept", "pending", "duplicate"})
RETRY_S = 1.0
DAY_S = 24 * 3600


@dataclass(frozen=True)
class SignalResult:
    """The result for one signal; ``code`` is the HTTP status that it would get alone."""

    event_id: str | None
    status: Status
    reason: str | None = None
    code: int = 200

    def as_json(self) -> dict[str, Any]:
        """Return the result as an object of the response."""
        return {"event_id": self.event_id, "status": self.status, "reason": self.reason}


@dataclass(frozen=True)
class BatchAnswer:
    """The results of a batch; ``retry_after_s`` is set if some signals should be sent again."""

    results: tuple[SignalResult, ...]
    retry_after_s: float = 0.0

    @property
    def code(self) -> int:
        """The HTTP status: 200 if all were stored, 207 if some were, else that of the worst result."""
        stored = sum(result.status in STORED for result in self.results)
        if stored:
            return 200 if stored == len(self.results) else 207
        codes = {result.code for result in self.results}
        return next(code for code in (503, 429, 403, 422) if code in codes)


class Collector:
    """Checks signals and writes them to the journal of a runtime.

    Args:
        limits: the limits per item and per subject; the limits of requests are enforced elsewhere.
        apps: the apps whose handles are accepted; empty: the runtime's own app, or all if it has no name.
    """

    def __init__(self, limits: RequestLimits, apps: Collection[str]) -> None:
        self._limits = limits
        self._apps = frozenset(apps)
        self._subjects = Buckets(limits.subject_per_s, limits.subject_burst)
        per_day = limits.subject_bytes_per_day
        self._bytes = Buckets(per_day / DAY_S, per_day)
        self._known: tuple[int, EventHistory] | None = None

    def take(self, runtime: Runtime, items: Sequence[bytes], sender: Sender) -> BatchAnswer:
        """Store the items and return their results in order.

        It writes to disk, so do not call it in an event loop.
        """
        history = self._history(runtime)
        checked = [self._checked(runtime, raw, sender) for raw in items]
        history.recall(decision for decision in checked if isinstance(decision, SignalRecord))
        wait_s = 0.0
        new: dict[object, SignalRecord] = {}  # by event
        decided: list[SignalRecord | SignalResult] = []
        for raw, decision in zip(items, checked, strict=True):
            if isinstance(decision, SignalRecord):
                decision, item_wait_s = self._decided(runtime, history, decision, new, len(raw))
                wait_s = max(wait_s, item_wait_s)
            decided.append(decision)
        written = dict(zip(new, runtime.write_signals(list(new.values()))))
        warned: set[object] = set()
        results = [self._results(history, decision, written, warned) for decision in decided]
        return BatchAnswer(tuple(results), wait_s if all(written.values()) else max(wait_s, RETRY_S))

    def _checked(self, runtime: Runtime, raw: bytes, sender: Sender) -> SignalRecord | SignalResult:
        """Return the record of an item, or the result that refuses it."""
        settings = runtime.settings
        apps = self._apps or {settings.app} - {""}
        event_id = None
        try:
            item = decode(raw, self._limits)
            event_id = printable(item.event_id)
            desk = SignalValidator(settings.signing_keys, apps, settings.max_text_chars)
            return desk.record(item, sender, time.time_ns())
        except BadItem as exc:
            runtime.refuse(f"collector: {exc.reason}")
            code = 403 if isinstance(exc, RejectedHandle) else 422
            return SignalResult(event_id or printable(exc.event_id), "refused", exc.reason, code)

    def _decided(
        self,
        runtime: Runtime,
        history: EventHistory,
        record: SignalRecord,
        new: dict[object, SignalRecord],
        n_bytes: int,
    ) -> tuple[SignalRecord | SignalResult, float]:
        """Return a record to write (added to ``new``), or the result instead; and the seconds to wait."""
        event_id, event = record.event_id or "", event_key(record)
        subject = record.subject or record.target_id.hex()
        wait_s = self._subjects.take(subject)
        if wait_s:
            return SignalResult(event_id, "later", "too many signals from this subject", 429), wait_s
        seen = history.event(record)
        if seen == "new" and event in new and fingerprint(new[event]) != fingerprint(record):
            seen = "other"
        if seen != "same" and self._bytes.take(subject, n_bytes):
            runtime.refuse("collector: quota of bytes per subject and day")
            return SignalResult(event_id, "refused", "too many bytes from this subject today", 429), 0.0
        if history.is_ambiguous(record):
            runtime.refuse("collector: chunk id of several sources")
            reason = "chunk id of several sources: send the handle of the retrieval"
            return SignalResult(event_id, "refused", reason, 422), 0.0
        if seen == "same":
            return SignalResult(event_id, "duplicate"), 0.0
        if seen == "other":
            runtime.refuse("collector: event_id of another signal")
            return SignalResult(event_id, "refused", "event_id of another signal", 422), 0.0
        return new.setdefault(event, record), 0.0

    @staticmethod
    def _results(
        history: EventHistory,
        decision: SignalRecord | SignalResult,
        written: dict[object, bool],
        warned: set[object],
    ) -> SignalResult:
        """Return the result of an item. The second occurrence of a record in a request is a duplicate."""
        if isinstance(decision, SignalResult):
            return decision
        event_id, event = decision.event_id or "", event_key(decision)
        if not written[event]:
            return SignalResult(event_id, "later", "could not be stored", 503)
        if event in warned:
            return SignalResult(event_id, "duplicate")
        warned.add(event)
        history.keep(decision)
        return SignalResult(event_id, "kept" if history.matches(decision) else "pending")

    def _history(self, runtime: Runtime) -> EventHistory:
        """Return the history for this runtime in this process; a forked child gets a new one."""
        pid = os.getpid()
        if self._known is None or self._known[0] != pid or self._known[1].runtime is not runtime:
            if self._known is not None and self._known[0] == pid:
                self._known[1].close()
            self._known = pid, EventHistory(runtime)
        return self._known[1]

    def close(self) -> None:
        """Close the connection to the database."""
        if self._known is not None and self._known[0] == os.getpid():
            self._known[1].close()
            self._known = None
