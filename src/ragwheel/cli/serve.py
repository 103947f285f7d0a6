"""``ragwheel serve``: the collector as a server of its own."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated

import typer

from ragwheel.cli.options import DbOption
from ragwheel.errors import ConfigurationError, MissingExtra

__all__ = ["serve"]

Host = Annotated[str, typer.Option(help="Address to listen on.", show_default=True)]
Port = Annotated[int, typer.Option(min=0, max=65535, help="Port; 0: any free one.", show_default=True)]
Origin = Annotated[
    list[str] | None, typer.Option("--origin", help="Exact origin of pages that send signals; repeat it.")
]
App = Annotated[
    list[str] | None,
    typer.Option("--app", help="Take handles of this app only; repeat it.", show_default="any"),
]
TrustLocal = Annotated[
    bool, typer.Option("--trust-local", help="Take unsigned handles from this machine (development).")
]
Proxy = Annotated[
    list[str] | None,
    typer.Option("--proxy", help="Address of a proxy whose X-Forwarded-For is believed; repeat it."),
]
AddressRate = Annotated[
    float | None, typer.Option(min=0, help="Signals per second from one address; 0: no limit.")
]
Beacon = Annotated[bool, typer.Option("--beacon", help="Serve the browser's modules too: GET /auto.js.")]
SubjectRate = Annotated[
    float | None, typer.Option(min=0, help="Signals per second from one person; 0: no limit.")
]


def serve(  # noqa: PLR0913, PLR0917 (one parameter an option)
    db: DbOption = Path("ragwheel.db"),
    host: Host = "127.0.0.1",
    port: Port = 8321,
    origin: Origin = None,
    app: App = None,
    trust_local: TrustLocal = False,
    proxy: Proxy = None,
    address_rate: AddressRate = None,
    subject_rate: SubjectRate = None,
    beacon: Beacon = False,
) -> None:
    """Take signals from browsers and services: POST /v1/signals. Keys: RAGWHEEL_SIGNING_KEYS."""
    try:
        import uvicorn
    except ModuleNotFoundError as exc:
        raise MissingExtra(
            "ragwheel serve needs uvicorn, which is not installed. "
            "Install it with: pip install 'ragwheel[serve]'"
        ) from exc
    from ragwheel import collector
    from ragwheel.collector.server import PatientProtocol

    if trust_local and not _is_loopback(host):
        raise ConfigurationError(
            f"--trust-local: got --host {host}, allowed: a loopback address such as 127.0.0.1. "
            f"To listen elsewhere, sign handles: set RAGWHEEL_SIGNING_KEYS."
        )
    limits = collector.RequestLimits()
    if address_rate is not None:
        limits = replace(limits, address_per_s=address_rate)
    if subject_rate is not None:
        limits = replace(limits, subject_per_s=subject_rate)
    asgi = collector.app(
        db, origins=origin or (), trust_local=trust_local, apps=app or (), limits=limits, beacon=beacon
    )

    class Protocol(PatientProtocol):
        """The protocol of this server: its proxies, and refusals counted."""

        proxies = frozenset(proxy or ())
        refuse = staticmethod(_refused)

    uvicorn.run(
        asgi,
        host=host,
        port=port,
        http=Protocol,
        proxy_headers=bool(proxy),
        forwarded_allow_ips=proxy or [],
        server_header=False,
        access_log=False,
        log_level="info",
        limit_concurrency=1000,
        timeout_graceful_shutdown=10,
    )


def _refused(reason: str) -> None:
    """Count a connection that was closed, with the signals that were refused."""
    from ragwheel import runtime

    configured = runtime.current()
    if configured is not None:
        configured.refuse(reason)


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
