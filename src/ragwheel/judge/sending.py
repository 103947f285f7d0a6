"""Requests over the wire: to one checked address, no redirects, no proxy, no more than a megabyte back."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Any, Final

import httpx

from ragwheel.judge.endpoint import Endpoint

__all__ = ["Response", "Sender", "TooLong"]

_MAX_BODY: Final = 1_000_000


class TooLong(Exception):
    """A response was longer than any answer can be."""


@dataclass(frozen=True)
class Response:
    """What came back, whole."""

    status: int
    headers: httpx.Headers
    body: bytes

    def json(self) -> Any:
        """The body as JSON; None where it is none."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            return None

    @property
    def location(self) -> str:
        """Where a redirect leads, for messages: the host alone."""
        return repr(httpx.URL(self.headers.get("location", "")).host or "another path")

    @property
    def retry_after_s(self) -> float | None:
        """``Retry-After`` (RFC 9110, 10.2.3), a number or a date, in seconds from now; None: neither."""
        given = self.headers.get("retry-after", "")
        try:
            return max(float(given), 0.0) if float(given) < 1e9 else None
        except ValueError:
            pass
        try:
            at = parsedate_to_datetime(given)
        except ValueError:
            return None
        at = at if at.tzinfo else at.replace(tzinfo=timezone.utc)
        return max((at - datetime.now(timezone.utc)).total_seconds(), 0.0)


class Sender:
    """A pool of connections to one endpoint; an async context manager.

    Raises:
        ConfigurationError: the endpoint's address is refused.
        JudgeError: its name cannot be resolved.
    """

    def __init__(self, endpoint: Endpoint, concurrency: int) -> None:
        self._target = target = endpoint.target()
        headers = {"host": target.host_header, "accept-encoding": "identity", "user-agent": "ragwheel-judge"}
        if endpoint.key is not None:
            headers["authorization"] = f"Bearer {endpoint.key}"
        self._client = httpx.AsyncClient(
            headers=headers,
            limits=httpx.Limits(max_connections=concurrency, max_keepalive_connections=concurrency),
            timeout=httpx.Timeout(None, connect=10.0),  # a whole request is timed where it is sent
            follow_redirects=False,
            trust_env=False,
        )

    async def post(self, content: dict[str, Any], once: str) -> Response:
        """Send one request; ``once`` is its idempotency key.

        Raises:
            httpx.TransportError: no whole response came.
            TooLong: more than a megabyte came.
        """
        request = self._client.build_request(
            "POST",
            self._target.url,
            json=content,
            headers={"idempotency-key": once},
            extensions={"sni_hostname": self._target.sni},
        )
        response = await self._client.send(request, stream=True)
        try:
            body = bytearray()
            async for part in response.aiter_bytes():
                body += part
                if len(body) > _MAX_BODY:
                    raise TooLong(f"more than {_MAX_BODY} bytes for one answer")
            return Response(response.status_code, response.headers, bytes(body))
        finally:
            await response.aclose()

    async def __aenter__(self) -> Sender:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.aclose()
