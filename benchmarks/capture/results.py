"""A file of results: reading it, and the arithmetic that every table shares."""

from __future__ import annotations

import json
import statistics
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from capture.places import home

__all__ = ["Result", "Results", "added", "latest", "lost", "spread", "stored", "table"]

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
        found: dict[tuple[str, str, str], list[Result]] = defaultdict(list)
        for result in lines:
            if "mode" in result and "error" not in result:
                found[result["test"], result["peer"], result["mode"]].append(result)
        self._by = dict(found)

    def of(self, test: str, peer: str, mode: str = "peer") -> list[Result]:
        """Results of one peer in one test, by round."""
        return self._by.get((test, peer, mode), [])

    def peers(self, test: str) -> list[str]:
        """Peers that a test has results of, in order of appearance."""
        return list(dict.fromkeys(peer for name, peer, mode in self._by if name == test and mode == "peer"))


def lost(result: Result) -> int:
    """Returned calls that are not stored (of a peer that stores nothing: not delivered)."""
    found = result.get("verify") or {}
    return int(found.get("lost", 0))


def stored(result: Result) -> int:
    """Returned calls that are stored."""
    return int(result["done"]) - lost(result)
