"""Real frameworks in processes of their own, a real Chromium, a real store. `make test-ui` installs them."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ragwheel.store import open_store

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples" / "ui"
WAIT_S = 60.0
CHROMIUM = os.environ.get("RAGWHEEL_CHROMIUM") or next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), ""
)


def need(framework: str) -> None:
    """Skip the test where a framework or the browser is missing."""
    for module in (framework, "playwright"):
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"{module} is not installed: make test-ui")
    if not Path(CHROMIUM).is_file():
        pytest.skip("no Chromium found: apt install chromium, or name one in RAGWHEEL_CHROMIUM")


def eventually(look: Callable[[], Any]) -> Any:
    """What ``look`` returns as soon as it is true."""
    deadline, pause = time.monotonic() + WAIT_S, threading.Event()
    while not (found := look()):
        assert time.monotonic() < deadline, f"not within {WAIT_S:.0f} s"
        pause.wait(0.1)
    return found


class Apps:
    """Starts apps over one database and reads what they stored."""

    def __init__(self, folder: Path) -> None:
        self.db = folder / "app.db"
        self.folder = folder
        self.environment = {
            **os.environ,
            "RAGWHEEL_DB": str(self.db),
            "RAGWHEEL_APP": "notes",
            "RAGWHEEL_SIGNING_KEYS": "test:" + "5a" * 32,
            "PYTHONPATH": str(ROOT / "src"),
            "GRADIO_ANALYTICS_ENABLED": "False",
            "CHAINLIT_APP_ROOT": str(folder),
        }
        self._running: list[subprocess.Popen[bytes]] = []

    def start(self, command: list[str], port: int, path: str = "/", **environment: str) -> str:
        """Start a server and wait until it answers; its URL."""
        process = subprocess.Popen(
            [sys.executable, *command], cwd=self.folder, env={**self.environment, **environment},
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        self._running.append(process)
        url = f"http://localhost:{port}"

        def answers() -> bool:
            assert process.poll() is None, f"ended with {process.returncode}: {command}"
            with contextlib.suppress(OSError):
                return bool(urllib.request.urlopen(url + path, timeout=5).status == 200)
            return False

        eventually(answers)
        return url

    def signals(self, *kinds: str) -> list[dict[str, Any]]:
        """Rows of the view ``signals``, oldest first."""
        if not self.db.exists():
            return []
        with contextlib.closing(open_store(self.db)) as connection:
            connection.row_factory = sqlite3.Row
            rows = connection.execute("SELECT * FROM signals ORDER BY at_ns").fetchall()
            return [dict(row) for row in rows if row["kind"] in kinds]

    def wait_for(self, *kinds: str) -> list[dict[str, Any]]:
        return eventually(lambda: self.signals(*kinds))

    def close(self) -> None:
        for process in self._running:
            process.terminate()
            process.wait()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@pytest.fixture
def apps(tmp_path: Path) -> Iterator[Apps]:
    started = Apps(tmp_path)
    yield started
    started.close()


@pytest.fixture
def page() -> Iterator[Any]:
    need("playwright")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        opened = browser.new_page()
        opened.set_default_timeout(WAIT_S * 1000)
        yield opened
        browser.close()


@pytest.fixture(scope="session")
def tools() -> Any:
    """The helpers of this file."""
    return sys.modules[__name__]
