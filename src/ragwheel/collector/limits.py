"""Limits for requests, people and addresses, enforced in bounded memory."""

from __future__ import annotations

import os
import time
from array import array
from collections.abc import Callable
from dataclasses import dataclass, fields
from hashlib import blake2b
from ipaddress import IPv6Address, ip_address
from typing import Final

from ragwheel.errors import ConfigurationError

__all__ = ["Buckets", "InFlight", "RequestLimits", "network"]


@dataclass(frozen=True)
class RequestLimits:
    """The limits of a collector.

    ``body_bytes`` holds for the body as sent and again for the decompressed one; ``sendBeacon`` itself stops
    at 65,536. Rates are in signals per second, with bursts of up to ``burst`` signals. 0 switches off a rate,
    or the limit of bytes per subject and day. An address is an IPv4 address or an IPv6 /64 network. A service
    that forwards many people's signals from one address needs a higher ``address_per_s``.
    """

    body_bytes: int = 131_072
    item_bytes: int = 16_384
    items: int = 500
    depth: int = 8
    body_timeout_s: float = 10.0
    requests_at_once: int = 256
    requests_at_once_per_address: int = 64
    subject_per_s: float = 20.0
    subject_burst: int = 600
    subject_bytes_per_day: int = 8 * 1024 * 1024
    address_per_s: float = 200.0
    address_burst: int = 4_000

    def __post_init__(self) -> None:
        """Refuse limits that nothing could pass.

        Raises:
            ConfigurationError: names the limit.
        """
        for field in fields(self):
            value = getattr(self, field.name)
            rate = field.name.endswith(("_per_s", "_per_day"))
            least = 0.0 if rate else 0.001 if field.name.endswith("_s") else 1
            if value < least:
                raise ConfigurationError(
                    f"Limits({field.name}=...): got {value!r}, allowed: {least:g} or more. "
                    f"All of them: python -c 'from ragwheel.collector import Limits; help(Limits)'"
                )


class Buckets:
    """Token buckets for any number of names in fixed memory (a sketch with two rows).

    Each name has one slot in each row, chosen by a hash with a secret of this process. A name is let through
    while either slot has tokens left, so two names affect each other only if they share both slots. Slots are
    never evicted, so inventing names does not refill an empty bucket.

    Args:
        per_s: tokens added per second; 0 lets everything through.
        burst: tokens in a full bucket.
        clock: returns monotonic seconds.
    """

    SLOTS: Final = 32_768

    def __init__(self, per_s: float, burst: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_s, self._burst, self._clock = per_s, float(burst), clock
        self._secret = os.urandom(16)
        slots = 2 * self.SLOTS if per_s else 0
        self._tokens = array("d", (float(burst),)) * slots
        self._since = array("d", (clock(),)) * slots

    def take(self, name: str, cost: int = 1) -> float:
        """Take ``cost`` tokens from ``name``'s bucket.

        Returns:
            0.0 if the tokens were taken, else the seconds until there are enough (then none was taken).
        """
        if not self._per_s:
            return 0.0
        digest = blake2b(name.encode("utf-8", "replace"), key=self._secret, digest_size=8).digest()
        half = self.SLOTS
        slots = [int.from_bytes(digest[:4], "big") % half, half + int.from_bytes(digest[4:], "big") % half]
        now = self._clock()
        for slot in slots:
            grown = self._tokens[slot] + (now - self._since[slot]) * self._per_s
            self._tokens[slot] = min(self._burst, grown)
            self._since[slot] = now
        best = max(self._tokens[slot] for slot in slots)
        need = min(float(cost), self._burst)
        if best < need:
            return (need - best) / self._per_s
        for slot in slots:
            self._tokens[slot] = max(0.0, self._tokens[slot] - cost)
        return 0.0


class InFlight:
    """Counts the requests that are being read or answered, in total and per address."""

    def __init__(self, most: int, most_per_address: int) -> None:
        self._most, self._most_per_address = most, most_per_address
        self._addresses: dict[str, int] = {}
        self.now = 0

    def enter(self, address: str) -> bool:
        """Begin a request. False if there are too many; after True, :meth:`leave` must be called."""
        mine = self._addresses.get(address, 0)
        if self.now >= self._most or mine >= self._most_per_address:
            return False
        self.now += 1
        self._addresses[address] = mine + 1
        return True

    def leave(self, address: str) -> None:
        """End a request."""
        self.now -= 1
        self._addresses[address] -= 1
        if not self._addresses[address]:
            del self._addresses[address]


def network(host: str | None) -> str:
    """Return what counts as one address: an IPv4 address, or the /64 network of an IPv6 address."""
    try:
        address = ip_address(host or "")
    except ValueError:
        return host or ""
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return address.packed[:8].hex()
    return str(address)
