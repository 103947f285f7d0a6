"""Results to Markdown: medians over the rounds with minimum and maximum."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from pathlib import Path

from capture.bars import bars
from capture.results import Result, Results, added, lost, spread, stored, table

__all__ = ["put_into", "summarise"]

BEGIN, END = "<!-- results: begin -->", "<!-- results: end -->"


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

    paced, flat = ["paced p50 µs", "paced p99 µs"], ["flat p50 µs", "flat p99 µs", "flat CPU µs"]
    head = ["system", *paced, *flat, "paced p50 × bare span", "rounds"]
    return table(head, map(row, results.peers("latency")))


def _added(results: Results, peer: str, phase: str, figure: str) -> list[float]:
    return added(results.of("latency", peer, "bare"), results.of("latency", peer), phase, figure)


def throughput(results: Results, test: str) -> str:
    """Rate until stored, CPU, memory, bytes, losses."""

    def row(peer: str) -> list[str]:
        runs = results.of(test, peer)
        bare = {r["round"]: r["cpu_s"] / r["done"] for r in results.of(test, peer, "bare")}

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


def kills(results: Results) -> str:
    """Losses on SIGKILL."""

    def row(peer: str) -> list[str]:
        runs = [r["verify"] for r in results.of("kill", peer) if "returned" in r.get("verify", {})]
        shares = [100 * r["lost"] / r["returned"] for r in runs if r["returned"]]
        counts = " · ".join(f"{r['lost']:,} of {r['returned']:,}" for r in runs)
        return [f"`{peer}`", counts or "–", spread(shares) + " %"]

    return table(["system", "lost of what had returned", "share"], map(row, results.peers("kill")))


def survival(results: Results) -> str:
    """How much of 40 documents is whole in the worst stored record."""

    def row(peer: str) -> list[str]:
        worst = (results.of("survive", peer)[-1].get("verify") or {}).get("worst")
        if not worst:
            return [f"`{peer}`", *["–"] * 5]
        counted = [f"{worst[part]} of {worst['k']}" for part in ("contents", "ids", "sources", "scores")]
        return [f"`{peer}`", *counted, f"{worst['json_bytes']:,}"]

    return table(
        ["system", "contents", "ids", "sources", "scores", "bytes as JSON"],
        map(row, results.peers("survive")),
    )


def curves(results: Results) -> str:
    """Memory of the process while a burst runs: at the start and at each fifth of its time."""

    def row(peer: str) -> list[str]:
        curve = results.of("burst", peer)[-1].get("curve") or [[0, 0, 0]]
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
    took, left_out = (results.end.get(key, "?") for key in ("took_s", "skipped_for_time"))
    parts = [f"Machine: {machine}. Took {took} s; left out for time: {left_out}."]
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
    if any(results.peers(test) for test in ("latency", "capacity", "burst", "kill")):
        parts.append(f"### ragwheel against its bars\n\n{bars(results)}")
    parts += [f"### {title}\n\n{make()}" for test, title, make in sections if results.peers(test)]
    if results.broken:
        said = {f"- `{r['peer']}` {r['test']}: {' '.join(r['error'].split())[-300:]}" for r in results.broken}
        parts.append("### Did not run\n\n" + "\n".join(sorted(said)))
    return "\n\n".join(parts) + "\n"


def put_into(path: Path, text: str) -> None:
    """Write ``text`` to ``path``; in a file with marks for results, only between them."""
    old = path.read_text("utf-8") if path.exists() else ""
    if BEGIN in old and END in old:
        text = f"{old.split(BEGIN)[0]}{BEGIN}\n\n{text}\n{END}{old.split(END, 1)[1]}"
    path.write_text(text, "utf-8")
