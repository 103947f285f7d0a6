"""The HTTP protocol of ``ragwheel serve``: uvicorn's own, with a time limit for the head of a request."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any, ClassVar

from uvicorn.protocols.http.h11_impl import H11Protocol

from ragwheel.collector.limits import network

__all__ = ["PatientProtocol"]


class PatientProtocol(H11Protocol):
    """Closes a connection unless the head of a request is complete ``head_timeout_s`` after its first byte.

    uvicorn's keep-alive timeout runs only between requests, so a client that sends its head byte by byte
    would hold a connection forever. The app limits the time for the body.
    """

    head_timeout_s: float = 10.0
    silent_per_address: ClassVar[int] = 128
    """How many connections without a request an address may have open; further ones are closed."""
    proxies: ClassVar[frozenset[str]] = frozenset()
    """Addresses of proxies, for which ``silent_per_address`` does not hold."""
    _silent: ClassVar[Counter[str]] = Counter()
    _address: str | None = None
    _refused = False
    _head_timer: asyncio.TimerHandle | None = None

    @staticmethod
    def refuse(reason: str) -> None:
        """Called with the reason when a connection is closed before it has sent a request."""

    def connection_made(self, transport: Any) -> None:
        """Start the clock, or close the connection if its address has too many that have sent nothing."""
        peer = transport.get_extra_info("peername")
        address = network(peer[0]) if peer else ""
        if peer and peer[0] not in self.proxies:
            if self._silent[address] >= self.silent_per_address:
                self.refuse("collector: too many connections from one address")
                self._refused = True
                transport.abort()
                return
            self._address = address
            self._silent[address] += 1
        super().connection_made(transport)
        self._expect_head(True)

    def _stop_clock(self) -> None:
        """Stop counting the connection as silent: it has sent a head, or is gone."""
        if self._address is not None:
            self._silent[self._address] -= 1
            if not self._silent[self._address]:
                del self._silent[self._address]
            self._address = None

    def data_received(self, data: bytes) -> None:
        """Stop the clock when the head is complete; start it again with the first byte of the next head."""
        super().data_received(data)
        if self.cycle is not None:
            self._stop_clock()
        cycle: Any = self.cycle  # None before the first request
        self._expect_head(cycle is None or cycle.response_complete)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clock."""
        if self._refused:
            return
        self._stop_clock()
        self._expect_head(False)
        super().connection_lost(exc)

    def _expect_head(self, expected: bool) -> None:
        if not expected and self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
        elif expected and self._head_timer is None:
            self._head_timer = self.loop.call_later(self.head_timeout_s, self.transport.close)
