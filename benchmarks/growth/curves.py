"""The curves: which points they have and how each is measured, every one in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from capture.machine import rss_mb, tree
from capture.places import worker_environment

__all__ = ["CURVES", "GrowthPlan"]

Point = dict[str, Any]
STORED = (1_000, 10_000, 100_000, 300_000, 1_000_000)
SAMPLE_S = 0.05


@dataclass(frozen=True)
class GrowthPlan:
    """How much: ``largest`` stored retrievals, no point of that curve begun after ``budget_s``."""

    largest: int
    budget_s: float
    calls: int
    burst: int


def _measure(asked: Point, *, sampled: list[list[float]] | None = None) -> Point:
    """One worker to its end; its memory over time goes into ``sampled``."""
    command = [sys.executable, "-m", "growth.worker", json.dumps(asked)]
    with subprocess.Popen(command, env=worker_environment(), stdout=subprocess.PIPE, text=True) as worker:
        assert worker.stdout is not None
        if sampled is not None:
            worker.stdout.readline()  # "ready"
            threading.Thread(target=_sample, args=(worker, sampled)).start()
        found = worker.stdout.read()
        if worker.wait():
            raise SystemExit(f"a worker failed: {asked}")
    point: Point = json.loads(found)
    return point


def _sample(worker: subprocess.Popen[str], sampled: list[list[float]]) -> None:
    started = time.monotonic()
    while worker.poll() is None:
        now_mb = rss_mb(tree(worker.pid))
        if now_mb:
            sampled.append([round(time.monotonic() - started, 3), round(now_mb, 2)])
        time.sleep(SAMPLE_S)


def chunks(plan: GrowthPlan) -> Iterator[Point]:
    """Chunks per retrieval."""
    for workload in ("W10", "W20", "W40", "W100", "W200"):
        with tempfile.TemporaryDirectory() as folder:
            db = f"{folder}/app.db"
            yield _measure({"curve": "chunks", "db": db, "workload": workload, "calls": plan.calls})


def processes(plan: GrowthPlan) -> Iterator[Point]:
    """Writing processes."""
    for n in (1, 2, 4, 8):
        with tempfile.TemporaryDirectory() as folder:
            db = f"{folder}/app.db"
            yield _measure({"curve": "processes", "db": db, "n_processes": n, "calls": plan.calls * 4})


def stored(plan: GrowthPlan) -> Iterator[Point]:
    """Stored retrievals: one database that grows."""
    until = time.monotonic() + plan.budget_s
    with tempfile.TemporaryDirectory() as folder:
        db = f"{folder}/app.db"
        first, rate = 0, 0.0
        for upto in STORED:
            left_s = until - time.monotonic()
            if upto > plan.largest or left_s <= 0:
                return
            if rate and upto - first > rate * left_s:  # as many as fit
                upto = first + int(rate * left_s) // 10_000 * 10_000
                if upto <= first:
                    return
            point = _measure({"curve": "grow", "db": db, "first": first, "upto": upto})
            first, rate = upto + 100, point["inserted_per_s"]
            yield {
                "stored": upto,
                **point,
                "bytes_per_retrieval": point["file_bytes"] / first,
                "status_s": _command(db, "status"),
                "show_s": _command(db, "show"),
            }


def _command(db: str, name: str) -> float:
    """Seconds that the command takes, Python's start included."""
    command = [sys.executable, "-c", "from ragwheel.cli import main; main()", name, "--db", db]
    started = time.perf_counter()
    subprocess.run(command, env=worker_environment(), check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def burst(plan: GrowthPlan) -> Iterator[Point]:
    """A burst with chunks of 1 KB and of 4 KB, and the memory of the process while it runs."""
    for workload in ("W40", "W40x4k"):
        with tempfile.TemporaryDirectory() as folder:
            curve: list[list[float]] = []
            asked = {"curve": "burst", "db": f"{folder}/app.db", "workload": workload, "calls": plan.burst}
            point = _measure(asked, sampled=curve)
            curve = [sample for sample in curve if sample[0] <= point["stored_s"]]
            before_mb, highest_mb = curve[0][1], max(mb for _, mb in curve)
            yield {**point, "before_mb": before_mb, "highest_mb": highest_mb, "rss_mb": curve}


CURVES: dict[str, Callable[[GrowthPlan], Iterator[Point]]] = {
    "chunks": chunks,
    "processes": processes,
    "burst": burst,
    "stored": stored,
}
