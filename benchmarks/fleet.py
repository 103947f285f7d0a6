"""How a build from a lake of many stores grows: time and memory by size, engine and memory limit.

    python benchmarks/fleet.py --stores 20 --each 1000 2500 5000 10000 --out fleet.json
    python benchmarks/fleet.py --stores 20 --each 10000 --engine spark --memory 2GB --out fleet.json
    python benchmarks/fleet.py --summary --out fleet.json

Every store is a database of its own traffic of one month, on one shared corpus, asked by the same people; all
are exported into one lake. Each build runs in a process of its own, and its CPU time and highest resident
memory are those of that process; with Spark the memory is that of the driver's Python process and its JVM
together. Results are added to the file; a measurement of the same size, engine and limit is replaced.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parents[1]
PAGE: Final = ROOT / "docs" / "fleet.md"
BEGIN, END = "<!-- fleet: begin -->", "<!-- fleet: end -->"
_MONTH_S: Final = 30 * 24 * 3600


def generate(lake: Path, stores: int, each: int) -> None:
    """Write the databases of a fleet one after the other, and export each into the lake."""
    from ragwheel.exporting import export_parquet
    from ragwheel.testing import TraceSpec, synthetic_world, write_traces

    retrievals = stores * each
    spec = TraceSpec(
        turns=each,
        queries=max(retrievals // 20, 20),
        chunks=round(20 * math.sqrt(retrievals)),
        users=max(retrievals // 50, 10),
        words=120,
        seconds_between_turns=max(_MONTH_S // each, 1),
    )
    world = synthetic_world(spec)
    for number in range(stores):
        with tempfile.TemporaryDirectory(prefix="ragwheel-store-") as folder:
            db = Path(folder) / "traces.db"
            write_traces(db, replace(spec, seed=number, first_turn=number * each), world)
            export_parquet(db, lake)


def worker(lake: Path, engine: str, memory: str | None) -> None:
    """Build from a lake and print what it took, as JSON."""
    from ragwheel.datasets import BuildOptions, build

    begun = time.monotonic()
    options = BuildOptions(engine=engine, memory_limit=memory, threads=2)
    report = build(lake, lake.parent / f"dataset-{engine}", options=options)
    wall_s = time.monotonic() - begun
    used, jvm = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    rows = blake2b(digest_size=8)
    for path in sorted(report.out.rglob("*.parquet")):
        rows.update(path.read_bytes())
    result = {
        "wall_s": wall_s,
        "cpu_s": used.ru_utime + used.ru_stime + jvm.ru_utime + jvm.ru_stime,
        "rss_mb": used.ru_maxrss / 1024,
        "stages_s": report.stages_s,
        "rows": {config: sum(counts.values()) for config, counts in report.rows.items()},
        "digest": rows.hexdigest(),
        "load": os.getloadavg()[0],
    }
    print(json.dumps(result))


def measure(stores: int, each: int, engine: str, limits: list[str | None]) -> list[dict[str, Any]]:
    """Generate one lake and build from it once per memory limit."""
    points = []
    with tempfile.TemporaryDirectory(prefix="ragwheel-fleet-") as folder:
        lake = Path(folder) / "lake"
        subprocess.run(
            [sys.executable, __file__, "--generate", str(lake), str(stores), str(each)], check=True
        )
        lake_mb = sum(path.stat().st_size for path in lake.rglob("*.parquet")) / 1e6
        print(f"{stores} × {each:,}: exported, {lake_mb:.0f} MB", flush=True)
        for memory in limits:
            command = [sys.executable, __file__, "--build", str(lake), engine, memory or ""]
            done = subprocess.run(command, check=True, capture_output=True)
            point = {"stores": stores, "each": each, "engine": engine, "memory": memory, "lake_mb": lake_mb}
            points.append(point | json.loads(done.stdout.splitlines()[-1]))
            print(f"  {engine} {memory or 'default'}: {points[-1]['cpu_s']:.0f} CPU s", flush=True)
    return points


def summarise(results: dict[str, Any]) -> str:
    """The table, how CPU time and memory grow, and the machine."""
    points = sorted(
        results["points"], key=lambda p: (p["engine"], p["stores"] * p["each"], p["memory"] or "")
    )
    lines = [
        "| stores × retrievals | engine | memory limit | lake MB | CPU s | peak MB | pairs | triplets |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for p in points:
        head = [f"{p['stores']} × {p['each']:,}", p["engine"], p["memory"] or "default"]
        figures = [p["lake_mb"], p["cpu_s"], p["rss_mb"], p["rows"]["pairs"], p["rows"]["triplets"]]
        lines.append("| " + " | ".join([*head, *(f"{figure:,.0f}" for figure in figures)]) + " |")
    parts = ["\n".join(lines)]
    by_size: dict[tuple[int, int], set[str]] = {}
    for point in points:
        by_size.setdefault((point["stores"], point["each"]), set()).add(point["digest"])
    equal = all(len(digests) == 1 for digests in by_size.values())
    parts.append(
        f"Builds of one lake have {'equal' if equal else 'DIFFERENT'} rows under all limits and engines."
    )
    load = max(point["load"] for point in points)
    parts.append(
        f"Measured {results['at']}: {results['machine']}; up to {load:.0f} processes wanted its cores, so "
        f"CPU time is given and not wall time."
    )
    return "\n\n".join(parts)


def main() -> None:
    """Measure and save after every size, or write the summary into the page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--stores", type=int, default=20)
    parser.add_argument("--each", type=int, nargs="+", default=[1_000, 2_500, 5_000, 10_000])
    parser.add_argument("--engine", default="duckdb")
    parser.add_argument("--memory", nargs="+", default=[None], help="limits of the engine, such as 512MB")
    parser.add_argument("--out", type=Path, default=Path("fleet.json"))
    parser.add_argument("--summary", action="store_true", help="write docs/fleet.md")
    parser.add_argument("--generate", nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("--build", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.generate:
        lake, stores, each = options.generate
        generate(Path(lake), int(stores), int(each))
        return
    if options.build:
        lake, engine, memory = options.build
        worker(Path(lake), engine, memory or None)
        return
    results = json.loads(options.out.read_text("utf-8")) if options.out.is_file() else {"points": []}
    if options.summary:
        before, rest = PAGE.read_text("utf-8").split(BEGIN, 1)
        text = f"{before}{BEGIN}\n\n{summarise(results)}\n\n{END}{rest.split(END, 1)[1]}"
        PAGE.write_text(text, "utf-8")
        return
    for each in options.each:
        fresh = measure(options.stores, each, options.engine, options.memory)
        names = ("stores", "each", "engine", "memory")
        keys = {tuple(point[name] for name in names) for point in fresh}
        kept = [p for p in results["points"] if tuple(p[name] for name in names) not in keys]
        machine = f"{os.cpu_count()} cores, Python {platform.python_version()}"
        results = {"at": time.strftime("%Y-%m-%d"), "machine": machine, "points": [*kept, *fresh]}
        options.out.write_text(json.dumps(results, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
