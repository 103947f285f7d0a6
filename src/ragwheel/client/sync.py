"""The client for threads."""

from __future__ import annotations

import atexit
import os
import threading
import time
from collections.abc import Callable
from datetime import datetime
from types import TracebackType

import httpx

from ragwheel.client.base import ADOPT_INTERVAL_S, Base
from ragwheel.client.delivery import ClientOptions
from ragwheel.guard import guard

__all__ = ["SignalClient"]


class SignalClient(Base):
    """Sends signals to a collector from a thread of its own.

    ::

        with SignalClient("https://signals.example", outbox="signals") as client:
            client.signal(handle, "click", chunk="doc-7")

    Args:
        url: the URL of the collector.
        outbox: a path: signals are on disk before :meth:`signal` returns, survive a killed process, and are
            sent by the next process with the same path. None: they are kept in memory.
        options: batches, timeouts, back-off and limits.
        redact: as for :func:`ragwheel.configure`; applied to queries and comments before they are stored.
        transport: a transport of httpx, for tests.

    Raises:
        ConfigurationError: the URL cannot be used.
    """

    def __init__(
        self,
        url: str,
        *,
        outbox: str | os.PathLike[str] | None = None,
        options: ClientOptions | None = None,
        redact: Callable[[str], str] | str | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        super().__init__(url, outbox=outbox, options=options, redact=redact)
        self._transport = transport
        self._start_over()

    def _start_over(self) -> None:
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._stopping = False
        self._flushing = 0

    def start(self) -> None:
        """Start the worker; otherwise the first signal starts it."""
        with self._changed:
            if self._thread is None and not self._stopping:
                self._thread = threading.Thread(target=self._run, name="ragwheel-signals", daemon=True)
                self._thread.start()
                atexit.register(self.close, 2.0)

    def signal(  # noqa: PLR0913 (as ragwheel.signal)
        self,
        handle: str,
        kind: str,
        *,
        chunk: str | int | None = None,
        rank: int | None = None,
        value: float | None = None,
        query: str | None = None,
        other: str | int | None = None,
        event_id: str | None = None,
        at: datetime | float | None = None,
        comment: str | None = None,
        reason: str | None = None,
    ) -> str | None:
        """Queue a signal. The arguments are those of :func:`ragwheel.signal`; invalid values never raise.

        Returns:
            The event id, yours or a new one; None if the signal was dropped (see :meth:`stats`).
        """
        fields = {"chunk": chunk, "rank": rank, "value": value, "query": query, "other": other, "at": at}
        fields |= {"comment": comment, "reason": reason}
        accepted_id = self._submit(handle, kind, event_id, fields)
        if self._thread is None:
            self.start()
        with self._changed:
            self._changed.notify_all()
        return accepted_id

    def flush(self, timeout_s: float = 5.0) -> bool:
        """Send all pending signals, also those of dead processes. True if the collector answered for all."""
        self.start()
        deadline = time.monotonic() + timeout_s
        self._delivery.outbox.adopt_orphans()
        with self._changed:
            self._flushing += 1
            self._changed.notify_all()
            try:
                return (
                    self._changed.wait_for(
                        lambda: not self._delivery.outbox.pending or self._thread is None,
                        max(deadline - time.monotonic(), 0.0),
                    )
                    and not self._delivery.outbox.pending
                )
            finally:
                self._flushing -= 1

    def close(self, timeout_s: float = 5.0) -> bool:
        """Flush and end the worker. Unsent signals stay in an outbox on disk."""
        deadline = time.monotonic() + timeout_s
        done = self.flush(timeout_s) if self._delivery.outbox.pending else True
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
            thread, self._thread = self._thread, None
        if thread is not None:
            thread.join(max(deadline - time.monotonic(), 0.1))
        atexit.unregister(self.close)
        self._delivery.close()
        return done

    def __enter__(self) -> SignalClient:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    # the worker

    def _run(self) -> None:
        looked_s = float("-inf")
        with httpx.Client(transport=self._transport, **self._http_settings()) as http:
            while not self._stopping:
                wait_s = 0.0
                try:
                    if time.monotonic() - looked_s > ADOPT_INTERVAL_S:
                        looked_s = time.monotonic()
                        self._delivery.outbox.adopt_orphans()
                    if self._wait_for_work():
                        wait_s = self._send(http)
                except Exception as exc:  # noqa: BLE001 (the worker of somebody else's process goes on)
                    wait_s = self._delivery.failed()
                    guard.caught("sending signals", exc)
                with self._changed:
                    self._changed.notify_all()
                    self._changed.wait_for(lambda: self._stopping, wait_s)

    def _wait_for_work(self) -> bool:
        """Return whether there are signals to send, after a little time for more to fill the batch."""
        pending = self._delivery.outbox
        with self._changed:
            if not self._changed.wait_for(lambda: pending.pending or self._stopping, ADOPT_INTERVAL_S):
                return False
            self._changed.wait_for(
                lambda: self._flushing or self._stopping or pending.pending >= self.options.batch_items,
                self.options.linger_s,
            )
        return not self._stopping

    def _send(self, http: httpx.Client) -> float:
        body = self._delivery.next_body()
        if body is None:
            return 0.0
        try:
            response = http.post(self.url, content=body)
        except httpx.HTTPError:
            return self._delivery.failed()
        return self._delivery.answered(
            response.status_code, response.headers.get("retry-after"), response.content
        )
