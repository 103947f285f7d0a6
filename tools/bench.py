"""Run every benchmark to its end at a small size: ``make bench``. The real sizes are each script's defaults.

This shows that the scripts work; figures come from their own commands, which the docs name beside each. What
needs collections takes them from the folder in ``RAGWHEEL_TEST_DATA`` and is left out, with a line that says
so, where that is not set.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
SMALL = (
    "adapter.py --rows 300",
    "fewshot.py --turns 2000 -n 10",
    "import_time.py --rounds 3",
    "importing.py --spans 300",
    "position.py --impressions 20000",
    "scale.py --sizes 2000 --out {scratch}/scale.json",
    "fleet.py --stores 3 --each 200 --builds duckdb:512MB --out {scratch}/fleet.json",
    "capture/stages.py --blocks 2",
    "capture/merging.py --rounds 1 --calls 500 --backlog 1000",
    "growth/run.py --quick --curves stored --largest 2000 --budget-s 60 --out {scratch}/growth",
    "review/run.py --pairs 1000 --graded 1000 --keys 20",
    "collector/run.py --minutes 0.1 --rate 100 --turns 100 --half-seconds 2",
    "judge/engine.py --requests 200 --kills 1",
    "reformulation.py --data {data}",
    "zero_shot.py --only noveleval",
    "labels/run.py --data {data} --quick --seeds 1",
    "labels/crowds/run.py --data {data} --seeds 1 --turns 300 --collections noveleval",
    "poison/run.py --data {data}/scifact --seeds 1 --queries 20 --users 20",
    "judge/agreement.py --data {data} --judge overlap",
    "judge/support.py --data {data}",
)
JUDGE_THEMSELVES = ("position.py", "zero_shot.py")
"""Exit 1 says that a figure misses what it is held against, which small sizes do."""
ELSEWHERE = {
    "capture/run.py": "needs an environment for each system that it compares with: docs/benchmarks.md",
    "criterion/run.py": "judges systems over many random crowds for hours: its docstring",
    "flywheel/run.py": "trains models for hours: docs/flywheel.md",
    "reranking.py": "needs a trained re-ranker: its docstring",
}


def main(arguments: list[str]) -> int:
    """Run the scripts whose names contain a word of ``arguments``, or all; 1 when one of them failed."""
    parser = argparse.ArgumentParser(prog="python tools/bench.py", description=__doc__)
    parser.add_argument("words", nargs="*", help="only scripts whose names contain one of these")
    options = parser.parse_args(arguments)
    data, failed = os.environ.get("RAGWHEEL_TEST_DATA"), []
    with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
        for line in SMALL:
            script = line.partition(" ")[0]
            if options.words and not any(word in script for word in options.words):
                continue
            if ("{data}" in line or script == "zero_shot.py") and not data:
                print(f"== {script}: left out, set RAGWHEEL_TEST_DATA to a folder of collections", flush=True)
                continue
            print(f"== benchmarks/{line.format(data=data, scratch=scratch)}", flush=True)
            began = time.monotonic()
            command = [sys.executable, *f"benchmarks/{line}".format(data=data, scratch=scratch).split(" ")]
            status = subprocess.run(command, cwd=ROOT, check=False).returncode
            print(f"== {script}: exit {status} after {time.monotonic() - began:.0f} s", flush=True)
            if status and not (status == 1 and script in JUDGE_THEMSELVES):
                failed.append(script)
    for script, reason in ELSEWHERE.items():
        print(f"== {script}: not run here, {reason}")
    print("every script ran to its end" if not failed else f"failed: {', '.join(failed)}")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
