"""The HTTP protocol of ``ragwheel serve``: uvicorn's own, impatient with those who never finish asking."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

__all__ = ["PatientProtocol"]


class PatientProtocol(H11Protocol):
    """A request's head must be whole within ``head_timeout_s`` of its first byte (or of connecting).

    uvicorn's keep-alive timeout runs only between requests: a client that sends its head a byte at a
    time would hold a connection for ever. How long a body may take is the app's business.
    """

    head_timeout_s: float = 10.0
    _head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Start the clock."""
        super().connection_made(transport)
        self._expect_head(True)

    def data_received(self, data: bytes) -> None:
        """Stop the clock when the head is whole; start it with the next one's first byte."""
        super().data_received(data)
        cycle: Any = self.cycle  # None before the first request
        self._expect_head(cycle is None or cycle.response_complete)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clock."""
        self._expect_head(False)
        super().connection_lost(exc)

    def _expect_head(self, expected: bool) -> None:
        if not expected and self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
        elif expected and self._head_timer is None:
            self._head_timer = self.loop.call_later(self.head_timeout_s, self.transport.close)
