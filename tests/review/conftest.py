"""A review page in a process of its own, over a store that is written by hand."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import closing, contextmanager
from pathlib import Path

import httpx
import pytest

pytest.importorskip("uvicorn", reason="needs ragwheel[review]")

import uvicorn

from ragwheel.review import ReviewAccess, ReviewOptions, app
from ragwheel.store import open_store
from ragwheel.testing import TraceStore

COMMAND = [sys.executable, "-c", "from ragwheel.cli import main; main()"]
WAIT_S = 150.0
CHROMIUM = os.environ.get("RAGWHEEL_CHROMIUM") or next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), ""
)


def eventually(look, wait_s=WAIT_S):
    """What ``look`` returns as soon as it is true."""
    deadline, pause = time.monotonic() + wait_s, threading.Event()
    while not (value := look()):
        assert time.monotonic() < deadline, f"not within {wait_s:.0f} s: {look}"
        pause.wait(0.05)
    return value


class RunningPage:
    """A review page that runs; ``address`` has the token."""

    db: Path
    address: str
    url: str

    @contextmanager
    def client(self, *, signed_in=True):
        # a connection for each request: on a busy machine the server ends an idle one while it is used again
        each = httpx.Limits(max_keepalive_connections=0)
        origin = {"origin": self.url}
        with httpx.Client(base_url=self.url, headers=origin, timeout=WAIT_S, limits=each) as client:
            if signed_in:
                client.get(self.address.removeprefix(self.url))
            yield client

    def ready(self):
        """Wait until the queue is computed."""
        with self.client() as client:
            body = {"rater": "nobody", "held": [], "n": 5}
            return eventually(lambda: (r := client.post("/api/next", json=body).json())["ready"] and r)


class PageProcess(RunningPage):
    """``ragwheel review`` as a person starts it."""

    def __init__(self, db, *options, port=0, env=()):
        self.db, self.options, self.env = db, options, dict(env)
        self.start(port)

    def start(self, port):
        self.process = subprocess.Popen(
            [*COMMAND, "review", "--db", str(self.db), "--port", str(port), "--judge", "ann", *self.options],
            stdout=subprocess.PIPE, text=True, env={**os.environ, **self.env},
        )  # fmt: skip
        for line in self.process.stdout:
            if match := re.search(r"open\s+(http\S+)", line):
                break
        else:
            raise AssertionError("the server ended before it listened")
        self.address = match.group(1)
        self.url, self.port = re.match(r"(http://[^/]+:(\d+))/", self.address).groups()

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.process.stdout.close()

    def again(self):
        """Start it anew on the same port."""
        self.start(int(self.port))

    def close(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(WAIT_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.process.stdout.close()


class PageThread(RunningPage):
    """The same app in a thread of the test."""

    def __init__(self, db, **options):
        self.db = db
        access = ReviewAccess(b"secret")
        listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        self.address = f"{self.url}/grade?token={access.token}"
        asgi = app(ReviewOptions(db=db, rater="ann", **options), access)
        self.server = uvicorn.Server(uvicorn.Config(asgi, log_level="warning", timeout_graceful_shutdown=5))
        self.thread = threading.Thread(target=self.server.run, kwargs={"sockets": [listener]})
        self.thread.start()

    def close(self):
        self.server.should_exit = True
        self.thread.join()


def judgments(db):
    """(query, chunk, grade, judge, note) of every judgment, the oldest first."""
    with closing(open_store(db)) as connection:
        return connection.execute(
            "SELECT query, chunk_id, grade, judge, note FROM judgments ORDER BY at_ns"
        ).fetchall()


def reviews(db):
    """(kind, rater, query, chunk, value) of every review."""
    with closing(open_store(db)) as connection:
        return connection.execute(
            "SELECT kind, rater, query, chunk_id, value FROM reviews ORDER BY at_ns"
        ).fetchall()


def fill(path, questions=12, chunks=4):
    """Traces of questions with a few chunks each."""
    with TraceStore(path) as store:
        for n in range(questions):
            for k in range(chunks):
                store.chunk(
                    f"doc{n}-{k}", f"# Part {k}\n\nThe answer number {n} is **{k}**, says passage {k} of {n}."
                )
            store.ask(f"What is the answer number {n}?", [f"doc{n}-{k}" for k in range(chunks)], cited=[1])
    return path


@pytest.fixture
def serve():
    """Start servers; they end with the test."""
    servers = []

    def start(db, *options, process=False, **more):
        servers.append(PageProcess(db, *options, **more) if process else PageThread(db, **more))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


@pytest.fixture
def ragwheel(tmp_path):
    """Run ``ragwheel ARGS`` until it ends."""

    def run(*args, env):
        return subprocess.run(
            [*COMMAND, *map(str, args)], cwd=tmp_path, env={**os.environ, **env},
            capture_output=True, text=True, timeout=WAIT_S, check=False, stdin=subprocess.DEVNULL,
        )  # fmt: skip

    return run


@pytest.fixture
def db(tmp_path):
    return fill(tmp_path / "app.db")


@pytest.fixture(scope="session")
def make():
    """The helpers of this file."""
    return sys.modules[__name__]


@pytest.fixture(scope="module")
def chromium():
    pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install playwright")
    if not CHROMIUM:
        pytest.skip("no Chromium found: apt install chromium, or name one in RAGWHEEL_CHROMIUM")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def tab(chromium):
    """Open pages; fails on an exception, a violation of the policy, or a request to another host."""
    contexts, complaints = [], []

    def open_(address, *, context=None, scheme="light", width=1280, height=900):
        if context is None:
            context = chromium.new_context(color_scheme=scheme, viewport={"width": width, "height": height})
            contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(WAIT_S * 1000)
        host = re.match(r"http://[^/]+", address).group()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("dialog", lambda dialog: _dialog(dialog, complaints))
        page.on("console", lambda message: _console(message, complaints))
        page.on("request", lambda request: _request(request, host, complaints))
        page.goto(address)
        return page

    yield open_
    for context in contexts:
        context.close()
    assert complaints == []


def _dialog(dialog, complaints):
    complaints.append(f"dialog: {dialog.message}")
    dialog.dismiss()


def _request(request, host, complaints):
    if not request.url.startswith(host):
        complaints.append(request.url)


def _console(message, complaints):
    if "Content Security Policy" in message.text or "Uncaught" in message.text:
        complaints.append(message.text)
