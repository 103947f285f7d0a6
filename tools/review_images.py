"""Take the screenshots of docs/review.md: ``python tools/review_images.py docs/img``.

Makes a small database of its own, serves the review page over it and drives the Chromium that is installed.
"""

from __future__ import annotations

import os
import shutil
import socket
import sys
import tempfile
import threading
from pathlib import Path

import httpx
import uvicorn
from playwright.sync_api import Page, sync_playwright

from ragwheel.review import ReviewAccess, ReviewOptions, app
from ragwheel.testing import TraceStore

CHROMIUM = os.environ.get("RAGWHEEL_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
QUESTION = "How do I rotate a log file every night?"
CHUNKS = {
    "logging-handlers-12": """## TimedRotatingFileHandler

The `TimedRotatingFileHandler` class, located in the `logging.handlers` module, supports **rotation of
log files at certain timed intervals**.

| when | type of interval |
|---|---|
| `S` | seconds |
| `D` | days |
| `midnight` | roll over at midnight |

```
handler = TimedRotatingFileHandler("app.log", when="midnight", backupCount=7)
```
""",
    "logging-handlers-13": "The system saves old log files by appending extensions to the filename. If "
    "`backupCount` is nonzero, at most that many files are kept, and if more would be created when rollover "
    "occurs, the oldest one is deleted.",
    "logging-howto-3": "A very common situation is that of recording logging events in a file. Be sure to"
    " try the following in a newly started Python interpreter.",
    "shutil-7": "Recursively move a file or directory to another location and return the destination.",
}


def fill(path: Path) -> None:
    """Traces of a few questions, with clicks, citations and a thumb."""
    with TraceStore(path, source="python-docs") as store:
        for name, text in CHUNKS.items():
            store.chunk(name, text)
        for n in range(12):
            asked = store.ask(
                QUESTION, list(CHUNKS), cited=[1] if n % 3 else [2], prompted=[1, 2, 3], shown=[1, 2, 3, 4],
                answer="Use a TimedRotatingFileHandler [1].", session_id=f"s{n}", user_id=f"u{n}",
            )  # fmt: skip
            if n % 2:
                store.signal(asked, "click", "logging-handlers-12", subject=f"u{n}")
            if n == 11:
                store.signal(asked, "thumbs_up", of_answer=True, subject="u11")
        for question in (
            "How many old log files are kept?",
            "Where do log records go?",
            "How do I move a folder?",
        ):
            store.ask(question, list(CHUNKS)[1:], cited=[1], prompted=[1, 2])


def take(page: Page, path: Path) -> None:
    """A screenshot once the page stands still."""
    page.wait_for_load_state("networkidle")
    page.screenshot(path=path)


def main(folder: Path) -> None:
    """Serve, drive, take."""
    with tempfile.TemporaryDirectory() as work:
        db = Path(work) / "app.db"
        fill(db)
        access = ReviewAccess(os.urandom(32))
        listener = socket.create_server(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        asgi = app(ReviewOptions(db, rater="ann"), access)
        server = uvicorn.Server(uvicorn.Config(asgi, log_level="warning"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            shoot(url, f"{url}/grade?as=ann&token={access.token}", folder)
        finally:
            server.should_exit = True
            thread.join()


def shoot(url: str, address: str, folder: Path) -> None:
    """Every picture, light and dark, wide and narrow."""
    with httpx.Client() as client:
        client.get(address)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        for scheme in ("light", "dark"):
            for width in (1280, 390):
                context = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 860})
                page = context.new_page()
                page.set_default_timeout(120_000)
                page.goto(address)
                page.wait_for_selector("#card .card")
                while "logging-handlers-12" not in page.inner_text("#card .source"):
                    page.keyboard.press("l")
                kind = scheme if width == 1280 else f"phone-{scheme}"
                take(page, folder / f"review-grade-{kind}.png")
                page.goto(
                    f"{url}/why?as=ann&show=yes&source=python-docs&chunk=logging-handlers-12&query={QUESTION}"
                )
                page.wait_for_selector("figure svg")
                if width == 1280:  # the page has no use for the narrow one
                    take(page, folder / f"review-why-{kind}.png")
                context.close()
        browser.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
