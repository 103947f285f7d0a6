"""The torture tests at full size: ``python -m tests.torture [--minutes 30] [-- pytest's arguments]``.

Every test of this folder runs at least once (2,000 SIGKILLs, 2 x 1,000 forks, ...); rounds with other
seeds follow until the minutes are over. Prints the seed of each round and ends with 1 at the first failure.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.torture", description=__doc__)
    parser.add_argument(
        "--minutes", type=float, default=0.0, help="go on for at least so long (default: once)"
    )
    parser.add_argument("--seed", type=int, default=1, help="of the first round")
    given, rest = parser.parse_known_args()
    until = time.monotonic() + given.minutes * 60
    seed = given.seed
    while True:
        print(f"torture: round with seed {seed}", flush=True)
        environment = {**os.environ, "RAGWHEEL_TORTURE": "full", "RAGWHEEL_TORTURE_SEED": str(seed)}
        command = [
            sys.executable,
            "-m",
            "pytest",
            str(Path(__file__).parent),
            "-q",
            *(a for a in rest if a != "--"),
        ]
        code = subprocess.run(command, env=environment, cwd=Path(__file__).parents[2], check=False).returncode
        if code or time.monotonic() >= until:
            return code
        seed += 1


if __name__ == "__main__":
    raise SystemExit(main())
