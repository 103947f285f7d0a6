"""The curves as a section of Markdown: pictures, the figures behind them, and the machine."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from capture.results import table

__all__ = ["put_into", "summarise"]

BEGIN, END = "<!-- growth: begin -->", "<!-- growth: end -->"
Found = Mapping[str, Any]


def _chunks(points: list[Found]) -> str:
    head = [
        "chunks", "bare p50 µs", "bare p99 µs", "added p50 µs", "added p50 µs of CPU", "added p99 µs",
        "bytes per retrieval", "per further one",
    ]  # fmt: skip
    names = "chunks bare_p50_us bare_p99_us added_p50_us added_cpu_p50_us added_p99_us bytes_per_retrieval"
    return (
        f"{_table(head, points, f'{names} bytes_per_further_retrieval')}\n\n"
        "Calls come without a pause, so the merger always has a backlog. A tail says little where that of "
        "the bare retriever is far above its median, which is the machine; CPU time is touched least. A "
        "ranking of 200 chunks is a row that fills a page of the database alone."
    )


def _processes(points: list[Found]) -> str:
    head = ["processes", "stored/s in total", "CPU s per 1,000", "lost", "calls"]
    return _table(head, points, "processes stored_per_s cpu_s_per_1000 lost calls")


def _burst(points: list[Found]) -> str:
    rows = [
        {
            **p,
            "grown": p["highest_mb"] - p["before_mb"],
            "half": _at(p, 0.5),
        }
        for p in points
    ]
    head = [
        "characters", "calls", "lost", "seconds", "until stored", "MB before", "halfway", "highest", "grown",
    ]  # fmt: skip
    made = _table(head, rows, "characters calls lost returned_s stored_s before_mb half highest_mb grown")
    return (
        f"{made}\n\nThe bound: the texts of the segment that is being written and of the one before, and "
        f"what the merger has read of one, at most 32 MB each: about 100 MB above what the process had, "
        f"however long the burst."
    )


def _at(point: Found, share: float) -> float:
    curve = point["rss_mb"]
    return float(curve[int(len(curve) * share)][1])


def _stored(points: list[Found]) -> str:
    rows = [{**p, "file_mb": p["file_bytes"] / 1e6} for p in points]
    head = [
        "stored", "inserted/s", "CPU s per 1,000", "file MB", "bytes per retrieval", "dropped",
        "flush of 100, s", "status s", "show s",
    ]  # fmt: skip
    names = (
        "stored inserted_per_s cpu_s_per_1000 file_mb bytes_per_retrieval dropped flush_100_s status_s show_s"
    )
    made = _table(head, rows, names)
    made += "\n\nWhat is inserted are 2,000 results made once and given again to ever new queries."
    if points[-1]["stored"] < 1_000_000:
        made += f" The largest that fitted in: {points[-1]['stored']:,}; more with `--budget-s`."
    return made


def _table(head: list[str], points: Iterable[Found], names: str) -> str:
    return table(head, [[_shown(point.get(name)) for name in names.split()] for point in points])


def _shown(value: float | None) -> str:
    if value is None:  # results of before this was measured
        return "–"
    return f"{value:,.0f}" if value == int(value) or abs(value) >= 20 else f"{value:,.2f}"


SECTIONS = {
    "chunks": ("Chunks per retrieval", _chunks),
    "processes": ("Processes", _processes),
    "burst": ("A burst", _burst),
    "stored": ("Stored retrievals", _stored),
}


def summarise(results: Mapping[str, Found], pictures: list[Path]) -> str:
    """All curves as Markdown; ``pictures`` in the same order, relative to the page."""
    parts = []
    for (name, found), picture in zip(results.items(), pictures):
        title, make = SECTIONS[name]
        parts.append(f"### {title}\n\n![{title}]({picture.as_posix()})\n\n{make(found['points'])}")
    first = next(iter(results.values()))
    machine = ", ".join(f"{k} {v}" for k, v in first["machine"].items())
    load = max(found["load"] for found in results.values())
    parts.append(f"Measured {first['at']}: {machine}; up to {load:.0f} processes wanted its cores at once.")
    return "\n\n".join(parts)


def put_into(path: Path, text: str) -> None:
    """Replace what stands between the marks of ``path``; add it at the end where there are none."""
    old = path.read_text("utf-8") if path.exists() else ""
    if BEGIN not in old or END not in old:
        old = f"{old.rstrip()}\n\n## How it grows\n\n{BEGIN}\n{END}\n"
    before, rest = old.split(BEGIN, 1)
    path.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{rest.split(END, 1)[1]}", "utf-8")
