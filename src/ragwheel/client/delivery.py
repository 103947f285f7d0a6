"""The delivery protocol without input or output: what to send next, and what a response means.

The worker of either client sends :meth:`Delivery.next_body` and then calls :meth:`Delivery.answered` or
:meth:`Delivery.failed`, which return how long to wait. A signal is sent until the collector has reported its
status: a stored or refused signal is done, one that is to be sent later goes back into the outbox.
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
"""Statuses of an unreadable request, which is split in halves until the bad signal is found."""
MAX_RETRY_AFTER_S: Final = 300.0


@dataclass(frozen=True)
class ClientOptions:
    """The options of sending.

    ``linger_s`` is how long the first signal of a batch waits for more. ``backoff_s`` doubles with each
    failure up to ``max_backoff_s``; the wait is drawn at random below that. Beyond ``max_outbox_bytes``
    signals are dropped and counted.
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
    """The counts of this process.

    ``accepted``: signals for which ``signal()`` returned an event id. ``sent``: signals that the collector
    stored. ``pending``: signals without a response, including those of dead processes. ``refused``: signals
    that the collector refused, by reason. ``dropped``: signals that were not accepted, by reason; the reason
    ``closed`` means lost with a client without an outbox on disk. ``failures``: requests without a usable
    response.
    """

    accepted: int = 0
    sent: int = 0
    pending: int = 0
    refused: dict[str, int] = field(default_factory=dict)
    dropped: dict[str, int] = field(default_factory=dict)
    failures: int = 0


class Delivery:
    """The state of delivery from an outbox to a collector, one batch at a time."""

    def __init__(
        self, outbox: Outbox, options: ClientOptions, *, now_s: Callable[[], float] = time.time
    ) -> None:
        self.outbox, self.options = outbox, options
        self._now_s = now_s
        self.reset()

    def reset(self) -> None:
        """Reset the counts (in a forked child)."""
        self._lock = threading.Lock()
        self.accepted = self.sent = self.failures = 0
        self.refused: dict[str, int] = {}
        self.dropped: dict[str, int] = {}
        self._batch: list[bytes] = []
        self._attempts = 0
        self._items = self.options.batch_items

    def submit(self, signal: Mapping[str, Any]) -> bool:
        """Accept a signal; False (and counted) if it cannot be kept."""
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
        """Close the outbox, and count the signals that are lost with it."""
        lost = self.outbox.close()
        if lost:
            with self._lock:
                _count(self.dropped, "closed", lost)

    def next_body(self) -> bytes | None:
        """Return the body of the next request, or None if there is nothing to send."""
        self._batch = self.outbox.take(self._items, self.options.batch_bytes)
        return b'{"signals":[' + b",".join(self._batch) + b"]}" if self._batch else None

    def failed(self) -> float:
        """Handle an unreachable collector; return the seconds to wait."""
        self.failures += 1
        return self._backoff()

    def answered(self, status: int, retry_after: str | None, content: bytes) -> float:
        """Handle a response of the collector; return the seconds to wait before the next request."""
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
        """Handle a response without results: from a proxy, or to an unreadable request."""
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
        """Return an exponential wait with full jitter (M.

        Brooker, "Exponential backoff and jitter", AWS 2015).
        """
        most = min(self.options.max_backoff_s, self.options.backoff_s * 2 ** min(self._attempts, 30))
        self._attempts += 1
        return random.uniform(most / 10, most)

    def _wait_s(self, retry_after: str | None) -> float:
        """Return ``Retry-After``, a number or a date, in seconds; 0 if there is none."""
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
        """Return the counts so far."""
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
    """Return (status, reason) of each signal, or None if this is not a collector's response to them."""
    try:
        results = msgspec.json.decode(content)["results"]
        statuses = [(str(result["status"]), str(result["reason"])) for result in results]
    except (msgspec.MsgspecError, RecursionError, KeyError, TypeError):
        return None
    return statuses if len(statuses) == expected else None


def unix_seconds(at: datetime | float | None) -> float:
    """Return a time as Unix seconds, by default the present. A naive datetime is taken as UTC."""
    if at is None:
        return time.time()
    if isinstance(at, datetime):
        return (at if at.tzinfo else at.replace(tzinfo=timezone.utc)).timestamp()
    return float(at)
