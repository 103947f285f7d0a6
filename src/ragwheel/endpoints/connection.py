"""Requests over the wire: to one pinned address, without redirects and proxies, with a bounded reply."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Any, Final

import httpx

from ragwheel.endpoints.endpoint import Endpoint
from ragwheel.endpoints.retry import RequestFailed

__all__ = ["Connection", "HttpReply"]

_MEANINGS: Final = {
    401: "does not accept the key",
    403: "does not accept the key",
    404: "has no such address or model",
}
_RETRYABLE: Final = frozenset((408, 409, 425, 429, 500, 502, 503, 504, 529))
_MAX_REASON: Final = 300
_CONNECT_S: Final = 10.0


@dataclass(frozen=True)
class HttpReply:
    """A complete reply.

    ``endpoint`` is the one that was asked; its key never appears in a message.
    """

    endpoint: Endpoint
    status: int
    headers: httpx.Headers
    content: bytes

    def json(self) -> Any:
        """Return the content as JSON, or None where it is something else."""
        try:
            return json.loads(self.content)
        except (ValueError, RecursionError):
            return None

    @property
    def reason(self) -> str:
        """The server's own explanation on one line, shortened, without the key."""
        body = self.json()
        text = _message(body) or self.content[:10_000].decode("utf-8", "replace")
        if self.endpoint.key:
            text = text.replace(self.endpoint.key, "***")
        line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
        return line if len(line) <= _MAX_REASON else f"{line[:_MAX_REASON]}…"

    @property
    def retry_after_s(self) -> float | None:
        """``Retry-After`` (RFC 9110, 10.2.3) in seconds from now, or None."""
        value = self.headers.get("retry-after", "")
        try:
            return max(float(value), 0.0) if float(value) < 1e9 else None
        except ValueError:
            pass
        try:
            at = parsedate_to_datetime(value)
        except ValueError:
            return None
        at = at if at.tzinfo else at.replace(tzinfo=timezone.utc)
        return max((at - datetime.now(timezone.utc)).total_seconds(), 0.0)

    def failure(self) -> RequestFailed:
        """Say what a status other than 200 means for this request and for all others."""
        if 300 <= self.status < 400:
            target = repr(httpx.URL(self.headers.get("location", "")).host or "another path")
            return RequestFailed(
                f"redirects to {target}, which is not followed: nothing was sent there. Put the final "
                f"address into {self.endpoint.variable('URL')}",
                fatal=True,
            )
        text = f": {self.reason}" if self.reason else ""
        if self.status in _MEANINGS:
            meaning = _MEANINGS[self.status]
            if self.status != 404 and self.endpoint.key is None:
                meaning = f"wants a key, and none was sent; set {self.endpoint.variable('KEY')}"
            return RequestFailed(f"{meaning} (HTTP {self.status}{text})", fatal=True)
        return RequestFailed(
            f"answered HTTP {self.status}{text}",
            retryable=self.status in _RETRYABLE,
            everyone=self.status == 429,
            retry_after_s=self.retry_after_s,
        )


class Connection:
    """A pool of connections to one endpoint; an async context manager.

    Args:
        endpoint: where requests go; the name is resolved and checked now.
        concurrency: connections at once.
        timeout_s: for one request, from connecting to the last byte.
        max_bytes: of one reply.

    Raises:
        ConfigurationError: an address of the endpoint is refused.
        EndpointError: its name cannot be resolved.
    """

    def __init__(
        self, endpoint: Endpoint, *, concurrency: int = 1, timeout_s: float = 60.0, max_bytes: int = 1_000_000
    ) -> None:
        self.endpoint, self._timeout_s, self._max_bytes = endpoint, timeout_s, max_bytes
        self._pinned = pinned = endpoint.pinned()
        self._urls = list(pinned.urls)
        headers = {"host": pinned.host_header, "accept-encoding": "identity", "user-agent": "ragwheel"}
        if endpoint.key is not None:
            headers["authorization"] = f"Bearer {endpoint.key}"
        self._client = httpx.AsyncClient(
            headers=headers,
            limits=httpx.Limits(max_connections=concurrency, max_keepalive_connections=concurrency),
            timeout=httpx.Timeout(None, connect=_CONNECT_S),
            follow_redirects=False,
            trust_env=False,
        )

    async def post(self, path: str, body: dict[str, Any], *, idempotency_key: str | None = None) -> HttpReply:
        """Send one request to ``path`` below the base URL.

        Raises:
            RequestFailed: no complete reply came.
        """
        headers = {} if idempotency_key is None else {"idempotency-key": idempotency_key}
        try:
            return await asyncio.wait_for(self._post(path, body, headers), self._timeout_s)
        except asyncio.TimeoutError:
            raise RequestFailed(f"did not answer within {self._timeout_s:g} s", may_cost=True) from None
        except (httpx.ConnectError, httpx.ConnectTimeout) as exc:
            raise RequestFailed(f"cannot be reached ({type(exc).__name__}: {exc})", retryable=True) from None
        except httpx.TransportError as exc:
            raise RequestFailed(
                f"broke off ({type(exc).__name__}: {exc})", retryable=True, may_cost=True
            ) from None

    async def _post(self, path: str, body: dict[str, Any], headers: dict[str, str]) -> HttpReply:
        while True:
            url = self._urls[0]
            try:
                return await self._send(f"{url.rstrip('/')}/{path.lstrip('/')}", body, headers)
            except (httpx.ConnectError, httpx.ConnectTimeout):
                if len(self._urls) == 1:
                    raise
                if self._urls[0] == url:  # another request may have moved on already
                    self._urls.pop(0)

    async def _send(self, url: str, body: dict[str, Any], headers: dict[str, str]) -> HttpReply:
        request = self._client.build_request(
            "POST", url, json=body, headers=headers, extensions={"sni_hostname": self._pinned.sni}
        )
        response = await self._client.send(request, stream=True)
        try:
            content = bytearray()
            async for part in response.aiter_bytes():
                content += part
                if len(content) > self._max_bytes:
                    raise RequestFailed(f"sent more than {self._max_bytes:,} bytes", may_cost=True)
            return HttpReply(self.endpoint, response.status_code, response.headers, bytes(content))
        finally:
            await response.aclose()

    async def __aenter__(self) -> Connection:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.aclose()


def _message(body: Any) -> str:
    """The explanation in an error body: ``error.message``, or ``error``, ``message`` or ``detail``."""
    if not isinstance(body, dict):
        return ""
    for name in ("error", "message", "detail"):
        value = body.get(name)
        if isinstance(value, dict):
            value = value.get("message") or json.dumps(value, ensure_ascii=False)
        elif isinstance(value, list):
            value = json.dumps(value, ensure_ascii=False)
        if isinstance(value, str) and value.strip():
            return value
    return ""
