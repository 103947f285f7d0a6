#!/usr/bin/env python3
"""The judging engine against a stub endpoint on loopback: speed, the exactness of a budget, kill -9.

    python benchmarks/judge/engine.py                # 4,000 requests, a budget, 5 kills; about a minute
    python benchmarks/judge/engine.py --requests 500 --kills 1

The stub is a process of its own. Requests carry a passage of 1,000 characters; every reply is on disk before
it is used. After a kill the same run is started again: paid for twice is what the endpoint answered twice, at
most the requests that were in flight when the process died.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import os
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from ragwheel.llm_judge import Endpoint, Limits
from ragwheel.llm_judge.budget import Budget
from ragwheel.llm_judge.client import JudgeClient
from ragwheel.llm_judge.prompts import Ask, Reply
from ragwheel.llm_judge.replies import Replies
from ragwheel.testing.llm import StubLLM
from ragwheel.testing.serving import served

IN_FLIGHT = 16
SPAWN = multiprocessing.get_context("spawn")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--requests", type=int, default=4_000)
    parser.add_argument("--kills", type=int, default=5)
    given = parser.parse_args()
    asks = [Ask(f"question {n}?", (f"passage {n} " + "word " * 200,)) for n in range(given.requests)]
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        with stub(0.0) as (url, _answered):
            speed(url, folder / "speed.db", asks)
            budget(url, folder / "budget.db", asks)
        for n in range(given.kills):
            with stub(0.005) as (url, answered):
                kill(url, folder / f"kill{n}.db", asks[:1_000], n, answered)


@contextmanager
def stub(latency_s: float) -> Iterator[tuple[str, Any]]:
    """A stub endpoint in a process of its own: its URL, and a function that tells what it answered."""
    here, there = SPAWN.Pipe()
    process = SPAWN.Process(target=_serve, args=(there, latency_s), daemon=True)
    process.start()
    try:
        url = here.recv()

        def answered() -> Counter[str]:
            here.send("answered?")
            found: Counter[str] = here.recv()
            return found

        yield url, answered
    finally:
        process.terminate()
        process.join()


def _serve(pipe: Connection, latency_s: float) -> None:
    app = StubLLM(latency_s=latency_s)
    with served(app) as url:
        pipe.send(f"{url}/v1")
        while True:
            pipe.recv()
            pipe.send(app.answered)


def run(url: str, path: Path, asks: list[Ask], bound: Budget | None = None) -> JudgeClient:
    """Ask everything."""
    with Replies(path) as replies:
        engine = JudgeClient(Endpoint(url, "stub"), replies, bound or Budget(), Limits(concurrency=IN_FLIGHT))
        asyncio.run(engine.run(asks, lambda _ask, _reply: None))
    return engine


def speed(url: str, path: Path, asks: list[Ask]) -> None:
    """Requests a second, and the same from the replies that were kept."""
    for name in ("sent", "cached"):
        start, cpu_start = time.perf_counter(), time.process_time()
        engine = run(url, path, asks)
        took_s, cpu_s = time.perf_counter() - start, time.process_time() - cpu_start
        assert engine.counts[name] == len(asks), engine.counts
        rates = f"{len(asks) / took_s:.0f}/s, {len(asks) / cpu_s:.0f} per CPU second"
        print(f"{name:6} {len(asks)} in {took_s:.1f} s: {rates}")


def budget(url: str, path: Path, asks: list[Ask]) -> None:
    """What is spent when the budget ends the run."""
    bound = Budget(tokens=100_000)
    engine = run(url, path, asks, bound)
    spent = bound.spent.tokens
    print(f"budget 100000: spent {spent}, over by {max(spent - 100_000, 0)}, {engine.counts['sent']} sent")


def kill(url: str, path: Path, asks: list[Ask], seed: int, answered: Any) -> None:
    """Kill -9 in the middle, run again, count what was answered twice."""
    here, there = SPAWN.Pipe()
    process: BaseProcess = SPAWN.Process(target=_victim, args=(there, url, path, asks))
    process.start()
    wanted = 100 + 150 * seed
    while here.recv() < wanted:
        pass
    os.kill(process.pid or 0, signal.SIGKILL)
    process.join()
    before = sum(answered().values())
    engine = run(url, path, asks)
    counts = answered()
    twice = sum(n - 1 for n in counts.values())
    print(
        f"kill -9 after {before} replies: {engine.counts['cached']} kept, {twice} answered twice "
        f"({IN_FLIGHT} in flight), {len(asks) - len(counts)} lost"
    )


def _victim(pipe: Connection, url: str, path: Path, asks: list[Ask]) -> None:
    done = 0

    def told(_ask: Ask, _reply: Reply) -> None:
        nonlocal done
        done += 1
        pipe.send(done)

    with Replies(path) as replies:
        engine = JudgeClient(Endpoint(url, "stub"), replies, limits=Limits(concurrency=IN_FLIGHT))
        asyncio.run(engine.run(asks, told))


if __name__ == "__main__":
    main()
