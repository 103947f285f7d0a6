"""The server of the browser tests: pages, the beacon and a real collector, on one origin.

Run with a folder of pages, a database and the descriptor of a listening socket that the parent has opened.
"""

from __future__ import annotations

import socket
import sys
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ragwheel import collector

BEACON = Path(__file__).parents[2] / "integrations" / "browser" / "src"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self' {collector}; img-src data:; "
    "frame-src 'self'; form-action 'self'; base-uri 'none'; require-trusted-types-for 'script'"
)


class Strict:
    """Every page has the strictest policy that lets it load its own scripts."""

    def __init__(self, app: ASGIApp, collector: str) -> None:
        self.app = app
        policy = POLICY.format(collector=collector).encode()
        self.headers = [(b"content-security-policy", policy), (b"cache-control", b"no-store")]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def sealed(message: Message) -> None:
            if message["type"] == "http.response.start" and not scope["path"].startswith("/v1/"):
                message["headers"] = [*message["headers"], *self.headers]
            await send(message)

        await self.app(scope, receive, sealed)


def main(folder: str, db: str, fd: str) -> None:
    """Serve until the process is ended; pages opened at ``localhost`` are another origin to the collector."""
    listener = socket.socket(fileno=int(fd))
    port = listener.getsockname()[1]
    app = Starlette(
        routes=[
            Mount("/pages", StaticFiles(directory=folder, html=True)),
            Mount("/beacon", StaticFiles(directory=BEACON)),
            Mount("/", collector.app(db, origins=[f"http://localhost:{port}"], beacon=True)),
        ],
        middleware=[Middleware(Strict, collector=f"http://127.0.0.1:{port}")],
    )
    server = uvicorn.Server(uvicorn.Config(app, access_log=False, log_level="warning"))
    server.run(sockets=[listener])


if __name__ == "__main__":
    main(*sys.argv[1:])
