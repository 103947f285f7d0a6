#!/usr/bin/env python3
"""What a call costs its caller, stage by stage: ragwheel beside a bare span and spans written by hand.

    python benchmarks/capture/stages.py                     # warm, cold and paced, about 2 minutes
    python benchmarks/capture/stages.py --blocks 20 --only warm
    python benchmarks/capture/stages.py --instructions span ragwheel   # counted by valgrind, two minutes each
    python benchmarks/capture/stages.py --retriever langchain --workload W100

Everything runs in one process, in short blocks that take turns, and is measured in CPU time of the calling
thread, so that a busy machine touches all systems alike: compare the ratios, not the microseconds.
``warm`` makes the calls of a block one after the other; ``cold`` reads 64 MB between any two, which empties
the caches; ``paced`` sleeps in between, as an app that gets 300 questions a second does. Each figure is the
minimum and the median of the blocks' means. The retriever's own time and that of the clocks is not in it.
"""

from __future__ import annotations

import argparse
import gc
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])  # import this folder as the package `capture`

from capture.counted import instructions
from capture.results import table
from capture.stage_systems import STAGES, SYSTEMS, Retriever, Systems, timed_stages
from capture.workload import WORKLOADS, query_text

__all__ = ["main"]

Call = Callable[[str], list[object]]
WARM_UP = 1_500
BLOCK = {"warm": 40, "cold": 8, "paced": 20}
PAUSE_S = 1 / 300
_LARGE = bytearray(64 * 1024 * 1024)


def _empty_caches() -> None:
    _LARGE.count(1)


def _pause() -> None:
    time.sleep(PAUSE_S)


BETWEEN: dict[str, Callable[[], None]] = {"warm": lambda: None, "cold": _empty_caches, "paced": _pause}


class Questions:
    """A new question for every call."""

    def __init__(self) -> None:
        self._asked = 0

    def next(self) -> str:
        """The next one."""
        self._asked += 1
        return query_text(self._asked)


def block(call: Call, retriever: Retriever, questions: Questions, mode: str) -> float:
    """The mean of what a block of calls took beside the retriever itself, in microseconds."""
    between, clock, total = BETWEEN[mode], time.thread_time_ns, 0
    for _ in range(BLOCK[mode]):
        question = questions.next()
        between()
        before = clock()
        result = call(question)
        total += clock() - before - retriever.own_ns
        del result
    return total / BLOCK[mode] / 1e3


def measure(systems: Systems, mode: str, blocks: int) -> dict[str, list[float]]:
    """What each system adds to a call, one figure a block."""
    questions = Questions()
    added: dict[str, list[float]] = {name: [] for name in SYSTEMS}
    for call, _ in systems.calls.values():
        for _ in range(WARM_UP if mode == "warm" else 100):
            call(questions.next())
    gc.collect()
    gc.disable()
    for _ in range(blocks):
        for name in SYSTEMS:
            added[name].append(block(*systems.calls[name], questions, mode))
    gc.enable()
    clocks = statistics.median(added.pop("nothing"))
    return {name: [value - clocks for value in values] for name, values in added.items()}


def measure_stages(systems: Systems, mode: str, blocks: int) -> dict[str, list[float]]:
    """What each stage takes, one figure a block; the last is the whole call with its timers."""
    questions = Questions()
    figures: dict[str, list[float]] = {stage: [] for stage in STAGES}
    call, retriever = systems.calls["ragwheel"]
    with timed_stages() as took:
        for _ in range(blocks):
            for values in took.values():
                values.clear()
            block(call, retriever, questions, mode)
            for stage, values in took.items():
                figures[stage].append(sum(values) / BLOCK[mode] / 1e3)
    return figures


def _row(
    name: str, values: list[float], beside: list[float] | None, by_hand: list[float] | None
) -> list[str]:
    cells = [name, f"{min(values):.1f}", f"{statistics.median(values):.1f}"]
    for other in (beside, by_hand):
        if other is None:
            cells.append("–")
        else:
            cells.append(
                f"{min(values) / min(other):.2f}, {statistics.median(values) / statistics.median(other):.2f}"
            )
    return cells


def report(mode: str, added: dict[str, list[float]], stages: dict[str, list[float]]) -> str:
    """Both tables of one mode."""
    head = [mode, "minimum µs", "median µs", "× span (minimum, median)", "× by hand (minimum, median)"]
    rows = [_row(name, values, added["span"], added["by hand"]) for name, values in added.items()]
    rows += [_row(f"… {name}", values, None, None) for name, values in stages.items()]
    return table(head, rows) + "\n"


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        description=f"{__doc__}\nSystems:\n" + "\n".join(f"  {n}: {what}" for n, what in SYSTEMS.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("--only", choices=list(BETWEEN), help="one of the three ways of calling (default: all)")
    made.add_argument("--blocks", type=int, default=60, help="blocks of each system (default 60)")
    made.add_argument("--workload", choices=list(WORKLOADS), default="W40", help="shape of the results")
    made.add_argument("--retriever", choices=["plain", "langchain"], default="plain", help="what is returned")
    made.add_argument("--json", type=Path, metavar="FILE", help="also write the figures of all blocks")
    made.add_argument(
        "--instructions", nargs="+", choices=list(SYSTEMS), metavar="SYSTEM", help="count them under valgrind"
    )
    made.add_argument("--calls", metavar="SYSTEM:N", help="make N calls and say nothing (for --instructions)")
    return made


def main(arguments: list[str] | None = None) -> None:
    """Run the command."""
    asked = parser().parse_args(arguments)
    if asked.instructions:
        sys.stdout.write(instructions(__file__, asked.instructions, asked.workload, asked.retriever))
        return
    with tempfile.TemporaryDirectory() as folder:
        systems = Systems(Path(folder), asked.workload, asked.retriever)
        if asked.calls:
            name, _, n = asked.calls.rpartition(":")
            questions = Questions()
            for _ in range(int(n)):
                systems.calls[name][0](questions.next())
            return
        figures = {}
        for mode in [asked.only] if asked.only else BETWEEN:
            added = measure(systems, mode, asked.blocks)
            figures[mode] = added | measure_stages(systems, mode, asked.blocks // 2)
            stages = {stage: figures[mode][stage] for stage in STAGES}
            sys.stdout.write(report(mode, added, stages) + "\n")
            sys.stdout.flush()
        systems.close()
    if asked.json:
        asked.json.write_text(json.dumps(figures) + "\n", "utf-8")


if __name__ == "__main__":
    main()
