#!/usr/bin/env python3
"""How the cost of capture grows: chunks, processes, stored retrievals, bursts; drawn as curves.

    python benchmarks/growth/run.py                       # all curves, about 15 minutes
    python benchmarks/growth/run.py --quick               # fewer calls, up to 10,000 stored
    python benchmarks/growth/run.py --curves chunks burst --out DIR
    python benchmarks/growth/run.py --summary docs/benchmarks.md    # section and pictures from the results

Results are one JSON file per curve in ``--out`` (by default in the benchmarks' cache folder); a curve is
written when all of it is measured.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])  # import this folder as the package `growth`

from capture.machine import describe
from capture.places import home

from growth.curves import CURVES, GrowthPlan
from growth.pictures import draw
from growth.summary import put_into, summarise

__all__ = ["main"]


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--curves", nargs="+", choices=list(CURVES), default=list(CURVES), metavar="CURVE")
    made.add_argument("--out", type=Path, default=home() / "growth", help="folder of the results")
    made.add_argument("--largest", type=int, default=1_000_000, help="stored retrievals at the last point")
    made.add_argument("--budget-s", type=float, default=360.0, help="for the stored retrievals; then stop")
    made.add_argument("--quick", action="store_true", help="a tenth of the calls, up to 10,000 stored")
    made.add_argument(
        "--summary", type=Path, metavar="FILE", help="write section and pictures (img/ beside FILE) and stop"
    )
    return made


def main(arguments: list[str] | None = None) -> None:
    """Run the command."""
    asked = parser().parse_args(arguments)
    if asked.summary is not None:
        results = {name: found for name in CURVES if (found := _read(asked.out / f"{name}.json"))}
        if not results:
            raise SystemExit(f"no results in {asked.out}; run benchmarks/growth/run.py first")
        pictures = draw(results, asked.summary.parent / "img")
        put_into(asked.summary, summarise(results, [p.relative_to(asked.summary.parent) for p in pictures]))
        return
    share = 10 if asked.quick else 1
    plan = GrowthPlan(
        largest=min(asked.largest, 10_000) if asked.quick else asked.largest,
        budget_s=asked.budget_s,
        calls=3_000 // share,
        burst=20_000 // share,
    )
    asked.out.mkdir(parents=True, exist_ok=True)
    for name in asked.curves:
        _measure(name, plan, asked.out)


def _measure(name: str, plan: GrowthPlan, out: Path) -> None:
    """One curve, point by point."""
    points = []
    for point in CURVES[name](plan):
        points.append(point)
        shown = {k: round(v, 3) for k, v in point.items() if not isinstance(v, list)}
        sys.stderr.write(f"{name}: {json.dumps(shown)}\n")
    found = {
        "at": time.strftime("%Y-%m-%d", time.gmtime()),
        "machine": describe(out),
        "load": os.getloadavg()[0],
        "points": points,
    }
    partial = out / f"{name}.partial"
    partial.write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    partial.replace(out / f"{name}.json")


def _read(path: Path) -> dict[str, object] | None:
    return json.loads(path.read_text("utf-8")) if path.exists() else None


if __name__ == "__main__":
    main()
