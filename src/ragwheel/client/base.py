"""What both clients share: the address, the outbox, accepting signals, and forks."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable
from datetime import datetime
from typing import Any, Final
from weakref import WeakSet

import httpx

from ragwheel.client.delivery import ClientOptions, ClientStats, Delivery, unix_seconds
from ragwheel.client.outbox import FileOutbox, MemoryOutbox, Outbox
from ragwheel.errors import ConfigurationError
from ragwheel.redaction import Redaction, named

__all__ = ["Base"]

PATH: Final = "/v1/signals"
_TEXTS: Final = frozenset({"query", "comment"})  # fields with texts of people
ADOPT_INTERVAL_S: Final = 30.0
"""Seconds between two searches for files of dead processes."""


class Base:
    """The base of :class:`ragwheel.client.SignalClient` and the client for asyncio."""

    def __init__(
        self,
        url: str,
        *,
        outbox: str | os.PathLike[str] | None = None,
        options: ClientOptions | None = None,
        redact: Callable[[str], str] | str | None = None,
    ) -> None:
        self.url = _address(url)
        redactor = named(redact) if isinstance(redact, str) else redact
        self._redaction = None if redactor is None else Redaction(redactor)
        self.options = options or ClientOptions()
        size = self.options.max_outbox_bytes
        kept: Outbox = MemoryOutbox(size) if outbox is None else FileOutbox(outbox, size)
        self._delivery = Delivery(kept, self.options)
        _clients.add(self)

    def stats(self) -> ClientStats:
        """Return the counts of this process so far."""
        return self._delivery.stats()

    def _submit(self, handle: str, kind: str, event_id: str | None, fields: dict[str, Any]) -> str | None:
        """Put a signal into the outbox; return its event id, or None if it was dropped (and counted)."""
        event_id = event_id or uuid.uuid4().hex
        at: datetime | float | None = fields.pop("at")
        signal = {name: value for name, value in fields.items() if value is not None}
        if self._redaction is not None:
            for name in _TEXTS & signal.keys():
                signal[name] = self._redaction.text(str(signal[name]))
        signal.update(handle=handle, kind=kind, event_id=event_id, at=unix_seconds(at))
        return event_id if self._delivery.submit(signal) else None

    def _http_settings(self) -> dict[str, Any]:
        from ragwheel._version import __version__

        return {
            "timeout": self.options.timeout_s,
            "headers": {"Content-Type": "application/json", "User-Agent": f"ragwheel-client/{__version__}"},
        }

    def _after_fork(self) -> None:
        self._delivery.outbox.reset()
        self._delivery.reset()
        self._start_over()

    def _start_over(self) -> None:
        """Make new locks and no worker (at construction, and in a forked child)."""
        raise NotImplementedError


def _address(url: str) -> str:
    try:
        parsed = httpx.URL(url)
    except (httpx.InvalidURL, TypeError):
        parsed = httpx.URL("")
    if parsed.scheme not in {"http", "https"} or not parsed.host:
        raise ConfigurationError(
            f"SignalClient: got the URL {url!r}, allowed: where the collector is, such as "
            f"'https://signals.example' or 'http://127.0.0.1:8321'. Start one: ragwheel serve"
        )
    return url if parsed.path.endswith(PATH) else url.rstrip("/") + PATH


_clients: WeakSet[Base] = WeakSet()


def _in_child() -> None:
    for client in list(_clients):
        client._after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
