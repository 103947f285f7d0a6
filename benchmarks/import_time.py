"""What `import ragwheel` costs on top of `import opentelemetry.sdk.trace`.

    python benchmarks/import_time.py [--rounds 21]

Each figure is the wall time of a fresh interpreter; the two alternate, so that a noisy neighbour hits both.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time

BASE = "import opentelemetry.sdk.trace"
OURS = f"{BASE}; import ragwheel"


def interpreter_ms(code: str) -> float:
    """Milliseconds that a fresh interpreter takes to run ``code``."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True)
    return (time.perf_counter() - start) * 1000


def main() -> None:
    """Measure and print the medians and the median of the paired differences."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=21, help="pairs of runs (default: 21)")
    rounds = parser.parse_args().rounds
    interpreter_ms(OURS)  # warm the file cache and the byte code
    pairs = [(interpreter_ms(BASE), interpreter_ms(OURS)) for _ in range(rounds)]
    base, ours = (statistics.median(column) for column in zip(*pairs, strict=True))
    added = statistics.median(after - before for before, after in pairs)
    print(f"Python {sys.version.split()[0]}, median of {rounds} alternating pairs")
    print(f"opentelemetry-sdk alone  {base:7.1f} ms")
    print(f"with ragwheel            {ours:7.1f} ms")
    print(f"added by ragwheel        {added:7.1f} ms")


if __name__ == "__main__":
    main()
