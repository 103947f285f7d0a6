"""How long examples take to pick: ``python benchmarks/fewshot.py [--turns 10000] [-n 30]``.

An app is simulated through the public interface: questions from a grammar of topics, verbs and things, every
answer cited and most liked. Printed are the seconds of building the library (read, filter, scrub, embed with
the default, group, pick) and the milliseconds of a selection among 1,000 examples, the question's embedding
left out. Bars: 10 s for 30 of 10,000 turns; 5 ms.
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np

import ragwheel
from ragwheel import fewshot

TOPICS = ("keys", "billing", "login", "exports", "search", "limits", "webhooks", "teams")
VERBS = (
    "rotate",
    "cancel",
    "reset",
    "export",
    "tune",
    "raise",
    "debug",
    "invite",
    "archive",
    "list",
    "rename",
    "share",
)
ENDINGS = (
    "for my team",
    "from the command line",
    "every month",
    "in the browser",
    "without downtime",
    "by script",
)


@ragwheel.retriever(name="kb")
def search(question: str) -> list[dict[str, str]]:
    """Five chunks, the same for equal questions."""
    place = hash(question) % 500
    return [{"id": f"d{place + n}", "text": f"What to do about {question}, part {n}."} for n in range(5)]


def simulate(db: Path, turns: int) -> None:
    """Ask, answer, like."""
    draw = random.Random(0)
    ragwheel.configure(db=str(db))
    for n in range(turns):
        topic, verb, ending = draw.choice(TOPICS), draw.choice(VERBS), draw.choice(ENDINGS)
        thing = f"{topic} {draw.choice('abcdefghijklmnopqrstuvw')}{draw.randrange(40):02d}"
        question = f"how do I {verb} the {thing} {ending}"
        with ragwheel.turn(question, session_id=f"s{n}", user_id=f"u{n % 900}") as turn:
            search(question)
            turn.answer(f"Open settings, choose {thing} and {verb} it [1].")
        if draw.random() < 0.8:
            ragwheel.signal(turn.handle, "thumbs_up")
    ragwheel.shutdown()


def selection_ms(n: int = 1_000, dimension: int = 384) -> float:
    """Median milliseconds of picking 4 among n, the vector given."""
    vectors = np.random.default_rng(0).normal(size=(n + 1, dimension))
    place = {f"q{i}": vectors[i] for i in range(n)}
    examples = [fewshot.Example(f"e{i}", f"q{i}", "a") for i in range(n)]
    selector = fewshot.Selector(examples, embed=lambda texts: [place[text] for text in texts])
    taken = []
    for _ in range(300):
        started = time.perf_counter()
        selector.select_vector(vectors[n])
        taken.append((time.perf_counter() - started) * 1_000)
    return statistics.median(taken)


def main() -> None:
    """Simulate, build twice (the first time loads scipy), print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=10_000)
    parser.add_argument("-n", type=int, default=30)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        db = Path(folder) / "app.db"
        simulate(db, given.turns)
        stages: dict[str, float] = {}
        library = fewshot.Library(())
        for name in ("first", "second"):
            began = last = time.perf_counter()
            stage_before = ""

            def told(stage: str, _done: int, _total: int) -> None:
                nonlocal last, stage_before
                now = time.perf_counter()
                stages[stage_before] = stages.get(stage_before, 0.0) + now - last
                last, stage_before = now, stage

            stages.clear()
            library = fewshot.build(db, fewshot.FewshotOptions(n=given.n), progress=told)
            by_stage = ", ".join(f"{stage} {taken:.1f}" for stage, taken in stages.items() if stage)
            print(f"{name} build: {time.perf_counter() - began:.1f} s ({by_stage})")
        print(f"{len(library.examples)} of {library.counts['turns']:,} turns; types of question:")
        print("; ".join(group.name for group in library.groups))
        print({name: n for name, n in library.counts.items() if name != "turns"})
    print(f"selection among 1,000: {selection_ms():.2f} ms")


if __name__ == "__main__":
    main()
