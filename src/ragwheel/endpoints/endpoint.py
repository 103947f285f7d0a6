"""An OpenAI-compatible endpoint: its address, the model's name and the key."""

from __future__ import annotations

import ipaddress
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

import httpx

from ragwheel.endpoints.addresses import (
    IpAddress,
    forbidden_reason,
    is_forbidden_name,
    is_loopback_name,
    is_private,
)
from ragwheel.errors import ConfigurationError, EndpointError

__all__ = ["Endpoint", "PinnedAddress", "Purpose"]

#: What an endpoint is for; it names the environment variables, such as ``RAGWHEEL_JUDGE_URL``.
Purpose = Literal["judge", "llm", "embed"]
_OPENAI: Final = "api.openai.com"
_TRUE: Final = ("1", "true", "yes", "on")


@dataclass(frozen=True)
class PinnedAddress:
    """The checked addresses of an endpoint.

    Attributes:
        urls: one base URL per address, with the number in place of the host name.
        host_header: what the request names as its host.
        sni: the name that the server's certificate must prove.
    """

    urls: tuple[str, ...]
    host_header: str
    sni: str


@dataclass(frozen=True)
class Endpoint:
    """An OpenAI-compatible endpoint.

    Args:
        base_url: the address up to and without ``/chat/completions`` or ``/embeddings``, such as
            ``https://api.example.com/v1``. Plain ``http`` is accepted for this machine, and for a private
            network with ``allow_private``.
        model: the model's name there.
        key: sent as a bearer token, to this host only.
        allow_private: permit addresses in a private network. ``localhost`` needs no permission.
        purpose: what the endpoint is for; error messages name the environment variables of that purpose.

    Raises:
        ConfigurationError: a value cannot be used.
    """

    base_url: str
    model: str
    key: str | None = field(default=None, repr=False)
    allow_private: bool = False
    purpose: Purpose = "judge"

    def __post_init__(self) -> None:
        try:
            url = httpx.URL(self.base_url)
        except (httpx.InvalidURL, TypeError) as exc:
            raise self._refused(f"it is no URL ({exc})") from None
        if url.scheme not in ("http", "https") or not url.host:
            raise self._refused("it has no scheme http or https, or no host")
        if url.userinfo or url.query or url.fragment:
            raise self._refused(
                f"it carries a user, a query or a fragment; a key goes into {self.variable('KEY')}"
            )
        if is_forbidden_name(url.host):
            raise self._refused(f"{url.host} is link-local or a metadata service, to which nothing is sent")
        if (literal := _literal(url.host)) is not None and (reason := forbidden_reason(literal)):
            raise self._refused(reason)
        if url.scheme == "http" and not (self.allow_private or is_loopback_name(url.host)):
            raise self._refused("questions, passages and the key would travel unencrypted, in the clear")
        if not self.model.strip():
            raise ConfigurationError(f"{self.variable('MODEL')}: got nothing, expected a name that it has.")
        if self.key is not None and not (self.key.isascii() and self.key.isprintable() and self.key.strip()):
            raise ConfigurationError(f"{self.variable('KEY')}: expected printable ASCII.")

    @classmethod
    def from_environment(
        cls,
        purpose: Purpose = "judge",
        *,
        base_url: str | None = None,
        model: str | None = None,
        allow_private: bool | None = None,
        key_env: str | None = None,
        environ: Mapping[str, str] = os.environ,
    ) -> Endpoint:
        """Read the endpoint of a purpose from its environment variables; arguments come first.

        The variables are ``RAGWHEEL_<PURPOSE>_URL``, ``_MODEL``, ``_KEY`` and ``_ALLOW_PRIVATE``. Without
        ``RAGWHEEL_JUDGE_URL`` a judge uses the ``RAGWHEEL_LLM_*`` variables. A key is bound to its host: it
        is not sent when ``base_url`` names another host than the variable does. ``OPENAI_API_KEY`` is read
        for ``api.openai.com`` only.

        Args:
            purpose: which set of variables to read.
            base_url: the address, instead of the variable's.
            model: the model, instead of the variable's.
            allow_private: the permission, instead of the variable's.
            key_env: the environment variable that holds the key, instead of ``RAGWHEEL_<PURPOSE>_KEY``.
            environ: the environment.

        Raises:
            ConfigurationError: there is no URL or no model, or one of them cannot be used.
        """
        prefix = f"RAGWHEEL_{purpose.upper()}"
        if purpose == "judge" and not base_url and not environ.get("RAGWHEEL_JUDGE_URL"):
            prefix = "RAGWHEEL_LLM" if environ.get("RAGWHEEL_LLM_URL") else prefix
        url = base_url or environ.get(f"{prefix}_URL")
        name = model or environ.get(f"{prefix}_MODEL")
        if not url or not name:
            raise ConfigurationError(_missing(purpose, "model" if url else "URL"))
        if allow_private is None:
            allow_private = environ.get(f"{prefix}_ALLOW_PRIVATE", "").strip().lower() in _TRUE
        key = _key(url, prefix, key_env, environ)
        return cls(url, name, key, allow_private, purpose)

    @property
    def host(self) -> str:
        """The host that the key is bound to."""
        return httpx.URL(self.base_url).host

    def variable(self, name: str) -> str:
        """The environment variable of this endpoint's purpose, such as ``RAGWHEEL_LLM_KEY``."""
        return f"RAGWHEEL_{self.purpose.upper()}_{name}"

    def pinned(self) -> PinnedAddress:
        """Resolve the host and check every address that it has.

        Raises:
            ConfigurationError: an address is forbidden, or private without permission.
            EndpointError: the name cannot be resolved.
        """
        url = httpx.URL(self.base_url.rstrip("/"))
        port = url.port or (443 if url.scheme == "https" else 80)
        try:
            infos = socket.getaddrinfo(url.host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as exc:
            raise EndpointError(
                f"The endpoint's host {url.host} has no address: {exc}. Nothing was sent. Check "
                f"{self.variable('URL')} and the network."
            ) from None
        addresses = [ipaddress.ip_address(str(info[4][0]).partition("%")[0]) for info in infos]
        for address in addresses:
            self._check(address, url.scheme)
        urls = dict.fromkeys(str(url.copy_with(host=str(address), port=port)) for address in addresses)
        return PinnedAddress(tuple(urls), url.netloc.decode("ascii"), url.host)

    def _check(self, address: IpAddress, scheme: str) -> None:
        if reason := forbidden_reason(address):
            raise self._refused(reason)
        if not is_private(address):
            if scheme == "http":
                raise self._refused(f"{address} is public, and plain http would send everything in the clear")
            return
        if self.allow_private or (is_loopback_name(str(address)) and is_loopback_name(self.host)):
            return
        raise self._refused(
            f"{address} is inside the network; where that is meant: --allow-private, or "
            f"{self.variable('ALLOW_PRIVATE')}=1"
        )

    def _refused(self, why: str) -> ConfigurationError:
        return ConfigurationError(
            f"{self.variable('URL')}: got {_shown(self.base_url)}, refused: {why}. Nothing was sent. "
            "Allowed: https://HOST/v1, or http://localhost:PORT/v1"
        )


def _key(url: str, prefix: str, key_env: str | None, environ: Mapping[str, str]) -> str | None:
    if key_env is not None:
        return environ.get(key_env) or None
    if key := environ.get(f"{prefix}_KEY"):
        configured = environ.get(f"{prefix}_URL")
        return key if configured is None or _origin(configured) == _origin(url) else None
    return environ.get("OPENAI_API_KEY") or None if _origin(url) == ("https", _OPENAI, None) else None


def _origin(url: str) -> tuple[str, str, int | None] | None:
    try:
        parsed = httpx.URL(url)
    except (httpx.InvalidURL, TypeError):
        return None
    return parsed.scheme, parsed.host, parsed.port


def _literal(host: str) -> IpAddress | None:
    try:
        return ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None


def _shown(url: str) -> str:
    """The URL for messages, without a user and password in it."""
    scheme, separator, rest = str(url).partition("://")
    return f"{scheme}{separator}{rest.rpartition('@')[2]}" if separator else scheme.rpartition("@")[2]


def _missing(purpose: Purpose, what: str) -> str:
    names = f"RAGWHEEL_{purpose.upper()}_URL and RAGWHEEL_{purpose.upper()}_MODEL"
    if purpose == "judge":
        return (
            f"A judge needs a {what}: got none. Set {names} (and RAGWHEEL_JUDGE_KEY); without an LLM: "
            "ragwheel judge --offline auto"
        )
    return f"An endpoint needs a {what}: got none. Set {names} (and RAGWHEEL_{purpose.upper()}_KEY)."
