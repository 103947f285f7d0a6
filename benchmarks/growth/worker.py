"""One measured process: ``python -m growth.worker '{"curve": "chunks", …}'`` prints one JSON object.

The retriever is the plain one of :mod:`capture.workload`: it searches nothing, so the capture is what
limits. Where inserting alone is measured its results are made once and given again.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import resource
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from capture.machine import rss_mb
from capture.workload import Workload, make_retriever, query_text

import ragwheel
from ragwheel.store import merge_journal, open_store

Search = Callable[[str], list[Any]]
Point = dict[str, Any]
TURN = 50  # calls of one retriever before it is the other one's turn


def stored(db: Path) -> int:
    """Retrievals that a reader finds."""
    connection = open_store(db, timeout_s=60)
    try:
        return int(connection.execute("SELECT count(*) FROM retrievals").fetchone()[0])
    finally:
        connection.close()


def bytes_on_disk(db: Path) -> int:
    """Database, write-ahead log, journal."""
    return sum(path.stat().st_size for path in db.parent.rglob(db.name + "*") if path.is_file())


def wrapped(search: Search) -> Search:
    """The retriever as an app would wrap it, all of its chunks recorded."""
    made: Search = ragwheel.retriever(name="kb", capture_k=200)(search)
    return made


def flushed() -> None:
    """Until everything recorded is in SQLite."""
    while not ragwheel.flush(60):
        pass


def _times_us(search: Search, first: int, n: int) -> list[tuple[float, float]]:
    """Wall and this thread's CPU time of each call."""
    taken = []
    for number in range(first, first + n):
        query = query_text(number)
        cpu, wall = time.thread_time_ns(), time.perf_counter_ns()
        search(query)
        wall, cpu = time.perf_counter_ns() - wall, time.thread_time_ns() - cpu
        taken.append((wall / 1e3, cpu / 1e3))
    return taken


def chunks(db: Path, *, workload: str, calls: int) -> Point:
    """Latency added to a call, bare and wrapped by turns; bytes per retrieval, chunks known and not."""
    bare = make_retriever(Workload(workload), "plain")
    ragwheel.configure(db, capture_k=200)
    search = wrapped(bare)
    taken: dict[str, list[tuple[float, float]]] = {"bare": [], "wrapped": []}
    _times_us(search, 0, TURN)
    half = 0, 0
    for first in range(TURN, calls, TURN):
        taken["bare"] += _times_us(bare, first, TURN)
        taken["wrapped"] += _times_us(search, first, TURN)
        if first == calls // 2:
            flushed()
            half = bytes_on_disk(db), stored(db)
    flushed()
    n, size = stored(db), bytes_on_disk(db)
    cuts = {name: statistics.quantiles((wall for wall, _ in both), n=100) for name, both in taken.items()}
    cpu = {name: statistics.median(cpu for _, cpu in both) for name, both in taken.items()}
    return {
        "chunks": Workload(workload).shape.k,
        "bare_p50_us": cuts["bare"][49],
        "bare_p99_us": cuts["bare"][98],
        "added_p50_us": cuts["wrapped"][49] - cuts["bare"][49],
        "added_p99_us": cuts["wrapped"][98] - cuts["bare"][98],
        "added_cpu_p50_us": cpu["wrapped"] - cpu["bare"],
        "bytes_per_retrieval": size / n,
        "bytes_per_further_retrieval": (size - half[0]) / (n - half[1]),
        "calls": n,
    }


def processes(db: Path, *, n_processes: int, calls: int) -> Point:
    """``calls`` retrievals by several processes at once, until all of them are stored."""
    bare = make_retriever(Workload("W40"), "plain")
    context = multiprocessing.get_context("fork")
    start = context.Barrier(n_processes + 1)

    def work(number: int) -> None:
        ragwheel.configure(db)
        search = wrapped(bare)
        start.wait()
        for n in range(number, calls, n_processes):
            search(query_text(n))
        ragwheel.shutdown()

    workers = [context.Process(target=work, args=(number,)) for number in range(n_processes)]
    for worker in workers:
        worker.start()
    start.wait()
    started = time.perf_counter()
    for worker in workers:
        worker.join()
    merge_journal(db, timeout_s=60)
    took_s = time.perf_counter() - started
    n = stored(db)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {
        "processes": n_processes,
        "stored_per_s": n / took_s,
        "cpu_s_per_1000": (used.ru_utime + used.ru_stime) / calls * 1e3,
        "lost": calls - n,
        "calls": calls,
    }


def grow(db: Path, *, first: int, upto: int) -> Point:
    """Retrievals ``first`` to ``upto`` into an existing database by the real path; how fast."""
    workload = Workload("W40")
    plain = make_retriever(workload, "plain")
    made: dict[int, list[Any]] = {}
    n_made = 2_000  # results made once: what is measured is the insertion

    @wrapped
    def search(query: str) -> list[Any]:
        number = int(query[1:8]) % n_made
        if number not in made:
            made[number] = plain(query_text(number))
        return made[number]

    ragwheel.configure(db)
    started, cpu_s = time.perf_counter(), time.process_time()
    for n in range(first, upto):
        search(query_text(n))
        if n % 20_000 == 19_999:
            flushed()
    flushed()
    took_s, cpu_s = time.perf_counter() - started, time.process_time() - cpu_s
    for n in range(upto, upto + 100):
        search(query_text(n))
    before = time.perf_counter()
    flushed()
    flush_s = time.perf_counter() - before
    return {
        "inserted_per_s": (upto - first) / took_s,
        "cpu_s_per_1000": cpu_s / (upto - first) * 1e3,
        "flush_100_s": flush_s,
        "file_bytes": bytes_on_disk(db),
        "rss_mb": rss_mb([os.getpid()]),
        "dropped": sum(ragwheel.stats().dropped.values()),
    }


def burst(db: Path, *, workload: str, calls: int) -> Point:
    """As fast as possible; whoever started this process samples its memory meanwhile."""
    bare = make_retriever(Workload(workload), "plain")
    ragwheel.configure(db)
    search = wrapped(bare)
    for n in range(200):
        bare(query_text(n))
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    started = time.perf_counter()
    for n in range(calls):
        search(query_text(n))
    returned_s = time.perf_counter() - started
    flushed()
    stored_s = time.perf_counter() - started
    n = stored(db)
    return {
        "characters": Workload(workload).shape.characters,
        "calls": calls,
        "lost": calls - n,
        "returned_s": returned_s,
        "stored_s": stored_s,
        "bytes_per_retrieval": bytes_on_disk(db) / n,
    }


CURVES: dict[str, Callable[..., Point]] = {
    "chunks": chunks,
    "processes": processes,
    "grow": grow,
    "burst": burst,
}


def main() -> None:
    """Measure what the argument asks for."""
    asked = json.loads(sys.argv[1])
    curve, db = asked.pop("curve"), Path(asked.pop("db"))
    sys.stdout.write(json.dumps(CURVES[curve](db, **asked)) + "\n")


if __name__ == "__main__":
    main()
