"""What to send next and what an answer means, without any input or output of its own.

The worker of either client asks :meth:`Delivery.next_body`, sends it, and tells :meth:`Delivery.answered` or
:meth:`Delivery.failed`, which say how long to wait. A signal is sent until the collector says what became of
it: what it stored or refused is done, what it could not take now goes back into the outbox.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import Any, Final

import msgspec

from ragwheel.client.outbox import Outbox

__all__ = ["ClientOptions", "ClientStats", "Delivery", "unix_seconds"]

STORED: Final = frozenset({"kept", "pending", "duplicate"})
OURS: Final = frozenset({400, 413, 415, 422})
"""A request that the collector cannot read: sent in halves until the one signal that is to blame is left."""
MAX_RETRY_AFTER_S: Final = 300.0


@dataclass(frozen=True)
class ClientOptions:
    """How a client sends.

    ``linger_s``: how long the first signal waits for company. ``backoff_s`` doubles with each failure up to
    ``max_backoff_s``; what is waited is drawn at random below that. ``max_outbox_bytes``: beyond, signals are
    dropped and counted.
    """

    batch_items: int = 50
    batch_bytes: int = 60_000
    linger_s: float = 0.2
    timeout_s: float = 10.0
    backoff_s: float = 0.5
    max_backoff_s: float = 60.0
    max_item_bytes: int = 16_000
    max_outbox_bytes: int = 64 * 1024 * 1024


@dataclass(frozen=True)
class ClientStats:
    """Counts of this process.

    ``accepted``: signals that ``signal()`` gave an event id for. ``sent``: stored by the collector.
    ``pending``: not answered yet, with those taken over from processes that died. ``refused``: by the
    collector for good, by reason. ``dropped``: not accepted, by reason; ``closed``: lost with a client that
    had no outbox on disk. ``failures``: requests that brought no answer about their signals.
    """

    accepted: int = 0
    sent: int = 0
    pending: int = 0
    refused: dict[str, int] = field(default_factory=dict)
    dropped: dict[str, int] = field(default_factory=dict)
    failures: int = 0


class Delivery:
    """The state between an outbox and a collector. One batch is under way at a time."""

    def __init__(
        self, outbox: Outbox, options: ClientOptions, *, now_s: Callable[[], float] = time.time
    ) -> None:
        self.outbox, self.options = outbox, options
        self._now_s = now_s
        self.reset()

    def reset(self) -> None:
        """Start counting anew (in a forked child)."""
        self._lock = threading.Lock()
        self.accepted = self.sent = self.failures = 0
        self.refused: dict[str, int] = {}
        self.dropped: dict[str, int] = {}
        self._batch: list[bytes] = []
        self._attempts = 0
        self._items = self.options.batch_items

    def submit(self, signal: Mapping[str, Any]) -> bool:
        """Take one signal in; False (and counted) when it cannot be kept."""
        try:
            body = msgspec.json.encode(signal)
        except (TypeError, ValueError, OverflowError, RecursionError):
            return self._drop("not JSON")
        if len(body) > self.options.max_item_bytes:
            return self._drop("too large")
        if not self.outbox.put(body):
            return self._drop("outbox full")
        with self._lock:
            self.accepted += 1
        return True

    def _drop(self, reason: str) -> bool:
        with self._lock:
            _count(self.dropped, reason)
        return False

    def close(self) -> None:
        """Let go of the outbox, and count what is lost with it."""
        lost = self.outbox.close()
        if lost:
            with self._lock:
                _count(self.dropped, "closed", lost)

    def next_body(self) -> bytes | None:
        """The next request's body, or None when there is nothing to send."""
        self._batch = self.outbox.take(self._items, self.options.batch_bytes)
        return b'{"signals":[' + b",".join(self._batch) + b"]}" if self._batch else None

    def failed(self) -> float:
        """The collector was not reached; returns the seconds to wait."""
        self.failures += 1
        return self._backoff()

    def answered(self, status: int, retry_after: str | None, content: bytes) -> float:
        """The collector's response; returns the seconds to wait before the next request."""
        statuses = _results(content, len(self._batch))
        if statuses is None:
            return self._unread(status, retry_after)
        again = []
        for body, (what, reason) in zip(self._batch, statuses):
            if what in STORED:
                self.sent += 1
            elif what == "refused":
                _count(self.refused, reason)
            else:
                again.append(body)
        alone = len(again) == self.outbox.pending
        progress = len(again) < len(self._batch)
        self.outbox.done(again)
        self._items = min(self.options.batch_items, self._items * 2)
        if progress:
            self._attempts = 0
        if not again or (progress and not alone):
            return 0.0
        return max(self._wait_s(retry_after), self._backoff())

    def _unread(self, status: int, retry_after: str | None) -> float:
        """A response that says nothing about the signals: a proxy's, or to a request that was unreadable."""
        if status not in OURS:
            self.failures += 1
            return max(self._wait_s(retry_after), self._backoff())
        if len(self._batch) > 1:
            self._items = max(1, len(self._batch) // 2)
            return 0.0
        _count(self.refused, f"HTTP {status}")
        self.outbox.done(())
        return 0.0

    def _backoff(self) -> float:
        """Exponential with full jitter (M. Brooker, "Exponential backoff and jitter", AWS 2015)."""
        most = min(self.options.max_backoff_s, self.options.backoff_s * 2 ** min(self._attempts, 30))
        self._attempts += 1
        return random.uniform(most / 10, most)

    def _wait_s(self, retry_after: str | None) -> float:
        """``Retry-After`` in seconds, given as such or as a date; 0 when there is none."""
        if not retry_after:
            return 0.0
        try:
            seconds = float(retry_after)
        except ValueError:
            try:
                until = parsedate_to_datetime(retry_after)
            except ValueError:
                return 0.0
            seconds = until.timestamp() - self._now_s()
        return min(max(seconds, 0.0), MAX_RETRY_AFTER_S)

    def stats(self) -> ClientStats:
        """Counts so far."""
        return ClientStats(
            self.accepted,
            self.sent,
            self.outbox.pending,
            dict(self.refused),
            dict(self.dropped),
            self.failures,
        )


def _count(counts: dict[str, int], reason: str, n: int = 1) -> None:
    counts[reason] = counts.get(reason, 0) + n


def _results(content: bytes, expected: int) -> list[tuple[str, str]] | None:
    """(status, reason) of each signal, or None when this is no collector's answer to them."""
    try:
        results = msgspec.json.decode(content)["results"]
        statuses = [(str(result["status"]), str(result["reason"])) for result in results]
    except (msgspec.MsgspecError, RecursionError, KeyError, TypeError):
        return None
    return statuses if len(statuses) == expected else None


def unix_seconds(at: datetime | float | None) -> float:
    """A time as Unix seconds; now when there is none. A naive datetime is taken for UTC."""
    if at is None:
        return time.time()
    if isinstance(at, datetime):
        return (at if at.tzinfo else at.replace(tzinfo=timezone.utc)).timestamp()
    return float(at)
