"""The HTTP protocol of ``ragwheel serve``: uvicorn's own, impatient with those who never finish asking."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any, ClassVar

from uvicorn.protocols.http.h11_impl import H11Protocol

from ragwheel.collector.limits import network

__all__ = ["PatientProtocol"]


class PatientProtocol(H11Protocol):
    """A request's head must be whole within ``head_timeout_s`` of its first byte (or of connecting).

    uvicorn's keep-alive timeout runs only between requests: a client that sends its head a byte at a
    time would hold a connection for ever. How long a body may take is the app's business.
    """

    head_timeout_s: float = 10.0
    silent_per_address: ClassVar[int] = 128
    """Connections that one address may have open before the head of their first request; beyond, closed."""
    proxies: ClassVar[frozenset[str]] = frozenset()
    """Addresses that this does not hold for: many people come by way of them."""
    _silent: ClassVar[Counter[str]] = Counter()
    _address: str | None = None
    _refused = False
    _head_timer: asyncio.TimerHandle | None = None

    @staticmethod
    def refuse(reason: str) -> None:
        """Called with the reason when a connection is closed before it has said anything."""

    def connection_made(self, transport: Any) -> None:
        """Start the clock, unless the address has too many connections that say nothing."""
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

    def _heard(self) -> None:
        """The connection has said something, or is gone."""
        if self._address is not None:
            self._silent[self._address] -= 1
            if not self._silent[self._address]:
                del self._silent[self._address]
            self._address = None

    def data_received(self, data: bytes) -> None:
        """Stop the clock when the head is whole; start it with the next one's first byte."""
        super().data_received(data)
        if self.cycle is not None:
            self._heard()
        cycle: Any = self.cycle  # None before the first request
        self._expect_head(cycle is None or cycle.response_complete)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clock."""
        if self._refused:
            return
        self._heard()
        self._expect_head(False)
        super().connection_lost(exc)

    def _expect_head(self, expected: bool) -> None:
        if not expected and self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
        elif expected and self._head_timer is None:
            self._head_timer = self.loop.call_later(self.head_timeout_s, self.transport.close)
