"""A real Chromium, a real collector in a process of its own, a real store."""

from __future__ import annotations

import contextlib
import html
import json
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import ragwheel
from ragwheel.store import open_store

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, Playwright

HERE = Path(__file__).parent
WAIT_S = 20.0
KEYS = ("test:" + "5a" * 32,)
CHROMIUM = os.environ.get("RAGWHEEL_CHROMIUM") or next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), ""
)
ARGUMENTS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-sync", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage",
    "--remote-debugging-port=0", "--window-size=1280,900", "about:blank",
]  # fmt: skip


def eventually(look: Callable[[], Any]) -> Any:
    """What ``look`` returns as soon as it is true."""
    deadline, pause = time.monotonic() + WAIT_S, threading.Event()
    while not (found := look()):
        assert time.monotonic() < deadline, f"not within {WAIT_S:.0f} s: {look}"
        pause.wait(0.05)
    return found


class Chromium:
    """One browser process with tabs that really hide each other.

    Playwright's own ``launch`` makes every page believe that it is visible and has the focus;
    ``no_defaults`` leaves that to the browser.
    """

    def __init__(self, playwright: Playwright, profile: Path, preferences: dict[str, Any] | None = None):
        (profile / "Default").mkdir(parents=True)
        if preferences:
            (profile / "Default" / "Preferences").write_text(json.dumps(preferences))
        self.process = subprocess.Popen(
            [CHROMIUM, f"--user-data-dir={profile}", *ARGUMENTS],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        port_file = profile / "DevToolsActivePort"
        port, _ = eventually(lambda: port_file.exists() and port_file.read_text().splitlines())
        self.browser = playwright.chromium.connect_over_cdp(f"http://127.0.0.1:{port}", no_defaults=True)

    def close(self) -> None:
        self.browser.close()
        self.process.terminate()
        self.process.wait()


class Tabs:
    """Opens pages in one browser, and fails the test when an exception or a CSP violation reached one."""

    def __init__(self, browser: Browser) -> None:
        self.context = browser.contexts[0]
        self.errors: list[str] = []

    def open(self, url: str) -> Page:
        page = self.context.new_page()
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("console", lambda message: self._console(message.text))
        page.set_default_timeout(WAIT_S * 1000)
        page.goto(url, timeout=3 * WAIT_S * 1000)  # the first page of a server that has just begun
        return page

    def _console(self, text: str) -> None:
        if "Content Security Policy" in text or "Uncaught" in text:
            self.errors.append(text)

    def close(self) -> None:
        self.context.set_offline(False)
        for page in self.context.pages[1:]:  # the browser ends with its last tab
            page.close()


class Site:
    """The server, its database, and pages made for a test."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder, self.url = folder, f"http://127.0.0.1:{port}"
        self.db = folder / "ragwheel.db"

    def ask(self, query: str, ids: list[str], *, session: str = "s1", user: str = "ada") -> ragwheel.Turn:
        """A turn that found chunks with these ids, in this order."""
        ragwheel.configure(self.db, app="site", signing_keys=KEYS)

        @ragwheel.retriever(source="shelf")
        def search(query: str) -> list[dict[str, str]]:
            return [{"id": id, "text": f"What the passage {id!r} says."} for id in ids]

        with ragwheel.turn(query, session_id=session, user_id=user) as turn:
            search(query)
            turn.answer("So it is [1].")
        assert ragwheel.flush()
        return turn

    def page(self, name: str, body: str, **options: Any) -> str:
        """A page with the beacon attached to it; returns its URL."""
        options = {"batchMs": 50, **options}
        (self.folder / f"{name}.html").write_text(
            '<!doctype html><html lang="en"><meta charset="utf-8"><title>t</title>'
            '<link rel="stylesheet" href="site.css"><link rel="icon" href="data:,">'
            f'<body data-options="{html.escape(json.dumps(options))}">{body}'
            '<script type="module" src="start.js"></script></body></html>',
            encoding="utf-8",
        )
        return f"{self.url}/pages/{name}.html"

    def plain(self, name: str, body: str) -> str:
        """A page as somebody writes it, without a script of ours; returns its URL."""
        (self.folder / f"{name}.html").write_text(
            '<!doctype html><html lang="en"><meta charset="utf-8"><title>t</title>'
            '<link rel="stylesheet" href="site.css"><link rel="icon" href="data:,">'
            f"<body>{body}</body></html>",
            encoding="utf-8",
        )
        return f"{self.url}/pages/{name}.html"

    def signals(self, turn: ragwheel.Turn, *kinds: str) -> list[dict[str, Any]]:
        """What the store has about a turn, oldest first: rows of the view ``signals``."""
        with contextlib.closing(open_store(self.db)) as connection:
            connection.row_factory = sqlite3.Row
            found = connection.execute(
                "SELECT * FROM signals WHERE turn_id = ? ORDER BY at_ns, signal_id", [turn.span_id.hex()]
            )
            return [dict(row) for row in found if not kinds or row["kind"] in kinds]

    def wait_for(self, turn: ragwheel.Turn, *kinds: str, n: int = 1) -> list[dict[str, Any]]:
        """The same, once there are ``n``."""
        return eventually(lambda: len(rows := self.signals(turn, *kinds)) >= n and rows)

    def unmatched(self) -> int:
        with contextlib.closing(open_store(self.db)) as connection:
            return connection.execute("SELECT count(*) FROM unmatched_signals").fetchone()[0]


def card(id: str, inside: str = "", cls: str = "card") -> str:
    """A source card for a chunk."""
    name = html.escape(id)
    return f'<article class="{cls}" data-ragwheel-chunk="{name}"><p>What {name} says.</p>{inside}</article>'


def button(kind: str, more: str = "") -> str:
    return f'<button type="button" data-ragwheel-action="{kind}" {more}>{kind}</button>'


def answers(turn: ragwheel.Turn, inside: str) -> str:
    """The part of a page that shows a turn."""
    return f'<main data-ragwheel-handle="{turn.handle}">{inside}</main>'


def sent(page: Page) -> dict[str, int]:
    """Wait until the collector has answered for everything; the beacon's counters."""
    page.wait_for_function("() => beacon.stats().recorded && !beacon.stats().queued")
    stats: dict[str, int] = page.evaluate("beacon.stats()")
    assert stats["errors"] == 0
    assert stats["recorded"] + stats["adopted"] == sum(stats[k] for k in ("kept", "refused", "dropped"))
    return stats


@pytest.fixture(scope="module")
def playwright() -> Iterator[Playwright]:
    need_chromium()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as started:
        yield started


@pytest.fixture(scope="module")
def chromium(playwright: Playwright, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    started = Chromium(playwright, tmp_path_factory.mktemp("profile") / "p")
    yield started
    started.close()


def need_chromium() -> None:
    pytest.importorskip("playwright", reason="needs playwright: pip install playwright")
    pytest.importorskip("uvicorn", reason="needs ragwheel[serve]")
    if not Path(CHROMIUM).is_file():
        pytest.skip("no Chromium found: apt install chromium, or name one in RAGWHEEL_CHROMIUM")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    need_chromium()
    folder = tmp_path_factory.mktemp("site")
    for name in ("site.css", "start.js"):
        shutil.copy(HERE / name, folder)
    listener = socket.create_server(("127.0.0.1", 0))
    listener.set_inheritable(True)
    found = Site(folder, listener.getsockname()[1])
    server = subprocess.Popen(
        [sys.executable, HERE / "site.py", folder, found.db, str(listener.fileno())],
        pass_fds=[listener.fileno()],
        env={**os.environ, "RAGWHEEL_APP": "site", "RAGWHEEL_SIGNING_KEYS": ",".join(KEYS)},
    )
    listener.close()
    yield found
    server.terminate()
    server.wait()


@pytest.fixture
def tabs(chromium: Chromium) -> Iterator[Tabs]:
    opened = Tabs(chromium.browser)
    yield opened
    opened.close()
    assert opened.errors == []


@pytest.fixture(scope="session")
def make() -> Any:
    """The helpers of this file, for tests: ``make.card``, ``make.sent`` and so on."""
    return sys.modules[__name__]
