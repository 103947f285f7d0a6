"""Results to Markdown: medians over the rounds with minimum and maximum."""

from __future__ import annotations

import json
import statistics
from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from capture.places import home

__all__ = ["added", "latest", "spread", "summarise"]

Result = dict[str, Any]


def latest() -> Path:
    """The newest results; raises SystemExit when there are none."""
    found = sorted((home() / "results").glob("*.jsonl"))
    if not found:
        raise SystemExit(f"no results in {home() / 'results'}; run benchmarks/capture/run.py --quick first")
    return found[-1]


def spread(values: Iterable[float | None], digits: int = 0) -> str:
    """``median [min–max]``; only the value when there is one, ``–`` when there is none."""
    known = sorted(v for v in values if v is not None)
    if not known:
        return "–"

    def shown(value: float) -> str:
        return f"{value:,.{digits}f}"

    middle = shown(statistics.median(known))
    return middle if len(known) == 1 else f"{middle} [{shown(known[0])}–{shown(known[-1])}]"


def added(bare: list[Result], peer: list[Result], phase: str, figure: str) -> list[float]:
    """A latency figure of a peer minus that of the bare retriever of the same round and environment."""
    before = {r["round"]: r["phases"][phase][figure] for r in bare}
    return [r["phases"][phase][figure] - before[r["round"]] for r in peer if r["round"] in before]


def table(head: list[str], rows: Iterable[list[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


class Results:
    """The usable results of one file, by test, peer and mode."""

    def __init__(self, path: Path) -> None:
        lines = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
        self.machine: Result = next((r for r in lines if r["test"] == "machine"), {})
        self.end: Result = next((r for r in lines if r["test"] == "end"), {})
        self.broken = [r for r in lines if "error" in r]
        self.by: dict[tuple[str, str, str], list[Result]] = defaultdict(list)
        for result in lines:
            if "mode" in result and "error" not in result:
                self.by[result["test"], result["peer"], result["mode"]].append(result)

    def peers(self, test: str) -> list[str]:
        """Peers that a test has results of, in order of appearance."""
        return list(dict.fromkeys(peer for name, peer, mode in self.by if name == test and mode == "peer"))


def latency(results: Results) -> str:
    """Added wall and CPU time in the caller's thread."""
    yardstick = statistics.median(_added(results, "span_only", "paced", "p50_us") or [0])

    def row(peer: str) -> list[str]:
        paced = _added(results, peer, "paced", "p50_us")
        ratio = f"{statistics.median(paced) / yardstick:.1f}" if paced and yardstick > 0 else "–"
        return [
            f"`{peer}`",
            spread(paced),
            spread(_added(results, peer, "paced", "p99_us")),
            spread(_added(results, peer, "flat", "p50_us")),
            spread(_added(results, peer, "flat", "p99_us")),
            spread(_added(results, peer, "flat", "cpu_p50_us")),
            ratio,
            str(len(paced)),
        ]

    head = [
        "system", "paced p50 µs", "paced p99 µs", "flat p50 µs", "flat p99 µs", "flat CPU µs", "× bare span", "rounds"
    ]  # fmt: skip
    return table(head, map(row, results.peers("latency")))


def _added(results: Results, peer: str, phase: str, figure: str) -> list[float]:
    both = (results.by["latency", peer, mode] for mode in ("bare", "peer"))
    return added(*both, phase, figure)


def throughput(results: Results, test: str) -> str:
    """Rate until stored, CPU, memory, bytes, losses."""

    def row(peer: str) -> list[str]:
        runs = results.by[test, peer, "peer"]
        bare = {r["round"]: r["cpu_s"] / r["done"] for r in results.by[test, peer, "bare"]}

        def each(figure: Callable[[Result], float | None], digits: int = 0) -> str:
            return spread(map(figure, runs), digits)

        return [
            f"`{peer}`",
            each(lambda r: stored(r) / r["durable_s"]),
            each(
                lambda r: (r["cpu_s"] / r["done"] - bare[r["round"]]) * 1e3 if r["round"] in bare else None, 2
            ),
            each(lambda r: r["cpu_s"] / r["done"] * 1e3, 2),
            each(lambda r: r["server_cpu_s"] / r["done"] * 1e3, 2),
            each(lambda r: r["rss_peak_mb"]),
            each(lambda r: r["rss_peak_mb"] - r["rss_before_mb"]),
            each(lambda r: r["stored_bytes"] / stored(r) if r["stored_bytes"] and stored(r) else None),
            " / ".join(f"{lost(r):,}" for r in runs),
            f"{runs[0]['done']:,} × {len(runs)}",
        ]

    head = [
        "system", "stored/s", "CPU s per 1,000 added", "CPU s per 1,000", "server CPU s per 1,000",
        "peak RSS MB", "grown MB", "bytes/retrieval", "lost", "calls × rounds",
    ]  # fmt: skip
    return table(head, map(row, results.peers(test)))


def lost(result: Result) -> int:
    """Returned calls that are not stored (of a peer that stores nothing: not delivered)."""
    found = result.get("verify") or {}
    return int(found.get("lost", 0))


def stored(result: Result) -> int:
    """Returned calls that are stored."""
    return int(result["done"]) - lost(result)


def kills(results: Results) -> str:
    """Losses on SIGKILL."""

    def row(peer: str) -> list[str]:
        runs = [r["verify"] for r in results.by["kill", peer, "peer"] if "returned" in r.get("verify", {})]
        shares = [100 * r["lost"] / r["returned"] for r in runs if r["returned"]]
        counts = " · ".join(f"{r['lost']:,} of {r['returned']:,}" for r in runs)
        return [f"`{peer}`", counts or "–", spread(shares) + " %"]

    return table(["system", "lost of what had returned", "share"], map(row, results.peers("kill")))


def survival(results: Results) -> str:
    """How much of 40 documents is whole in the worst stored record."""

    def row(peer: str) -> list[str]:
        worst = (results.by["survive", peer, "peer"][-1].get("verify") or {}).get("worst")
        if not worst:
            return [f"`{peer}`", *["–"] * 5]
        return [f"`{peer}`", *(f"{worst[c]} of {worst['k']}" for c in ("contents", "ids", "sources", "scores")),
                f"{worst['json_bytes']:,}"]  # fmt: skip

    return table(
        ["system", "contents", "ids", "sources", "scores", "bytes as JSON"],
        map(row, results.peers("survive")),
    )


def curves(results: Results) -> str:
    """Memory of the process while a burst runs: at the start and at each fifth of its time."""

    def row(peer: str) -> list[str]:
        curve = results.by["burst", peer, "peer"][-1].get("curve") or [[0, 0, 0]]
        end = curve[-1][0]
        points = [
            max((c for c in curve if c[0] <= end * i / 5), key=lambda c: c[0], default=curve[0])
            for i in range(6)
        ]
        return [
            f"`{peer}`",
            *(f"{p[1]:,.0f}" for p in points),
            f"{max(c[1] for c in curve):,.0f}",
            f"{end:.0f}",
        ]

    head = ["system", "0 %", "20 %", "40 %", "60 %", "80 %", "100 %", "highest", "seconds"]
    return table(head, map(row, results.peers("burst")))


def summarise(path: Path) -> str:
    """All tables of a results file as Markdown."""
    results = Results(path)
    machine = ", ".join(f"{k} {v}" for k, v in results.machine.items() if k not in ("test", "at"))
    parts = [f"Machine: {machine}. Took {results.end.get('took_s', '?')} s; "
             f"left out for time: {results.end.get('skipped_for_time', '?')}."]  # fmt: skip
    sections: list[tuple[str, str, Callable[[], str]]] = [
        ("latency", "Added in the caller's thread, 40 × 1,000 characters", lambda: latency(results)),
        ("sustained", "Until stored, LangChain retriever", lambda: throughput(results, "sustained")),
        (
            "capacity",
            "Until stored, a retriever that costs next to nothing",
            lambda: throughput(results, "capacity"),
        ),
        ("burst", "Burst of 20,000", lambda: throughput(results, "burst")),
        ("burst", "Memory during that burst, MB", lambda: curves(results)),
        ("burst4k", "Chunks of 4,000 characters", lambda: throughput(results, "burst4k")),
        ("kill", "SIGKILL at a random moment", lambda: kills(results)),
        ("survive", "What of 40 documents is stored whole", lambda: survival(results)),
    ]
    parts += [f"### {title}\n\n{make()}" for test, title, make in sections if results.peers(test)]
    if results.broken:
        said = {f"- `{r['peer']}` {r['test']}: {' '.join(r['error'].split())[-300:]}" for r in results.broken}
        parts.append("### Did not run\n\n" + "\n".join(sorted(said)))
    return "\n\n".join(parts) + "\n"
