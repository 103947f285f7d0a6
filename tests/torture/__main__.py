"""The torture tests at full size: ``python -m tests.torture [--minutes 30] [-- pytest's arguments]``.

Without ``--minutes`` every test of this folder runs once (2,000 SIGKILLs, 2 x 1,000 forks, ...). With
it, rounds with other seeds follow each other until the minutes are over; a test that has begun is
finished. Ends with the counts of everything that was done, also on Ctrl-C and at the first failure (1).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.torture import counts

ROOT = Path(__file__).parents[2]


def main() -> int:
    """The command; 0 all green, 1 a failure, 130 interrupted."""
    parser = argparse.ArgumentParser(prog="python -m tests.torture", description=__doc__)
    parser.add_argument("--minutes", type=float, default=0.0, help="rounds for so long (default: one round)")
    parser.add_argument("--seed", type=int, default=1, help="of the first round")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the counts there as well")
    given, rest = parser.parse_known_args()
    rest = [argument for argument in rest if argument != "--"]
    with tempfile.TemporaryDirectory() as folder:
        told = Path(folder) / "counts"
        report = _rounds(given, rest, told)
        report["counts"] = dict(sorted(counts.read(told).items()))
    if given.json:
        partial = given.json.with_name(given.json.name + ".partial")
        partial.write_text(json.dumps(report, indent=2) + "\n", "utf-8")
        partial.replace(given.json)
    print(_shown(report))
    return {"green": 0, "interrupted": 130}.get(report["ended"], 1)


def _rounds(given: argparse.Namespace, rest: list[str], told: Path) -> dict[str, Any]:
    """Rounds until the time is over, one fails or somebody interrupts."""
    started_s = time.monotonic()
    seed, ended = given.seed, ""
    while not ended:
        print(f"torture: round with seed {seed}", flush=True)
        environment = {**os.environ, "RAGWHEEL_TORTURE": "full", "RAGWHEEL_TORTURE_SEED": str(seed)}
        environment[counts.COUNTS] = str(told)
        left_s = given.minutes * 60 - (time.monotonic() - started_s)
        if given.minutes:
            environment["RAGWHEEL_TORTURE_UNTIL"] = str(time.time() + left_s)
        command = [sys.executable, "-m", "pytest", str(Path(__file__).parent), "-q", *rest]
        round_ = subprocess.Popen(command, env=environment, cwd=ROOT)
        try:
            code = round_.wait()
        except KeyboardInterrupt:
            round_.wait()  # it got the same signal, and cleans up
            code = 2
        over = time.monotonic() - started_s >= given.minutes * 60
        ended = {0: "green" if over else "", 2: "interrupted"}.get(code, "red")
        seed += 1
    return {
        "ended": ended,
        "seeds": [given.seed, seed - 1],
        "seconds": round(time.monotonic() - started_s),
        "python": sys.version.split()[0],
    }


def _shown(report: dict[str, Any]) -> str:
    first, last = report["seeds"]
    head = f"torture: {report['ended']} after {report['seconds']:,} s, seeds {first} to {last}"
    width = max(map(len, report["counts"]), default=0)
    return "\n".join([head, *(f"  {what:<{width}}  {n:>11,}" for what, n in report["counts"].items())])


if __name__ == "__main__":
    raise SystemExit(main())
