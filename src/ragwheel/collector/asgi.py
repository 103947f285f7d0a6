"""The collector's ASGI app: routes, allowed origins, limits of requests, and responses.

The app only accepts data. It reads and sets no cookies, and of a request only the event ids are sent back.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from functools import partial
from importlib.resources import files
from ipaddress import ip_address
from typing import Any

import anyio
import msgspec
from anyio import CapacityLimiter, to_thread
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from ragwheel.collector.accept import Sender
from ragwheel.collector.bodies import BadBody, read_body
from ragwheel.collector.bots import is_bot
from ragwheel.collector.limits import Buckets, InFlight, RequestLimits, network
from ragwheel.collector.runtimes import RuntimeSource
from ragwheel.collector.signals import Collector
from ragwheel.collector.wire import items_of
from ragwheel.errors import ConfigurationError
from ragwheel.guard import guard

__all__ = ["RequestGate", "answer", "beacon_routes", "refusals", "signals_app"]

HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
THREADS = 4
PROXY_HEADERS = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via")
_ORIGIN = re.compile(r"https?://(?:[a-z0-9.-]+|\[[0-9a-f:.]+\])(?::\d{1,5})?", re.ASCII)


class RequestGate:
    """Checks every POST: its origin, the number of requests at once, the rate per address, the body's size.

    Args:
        limits: the limits to enforce.
        origins: exact origins, as browsers send them. The collector's own origin is always allowed.

    Raises:
        ConfigurationError: an origin is malformed.
    """

    def __init__(self, limits: RequestLimits, origins: Iterable[str]) -> None:
        self.limits = limits
        self.origins = tuple(origins)
        for origin in self.origins:
            if not _ORIGIN.fullmatch(origin):
                raise ConfigurationError(
                    f"collector origins: got {origin!r}, allowed: exact ones in lower case without a path, "
                    f"such as 'https://shop.example' or 'http://localhost:8000'; no '*'."
                )
        self._addresses = Buckets(limits.address_per_s, limits.address_burst)
        self._inside = InFlight(limits.requests_at_once, limits.requests_at_once_per_address)

    @asynccontextmanager
    async def body(self, request: Request) -> AsyncIterator[bytes]:
        """Yield the body of a request that is let in. It counts as in flight until it is answered.

        Every request is charged to its address as one signal, even if it cannot be read.

        Raises:
            BadBody: 4xx, or 503 if there are too many requests at once.
        """
        self._check_origin(request)
        self.charge(request, 1)
        address = _address(request)
        if not self._inside.enter(address):
            raise BadBody(503, "too many requests at once", 1.0)
        try:
            headers = request.headers
            yield await read_body(
                request.stream(),
                headers.get("content-length"),
                headers.get("content-encoding", ""),
                self.limits,
            )
        finally:
            self._inside.leave(address)

    def charge(self, request: Request, signals: int) -> None:
        """Count signals against the address that sends them.

        Raises:
            BadBody: 429, with the number of seconds to wait.
        """
        wait_s = self._addresses.take(_address(request), signals)
        if wait_s:
            raise BadBody(429, "too many signals from this address", wait_s)

    def _check_origin(self, request: Request) -> None:
        """Refuse other origins: CORS hides the response to a simple request but does not stop the request."""
        origin = request.headers.get("origin")
        if origin is None or origin in self.origins:
            return
        scheme, _, authority = origin.partition("://")
        if scheme in {"http", "https"} and authority == request.headers.get("host"):
            return
        raise BadBody(403, "origin not allowed")


def signals_app(
    source: RuntimeSource, gate: RequestGate, collector: Collector, *, trust_local: bool
) -> Starlette:
    """Return the app with ``POST /v1/signals`` and ``GET /healthz``."""
    threads = CapacityLimiter(THREADS)

    async def signals(request: Request) -> Response:
        runtime = source()
        if runtime is None:
            return answer(503, {"error": "not configured"}, 5.0)
        async with gate.body(request) as body:
            items = items_of(body, request.headers.get("content-type", ""), gate.limits)
            if len(items) > 1:
                gate.charge(request, len(items) - 1)
            sender = Sender(trust_local and is_local(request), is_bot(request.headers.get("user-agent", "")))
            take = partial(collector.take, runtime, items, sender)
            # a client that hangs up does not stop what is being written
            with anyio.CancelScope(shield=True):
                taken = await to_thread.run_sync(take, limiter=threads)
        return answer(taken.code, {"results": [r.as_json() for r in taken.results]}, taken.retry_after_s)

    async def health(_request: Request) -> Response:
        ready = source() is not None
        return answer(200 if ready else 503, {"status": "ok" if ready else "not configured"})

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        yield
        collector.close()
        source.close()

    return Starlette(
        routes=[
            Route("/v1/signals", refusals(signals), methods=["POST"]),
            Route("/healthz", health, methods=["GET"]),
        ],
        middleware=[
            Middleware(
                CORSMiddleware,
                allow_origins=gate.origins,
                allow_methods=["POST"],
                allow_headers=["content-type", "content-encoding"],
            )
        ],
        exception_handlers={HTTPException: _http_error},
        lifespan=lifespan,
    )


def beacon_routes() -> list[Route]:
    """Return the routes of ``/auto.js`` and of the modules that it imports; all of them are public.

    ``/beacon.js`` is the former name of ``/ragwheel.js``, which ad blockers do not let through.
    """
    # links to the sources in the repository, copies of them in the wheel
    modules = {
        module.name: module.read_bytes()
        for module in files("ragwheel.collector").joinpath("browser").iterdir()
        if module.name.endswith(".js")
    }
    modules["beacon.js"] = modules["ragwheel.js"]
    headers = {**HEADERS, "Cache-Control": "public, max-age=3600"}

    def route(name: str, text: bytes) -> Route:
        async def module(_request: Request) -> Response:
            return Response(text, headers=headers, media_type="text/javascript")

        return Route(f"/{name}", module, methods=["GET"])

    return [route(name, text) for name, text in sorted(modules.items())]


def refusals(endpoint: Callable[[Request], Any]) -> Callable[[Request], Any]:
    """Return the endpoint with its exceptions turned into responses."""

    async def guarded(request: Request) -> Response:
        try:
            return await endpoint(request)  # type: ignore[no-any-return]
        except BadBody as exc:
            # the rest of the body is not read: the connection ends with the answer
            return answer(exc.status, {"error": exc.reason}, exc.retry_after_s, end=True)
        except ClientDisconnect:
            return answer(400, {"error": "body cut short"}, end=True)
        except Exception as exc:  # noqa: BLE001 (the one place that may catch all: an answer, never a stack trace)
            guard.caught("answering a request", exc)
            return answer(503, {"error": "internal error"}, 5.0)

    return guarded


def answer(
    status: int, content: dict[str, Any], retry_after_s: float = 0.0, *, end: bool = False
) -> Response:
    """Return a JSON response; ``Retry-After`` is in whole seconds, rounded up."""
    headers = dict(HEADERS)
    if retry_after_s:
        headers["Retry-After"] = str(int(min(retry_after_s, 3600.0)) + 1)
    if end:
        headers["Connection"] = "close"
    return Response(msgspec.json.encode(content), status, headers, "application/json")


def _address(request: Request) -> str:
    return network(request.client.host if request.client else None)


def is_local(request: Request) -> bool:
    """Return whether a request comes from this machine, without a proxy and addressed to a loopback name."""
    if any(name in request.headers for name in PROXY_HEADERS) or not _is_loopback(_host(request)):
        return False
    return request.client is not None and _is_loopback(request.client.host)


def _host(request: Request) -> str:
    host = request.headers.get("host", "")
    return host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


async def _http_error(_request: Request, exc: Exception) -> Response:
    status = exc.status_code if isinstance(exc, HTTPException) else 400
    return answer(status, {"error": {404: "not found", 405: "method not allowed"}.get(status, "refused")})
