"""The curves as SVG, readable on white and on black: mid-tone colours, no background, text as text."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

__all__ = ["BLUE", "GREY", "ORANGE", "STYLE", "draw"]

GREY, BLUE, ORANGE, GREEN = "#7d8590", "#3b82f6", "#e07b1f", "#2fa86a"
STYLE: Final[dict[Any, Any]] = {
    "svg.fonttype": "none", "svg.hashsalt": "ragwheel", "font.size": 11, "font.family": "sans-serif",
    "text.color": GREY, "axes.labelcolor": GREY, "axes.edgecolor": GREY, "axes.titlesize": 11,
    "xtick.color": GREY, "ytick.color": GREY, "axes.spines.top": False, "axes.spines.right": False,
    "axes.grid": True, "grid.color": GREY, "grid.alpha": 0.25, "legend.frameon": False,
    "lines.linewidth": 2, "lines.markersize": 6,
}  # fmt: skip
"""How all pictures look."""

Measured = Mapping[str, Any]


def draw(results: Mapping[str, Measured], folder: Path) -> list[Path]:
    """Write one picture per curve into ``folder``; their paths."""
    import matplotlib as mpl

    mpl.use("svg")
    folder.mkdir(parents=True, exist_ok=True)
    drawn = []
    with mpl.rc_context(STYLE):
        for name, curve in results.items():
            figure = DRAWINGS[name](curve["points"])
            path = folder / f"growth-{name}.svg"
            figure.savefig(path, transparent=True, metadata={"Date": None})
            drawn.append(path)
    return drawn


def _panels(titles: list[str]) -> tuple[Any, list[Any]]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.2 * len(titles), 3.4), layout="constrained")
    axes = [figure.add_subplot(1, len(titles), n + 1) for n in range(len(titles))]
    for axis, title in zip(axes, titles):
        axis.set_title(title, loc="left")
    return figure, axes


def _line(axis: Any, points: list[Measured], x: str, y: str, **style: Any) -> None:
    axis.plot([p[x] for p in points], [p[y] for p in points], marker="o", **style)
    axis.set_ylim(bottom=0)


def _chunks(points: list[Measured]) -> Any:
    titles = ["added to a call, p50, µs", "p99, µs", "bytes on disk per further retrieval"]
    figure, (latency, tail, size) = _panels(titles)
    _line(latency, points, "chunks", "added_p50_us", color=BLUE, label="wall time")
    _line(latency, points, "chunks", "added_cpu_p50_us", color=GREEN, label="CPU time of the thread")
    _line(tail, points, "chunks", "added_p99_us", color=ORANGE, label="added to a call")
    if all("bare_p99_us" in p for p in points):
        _line(tail, points, "chunks", "bare_p99_us", color=GREY, label="the bare call")
    latency.legend()
    tail.legend()
    _line(size, points, "chunks", "bytes_per_further_retrieval", color=BLUE)
    for axis in (latency, tail, size):
        axis.set_xlabel("chunks of 1,000 characters per retrieval")
    return figure


def _processes(points: list[Measured]) -> Any:
    figure, (axis,) = _panels(["retrievals per second in total, until stored"])
    _line(axis, points, "processes", "stored_per_s", color=BLUE)
    axis.set_xticks([p["processes"] for p in points])
    axis.set_xlabel("processes writing one database (2 cores)")
    return figure


def _burst(points: list[Measured]) -> Any:
    figure, (axis,) = _panels([f"memory during a burst of {points[0]['calls']:,}, MB"])
    for point, color in zip(points, (BLUE, ORANGE)):
        times, sizes = zip(*point["rss_mb"])
        axis.plot(times, sizes, color=color, label=f"chunks of {point['characters']:,} characters")
        axis.axvline(point["returned_s"], color=color, linestyle=":", linewidth=1.2)
    axis.set_ylim(0, 1.3 * max(p["highest_mb"] for p in points))
    axis.set_xlabel("seconds (dotted: the last call has returned)")
    axis.legend(loc="upper left")
    return figure


def _stored(points: list[Measured]) -> Any:
    titles = ["inserted per second", "bytes per retrieval", "seconds until it answers"]
    figure, (rate, size, commands) = _panels(titles)
    _line(rate, points, "stored", "inserted_per_s", color=BLUE)
    _line(size, points, "stored", "bytes_per_retrieval", color=BLUE)
    _line(commands, points, "stored", "status_s", color=BLUE, label="ragwheel status")
    _line(commands, points, "stored", "show_s", color=ORANGE, label="ragwheel show")
    _line(commands, points, "stored", "flush_100_s", color=GREEN, label="flush() of 100")
    commands.legend()
    for axis in (rate, size, commands):
        axis.set_xscale("log")
        axis.set_xlabel("stored retrievals")
    return figure


DRAWINGS = {"chunks": _chunks, "processes": _processes, "burst": _burst, "stored": _stored}
