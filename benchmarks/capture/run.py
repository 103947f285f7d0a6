#!/usr/bin/env python3
"""Capture benchmark: what instrumentation costs a retriever, ragwheel beside its peers.

    python benchmarks/capture/run.py --install all               # once: an environment per peer
    python benchmarks/capture/run.py --quick                     # every peer, at most 12 minutes
    python benchmarks/capture/run.py --rounds 5                  # the full run, at most 2 hours
    python benchmarks/capture/run.py --peers ragwheel hand_batch --tests latency,burst --rounds 3
    python benchmarks/capture/run.py --summary                   # tables of the latest results
    BENCH_CHECKOUT=../other python benchmarks/capture/run.py …   # measure another checkout's ragwheel

Loopback only; every loop and every process is bounded in time.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])  # import this folder as the package `capture`

from capture.driver import Plan, run
from capture.install import install, missing
from capture.measurements import TESTS
from capture.peers import DEFAULT, GROUPS, PEERS, expand
from capture.places import home
from capture.results import latest
from capture.summary import put_into, summarise

__all__ = ["main"]


def parser() -> argparse.ArgumentParser:
    """The command line."""
    tests = "; ".join(f"{name}: {test.says}" for name, test in TESTS.items())
    peers = ", ".join([*PEERS, *(f"{group} (group)" for group in GROUPS)])
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--install", nargs="+", metavar="PEER", help=f"make environments and stop: {peers}")
    made.add_argument("--peers", nargs="+", metavar="PEER", default=DEFAULT, help="default: all installed")
    made.add_argument("--tests", default=",".join(TESTS), help=tests)
    made.add_argument("--rounds", type=int, help="default 5, with --quick 3")
    made.add_argument("--quick", action="store_true", help="fewer calls, at most --budget-s seconds")
    made.add_argument(
        "--budget-s", type=float, help="start nothing after this; default 7200, with --quick 720"
    )
    made.add_argument("--results", type=Path, help="JSON lines to write, or to summarise")
    made.add_argument(
        "--summary", nargs="?", const="-", metavar="FILE", help="write Markdown tables and stop"
    )
    return made


def main(arguments: list[str] | None = None) -> None:
    """Run the command."""
    asked = parser().parse_args(arguments)
    if asked.install:
        install(asked.install)
        return
    if asked.summary is None:
        asked.results = _measure(asked)
    text = summarise(asked.results or latest())
    if asked.summary in (None, "-"):
        sys.stdout.write(text)
    else:
        put_into(Path(asked.summary), text)


def _measure(asked: argparse.Namespace) -> Path:
    tests = asked.tests.split(",")
    unknown = [name for name in tests if name not in TESTS]
    if unknown:
        raise SystemExit(f"no test is called {unknown[0]!r}; allowed are: {', '.join(TESTS)}")
    peers = expand(asked.peers)
    absent = missing(peers)
    if absent:
        sys.stderr.write(f"left out, not installed: {', '.join(absent)} (--install {' '.join(absent)})\n")
    stamp = time.strftime("%Y%m%d-%H%M%S")
    results: Path = asked.results or home() / "results" / f"{stamp}.jsonl"
    plan = Plan(
        peers=[peer for peer in peers if peer not in absent],
        tests=tests,
        rounds=asked.rounds or (3 if asked.quick else 5),
        results=results,
        quick=asked.quick,
        budget_s=asked.budget_s or (720 if asked.quick else 7200),
    )
    run(plan)
    sys.stderr.write(f"results: {results}\n")
    return results


if __name__ == "__main__":
    main()
