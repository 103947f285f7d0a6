"""The example chat, used by hand: what was done is in the store. Also takes the pictures in docs/img.

RAGWHEEL_SCREENSHOTS=1 writes the pictures where the documentation shows them; otherwise they go to a
temporary folder, where only their size is looked at.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from ragwheel.store import open_store

ROOT = Path(__file__).parents[2]
WANTED = bool(os.environ.get("RAGWHEEL_SCREENSHOTS"))
IN_THE_DOCS = {"chat-light", "chat-dark", "chat-compare-light", "chat-phone-light"}
QUESTION = "What happens to symbolic links when I copy a directory tree?"
IN_THE_PICTURE = "What does json do with NaN?"


class Chat:
    """The example, running as `make example` runs it."""

    def __init__(self, folder, **settings):
        self.db = folder / "chat.db"
        listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        self.process = subprocess.Popen(
            [sys.executable, "-m", "uvicorn", "examples.fastapi_chat.app:app", "--log-level", "warning",
             "--fd", str(listener.fileno())],
            cwd=ROOT, pass_fds=[listener.fileno()], env={**os.environ, "CHAT_DB": str(self.db), **settings},
        )  # fmt: skip
        listener.close()

    def close(self):
        self.process.terminate()
        self.process.wait()

    def rows(self, sql):
        with contextlib.closing(open_store(self.db)) as connection:
            return connection.execute(sql).fetchall()


@pytest.fixture(scope="module")
def chat(playwright, tmp_path_factory):
    pytest.importorskip("fastapi", reason="the example needs fastapi")
    pytest.importorskip("bm25s", reason="the example needs ragwheel[demo]")
    started = Chat(tmp_path_factory.mktemp("chat"))
    yield started
    started.close()


def ask(page, question):
    """Type a question and wait for the whole answer; returns the part of the page that shows the turn."""
    page.get_by_role("textbox").fill(question)
    page.keyboard.press("Enter")
    turn = page.locator(".turn").last
    turn.get_by_role("button", name="Ask differently").wait_for()
    return turn


def picture(page, folder, name):
    if WANTED and name in IN_THE_DOCS:
        folder = ROOT / "docs" / "img"
    path = folder / f"{name}.png"
    page.screenshot(path=path)
    assert path.stat().st_size > 20_000


def test_a_conversation(chat, tabs, make):
    page = tabs.open(chat.url)
    turn = ask(page, QUESTION)
    cards = turn.locator(".found > .cards > .card")
    ids = [cards.nth(at).get_attribute("data-ragwheel-chunk") for at in range(cards.count())]
    assert len(ids) == 6
    assert turn.locator(".answer .cite").count() >= 2

    turn.locator(".cite").first.click()
    cards.nth(0).get_by_role("button", name="Helpful", exact=True).click()
    cards.nth(1).get_by_role("button", name="Not helpful").click()
    cards.nth(2).get_by_role("button", name="Show all").click()
    cards.nth(0).get_by_role("button", name="More like this").click()
    similar = turn.locator(".similar .card")
    similar.first.get_by_role("button", name="Helpful", exact=True).click()
    liked = similar.first.get_attribute("data-ragwheel-chunk")
    cards.nth(3).get_by_role("button", name="Compare").click()
    cards.nth(2).get_by_role("button", name="Compare").click()
    page.get_by_role("dialog").get_by_role("button", name="This one").nth(1).click()
    cards.nth(5).get_by_role("button", name="Remove").click()
    cards.nth(5).wait_for(state="detached")
    turn.get_by_role("button", name="Good answer").click()
    turn.get_by_role("button", name="Ask differently").click()
    ask(page, "Does copytree follow symbolic links?")
    ask(page, "When does lru_cache treat two calls as distinct?")
    page.reload()  # what was looked at goes out when the page goes

    turns = dict(chat.rows("SELECT query, turn_id FROM turns"))
    assert [row[0] for row in chat.rows("SELECT DISTINCT n_citations > 0 FROM turns")] == [1]

    def signals():
        found = chat.rows("SELECT kind, chunk_id, other, turn_id FROM signals")
        found = [row for row in found if row[0] not in {"dwell", "impression"}]
        return found if len(found) >= 10 else None

    found = make.eventually(signals)
    first = turns[QUESTION]
    about_first = {(kind, chunk, other) for kind, chunk, other, turn_id in found if turn_id == first}
    assert about_first >= {
        ("thumbs_up", ids[0], None),
        ("thumbs_down", ids[1], None),
        ("expand", ids[2], None),
        ("more_like_this", ids[0], None),
        ("prefer", ids[2], ids[3]),
        ("delete", ids[5], None),
        ("thumbs_up", None, None),
        ("reformulate", None, turns["Does copytree follow symbolic links?"]),
    }
    assert {kind for kind, *_ in about_first} >= {"click"}
    assert ("follow_up", None, None, turns["Does copytree follow symbolic links?"]) in found
    assert ("thumbs_up", liked, None, None) in found, "the similar ones are a retrieval of their own"
    assert chat.rows("SELECT count(*) FROM unmatched_signals") == [(0,)]
    shown = chat.rows("SELECT count(*) FROM impressions WHERE exposure = 'shown'")
    assert shown[0][0] >= 6


def test_a_source_read_here_a_comment_and_what_is_undone(chat, tabs, make):
    page = tabs.open(chat.url)
    turn = ask(page, "Which arguments of subprocess.run capture the output?")
    cards = turn.locator(".found > .cards > .card")
    ids = [cards.nth(at).get_attribute("data-ragwheel-chunk") for at in range(cards.count())]

    cards.nth(3).get_by_role("button", name="Read").click()
    reader = page.get_by_role("dialog", name="Source")
    assert len(reader.locator(".text").inner_text()) > 50
    page.evaluate("() => new Promise((done) => setTimeout(done, 1500))")
    reader.get_by_role("button", name="Close").click()
    reader.wait_for(state="detached")

    cards.nth(4).get_by_role("button", name="Remove").click()
    cards.nth(5).wait_for(state="detached")
    page.get_by_role("button", name="Undo").click()
    cards.nth(5).wait_for()
    assert cards.nth(4).get_attribute("data-ragwheel-chunk") == ids[4], "back where it was"

    turn.get_by_role("button", name="Good answer").click()
    turn.get_by_role("button", name="Bad answer").click()
    turn.get_by_role("button", name="Incomplete").click()
    turn.get_by_role("textbox", name="Comment").fill("What about stderr?")
    turn.get_by_role("button", name="Send").click()
    page.reload()

    columns = "s.kind, s.chunk_id, s.reason, s.comment, s.value"
    sql = (
        f"SELECT {columns} FROM signals s JOIN turns t USING (turn_id) WHERE t.query LIKE 'Which arguments%'"
    )

    def signals():
        rows = [row[:4] for row in chat.rows(sql) if row[0] not in {"dwell", "impression"}]
        read = [row[4] for row in chat.rows(sql) if row[:2] == ("dwell", ids[3])]
        return (rows, read) if len(rows) >= 2 and read else None

    rows, read = make.eventually(signals)
    assert sorted(rows) == [
        ("click", ids[3], None, None),
        ("thumbs_down", None, "incomplete", "What about stderr?"),
    ], "one vote, and nothing of what was undone"
    assert max(read) > 1.4


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pictures(chat, chromium, make, tmp_path, scheme):
    context = chromium.browser.new_context(color_scheme=scheme, viewport={"width": 1280, "height": 860})
    page = context.new_page()
    page.goto(chat.url)
    page.locator("#corpus", has_text="passages").wait_for()
    picture(page, tmp_path, f"chat-start-{scheme}")
    turn = ask(page, IN_THE_PICTURE)
    cards = turn.locator(".found > .cards > .card")
    cards.nth(0).get_by_role("button", name="Helpful", exact=True).click()
    turn.get_by_role("button", name="Good answer").click()
    page.mouse.move(5, 400)
    page.locator(".heard", has_text=re.compile("[1-9].* kept")).wait_for()
    picture(page, tmp_path, f"chat-{scheme}")
    cards.nth(0).get_by_role("button", name="Compare").click()
    cards.nth(1).get_by_role("button", name="Compare").click()
    page.get_by_role("dialog").wait_for()
    picture(page, tmp_path, f"chat-compare-{scheme}")
    page.keyboard.press("Escape")
    cards.nth(0).get_by_role("button", name="Read").click()
    picture(page, tmp_path, f"chat-read-{scheme}")
    page.keyboard.press("Escape")
    turn.get_by_role("button", name="Bad answer").click()
    cards.nth(1).get_by_role("button", name="Remove").click()
    page.get_by_role("button", name="Undo").wait_for()
    picture(page, tmp_path, f"chat-comment-{scheme}")
    context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_on_a_phone(chat, chromium, tmp_path, scheme):
    context = chromium.browser.new_context(
        color_scheme=scheme, viewport={"width": 390, "height": 844}, device_scale_factor=2, has_touch=True,
        is_mobile=True,
    )  # fmt: skip
    page = context.new_page()
    page.goto(chat.url)
    turn = ask(page, IN_THE_PICTURE)
    picture(page, tmp_path, f"chat-phone-{scheme}")
    helpful = turn.locator(".card").first.get_by_role("button", name="Helpful", exact=True)
    helpful.tap()
    assert helpful.get_attribute("aria-pressed") == "true"
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "nothing sticks out"
    turn.get_by_role("button", name="Bad answer").tap()
    picture(page, tmp_path, f"chat-phone-comment-{scheme}")
    turn.get_by_role("button", name="Read").first.tap()
    picture(page, tmp_path, f"chat-phone-read-{scheme}")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "nothing sticks out"
    context.close()


def test_by_keyboard_alone(chat, tabs):
    page = tabs.open(chat.url)
    page.keyboard.type(QUESTION)
    page.keyboard.press("Enter")
    page.locator(".turn").get_by_role("button", name="Ask differently").wait_for()
    names = []
    for _ in range(14):
        page.keyboard.press("Shift+Tab")
        names.append(page.evaluate("document.activeElement.ariaLabel ?? document.activeElement.textContent"))
        assert page.evaluate("document.activeElement.matches(':focus-visible')")
    assert {"Remove", "Compare with another", "More like this", "Helpful", "Not helpful"} <= set(names)
    page.locator(".card").first.get_by_role("button", name="Remove").focus()
    page.keyboard.press("Enter")
    page.wait_for_function("() => document.querySelectorAll('.card').length === 5")
    assert page.evaluate("document.activeElement.className") == "card", "the focus goes to the next card"


class Model(BaseHTTPRequestHandler):
    """An OpenAI-compatible endpoint that streams one sentence, or fails."""

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        failing = "fail" in asked["messages"][-1]["content"].rpartition("Question:")[2]
        self.send_response(500 if failing else 200)
        self.end_headers()
        for piece in [] if failing else ["It follows ", "them [2]", "."]:
            chunk = json.dumps({"choices": [{"delta": {"content": piece}}]})
            self.wfile.write(f"data: {chunk}\n\n".encode())
        self.wfile.write(b"data: [DONE]\n\n")

    def log_message(self, *_):
        """Say nothing."""


def test_an_openai_compatible_endpoint(chat, tabs, tmp_path):
    model = ThreadingHTTPServer(("127.0.0.1", 0), Model)
    threading.Thread(target=model.serve_forever, daemon=True).start()
    started = Chat(tmp_path, OPENAI_BASE_URL=f"http://127.0.0.1:{model.server_port}/v1")
    try:
        page = tabs.open(started.url)
        turn = ask(page, QUESTION)
        assert turn.locator(".answer").inner_text() == "It follows them 2."
        page.get_by_role("textbox").fill("How do tests fail?")
        page.keyboard.press("Enter")
        page.locator(".failed", has_text="No answer: The model's endpoint answered 500.").wait_for()
        assert started.rows("SELECT rank FROM citations") == [(2,)]
    finally:
        started.close()
        model.shutdown()
        model.server_close()
