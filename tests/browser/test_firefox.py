"""Firefox, driven by WebDriver BiDi: what is seen and read, votes and their undo, with the real collector.

`RAGWHEEL_FIREFOX=1 pytest tests/browser/test_firefox.py`
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

FIREFOX = shutil.which("firefox-esr") or shutil.which("firefox") or ""
WANTED = bool(os.environ.get("RAGWHEEL_FIREFOX"))
TAG = '<script type="module" src="/auto.js" data-batch-ms="50"></script>'
SWITCH = """document.querySelector("#switch").addEventListener("click", ({ currentTarget: button }) =>
    button.setAttribute("aria-pressed", button.getAttribute("aria-pressed") !== "true"))"""


class Firefox:
    """One headless Firefox with one page, by the protocol that it speaks without a driver."""

    def __init__(self, profile: Path) -> None:
        from websockets.sync.client import connect

        command = [FIREFOX, "--headless", "--no-remote", "--profile", profile, "--remote-debugging-port", "0"]
        self.process = subprocess.Popen(
            command, stderr=subprocess.PIPE, text=True, env={**os.environ, "HOME": str(profile)}
        )
        assert self.process.stderr is not None
        line = next(line for line in self.process.stderr if "BiDi listening on" in line)
        self._open = contextlib.ExitStack()
        url = f"{line.split()[-1]}/session"
        self._socket = self._open.enter_context(connect(url, max_size=None, proxy=None))
        self._ids = count(1)
        self.version = self.command("session.new", capabilities={})["capabilities"]["browserVersion"]
        self.page = self.command("browsingContext.getTree")["contexts"][0]["context"]

    def command(self, method: str, **parameters: Any) -> Any:
        """Send a command and return its result."""
        id = next(self._ids)
        self._socket.send(json.dumps({"id": id, "method": method, "params": parameters}))
        while (answer := json.loads(self._socket.recv(timeout=60))).get("id") != id:
            pass
        assert answer["type"] == "success", answer
        return answer["result"]

    def open(self, url: str) -> None:
        self.command("browsingContext.navigate", context=self.page, url=url, wait="complete")

    def run(self, script: str) -> Any:
        """The value of an expression in the page; a promise is waited for."""
        target = {"context": self.page}
        answer = self.command("script.evaluate", expression=script, target=target, awaitPromise=True)
        assert answer["type"] == "success", answer
        return answer["result"].get("value")

    def close(self) -> None:
        self._open.close()
        self.process.terminate()
        self.process.wait()
        if self.process.stderr is not None:
            self.process.stderr.close()


@pytest.fixture
def firefox(tmp_path: Path) -> Iterator[Firefox]:
    if not WANTED or not FIREFOX:
        pytest.skip("only with RAGWHEEL_FIREFOX=1, and Firefox: apt install firefox-esr")
    pytest.importorskip("websockets", reason="needs websockets")
    (tmp_path / "profile").mkdir()
    started = Firefox(tmp_path / "profile")
    yield started
    started.close()


def test_what_people_do_in_firefox(site, firefox, make):
    turn = site.ask("Which one?", ["alpha", "beta"])
    card = make.card(
        "alpha", '<a href="#x">open</a>' + make.button("bookmark", 'id="switch" aria-pressed="false"')
    )
    page = make.answers(turn, card + "<ragwheel-feedback answer></ragwheel-feedback>") + TAG
    firefox.open(site.plain("firefox", page))
    firefox.run(
        "new Promise((done) => { (function wait() { window.ragwheel ? done() : setTimeout(wait, 20) })() })"
    )
    firefox.run(f"void {SWITCH}")
    click = "void document.querySelector('{}').click()"
    vote = "void document.querySelector('ragwheel-feedback').shadowRoot.querySelector('button').click()"

    assert [row["chunk_id"] for row in site.wait_for(turn, "impression")] == ["alpha"]
    firefox.run(click.format("a"))
    firefox.run(click.format("#switch"))
    firefox.run(vote)
    assert {row["chunk_id"] for row in site.wait_for(turn, "click", "bookmark", "thumbs_up", n=3)} == {
        "alpha",
        None,
    }
    firefox.run(click.format("#switch"))
    firefox.run(vote)
    make.eventually(lambda: not site.signals(turn, "bookmark", "thumbs_up"))
    assert firefox.run("ragwheel.stats().errors") == 0
    firefox.run("new Promise((done) => setTimeout(done, 5100))")  # a dwell right after a click would wait
    firefox.open("about:blank")
    (row,) = site.wait_for(turn, "dwell")
    assert row["chunk_id"] == "alpha"
    assert row["value"] > 5
