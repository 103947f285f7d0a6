"""Clients for services: send signals to a collector, in batches, with nothing lost while it is away.

See ``docs/client.md``. Browsers have the beacon; the process that holds the database has
:func:`ragwheel.signal`.
"""

from __future__ import annotations

from ragwheel.client.aio import AsyncSignalClient
from ragwheel.client.delivery import ClientOptions, ClientStats
from ragwheel.client.sync import SignalClient

__all__ = ["AsyncSignalClient", "ClientOptions", "ClientStats", "SignalClient"]
