"""Take the screenshots of docs/review.md.

Use: ``python tools/review_images.py docs/img ragwheel-demo/ragwheel.db``. Grade and Why are of a small
database that is made here. The other pages are of a copy of the demo's store (``ragwheel demo`` makes it),
with grades of two made-up raters who know the demo's right answers and have a whim, and with two rankings to
compare: the captured one, and one by shared words. Drives the Chromium that is installed.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import socket
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from playwright.sync_api import Page, sync_playwright

from ragwheel.review import ReviewAccess, ReviewOptions, app
from ragwheel.store import backup, open_store
from ragwheel.testing import TraceStore
from ragwheel.words import query_key, tokens

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


@contextmanager
def served(db: Path, **more: Any) -> Iterator[tuple[str, str]]:
    """Serve the review page; yields its address without and with the token."""
    access = ReviewAccess(os.urandom(32))
    listener = socket.create_server(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    asgi = app(ReviewOptions(db, rater="ann", **more), access)
    server = uvicorn.Server(uvicorn.Config(asgi, log_level="warning"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield url, f"{url}/grade?as=ann&token={access.token}"
    finally:
        server.should_exit = True
        thread.join()


def main(folder: Path, demo: Path | None) -> None:
    """Serve, drive, take."""
    with tempfile.TemporaryDirectory() as work:
        fill(Path(work) / "app.db")
        with served(Path(work) / "app.db") as (url, address):
            shoot(url, address, folder)
        if demo is None:
            return
        db = Path(work) / "demo.db"
        backup(demo, db)
        runs = rankings(db, Path(work))
        with served(db, check=True) as (url, address):
            grade(url, address, answers(demo.parent / "evalset"))
        with served(db, runs=runs, dataset=demo.parent / "dataset") as (url, address):
            shoot_rooms(url, address, folder)


def rankings(db: Path, folder: Path) -> tuple[Path, Path]:
    """Write the captured rankings of some questions as a run file, and one by shared words."""
    with closing(open_store(db)) as connection:
        texts = dict(connection.execute("SELECT chunk_version, text FROM chunks"))
        ids = dict(connection.execute("SELECT chunk_version, chunk_id FROM chunks"))
        rows = connection.execute(
            "SELECT r.query, json_group_array(i.chunk_version) FROM retrievals r JOIN impressions i"
            " USING (retrieval_id) WHERE i.rank <= 10 AND r.retrieval_id IN"
            " (SELECT retrieval_id FROM retrievals ORDER BY start_ns DESC LIMIT 200) GROUP BY r.retrieval_id"
        ).fetchall()
    paths = folder / "captured.trec", folder / "shared-words.trec"
    with paths[0].open("w") as captured, paths[1].open("w") as shared:
        for query, listed in dict(rows).items():
            ranking = json.loads(listed)
            words = tokens(query)
            by_words = sorted(ranking, key=lambda n: -len(words & tokens(texts[n])) / len(tokens(texts[n])))
            for file, order in ((captured, ranking), (shared, by_words)):
                for rank, number in enumerate(order, 1):
                    file.write(f"{query_key(query)} Q0 {ids[number]} {rank} {100 - rank} run\n")
    return paths


def answers(evalset: Path) -> set[tuple[str, str]]:
    """Return (question, chunk id) of the right answers that the demo knows."""
    texts = {}
    for line in (evalset / "queries.jsonl").read_text(encoding="utf-8").splitlines():
        query = json.loads(line)
        texts[query["_id"]] = query["text"]
    rows = [
        line.split("\t") for path in evalset.glob("qrels.*.tsv") for line in path.read_text().splitlines()[1:]
    ]
    return {(texts[query], chunk) for query, chunk, score in rows if float(score) > 0}


def grade(url: str, address: str, right: set[tuple[str, str]]) -> None:
    """Let two made-up raters grade, by what is right and a whim; the second one fewer pairs."""
    whim = random.Random(0)
    with httpx.Client(headers={"origin": url}, timeout=300) as client:
        client.get(address)
        for rater, n in (("ann", 150), ("ben", 60)):
            while not client.post(f"{url}/api/next", json={"rater": rater, "held": [], "n": 0}).json()[
                "ready"
            ]:
                threading.Event().wait(0.5)
            for _batch in range(n // 30):
                cards = client.post(f"{url}/api/next", json={"rater": rater, "held": [], "n": 30}).json()[
                    "cards"
                ]
                events = [
                    {
                        "id": card["id"], "rater": rater, "action": "grade",
                        "grade": _grade(card, right, whim), "query": card["query"],
                        "source": card["source"], "chunk": card["chunk"], "hash": card["hash"],
                        "at": 1_790_000_000_000,
                    }
                    for card in cards
                ]  # fmt: skip
                client.post(f"{url}/api/say", json={"rater": rater, "events": events}).raise_for_status()


def _grade(card: dict[str, Any], right: set[tuple[str, str]], whim: random.Random) -> int:
    # visitors who found nothing ask again with more words behind the question
    if any(chunk == card["chunk"] and card["query"].startswith(question) for question, chunk in right):
        return whim.choice((5, 5, 4, 3))
    return whim.choice((0, 0, 0, 1, 1, 2))


def shoot_rooms(url: str, address: str, folder: Path) -> None:
    """Pictures of the other rooms; those of phones are named phone."""
    rooms = ("compare", "traces?filter=disliked&as=ann", "documents", "agreement", "training")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        for scheme in ("light", "dark"):
            for width in (1280, 390):
                context = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 860})
                page = context.new_page()
                page.set_default_timeout(300_000)
                page.goto(address)
                kind = scheme if width == 1280 else f"phone-{scheme}"
                for room in rooms:
                    name, _question_mark, search = room.partition("?")
                    page.goto(f"{url}/{name}?{search or 'as=ann'}")
                    if name == "compare":
                        page.wait_for_selector("#card .sides")
                        for key in "abatabba" if kind == "light" else "":
                            page.keyboard.press(key)
                    if name in {"agreement", "documents"}:
                        page.wait_for_selector("svg.reliability, details")
                    take(page, folder / f"review-{name}-{kind}.png")
                page.goto(f"{url}/traces?as=ann&filter=liked")
                page.click(".turns a")
                take(page, folder / f"review-trace-{kind}.png")
                context.close()
        browser.close()


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
    main(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else None)
