"""Clients for services: they send signals to a collector in batches, and keep them while it is unreachable.

See ``docs/client.md``. Browsers use the beacon; a process with access to the database uses
:func:`ragwheel.signal`.
"""

from __future__ import annotations

from ragwheel.client.aio import AsyncSignalClient
from ragwheel.client.delivery import ClientOptions, ClientStats
from ragwheel.client.sync import SignalClient

__all__ = ["AsyncSignalClient", "ClientOptions", "ClientStats", "SignalClient"]
