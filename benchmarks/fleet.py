"""How a build from a lake of many stores grows: time and memory by size, engine and memory limit.

    python benchmarks/fleet.py --stores 5 --each 2000 10000 50000 --builds duckdb duckdb:1GB spark:2GB
    python benchmarks/fleet.py --summary

Every store is a database of its own traffic of one month, on one shared corpus, asked by the same people; all
are exported into one lake. Each build runs in a process of its own; CPU time is that of the process and, with
Spark, of its Java process. The highest resident memory of both is given apart: with Spark on one machine the
Java process is driver and workers in one. Results are added to the file; a measurement of the same size,
engine and limit is replaced.
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
PICTURE: Final = ROOT / "docs" / "img" / "fleet.svg"
GREY: Final = "#888888"
TARGET: Final = 5_000_000
LEAST: Final = 200_000  # retrievals of a lake from which more is estimated
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
    from ragwheel.datasets.parts import part_batches

    begun = time.monotonic()
    options = BuildOptions(engine=engine, memory_limit=memory, threads=2)
    report = build(lake, lake.parent / f"dataset-{engine}", options=options)
    wall_s = time.monotonic() - begun
    used = resource.getrusage(resource.RUSAGE_SELF)
    java_s, java_mb = _children()
    rows = blake2b(digest_size=8)
    tables = {path for path in report.out.rglob("*.parquet") if not path.name.startswith("part-")}
    for table in sorted(tables):  # a file, or a folder of parts that workers wrote
        for batch in part_batches(table, 10_000):
            for row in batch.to_pylist():
                rows.update(repr(row).encode())
    result = {
        "wall_s": wall_s,
        "cpu_s": used.ru_utime + used.ru_stime + java_s,
        "python_s": used.ru_utime + used.ru_stime,
        "rss_mb": used.ru_maxrss / 1024,
        "java_mb": java_mb,
        "stages_s": report.stages_s,
        "rows": {config: sum(counts.values()) for config, counts in report.rows.items()},
        "digest": rows.hexdigest(),
        "load": os.getloadavg()[0],
    }
    print(json.dumps(result))


def _children() -> tuple[float, float]:
    """CPU seconds and highest resident MB of the processes that this one has started (Linux)."""
    seconds = megabytes = 0.0
    for task in Path("/proc/self/task").iterdir():
        for child in (task / "children").read_text().split():
            status = Path(f"/proc/{child}/status").read_text()
            megabytes += int(status.split("VmHWM:")[1].split()[0]) / 1024
            times = Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[11:15]
            seconds += sum(map(int, times)) / os.sysconf("SC_CLK_TCK")
    return seconds, megabytes


def measure(stores: int, each: int, builds: list[str]) -> list[dict[str, Any]]:
    """Generate one lake and build from it with each engine and memory limit."""
    points = []
    with tempfile.TemporaryDirectory(prefix="ragwheel-fleet-") as folder:
        lake = Path(folder) / "lake"
        subprocess.run(
            [sys.executable, __file__, "--generate", str(lake), str(stores), str(each)], check=True
        )
        lake_mb = sum(path.stat().st_size for path in lake.rglob("*.parquet")) / 1e6
        print(f"{stores} × {each:,}: exported, {lake_mb:.0f} MB", flush=True)
        for engine, _, limit in (name.partition(":") for name in builds):
            command = [sys.executable, __file__, "--build", str(lake), engine, limit]
            done = subprocess.run(command, check=False, stdout=subprocess.PIPE)
            if done.returncode:
                print(f"  {engine} {limit or 'default'}: FAILED, exit code {done.returncode}", flush=True)
                continue
            point = {"stores": stores, "each": each, "engine": engine, "memory": limit or None}
            points.append(point | {"lake_mb": lake_mb} | json.loads(done.stdout.splitlines()[-1]))
            print(f"  {engine} {limit or 'default'}: {points[-1]['cpu_s']:.0f} CPU s", flush=True)
    return points


def summarise(results: dict[str, Any]) -> str:
    """The picture, the table, whether rows are equal, an estimate for clusters, and the machine."""
    points = sorted(
        results["points"], key=lambda p: (p["engine"], p["stores"] * p["each"], p["memory"] or "")
    )
    names = (
        "stores × retrievals", "engine", "memory limit", "lake MB", "wall s", "CPU s", "Python's peak MB",
        "Java's peak MB", "pairs", "triplets",
    )  # fmt: skip
    lines = [f"| {' | '.join(names)} |", "|" + "---|" * len(names)]
    for p in points:
        head = [f"{p['stores']} × {p['each']:,}", p["engine"], p["memory"] or "default"]
        figures = [p[name] for name in ("lake_mb", "wall_s", "cpu_s", "rss_mb", "java_mb")]
        figures += [p["rows"]["pairs"], p["rows"]["triplets"]]
        lines.append("| " + " | ".join([*head, *(f"{figure:,.0f}" for figure in figures)]) + " |")
    parts = ["![How a build from a lake grows](img/fleet.svg)", "\n".join(lines)]
    by_size: dict[tuple[int, int], set[str]] = {}
    for point in points:
        by_size.setdefault((point["stores"], point["each"]), set()).add(point["digest"])
    equal = all(len(digests) == 1 for digests in by_size.values())
    parts.append(
        f"Builds of one lake have {'equal' if equal else 'DIFFERENT'} rows under all limits and engines."
    )
    parts += estimates(points)
    load = max(point["load"] for point in points)
    parts.append(
        f"Measured {results['at']}: {results['machine']}; up to {load:.0f} processes wanted its cores, so "
        f"wall times are longer than on a machine of one's own; CPU times are less so."
    )
    return "\n\n".join(parts)


def estimates(points: list[dict[str, Any]]) -> list[str]:
    """What was not measured, from the largest sizes that were; nothing from small ones, which say little."""
    sentences = []
    by_engine: dict[str, list[dict[str, Any]]] = {}
    for point in points:
        if point["stores"] * point["each"] < LEAST:
            continue
        if point["memory"] is None or point["engine"] == "spark":
            by_engine.setdefault(point["engine"], []).append(point)
    duckdb, spark = by_engine.get("duckdb", []), by_engine.get("spark", [])
    if len(duckdb) > 1:
        cpu_s, rss_mb = (_extrapolated(duckdb[-2:], name) for name in ("cpu_s", "rss_mb"))
        sentences.append(
            f"*Estimate, not measured:* DuckDB at {TARGET:,} retrievals, by the power of n between the two "
            f"largest sizes: {cpu_s / 60:,.0f} CPU minutes, {rss_mb / 1000:,.1f} GB."
        )
    if spark:
        last = spark[-1]
        serial = last["python_s"] / last["cpu_s"]
        cores = ", ".join(
            f"{n}: {last['cpu_s'] * (serial + (1 - serial) / n):,.0f} s" for n in (2, 8, 32, 128)
        )
        sentences.append(
            f"*Estimate, not measured:* on Spark {serial:.0%} of the CPU time at {last['stores']} × "
            f"{last['each']:,} was Python's in the driver, which does not shrink with more cores. If all the "
            f"rest did, that build would take, by cores, {cores}."
        )
    return sentences


def _extrapolated(points: list[dict[str, Any]], name: str) -> float:
    sizes = [point["stores"] * point["each"] for point in points]
    power = math.log(points[1][name] / points[0][name]) / math.log(sizes[1] / sizes[0])
    return float(points[1][name] * (TARGET / sizes[1]) ** power)


def draw(points: list[dict[str, Any]]) -> None:
    """CPU time and memory over retrievals, both axes logarithmic."""
    import matplotlib as mpl

    mpl.use("svg")
    from matplotlib import pyplot as plt

    style = {"svg.fonttype": "none", "svg.hashsalt": "ragwheel", "font.size": 11, "legend.frameon": False}
    colours = dict.fromkeys(
        ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), GREY
    )
    curves: dict[str, list[dict[str, Any]]] = {}
    for point in sorted(points, key=lambda p: p["stores"] * p["each"]):
        curves.setdefault(f"{point['engine']}, {point['memory'] or 'default'}", []).append(point)
    with mpl.rc_context(style | colours):  # type: ignore[arg-type]  # names are Literals there
        figure, axes = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
        for axis, names, label in (
            (axes[0], ("cpu_s",), "CPU seconds"),
            (axes[1], ("rss_mb", "java_mb"), "peak MB"),
        ):
            for name, curve in sorted(curves.items()):
                sizes = [point["stores"] * point["each"] for point in curve]
                values = [sum(point[part] for part in names) for point in curve]
                axis.loglog(sizes, values, "o-", label=name)
            axis.set_xlabel("retrievals of 40 chunks, of all stores")
            axis.set_ylabel(label)
            axis.grid(color=GREY, alpha=0.25)
            axis.spines[["top", "right"]].set_visible(False)
            axis.legend()
        figure.savefig(PICTURE, transparent=True, metadata={"Date": None})


def main() -> None:
    """Measure and save after every size, or write the summary into the page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--stores", type=int, default=5)
    parser.add_argument("--each", type=int, nargs="+", default=[2_000, 10_000, 50_000])
    parser.add_argument("--builds", nargs="+", default=["duckdb"], help="an engine, or engine:memory limit")
    parser.add_argument("--out", type=Path, default=Path("fleet.json"))
    parser.add_argument("--summary", action="store_true", help="write docs/fleet.md and the picture")
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
        draw(results["points"])
        before, rest = PAGE.read_text("utf-8").split(BEGIN, 1)
        text = f"{before}{BEGIN}\n\n{summarise(results)}\n\n{END}{rest.split(END, 1)[1]}"
        PAGE.write_text(text, "utf-8")
        return
    for each in options.each:
        fresh = measure(options.stores, each, options.builds)
        names = ("stores", "each", "engine", "memory")
        keys = {tuple(point[name] for name in names) for point in fresh}
        kept = [p for p in results["points"] if tuple(p[name] for name in names) not in keys]
        machine = f"{os.cpu_count()} cores, Python {platform.python_version()}"
        results = {"at": time.strftime("%Y-%m-%d"), "machine": machine, "points": [*kept, *fresh]}
        options.out.write_text(json.dumps(results, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
