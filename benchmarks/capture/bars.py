"""ragwheel's figures against the bars it sets itself: met or missed, by how much, why, and the command."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass

from capture.results import Result, Results, added, lost, spread, stored, table

__all__ = ["Bar", "bars"]

Values = Callable[[Results], list[float]]


@dataclass(frozen=True)
class Bar:
    """One bar: ``at_most`` or at least ``limit``; the median over the rounds decides.

    ``measure`` gives one value per round (none: not in these results), ``test`` names the measurement
    that the command repeats. ``doubt`` says why these results cannot decide, or nothing when they can.
    ``why`` is told when the bar is missed: the reason, and what was tried.
    """

    what: str
    limit: float
    measure: Values
    test: str
    at_most: bool = True
    digits: int = 0
    doubt: Callable[[Results], str] = lambda _: ""
    why: str = ""

    def row(self, results: Results) -> list[str]:
        """What, bar, measured, verdict, command."""
        bar = f"{'≤' if self.at_most else '≥'} {self.limit:,g}"
        found = self.measure(results)
        command = f"`--tests {self.test}`"
        if not found:
            return [self.what, bar, "–", "not measured", command]
        shown = spread(found, self.digits)
        if doubt := self.doubt(results):
            return [self.what, bar, shown, f"not decided: {doubt}", command]
        verdict = "missed" if self.missed(results) else "met"
        middle = statistics.median(found)
        if verdict == "missed" and self.limit and middle > 0:
            verdict += f" by × {middle / self.limit if self.at_most else self.limit / middle:.2f}"
        return [self.what, bar, shown, verdict, command]

    def missed(self, results: Results) -> bool:
        """Whether these results decide that it was."""
        found = self.measure(results)
        if not found or self.doubt(results):
            return False
        middle = statistics.median(found)
        return middle > self.limit if self.at_most else middle < self.limit


def _latency(peer: str, phase: str, figure: str) -> Values:
    return lambda results: added(
        results.of("latency", peer, "bare"), results.of("latency", peer), phase, figure
    )


def _restless(peer: str, phase: str) -> Callable[[Results], str]:
    """A tail cannot be told where the bare retriever's own 99th percentile is far from its median."""

    def doubt(results: Results) -> str:
        bare = [r["phases"][phase] for r in results.of("latency", peer, "bare")]
        if not bare:
            return ""
        p50, p99 = (statistics.median(f[name] for f in bare) for name in ("p50_us", "p99_us"))
        return f"bare p99 is {p99:,.0f} µs beside a p50 of {p50:,.0f}" if p99 > 3 * p50 else ""

    return doubt


def _of(test: str, peer: str, figure: Callable[[Result], float]) -> Values:
    return lambda results: [figure(result) for result in results.of(test, peer)]


def _rate(result: Result) -> float:
    return stored(result) / float(result["durable_s"])


def _times(peer: str) -> Values:
    """Our rate as a multiple of a peer's, round by round."""

    def measure(results: Results) -> list[float]:
        theirs = {r["round"]: _rate(r) for r in results.of("capacity", peer)}
        runs = results.of("capacity", "ragwheel")
        return [_rate(r) / theirs[r["round"]] for r in runs if theirs.get(r["round"])]

    return measure


def _cpu_added(results: Results) -> list[float]:
    bare = {r["round"]: r["cpu_s"] / r["done"] for r in results.of("capacity", "ragwheel", "bare")}
    runs = [r for r in results.of("capacity", "ragwheel") if r["round"] in bare]
    return [(r["cpu_s"] / r["done"] - bare[r["round"]]) * 1e3 for r in runs]


def _all_lost(test: str) -> Values:
    """The sum: one lost record in one round is one too many."""

    def measure(results: Results) -> list[float]:
        runs = results.of(test, "ragwheel") + results.of(test, "ragwheel_langchain")
        return [float(sum(map(lost, runs)))] if runs else []

    return measure


LATENCY_WHY = (
    "the work is Python in the caller's thread, and none of it can wait if the record is to be on disk when "
    "the call returns: reading 40 chunks out of the app's objects, comparing their texts with those already "
    "written, encoding and one write, ids, context and clocks. Tried: reading by column, the layout of "
    "dictionaries decided once (kept), a hash instead of the text (no gain)"
)
RATE_WHY = (
    "capture and merge share one interpreter, so the sum of their CPU time is the limit. Tried: packed "
    "rankings instead of a row per chunk, a batch's retrievals by one executemany (both kept), other "
    "sizes of transactions (no gain). A process of its own that merges is an option, measured below"
)

BARS = [
    Bar("added p50 µs, flat out", 60, _latency("ragwheel", "flat", "p50_us"), "latency", why=LATENCY_WHY),
    Bar(
        "added p50 µs, paced",
        60,
        _latency("ragwheel", "paced", "p50_us"),
        "latency",
        why="the same work with cold caches, which make the bare span dearer too",
    ),
    Bar(
        "added p99 µs, flat out, standing backlog",
        250,
        _latency("ragwheel_backlog", "flat", "p99_us"),
        "latency",
        doubt=_restless("ragwheel_backlog", "flat"),
        why="the median takes most of the bar, see there",
    ),
    Bar(
        "added p99 µs, paced, standing backlog",
        250,
        _latency("ragwheel_backlog", "paced", "p99_us"),
        "latency",
        doubt=_restless("ragwheel_backlog", "paced"),
        why="the median takes most of the bar, see there",
    ),
    Bar(
        "retrievals/s until in SQLite",
        4000,
        _of("capacity", "ragwheel", _rate),
        "capacity",
        at_most=False,
        why=RATE_WHY,
    ),
    Bar("× `hand_commit`", 5, _times("hand_commit"), "capacity", at_most=False, digits=1, why=RATE_WHY),
    Bar(
        "× `hand_batch`",
        5,
        _times("hand_batch"),
        "capacity",
        at_most=False,
        digits=1,
        why=RATE_WHY,
    ),
    Bar("CPU s added per 1,000", 0.25, _cpu_added, "capacity", digits=2, why=RATE_WHY),
    Bar(
        "bytes per retrieval at 20,000",
        2500,
        _of("burst", "ragwheel", lambda r: r["stored_bytes"] / max(1, stored(r))),
        "burst",
    ),
    Bar("lost of a burst of 20,000", 0, _all_lost("burst"), "burst"),
    Bar("lost of a burst with 4 KB chunks", 0, _all_lost("burst4k"), "burst4k"),
    Bar("lost on SIGKILL", 0, _all_lost("kill"), "kill"),
]


def bars(results: Results) -> str:
    """A Markdown table of all bars, and of each that was missed the reason and what was tried."""
    head = ["what", "bar", "measured: median [min–max]", "", "`benchmarks/capture/run.py` …"]
    text = table(head, [bar.row(results) for bar in BARS])
    reasons: dict[str, list[str]] = {}
    for bar in BARS:
        if bar.why and bar.missed(results):
            reasons.setdefault(bar.why, []).append(bar.what)
    if reasons:
        told = "\n".join(f"- **{', '.join(whats)}**: {why}." for why, whats in reasons.items())
        text += f"\n\nMissed, why, and what was tried:\n\n{told}"
    return text
