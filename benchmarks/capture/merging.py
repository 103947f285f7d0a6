#!/usr/bin/env python3
"""What merging costs the app: in a thread of its own interpreter, or in a process of its own.

    python benchmarks/capture/merging.py                 # both tables, about 4 minutes
    python benchmarks/capture/merging.py --rounds 5 --calls 10000

``stored`` makes calls as fast as possible around a retriever that costs 0.1 ms, until all can be read in
SQLite. On a busy machine wall time says little, so beside it stands what the CPU time allows: calls by the
CPU seconds of the busiest process, each of which can have one core. ``tails`` paces calls and looks at the
slowest: time in which the thread waited for a core (``/proc/thread-self/schedstat``, Linux) is taken out,
time in which it waited for the interpreter is not. Each round runs all of them, each in a fresh process.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])  # import this folder as the package `capture`

from capture.peers.byhand import HandBatch
from capture.peers.ours import Ragwheel, fill_backlog
from capture.places import worker_environment
from capture.results import spread, table
from capture.workload import Workload, make_retriever, query_text

__all__ = ["main"]

RATE_HZ = 200
TAIL_CALLS = 1_000
Search = Callable[[str], list[Any]]


def _peer(mode: str, folder: Path) -> HandBatch | Ragwheel:
    if mode == "by hand":
        return HandBatch(folder, 0)
    os.environ["RAGWHEEL_MERGE_IN"] = mode
    return Ragwheel(folder, 0)


def _merging_pid() -> int:
    """The process that merges once it has answered; 0 where there is none."""
    from ragwheel import runtime

    active = runtime.current()
    process = None if active is None else active._merger._process
    return 0 if process is None else process._pid


def _process_cpu_s() -> float:
    """CPU seconds of the process that merges, 0 where there is none."""
    pid = _merging_pid()
    if not pid:
        return 0.0
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _warm_up(peer: HandBatch | Ragwheel, search: Search, mode: str) -> None:
    for n in range(500):
        search(query_text(15_000 + n, "w"))
    peer.flush()
    while mode == "process" and not _merging_pid():
        search(query_text(15_000, "w"))
        peer.flush()
        time.sleep(0.05)


def stored(mode: str, folder: Path, calls: int) -> dict[str, float]:
    """Calls as fast as possible, until stored."""
    peer = _peer(mode, folder)
    peer.setup()
    search = peer.wrap(make_retriever(Workload("W40"), "plain"))
    _warm_up(peer, search, mode)
    wall_s, cpu_s, merging_s = time.perf_counter(), time.process_time(), _process_cpu_s()
    for n in range(calls):
        search(query_text(n))
    peer.flush()
    wall_s, cpu_s = time.perf_counter() - wall_s, time.process_time() - cpu_s
    merging_s = _process_cpu_s() - merging_s
    peer.close()
    n_stored = len({query for query in peer.read_queries(folder) if query.startswith("q")})
    return {
        "by the clock": n_stored / wall_s,
        "by CPU time": n_stored / max(cpu_s, merging_s),
        "app": cpu_s / calls * 1e3,
        "process": merging_s / calls * 1e3,
        "lost": calls - n_stored,
    }


def _waited_ns() -> int:
    """How long this thread has been ready to run and had no core."""
    return int(Path("/proc/thread-self/schedstat").read_text().split()[1])


def tails(mode: str, folder: Path, _calls: int) -> dict[str, float]:
    """Paced calls, while what a killed process left is merged or (``quiet``) with nothing to merge."""
    peer = _peer(mode.removesuffix(", quiet"), folder)
    peer.setup()
    search = peer.wrap(make_retriever(Workload("W40"), "plain"))
    taken, clock = [], time.perf_counter_ns
    for n in range(TAIL_CALLS):
        time.sleep(1 / RATE_HZ)
        query, waited = query_text(n), _waited_ns()
        before = clock()
        search(query)
        after = clock()
        taken.append((after - before - (_waited_ns() - waited)) / 1e3)
    cuts = statistics.quantiles(taken[TAIL_CALLS // 10 :], n=100)
    left = len(list(folder.glob("*.segments/*.seg"))) - 1
    sys.stdout.flush()
    os.write(1, json.dumps({"p50": cuts[49], "p99": cuts[98], "left": left}).encode())
    os._exit(0)


def _measure(what: str, mode: str, calls: int, backlog: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        if what == "tails" and not mode.endswith("quiet"):
            _run("backlog", mode, folder, backlog)
        found: dict[str, float] = json.loads(_run(what, mode, folder, calls))
        return found


def _run(what: str, mode: str, folder: str, calls: int) -> str:
    command = [sys.executable, __file__, "--worker", what, mode, folder, str(calls)]
    return subprocess.run(
        command, env=worker_environment(), check=True, stdout=subprocess.PIPE, text=True
    ).stdout


def _work(what: str, mode: str, folder: str, calls: str) -> None:
    if what == "backlog":
        queries = (query_text(i % 10_000, "b") for i in range(int(calls)))
        fill_backlog(Path(folder), make_retriever(Workload("W40"), "plain"), queries)
    figures = (stored if what == "stored" else tails)(mode, Path(folder), int(calls))
    sys.stdout.write(json.dumps(figures))


MODES = {
    "stored": ("by hand", "thread", "process"),
    "tails": ("thread, quiet", "thread", "process"),
}
HEADS = {
    "stored": [
        "retrievals stored/s",
        "by the clock",
        "by CPU time",
        "× by hand",
        "ms CPU app",
        "ms CPU process",
        "lost",
    ],
    "tails": ["a call, µs", "p50", "p99", "p99 × quiet", "segments left"],
}


def _rows(what: str, figures: dict[str, list[dict[str, float]]]) -> list[list[str]]:
    rows = []
    first = figures[MODES[what][0]]
    for mode, rounds in figures.items():
        columns = {name: [one[name] for one in rounds] for name in rounds[0]}
        figure = "by CPU time" if what == "stored" else "p99"
        ratio = [one[figure] / other[figure] for one, other in zip(rounds, first, strict=True)]
        shown = [spread(values, 2 if name in {"app", "process"} else 0) for name, values in columns.items()]
        rows.append([mode, *shown[:2], spread(ratio, 2), *shown[2:]])
    return rows


def main(arguments: list[str] | None = None) -> None:
    """Run the command."""
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--rounds", type=int, default=3, help="rounds; each figure is median [min–max] of them")
    made.add_argument("--calls", type=int, default=6_000, help="calls of `stored` (default 6000)")
    made.add_argument("--backlog", type=int, default=30_000, help="retrievals that wait in `tails`")
    made.add_argument("--only", choices=list(MODES), help="one of the two tables")
    made.add_argument("--worker", nargs=4, help=argparse.SUPPRESS)
    asked = made.parse_args(arguments)
    if asked.worker:
        _work(*asked.worker)
        return
    for what in [asked.only] if asked.only else MODES:
        figures: dict[str, list[dict[str, float]]] = {mode: [] for mode in MODES[what]}
        for _ in range(asked.rounds):
            for mode, rounds in figures.items():
                rounds.append(_measure(what, mode, asked.calls, asked.backlog))
        sys.stdout.write(table(HEADS[what], _rows(what, figures)) + "\n\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
