"""The collector: an ASGI app that takes signals from browsers and other services.

::

    from fastapi import FastAPI
    from ragwheel import collector

    app = FastAPI()
    app.mount("/ragwheel", collector.app(origins=["https://shop.example"]))

or on its own: ``ragwheel serve --db ragwheel.db``. Needs ``pip install 'ragwheel[serve]'``. A signal must
come with a signed handle: see ``docs/collector.md``, and ``docs/security.md`` for what is refused.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING

from ragwheel.collector.limits import RequestLimits
from ragwheel.errors import ConfigurationError, MissingExtra

if TYPE_CHECKING:
    from starlette.applications import Starlette
__all__ = ["RequestLimits", "app", "traces_app"]


def app(  # noqa: PLR0913 (settings of one app, each by its name)
    db: str | os.PathLike[str] | None = None,
    *,
    origins: Iterable[str] = (),
    trust_local: bool = False,
    apps: Collection[str] = (),
    signing_keys: Iterable[str] | None = None,
    limits: RequestLimits | None = None,
    beacon: bool = False,
) -> Starlette:
    """An ASGI app with ``POST /v1/signals`` and ``GET /healthz``.

    Args:
        db: the database that signals are written to; by default that of :func:`ragwheel.configure`.
        origins: exact origins of other sites' pages that may send signals: ``"https://shop.example"``.
        trust_local: also accept unsigned handles from this machine, sent without a proxy (for development).
        apps: the apps whose handles are accepted; by default the configured app, or every app that signs
            with our keys if that app has no name.
        signing_keys: ``"<key id>:<hex>"``, if ``db`` is given; by default ``RAGWHEEL_SIGNING_KEYS``.
        limits: the limits of requests, people and addresses.
        beacon: also serve ``GET /auto.js``, the script for a page's one tag, and the modules that it imports.

    Raises:
        MissingExtra: starlette is not installed.
        ConfigurationError: a setting cannot be used, or no handle could ever be accepted.
    """
    try:
        from ragwheel.collector.asgi import RequestGate, beacon_routes, signals_app
    except ModuleNotFoundError as exc:
        raise _missing(exc) from exc
    from ragwheel.collector.runtimes import RuntimeSource
    from ragwheel.collector.signals import Collector

    source = RuntimeSource(db, signing_keys)
    first = source()
    if first is not None and not first.settings.signing_keys and not trust_local:
        raise ConfigurationError(
            "collector.app: got no signing keys, so that every handle would be refused. Allowed: "
            "RAGWHEEL_SIGNING_KEYS or configure(signing_keys=...), the same for the app and the collector, "
            "or trust_local=True for development. Make a key: "
            "python -c \"import secrets; print('k1:' + secrets.token_hex(32))\""
        )
    limits = RequestLimits() if limits is None else limits
    app = signals_app(source, RequestGate(limits, origins), Collector(limits, apps), trust_local=trust_local)
    if beacon:
        app.router.routes.extend(beacon_routes())
    return app


def traces_app(db: str | os.PathLike[str] | None = None, *, token: str) -> Starlette:
    """An ASGI app with ``POST /v1/traces``: OTLP over HTTP, protobuf and JSON, of ragwheel's own spans.

    For services that have no access to the database: they export spans (``configure(exporters=[...],
    export_content=True)``, or any language that writes the attributes of :mod:`ragwheel.semconv`) and keep
    their ids here, so that their handles work. Spans of other libraries are rejected and counted in the
    response. The token allows writing anything: give it only to services of your own.

    Args:
        db: the database that records are written to; by default that of :func:`ragwheel.configure`.
        token: the bearer token of the ``Authorization`` header; 16 characters or more.

    Raises:
        MissingExtra: starlette or opentelemetry-proto is not installed.
        ConfigurationError: the token is too short, or a setting cannot be used.
    """
    try:
        import opentelemetry.proto.trace.v1.trace_pb2  # noqa: F401 (to miss it now and not at the first request)

        from ragwheel.collector import traces
    except ModuleNotFoundError as exc:
        raise _missing(exc) from exc
    return traces.traces_app(db, token=token)


def _missing(exc: ModuleNotFoundError) -> MissingExtra:
    return MissingExtra(
        f"The collector needs {exc.name}, which is not installed. "
        f"Install it with: pip install 'ragwheel[serve]'"
    )
