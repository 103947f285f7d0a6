"""Questions about four things in many words, liked answers to them, and a chat endpoint on loopback."""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from ragwheel.testing import Asked, TraceStore

TOPICS = {
    "keys": (["rotate", "revoke", "renew", "create", "list"], ["signing key", "access key", "deploy key"]),
    "billing": (["cancel", "download", "change", "explain", "refund"], ["monthly invoice", "plan", "bill"]),
    "login": (
        ["reset", "recover", "disable", "enable", "change"],
        ["password", "two factor code", "login mail"],
    ),
    "export": (["export", "archive", "import", "convert", "filter"], ["csv table", "report", "audit log"]),
}
ENDINGS = ("for my team", "from the command line", "every month", "in the browser")


def questions() -> Iterator[tuple[str, str]]:
    """240 of them, topic by topic in turn."""
    made = [
        [
            (topic, f"how do I {verb} the {thing} {end}")
            for verb, thing, end in itertools.product(*words, ENDINGS)
        ]
        for topic, words in TOPICS.items()
    ]
    for four in zip(*made):
        yield from four


def liked(
    traces: TraceStore, question: str, *, chunk: str = "d", answer: str | None = None, **given: Any
) -> Asked:
    """One turn with a good answer."""
    answer = answer or f"Open settings and {question[9:]} there [1]."
    asked = traces.ask(question, [chunk, "other"], cited=[1], answer=answer, **given)
    traces.signal(asked, "thumbs_up", of_answer=True)
    return asked


Reply = Callable[[dict[str, Any]], tuple[int, dict[str, str], bytes]]


@contextmanager
def chat_server(reply: Reply) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A server on loopback; gives its address and the requests that it got (body, path and headers)."""
    got: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            got.append({"body": body, "path": self.path, "headers": dict(self.headers)})
            status, headers, data = reply(body)
            self.send_response(status)
            for name, value in {"Content-Length": str(len(data)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1", got
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def said(text: str) -> tuple[int, dict[str, str], bytes]:
    """What OpenAI's chat API answers."""
    return 200, {}, json.dumps({"choices": [{"message": {"role": "assistant", "content": text}}]}).encode()
