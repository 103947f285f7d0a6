"""A language model behind OpenAI's ``/chat/completions``; its address comes from configuration alone."""

from __future__ import annotations

import ipaddress
import json
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

from ragwheel.errors import ConfigurationError, ModelError

__all__ = ["ChatEndpoint"]

_MOST_BYTES: Final = 4_000_000
_PATIENCE: Final = "try again, or allow more time (timeout_s, --llm-timeout)"


@dataclass(frozen=True)
class ChatEndpoint:
    """An endpoint that answers chat messages.

    The key goes to this host only: redirects are not followed, and over plain ``http`` it is sent to the
    machine itself alone. Link-local addresses, where clouds keep their credentials, are refused.

    Attributes:
        url: up to and without ``/chat/completions``, such as ``https://api.openai.com/v1``.
        model: its name there.
        key_env: environment variable that holds the key; unset: none is sent.
        timeout_s: of one answer, from asking to its last byte.
        max_tokens: of one answer.
    """

    url: str
    model: str
    key_env: str = "OPENAI_API_KEY"
    timeout_s: float = 60.0
    max_tokens: int = 1_000
    _place: str = field(init=False, repr=False, default="")

    def __post_init__(self) -> None:
        """Raise ConfigurationError for an address that is none, or that no model stands behind."""
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.query:
            raise ConfigurationError(
                f"LLM endpoint: got {_shown(self.url)}, "
                "allowed: http(s)://HOST[:PORT]/PATH without a user or query"
            )
        if _is_link_local(parts.hostname):
            raise ConfigurationError(
                f"LLM endpoint: {parts.hostname} is a link-local address, where no model is served. "
                "Allowed: a public or private host that you run or pay for."
            )
        object.__setattr__(self, "_place", f"{self.url.rstrip('/')}/chat/completions")

    def __call__(self, messages: Sequence[dict[str, str]]) -> str:
        """The answer's text.

        Raises:
            ConfigurationError: the key would go over the network in the clear.
            ModelError: the endpoint is down, slow, redirects, refuses, or answers with something else.
        """
        import httpx

        body = {
            "model": self.model,
            "messages": list(messages),
            "temperature": 0,
            "max_tokens": self.max_tokens,
        }
        until = time.monotonic() + self.timeout_s
        try:
            with (
                httpx.Client(follow_redirects=False, timeout=self.timeout_s) as client,
                client.stream("POST", self._place, json=body, headers=self._headers()) as response,
            ):
                raw = self._read(response, until)
        except httpx.TimeoutException as error:
            raise self._error(f"did not answer within {self.timeout_s:g} s", _PATIENCE) from error
        except httpx.HTTPError as error:
            raise self._error(f"cannot be reached: {error}", "check the address") from error
        if response.is_redirect:
            raise self._error(
                f"redirects ({response.status_code}); redirects are not followed, so that the key stays with "
                "its host", "configure the final address"
            )  # fmt: skip
        if response.status_code != 200:
            said = " ".join(raw.decode("utf-8", "replace").split())[:200]
            raise self._error(
                f"answered {response.status_code}: {said}",
                f"check the model's name and the key in {self.key_env}",
            )
        return self._text(raw)

    def _headers(self) -> dict[str, str]:
        key = os.environ.get(self.key_env)
        if not key:
            return {}
        parts = urlsplit(self.url)
        if parts.scheme == "http" and not _is_loopback(parts.hostname or ""):
            raise ConfigurationError(
                f"LLM endpoint: http://{parts.hostname} would get the key in {self.key_env} in the clear. "
                f"Allowed: https, or no key (unset {self.key_env})"
            )
        return {"Authorization": f"Bearer {key}"}

    def _read(self, response: Any, until: float) -> bytes:
        found = bytearray()
        for part in response.iter_bytes():
            found += part
            if len(found) > _MOST_BYTES:
                raise self._error(f"sent more than {_MOST_BYTES:,} bytes", "check what stands behind it")
            if time.monotonic() > until:
                raise self._error(f"did not finish within {self.timeout_s:g} s", _PATIENCE)
        return bytes(found)

    def _text(self, raw: bytes) -> str:
        try:
            text = json.loads(raw)["choices"][0]["message"]["content"]
        except (ValueError, LookupError, TypeError) as error:
            raise self._error(
                f"did not answer as OpenAI's chat API does ({type(error).__name__})",
                "check the address and its path",
            ) from error
        if not isinstance(text, str) or not text.strip():
            raise self._error("gave an empty answer", "try another model, or more tokens")
        return text.strip()

    def _error(self, what: str, next_step: str) -> ModelError:
        return ModelError(f"{_shown(self._place)} {what}. Next: {next_step}.")


def _shown(url: str) -> str:
    """An address without a user and password in it."""
    scheme, found, rest = url.partition("://")
    return f"{scheme}{found}{rest.split('@', 1)[-1]}"


def _is_link_local(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_link_local
    except ValueError:
        return host.casefold().rstrip(".") == "metadata.google.internal"


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
