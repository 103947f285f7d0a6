"""The examples of Streamlit, Gradio and Chainlit: votes, their undo, and what the beacon sees."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from types import SimpleNamespace

import pytest

import ragwheel
from ragwheel.store import open_store
from ragwheel.ui.cards import cards, identity
from ragwheel.ui.votes import vote


def no_vote(apps, tools):
    tools.eventually(lambda: not apps.signals("thumbs_up", "thumbs_down"))


def test_streamlit(apps, page, tools):
    tools.need("streamlit")
    port, signals_port = tools.free_port(), tools.free_port()
    serve = [
        "-c",
        "from ragwheel.cli import main; main()",
        "serve",
        "--beacon",
        "--port",
        str(signals_port),
        "--db",
        str(apps.db),
    ]
    collector = apps.start([*serve, "--origin", f"http://localhost:{port}"], signals_port, "/healthz")
    run = ["-m", "streamlit", "run", str(tools.EXAMPLES / "streamlit_app.py"), "--server.port", str(port)]
    url = apps.start([*run, "--server.headless", "true"], port, "/_stcore/health", COLLECTOR_URL=collector)
    page.goto(url)
    page.locator("[data-ragwheel-chunk=reset]").wait_for()
    page.mouse.move(300, 300)
    assert {row["chunk_id"] for row in apps.wait_for("impression")} <= {"reset", "length"}
    up = page.get_by_role("radio", name="Thumbs up")
    up.click()
    assert [row["chunk_id"] for row in apps.wait_for("thumbs_up")] == [None]
    up.click()
    no_vote(apps, tools)


def test_gradio(apps, page, tools):
    tools.need("gradio")
    port = tools.free_port()
    command = ["-m", "uvicorn", "--app-dir", str(tools.EXAMPLES), "gradio_app:app", "--port", str(port)]
    page.goto(apps.start(command, port))
    card = page.locator("[data-ragwheel-chunk=reset]")

    def asked() -> bool:
        """The page is drawn before it listens: ask until there is an answer."""
        page.get_by_label("Question").fill("How do I reset my password?")
        page.get_by_label("Question").press("Enter")
        page.wait_for_timeout(2000)
        return bool(card.count())

    tools.eventually(asked)
    card.first.scroll_into_view_if_needed()
    page.mouse.move(300, 300)
    assert apps.wait_for("impression")
    page.get_by_role("button", name="Like", exact=True).last.click()
    assert [row["chunk_id"] for row in apps.wait_for("thumbs_up")] == [None]
    page.get_by_role("button", name="Dislike", exact=True).last.click()
    assert apps.wait_for("thumbs_down")
    assert apps.signals("thumbs_up") == []
    page.locator("button[aria-label*=dislike i], button[aria-label*=disliked i]").last.click()
    no_vote(apps, tools)


def test_chainlit(apps, page, tools):
    tools.need("chainlit")
    port = tools.free_port()
    command = [
        "-m",
        "chainlit",
        "run",
        str(tools.EXAMPLES / "chainlit_app.py"),
        "--headless",
        "--port",
        str(port),
    ]
    page.goto(apps.start(command, port))
    page.locator("#chat-input").click()
    page.keyboard.type("How do I reset my password?")
    page.keyboard.press("Enter")
    page.get_by_text("Open Settings [1].").wait_for()
    page.locator("button.positive-feedback-off").last.click()
    page.get_by_role("button", name="Submit").click()
    assert [row["chunk_id"] for row in apps.wait_for("thumbs_up")] == [None]
    page.locator("button.positive-feedback-on").last.click()
    no_vote(apps, tools)


@pytest.mark.parametrize("module", ["streamlit", "gradio", "chainlit"])
def test_importing_ragwheel_imports_no_framework(module):
    code = f"import sys, ragwheel, ragwheel.ui; assert {module!r} not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_one_thumb_counts_and_nothing_is_taken_back_that_was_not_said(tmp_path):
    ragwheel.configure(tmp_path / "votes.db", app="notes")
    try:
        with ragwheel.turn("How?", user_id="ada") as turn:
            pass
        for thumb in ("thumbs_up", "thumbs_down", "thumbs_down", None, "thumbs_up"):
            assert vote(turn.handle, thumb, comment="words" if thumb == "thumbs_down" else None)
        assert ragwheel.flush()
    finally:
        ragwheel.shutdown()
    with contextlib.closing(open_store(tmp_path / "votes.db")) as connection:
        assert connection.execute("SELECT kind FROM signals").fetchall() == [("thumbs_up",)]
        assert connection.execute("SELECT count(*) FROM unmatched_signals").fetchone() == (0,)
        assert connection.execute("SELECT count(*) FROM retracted_signals").fetchone() == (3,)


def test_cards_escape_what_chunks_hold():
    text = cards('h"><b>', [{"id": '<i>"', "text": "<script>1</script>", "url": "javascript:alert(1)"}])
    assert "<script>" not in text
    assert "<i>" not in text
    assert "<b>" not in text
    assert "javascript:" not in text


def test_a_chunk_is_read_from_mappings_objects_and_documents():
    document = SimpleNamespace(
        id=None, page_content="text", metadata={"id": 7, "source": "https://example.com"}
    )
    assert identity({"id": 1, "text": "a"}) == ("1", "a", None)
    assert identity(document) == ("7", "text", "https://example.com")
