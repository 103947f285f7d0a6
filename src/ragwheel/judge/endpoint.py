"""Where an LLM judge is asked: one address, checked once, and a key that goes nowhere else.

The address comes from the configuration alone, never from a trace or a reply. Its name is resolved once and
every request goes to that address, so that a name which changes its mind later (DNS rebinding) leads nowhere.
Addresses that hand out a machine's credentials are refused whatever is asked; private networks unless
allowed.
"""

from __future__ import annotations

import ipaddress
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import httpx

from ragwheel.errors import ConfigurationError, JudgeError

__all__ = ["Endpoint", "Target"]

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address

#: Metadata services that are not link-local: Alibaba Cloud, AWS over IPv6, Oracle Cloud.
_METADATA: Final = frozenset(map(ipaddress.ip_address, ("100.100.100.200", "fd00:ec2::254", "192.0.0.192")))
_NAT64: Final = ipaddress.ip_network("64:ff9b::/96")
_LOCAL: Final = ("localhost", "ip6-localhost")


@dataclass(frozen=True)
class Target:
    """Where a request really goes: the URL by number, and the host that it must say and prove it is."""

    url: str
    host_header: str
    sni: str


@dataclass(frozen=True)
class Endpoint:
    """An OpenAI-compatible endpoint.

    Args:
        base_url: what stands before ``/chat/completions``, such as ``https://api.example.com/v1``. Plain
            ``http`` only on this machine or a network that was allowed.
        model: as the endpoint names it.
        key: sent as a bearer token, to this host alone.
        allow_private: also addresses inside the network. ``localhost`` and 127.0.0.1 need no permission.

    Raises:
        ConfigurationError: something of it cannot be used.
    """

    base_url: str
    model: str
    key: str | None = field(default=None, repr=False)
    allow_private: bool = False

    def __post_init__(self) -> None:
        try:
            url = httpx.URL(self.base_url)
        except (httpx.InvalidURL, TypeError) as exc:
            raise self._refused(f"it is no URL ({exc})") from None
        if url.scheme not in ("http", "https") or not url.host:
            raise self._refused("it has no scheme http or https, or no host")
        if url.userinfo or url.query or url.fragment:
            raise self._refused(
                "it carries a user, a query or a fragment; a key goes into RAGWHEEL_JUDGE_KEY"
            )
        if url.scheme == "http" and not (self.allow_private or _is_loopback(url.host)):
            raise self._refused("questions, passages and the key would travel unencrypted")
        if not self.model.strip():
            raise ConfigurationError("RAGWHEEL_JUDGE_MODEL: got nothing, expected a name that it has.")
        if self.key is not None and not (self.key.isascii() and self.key.isprintable() and self.key.strip()):
            raise ConfigurationError("RAGWHEEL_JUDGE_KEY: expected printable ASCII.")

    @classmethod
    def from_environment(
        cls,
        *,
        base_url: str | None = None,
        model: str | None = None,
        allow_private: bool | None = None,
        environ: Mapping[str, str] = os.environ,
    ) -> Endpoint:
        """What is given, else ``RAGWHEEL_JUDGE_URL`` and ``_MODEL``; the key from ``RAGWHEEL_JUDGE_KEY``.

        Raises:
            ConfigurationError: no URL or no model is said, or one cannot be used.
        """
        url = base_url or environ.get("RAGWHEEL_JUDGE_URL")
        name = model or environ.get("RAGWHEEL_JUDGE_MODEL")
        if not url or not name:
            raise ConfigurationError(
                f"A judge needs {'a URL' if not url else 'a model'}: got none. Set RAGWHEEL_JUDGE_URL and "
                "RAGWHEEL_JUDGE_MODEL (and RAGWHEEL_JUDGE_KEY); without an LLM: ragwheel judge --offline auto"
            )
        if allow_private is None:
            allow_private = environ.get("RAGWHEEL_JUDGE_ALLOW_PRIVATE", "").lower() in ("1", "true", "yes")
        return cls(url, name, environ.get("RAGWHEEL_JUDGE_KEY") or None, allow_private)

    @property
    def host(self) -> str:
        """The host that the key is bound to."""
        return httpx.URL(self.base_url).host

    def target(self) -> Target:
        """Resolve the host and check every address it has.

        Raises:
            ConfigurationError: an address is one that is never asked, or not without permission.
            JudgeError: the name cannot be resolved.
        """
        url = httpx.URL(self.base_url.rstrip("/") + "/chat/completions")
        port = url.port or (443 if url.scheme == "https" else 80)
        try:
            found = socket.getaddrinfo(url.host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as exc:
            raise JudgeError(
                f"The judge's host {url.host} has no address: {exc}. Nothing was sent. Check "
                "RAGWHEEL_JUDGE_URL and the network; replies already paid for are kept."
            ) from None
        addresses = [ipaddress.ip_address(str(info[4][0]).partition("%")[0]) for info in found]
        for address in addresses:
            self._check(address)
        pinned = url.copy_with(host=str(addresses[0]), port=port)
        return Target(str(pinned), url.netloc.decode("ascii"), url.host)

    def _check(self, address: _Address) -> None:
        real = _unwrapped(address)
        if real.is_link_local or real in _METADATA or real.is_multicast or real.is_unspecified:
            raise self._refused(f"{address} is link-local or a metadata service, which is never asked")
        if self.allow_private or (real.is_loopback and _is_loopback(self.host)):
            return
        if not real.is_global:
            raise self._refused(
                f"{address} is inside the network; where that is meant: --allow-private, or "
                "RAGWHEEL_JUDGE_ALLOW_PRIVATE=1"
            )

    def _refused(self, why: str) -> ConfigurationError:
        shown = self.base_url if "@" not in str(self.base_url) else "one with a user in it"
        return ConfigurationError(
            f"RAGWHEEL_JUDGE_URL: got {shown}, refused: {why}. Nothing was sent. Allowed: https://HOST/v1, "
            "or http://localhost:PORT/v1"
        )


def _is_loopback(host: str) -> bool:
    if host.lower() in _LOCAL:
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _unwrapped(address: _Address) -> _Address:
    """The IPv4 address inside an IPv6 one, where there is one."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or address
