"""A real HTTP server on loopback, in a thread, for tests that need one::

with served(collector.app("app.db")) as url:
    httpx.post(f"{url}/v1/signals", json=...)
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from typing import Any

from ragwheel.errors import MissingExtra

__all__ = ["served"]


@contextlib.contextmanager
def served(app: Any, *, timeout_s: float = 10.0, **settings: Any) -> Iterator[str]:
    """Serve an ASGI app on a free port of 127.0.0.1 and yield its URL.

    Args:
        app: any ASGI app.
        timeout_s: for it to start, and again to stop.
        settings: of ``uvicorn.Config``.

    Raises:
        MissingExtra: uvicorn is not installed.
        TimeoutError: it does not start.
    """
    try:
        import uvicorn
    except ModuleNotFoundError as exc:
        raise MissingExtra("ragwheel.testing.served needs uvicorn: pip install 'ragwheel[serve]'") from exc

    ready = threading.Event()

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            ready.set()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = Server(uvicorn.Config(app, log_level="critical", access_log=False, **settings))
        thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
        thread.start()
        try:
            if not ready.wait(timeout_s):
                raise TimeoutError(f"the server did not start within {timeout_s:g} s")
            host, port = listening.getsockname()
            yield f"http://{host}:{port}"
        finally:
            server.should_exit = True
            thread.join(timeout_s)
