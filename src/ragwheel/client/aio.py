"""The client for asyncio."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from datetime import datetime
from types import TracebackType

import httpx

from ragwheel.client.base import ADOPT_INTERVAL_S, Base
from ragwheel.client.delivery import ClientOptions
from ragwheel.guard import guard

__all__ = ["AsyncSignalClient"]


class AsyncSignalClient(Base):
    """:class:`~ragwheel.client.SignalClient` for asyncio: its worker is a task of the running loop.

    ::

        async with AsyncSignalClient("https://signals.example", outbox="signals") as client:
            await client.signal(handle, "click", chunk="doc-7")

    Args:
        url, outbox, options, redact: as for :class:`~ragwheel.client.SignalClient`.
        transport: a transport of httpx, for tests.
    """

    def __init__(
        self,
        url: str,
        *,
        outbox: str | os.PathLike[str] | None = None,
        options: ClientOptions | None = None,
        redact: Callable[[str], str] | str | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        super().__init__(url, outbox=outbox, options=options, redact=redact)
        self._transport = transport
        self._start_over()

    def _start_over(self) -> None:
        self._task: asyncio.Task[None] | None = None
        self._work = asyncio.Event()
        self._rush = asyncio.Event()
        self._idle = asyncio.Event()

    def start(self) -> None:
        """Start the worker in the running loop; otherwise the first signal starts it."""
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run(), name="ragwheel-signals")

    async def signal(  # noqa: PLR0913 (as ragwheel.signal)
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
        """Send a signal as :meth:`SignalClient.signal` does, without waiting for the network."""
        fields = {"chunk": chunk, "rank": rank, "value": value, "query": query, "other": other, "at": at}
        fields |= {"comment": comment, "reason": reason}
        accepted_id = self._submit(handle, kind, event_id, fields)
        self.start()
        self._idle.clear()
        self._work.set()
        if self._delivery.outbox.pending >= self.options.batch_items:
            self._rush.set()
        return accepted_id

    async def flush(self, timeout_s: float = 5.0) -> bool:
        """Send all pending signals, also those of dead processes. True if the collector answered for all."""
        self.start()
        self._delivery.outbox.adopt_orphans()
        self._rush.set()
        self._work.set()
        self._idle.clear()
        try:
            await asyncio.wait_for(self._idle.wait(), timeout_s)
        except asyncio.TimeoutError:
            return False
        return not self._delivery.outbox.pending

    async def close(self, timeout_s: float = 5.0) -> bool:
        """Flush and end the worker. Unsent signals stay in an outbox on disk."""
        done = await self.flush(timeout_s) if self._delivery.outbox.pending else True
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])
        self._delivery.close()
        return done

    async def __aenter__(self) -> AsyncSignalClient:
        self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    # the worker

    async def _run(self) -> None:
        looked_s = float("-inf")
        async with httpx.AsyncClient(transport=self._transport, **self._http_settings()) as http:
            while True:
                wait_s = 0.0
                try:
                    if time.monotonic() - looked_s > ADOPT_INTERVAL_S:
                        looked_s = time.monotonic()
                        self._delivery.outbox.adopt_orphans()
                    if self._delivery.outbox.pending:
                        wait_s = await self._send(http)
                    else:
                        await self._wait_for_work()
                except Exception as exc:  # noqa: BLE001 (the worker of somebody else's process goes on)
                    wait_s = self._delivery.failed()
                    guard.caught("sending signals", exc)
                await asyncio.sleep(wait_s)

    async def _wait_for_work(self) -> None:
        """Wait until there are signals to send, and a little longer for more to fill the batch."""
        self._idle.set()
        self._work.clear()
        self._rush.clear()
        await _within(self._work, ADOPT_INTERVAL_S)
        if self._work.is_set():
            await _within(self._rush, self.options.linger_s)

    async def _send(self, http: httpx.AsyncClient) -> float:
        body = self._delivery.next_body()
        if body is None:
            return 0.0
        try:
            response = await http.post(self.url, content=body)
        except httpx.HTTPError:
            return self._delivery.failed()
        return self._delivery.answered(
            response.status_code, response.headers.get("retry-after"), response.content
        )


async def _within(event: asyncio.Event, timeout_s: float) -> None:
    try:
        await asyncio.wait_for(event.wait(), timeout_s)
    except asyncio.TimeoutError:
        return
