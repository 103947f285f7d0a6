"""Instructions that a call takes, counted by valgrind: the same every time, however busy the machine is."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys

from capture.places import worker_environment
from capture.results import table

__all__ = ["instructions"]

FEW, MANY = 300, 500
_COUNT = re.compile(r"I\s+refs:\s+([\d,]+)")


def _count(script: str, system: str, calls: int, options: list[str]) -> int:
    command = ["valgrind", "--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"]
    command += [sys.executable, script, "--calls", f"{system}:{calls}", *options]
    quiet = {"RAGWHEEL_MERGE_INTERVAL_S": "60", "OTEL_BSP_SCHEDULE_DELAY": "3600000"}
    ran = subprocess.run(
        command, env=worker_environment() | quiet, capture_output=True, text=True, check=False
    )
    found = _COUNT.search(ran.stderr)
    if ran.returncode or found is None:
        raise SystemExit(f"valgrind failed with {ran.returncode}: {ran.stderr[-1500:]}")
    return int(found[1].replace(",", ""))


def instructions(script: str, systems: list[str], workload: str, retriever: str) -> str:
    """A table of what each of ``systems`` adds to a call, in thousands of instructions of all threads."""
    if shutil.which("valgrind") is None:
        raise SystemExit("valgrind is not installed: apt-get install valgrind")
    options = ["--workload", workload, "--retriever", retriever]
    per_call = {
        system: (_count(script, system, MANY, options) - _count(script, system, FEW, options)) / (MANY - FEW)
        for system in ["nothing", *systems]
    }
    rows = [[system, f"{(n - per_call['nothing']) / 1e3:,.1f}"] for system, n in per_call.items()]
    return table(["system", "thousand instructions added to a call"], rows[1:]) + "\n"
