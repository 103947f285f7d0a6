"""ragwheel's figures against the bars it sets itself, met or missed and by how much."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from capture.results import Result, Results, added, lost, stored, table

__all__ = ["Bar", "bars"]


@dataclass(frozen=True)
class Bar:
    """One bar: ``at_most`` or at least ``limit``, and how it is measured (None: not in these results).

    ``doubt`` says why these results cannot decide, or nothing when they can.
    """

    what: str
    limit: float
    measure: Callable[[Results], float | None]
    at_most: bool = True
    digits: int = 0
    doubt: Callable[[Results], str] = lambda _: ""

    def row(self, results: Results) -> list[str]:
        """What, bar, measured, verdict."""
        sign = "≤" if self.at_most else "≥"
        bar = f"{sign} {self.limit:,g}"
        found = self.measure(results)
        if found is None:
            return [self.what, bar, "–", "not measured"]
        if doubt := self.doubt(results):
            return [self.what, bar, f"{found:,.{self.digits}f}", f"not decided: {doubt}"]
        met = found <= self.limit if self.at_most else found >= self.limit
        verdict = "met" if met else "missed"
        if not met and self.limit and found > 0:
            ratio = found / self.limit if self.at_most else self.limit / found
            verdict += f" by × {ratio:.2f}"
        return [self.what, bar, f"{found:,.{self.digits}f}", verdict]


def _median(values: Iterable[float]) -> float | None:
    known = list(values)
    return statistics.median(known) if known else None


def _latency(peer: str, phase: str, figure: str) -> Callable[[Results], float | None]:
    def measure(results: Results) -> float | None:
        bare, runs = results.of("latency", peer, "bare"), results.of("latency", peer)
        return _median(added(bare, runs, phase, figure))

    return measure


def _restless(peer: str, phase: str) -> Callable[[Results], str]:
    """A tail cannot be told where the bare retriever's own 99th percentile is far from its median."""

    def doubt(results: Results) -> str:
        bare = [r["phases"][phase] for r in results.of("latency", peer, "bare")]
        p50, p99 = (statistics.median(f[name] for f in bare) for name in ("p50_us", "p99_us"))
        return f"bare p99 is {p99:,.0f} µs beside a p50 of {p50:,.0f}" if p99 > 3 * p50 else ""

    return doubt


def _of(test: str, peer: str, figure: Callable[[Result], float]) -> Callable[[Results], float | None]:
    return lambda results: _median(map(figure, results.of(test, peer)))


def _rate(result: Result) -> float:
    return stored(result) / float(result["durable_s"])


def _times(peer: str) -> Callable[[Results], float | None]:
    def measure(results: Results) -> float | None:
        ours = _of("capacity", "ragwheel", _rate)(results)
        theirs = _of("capacity", peer, _rate)(results)
        return ours / theirs if ours and theirs else None

    return measure


def _cpu_added(results: Results) -> float | None:
    bare = {r["round"]: r["cpu_s"] / r["done"] for r in results.of("capacity", "ragwheel", "bare")}
    runs = [r for r in results.of("capacity", "ragwheel") if r["round"] in bare]
    return _median((r["cpu_s"] / r["done"] - bare[r["round"]]) * 1e3 for r in runs)


def _all_lost(test: str) -> Callable[[Results], float | None]:
    def measure(results: Results) -> float | None:
        runs = results.of(test, "ragwheel") + results.of(test, "ragwheel_langchain")
        return float(sum(map(lost, runs))) if runs else None

    return measure


BARS = [
    Bar("added p50 µs, flat out", 60, _latency("ragwheel", "flat", "p50_us")),
    Bar("added p50 µs, paced", 60, _latency("ragwheel", "paced", "p50_us")),
    Bar(
        "added p99 µs, flat out, standing backlog",
        250,
        _latency("ragwheel_backlog", "flat", "p99_us"),
        doubt=_restless("ragwheel_backlog", "flat"),
    ),
    Bar(
        "added p99 µs, paced, standing backlog",
        250,
        _latency("ragwheel_backlog", "paced", "p99_us"),
        doubt=_restless("ragwheel_backlog", "paced"),
    ),
    Bar("retrievals/s until in SQLite", 4000, _of("capacity", "ragwheel", _rate), at_most=False),
    Bar("× `hand_commit`", 5, _times("hand_commit"), at_most=False, digits=1),
    Bar("× `hand_batch`", 5, _times("hand_batch"), at_most=False, digits=1),
    Bar("CPU s added per 1,000", 0.25, _cpu_added, digits=2),
    Bar(
        "bytes per retrieval at 20,000",
        2500,
        _of("burst", "ragwheel", lambda r: r["stored_bytes"] / max(1, stored(r))),
    ),
    Bar("lost of a burst of 20,000", 0, _all_lost("burst")),
    Bar("lost on SIGKILL", 0, _all_lost("kill")),
]


def bars(results: Results) -> str:
    """A Markdown table of all bars."""
    return table(["what", "bar", "measured (median)", ""], [bar.row(results) for bar in BARS])
