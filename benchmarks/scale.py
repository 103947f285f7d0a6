"""How the build grows: generated traffic of 10^4 to 10^6 retrievals of 40, to graded pairs and triplets.

    python benchmarks/scale.py --sizes 10000 100000 1000000 --out scale.json
    python benchmarks/scale.py --summary --out scale.json

Each size is generated and built in a process of its own; its wall time, CPU time and highest resident memory
are those of the build alone. Traffic grows, and with it what it is about: a query is asked 20 times on
average, and the corpus grows with the square root of the traffic (Heaps' law with exponent 0.5).
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
from pathlib import Path
from typing import Any, Final

from growth.pictures import BLUE, GREY, ORANGE

ROOT: Final = Path(__file__).parents[1]
PAGE: Final = ROOT / "docs" / "scale.md"
PICTURE: Final = ROOT / "docs" / "img" / "scale.svg"
BEGIN, END = "<!-- scale: begin -->", "<!-- scale: end -->"
BAR_S, BAR_MB, BAR_AT = 900, 8_000, 1_000_000
STAGES: Final = ("read", "exposure", "evidence", "grades", "splits", "rows", "write")
_MONTH_S: Final = 30 * 24 * 3600


def generate(path: Path, retrievals: int) -> None:
    """A month of traffic with one retrieval a turn."""
    from ragwheel.testing import TraceSpec, write_traces

    spec = TraceSpec(
        turns=retrievals,
        queries=max(retrievals // 20, 20),
        chunks=round(20 * math.sqrt(retrievals)),
        users=max(retrievals // 50, 10),
        words=120,
        seconds_between_turns=max(_MONTH_S // retrievals, 1),
    )
    write_traces(path, spec)


def worker(folder: Path, retrievals: int, engine: str) -> None:
    """Build from ``folder/traces.db`` and print what it took, as JSON."""
    from ragwheel.datasets import BuildOptions, build

    begun = time.monotonic()
    report = build(folder / "traces.db", folder / "dataset", options=BuildOptions(engine=engine))
    wall_s = time.monotonic() - begun
    used = resource.getrusage(resource.RUSAGE_SELF)
    found = {
        "retrievals": retrievals,
        "wall_s": wall_s,
        "cpu_s": used.ru_utime + used.ru_stime,
        "rss_mb": used.ru_maxrss / 1024,
        "stages_s": report.stages_s,
        "rows": {config: sum(counts.values()) for config, counts in report.rows.items()},
        "evidence": sum(report.evidence.values()),
        "load": os.getloadavg()[0],
    }
    print(json.dumps(found))


def measure(retrievals: int, engine: str, budget_s: float) -> dict[str, Any] | None:
    """One size; None: it did not fit into the time that was left."""
    with tempfile.TemporaryDirectory(prefix="ragwheel-scale-") as folder:
        begun, printed = time.monotonic(), b""
        try:
            for step in ("generate", "build"):
                left_s = budget_s - (time.monotonic() - begun)
                command = [sys.executable, __file__, "--worker", step, folder, str(retrievals), engine]
                done = subprocess.run(command, check=True, capture_output=True, timeout=left_s)
                printed = done.stdout
                print(f"{retrievals:,}: {step} done after {time.monotonic() - begun:.0f} s", flush=True)
        except (subprocess.TimeoutExpired, ValueError):
            print(f"{retrievals:,} does not fit into {budget_s:.0f} s", flush=True)
            return None
        database_mb = (Path(folder) / "traces.db").stat().st_size / 1e6
    found: dict[str, Any] = json.loads(printed.splitlines()[-1])
    return found | {"database_mb": database_mb}


def exponent(points: list[dict[str, Any]], name: str) -> float:
    """Growth from the last but one size to the last: n to the power of this."""
    one, other = points[-2:]
    return math.log(other[name] / one[name]) / math.log(other["retrievals"] / one["retrievals"])


def expected(point: dict[str, Any], name: str, retrievals: int) -> float:
    """What a size costs from here on at n log n."""
    n = point["retrievals"]
    return float(point[name] * retrievals * math.log(retrievals) / (n * math.log(n)))


def summarise(found: dict[str, Any]) -> str:
    """The picture, the table, what grows how, and the machine."""
    points = found["points"]
    head = "| retrievals | impressions | database MB | wall s | CPU s | peak MB | pairs | triplets | "
    lines = [head + " | ".join(f"{stage} s" for stage in STAGES) + " |", "|" + "---|" * (8 + len(STAGES))]
    for point in points:
        figures = [point["retrievals"], 40 * point["retrievals"], point["database_mb"], point["wall_s"]]
        figures += [point["cpu_s"], point["rss_mb"], point["rows"]["pairs"], point["rows"]["triplets"]]
        figures += [point["stages_s"].get(stage, 0.0) for stage in STAGES]
        lines.append("| " + " | ".join(_shown(figure) for figure in figures) + " |")
    said = ["![How the build grows](img/scale.svg)", "\n".join(lines)]
    if len(points) > 1:
        one, last = points[-2:]
        size = last["retrievals"]
        told = [
            f"{label} {exponent(points, name):.2f} (n log n would be {_n_log_n(one['retrievals'], size):.2f})"
            for label, name in (("wall", "wall_s"), ("CPU", "cpu_s"))
        ]
        said.append(f"From {one['retrievals']:,} to {size:,}, as a power of n: {', '.join(told)}.")
        if size < BAR_AT:
            wall_s, rss_mb = (expected(last, name, BAR_AT) for name in ("wall_s", "rss_mb"))
            said.append(
                f"{BAR_AT:,} was not measured; at n log n from {size:,} it would take {wall_s:,.0f} s and, "
                f"if memory grew as fast, {rss_mb:,.0f} MB."
            )
        else:
            said.append(
                f"The bar at {BAR_AT:,} is {BAR_S} s and {BAR_MB:,} MB: {last['wall_s']:,.0f} s and "
                f"{last['rss_mb']:,.0f} MB."
            )
    load = max(point["load"] for point in points)
    said.append(f"Measured {found['at']}: {found['machine']}; up to {load:.0f} processes wanted its cores.")
    return "\n\n".join(said)


def _n_log_n(one: int, other: int) -> float:
    return 1 + math.log(math.log(other) / math.log(one)) / math.log(other / one)


def _shown(figure: float) -> str:
    return f"{figure:,.0f}" if figure >= 20 or figure == int(figure) else f"{figure:.1f}"


def draw(points: list[dict[str, Any]]) -> None:
    """Wall time and memory over retrievals, both axes logarithmic, with n log n from the first point."""
    import matplotlib as mpl

    mpl.use("svg")
    from matplotlib import pyplot as plt

    style = {"svg.fonttype": "none", "svg.hashsalt": "ragwheel", "font.size": 11, "legend.frameon": False}
    colours = dict.fromkeys(
        ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), GREY
    )
    sizes = [point["retrievals"] for point in points]
    with mpl.rc_context(style | colours):  # type: ignore[arg-type]  # names are Literals there
        figure, axes = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
        for axis, name, label, bar in (
            (axes[0], "wall_s", "seconds", BAR_S),
            (axes[1], "rss_mb", "peak MB", BAR_MB),
        ):
            axis.loglog(sizes, [point[name] for point in points], "o-", color=BLUE, label="measured")
            if name == "wall_s":
                ideal = [expected(points[0], name, n) for n in sizes]
                axis.loglog(sizes, ideal, ":", color=GREY, label="n log n from the first")
            axis.plot([BAR_AT], [bar], "v", color=ORANGE, label="the bar")
            axis.set_xlabel("retrievals of 40 chunks")
            axis.set_ylabel(label)
            axis.grid(color=GREY, alpha=0.25)
            axis.spines[["top", "right"]].set_visible(False)
            axis.legend()
        PICTURE.parent.mkdir(exist_ok=True)
        figure.savefig(PICTURE, transparent=True, metadata={"Date": None})


def put_into_page(text: str) -> None:
    """Replace what stands between the marks."""
    before, rest = PAGE.read_text("utf-8").split(BEGIN, 1)
    PAGE.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{rest.split(END, 1)[1]}", "utf-8")


def main() -> None:
    """Measure and save after every size, or write the summary into the page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--engine", default="duckdb")
    parser.add_argument("--budget-s", type=float, default=1_500, help="a size that takes longer is left out")
    parser.add_argument("--out", type=Path, default=Path("scale.json"))
    parser.add_argument("--summary", action="store_true", help="write docs/scale.md and the picture")
    parser.add_argument("--worker", nargs=4, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.worker:
        step, folder, retrievals, engine = given.worker
        if step == "generate":
            generate(Path(folder) / "traces.db", int(retrievals))
        else:
            worker(Path(folder), int(retrievals), engine)
        return
    if given.summary:
        found = json.loads(given.out.read_text("utf-8"))
        draw(found["points"])
        put_into_page(summarise(found))
        return
    points: list[dict[str, Any]] = []
    for size in given.sizes:
        point = measure(size, given.engine, given.budget_s)
        if point is None:
            break
        points.append(point)
        machine = f"{os.cpu_count()} cores, Python {platform.python_version()}"
        found = {"at": time.strftime("%Y-%m-%d"), "machine": machine, "points": points}
        given.out.write_text(json.dumps(found, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
