"""A loopback HTTP server that answers 200 and keeps each OTLP body as a file: ``sink.py PORT FOLDER``."""

from __future__ import annotations

import itertools
import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

__all__ = ["main"]


def main(port: int, folder: Path) -> None:
    """Serve until terminated."""
    folder.mkdir(parents=True, exist_ok=True)
    numbers = itertools.count()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self, body: bytes, kind: str = "application/json") -> None:
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def _body(self) -> bytes:
            if self.headers.get("Transfer-Encoding", "") != "chunked":
                return self.rfile.read(int(self.headers.get("Content-Length") or 0))
            parts = []
            while size := int(self.rfile.readline().strip() or b"0", 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)

        def do_GET(self) -> None:
            self._answer(json.dumps({"status": "OK", "data": [{"id": "p", "name": "bench"}]}).encode())

        def do_POST(self) -> None:
            body = self._body()
            if "traces" not in self.path:
                self._answer(b'{"successes":[],"errors":[]}')
                return
            suffix = ".otlp.gz" if self.headers.get("Content-Encoding") == "gzip" else ".otlp"
            partial = folder / f"{next(numbers):06d}.tmp"
            partial.write_bytes(body)
            partial.rename(partial.with_suffix(suffix))
            self._answer(b"", "application/x-protobuf")

        def log_message(self, *words: Any) -> None:
            """Say nothing: a busy log would cost the client's CPU."""

    ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
