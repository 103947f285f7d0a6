"""A database with one turn in it, and a collector for it that listens on loopback."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

import ragwheel
from ragwheel import collector, handles
from ragwheel.collector.server import PatientProtocol
from ragwheel.store import open_store
from ragwheel.testing.serving import served

KEY = "k1:" + "5a" * 32
BROWSER = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
OTHER_KEY = "k2:" + "c3" * 32


@dataclass
class Shop:
    """An app with handles of its own, and the collector's address."""

    db: Path
    url: str
    turn: str
    retrieval: str
    target: handles.Target
    http: httpx.Client

    def handle(self, *, key: str | None = KEY, **changed: Any) -> str:
        """A handle of the turn, changed somewhere; ``key=None``: unsigned."""
        at = changed.pop("now_s", None)
        return handles.make(self.target._replace(**changed), [key] if key else [], now_s=at)

    def post(self, body: Any, **settings: Any) -> httpx.Response:
        """POST a body to the collector."""
        how = {"content": body} if isinstance(body, (str, bytes)) else {"json": body}
        headers = {"User-Agent": BROWSER, **settings.pop("headers", {})}
        return self.http.post("/v1/signals", headers=headers, **how, **settings)

    def results(self, *items: dict[str, Any]) -> list[tuple[str, str | None]]:
        """(status, reason) of each signal of one request."""
        found = self.post({"signals": list(items)}).json()["results"]
        return [(result["status"], result["reason"]) for result in found]

    def rows(self, columns: str = "kind, chunk_id, subject", view: str = "signals") -> list[tuple[Any, ...]]:
        """What is in the database."""
        ragwheel.flush()
        with contextlib.closing(open_store(self.db)) as connection:
            return sorted(connection.execute(f"SELECT {columns} FROM {view}").fetchall(), key=repr)


@contextlib.contextmanager
def a_shop(
    folder: Path, *, keys: tuple[str, ...] = (KEY,), app: str = "shop", **settings: Any
) -> Iterator[Shop]:
    db = folder / "app.db"
    ragwheel.configure(db, app=app, signing_keys=keys)

    @ragwheel.retriever(name="kb")
    def search(query: str) -> list[dict[str, str]]:
        return [{"id": f"c{n}", "text": f"text {n}"} for n in (1, 2, 3)]

    with ragwheel.turn("what is tea?", user_id="u1", session_id="s1") as turn:
        search("what is tea?")
        turn.answer("Leaves [1].")
    target = handles.Target(handles.TURN, turn.span_id, turn.trace_id, "u1", app)
    with (
        served(collector.app(**settings), http=PatientProtocol) as url,
        httpx.Client(base_url=url, verify=False, timeout=120) as http,  # certificates take 50 ms to load
    ):
        yield Shop(db, url, turn.handle, turn.retrievals[0].handle, target, http)


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    with a_shop(tmp_path) as found:
        yield found


@pytest.fixture
def open_shop(tmp_path: Path) -> Iterator[Callable[..., Shop]]:
    """Make a shop with settings of its own."""
    with contextlib.ExitStack() as stack:

        def make(**settings: Any) -> Shop:
            return stack.enter_context(a_shop(tmp_path, **settings))

        yield make
