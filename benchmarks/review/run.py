"""How long a grader waits: from a key to the next card, with 100,000 pairs in the queue.

    python benchmarks/review/run.py                       # about a minute on a quiet machine
    python benchmarks/review/run.py --graded 100000       # with traffic that really has so many pairs

Traffic with ``--graded`` pairs is generated and graded, and its queue is repeated under numbered wordings
until it has ``--pairs``: grading a large store takes minutes and is over before the first card. The review
page is served as ``ragwheel review`` serves it, and two things are measured:

* **server**: what one answer costs the server, the grade written to the database and the next cards
  fetched, as CPU time of the thread that does it, and as wall time;
* **browser**: in a real Chromium, from the time stamp of a key press to the frame that shows the next card,
  at the pace of a fast person (``--pause-ms`` between a card and the next key) and as fast as cards appear.
  Where no Chromium is installed this part is left out.

Exit status 1 means that a figure is above 100 ms.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import socket
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

from ragwheel.judgments import queue
from ragwheel.judgments.queue import OpenPair, open_pairs
from ragwheel.labels.pipeline import GradedStore
from ragwheel.labels.traces.text import query_key
from ragwheel.review import ReviewAccess, ReviewOptions, app
from ragwheel.review.desk import ReviewDesk
from ragwheel.review.grading import next_cards, say
from ragwheel.testing import TraceSpec, write_traces

BAR_MS: Final = 100.0
CHUNKS_PER_QUESTION: Final = 20
AHEAD: Final = 12
CHROMIUM: Final = (
    os.environ.get("RAGWHEEL_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
)

#: Notes the time from each key press to the first frame after the card changed.
WATCH: Final = """
window.waits = [];
let pressed = null;
addEventListener('keydown', event => { pressed = event.timeStamp; }, {capture: true});
addEventListener('DOMContentLoaded', () => {
  new MutationObserver(() => {
    if (pressed === null || !document.querySelector('#card .card')) return;
    const since = pressed;
    pressed = null;
    requestAnimationFrame(() => setTimeout(() => window.waits.push(performance.now() - since)));
  }).observe(document.getElementById('card'), {childList: true});
});
"""


def generate(path: Path, pairs: int) -> None:
    """Write traffic in which every question has chunks of its own, and most were asked twice."""
    questions = round(1.2 * pairs / CHUNKS_PER_QUESTION)  # some are drawn by nobody
    spec = TraceSpec(
        turns=2 * questions,
        queries=questions,
        chunks=2 * questions + 100,
        k=CHUNKS_PER_QUESTION,
        returned=CHUNKS_PER_QUESTION,
        words=150,
        zipf=0.0,
    )
    write_traces(path, spec)


@contextmanager
def repeated(pairs: int) -> Iterator[None]:
    """Let every queue that is computed meanwhile have at least so many pairs."""

    def many(store: GradedStore, *, check: bool = False) -> list[OpenPair]:
        graded = open_pairs(store, check=check)
        return [
            replace(pair, query=f"{pair.query} ({n})", query_key=query_key(f"{pair.query} ({n})"))
            if n
            else pair
            for n in range(-(-pairs // len(graded)))
            for pair in graded
        ]

    with patch.object(queue, "open_pairs", many):
        yield


def server_times(db: Path, keys: int) -> dict[str, Any]:
    """Return what one answer costs, and the next cards, by CPU time of the thread and by the clock."""
    desk = ReviewDesk(ReviewOptions(db, rater="bench"))
    began = time.monotonic()
    desk.analysis.start()
    desk.analysis.finished.wait()
    analysis_s = time.monotonic() - began
    began = time.monotonic()
    answer = next_cards(desk, {"rater": "bench", "held": [], "n": AHEAD})
    first_ms = 1000 * (time.monotonic() - began)
    cards = answer["cards"]
    costs: dict[str, list[tuple[float, float]]] = {"answer": [], "next cards": []}
    for n in range(keys):
        card = cards.pop(0)
        event = {name: card[name] for name in ("query", "source", "chunk", "hash")}
        event |= {
            "id": f"e{n}",
            "rater": "bench",
            "action": "grade",
            "grade": n % 6,
            "at": time.time() * 1000,
        }
        costs["answer"].append(_cost(lambda: say(desk, {"rater": "bench", "events": [event]})))  # noqa: B023
        if len(cards) < AHEAD // 2:
            body = {"rater": "bench", "held": [held["id"] for held in cards], "n": AHEAD}
            costs["next cards"].append(_cost(lambda: cards.extend(next_cards(desk, body)["cards"])))  # noqa: B023
    desk.close()
    return {
        "pairs": answer["whole"],
        "analysis_s": round(analysis_s, 1),
        "first_cards_ms": round(first_ms, 1),
        **{
            name: {
                "cpu_ms": _spread([cpu for cpu, _wall in rows]),
                "wall_ms": _spread([wall for _cpu, wall in rows]),
            }
            for name, rows in costs.items()
        },
    }


def _cost(work: Callable[[], object]) -> tuple[float, float]:
    cpu, wall = time.thread_time(), time.perf_counter()
    work()
    return 1000 * (time.thread_time() - cpu), 1000 * (time.perf_counter() - wall)


def _spread(values: Sequence[float]) -> dict[str, float]:
    ordered = sorted(values)
    return {
        "median": round(statistics.median(ordered), 1),
        "p95": round(ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))], 1),
        "max": round(ordered[-1], 1),
    }


def browser_times(db: Path, keys: int, pause_ms: int) -> dict[str, Any]:
    """Return how long a real browser takes from a key to the frame with the next card."""
    from playwright.sync_api import sync_playwright

    with _served(db) as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.set_default_timeout(900_000)
        page.add_init_script(WATCH)
        page.goto(address)
        page.wait_for_selector("#card .card")
        times = {}
        for name, pause in (("at a person's pace", pause_ms), ("as fast as cards appear", 0)):
            page.evaluate("window.waits.length = 0")
            for n in range(keys):
                page.keyboard.press(str(n % 6))
                page.wait_for_function("n => window.waits.length > n", arg=n)
                if pause:
                    page.wait_for_timeout(pause)
            times[name] = _spread(page.evaluate("window.waits"))
        page.wait_for_function("() => document.getElementById('saved').textContent === 'all saved'")
        browser.close()
    return times


@contextmanager
def _served(db: Path) -> Iterator[str]:
    import uvicorn

    access = ReviewAccess(os.urandom(32))
    listener = socket.create_server(("127.0.0.1", 0))
    address = f"http://127.0.0.1:{listener.getsockname()[1]}/grade?as=browser&token={access.token}"
    server = uvicorn.Server(uvicorn.Config(app(ReviewOptions(db), access), log_level="warning"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield address
    finally:
        server.should_exit = True
        thread.join()


def main(arguments: Sequence[str]) -> int:
    """Generate, measure, print; 1 when a median or a 95th percentile is above the bar."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pairs", type=int, default=100_000)
    parser.add_argument("--graded", type=int, default=5_000)
    parser.add_argument("--keys", type=int, default=200)
    parser.add_argument("--pause-ms", type=int, default=300)
    parser.add_argument("--keep", type=Path, help="database to measure with; made where there is none")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as work:
        db = options.keep or Path(work) / "traces.db"
        if not db.exists():
            generate(db, options.graded)
        with repeated(options.pairs):
            results = {"server": server_times(db, options.keys)}
            if CHROMIUM:
                results["browser"] = browser_times(db, options.keys, options.pause_ms)
    print(json.dumps(results, indent=1))
    waits = [results["server"][name]["wall_ms"] for name in ("answer", "next cards")]
    waits += results.get("browser", {}).values()
    return int(any(wait["p95"] > BAR_MS for wait in waits))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
