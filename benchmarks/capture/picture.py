"""What capture adds to a call as a bar chart, drawn from the table of docs/benchmarks.md.

python benchmarks/capture/picture.py docs/benchmarks.md docs/img/capture-cost.svg
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

__all__ = ["Cost", "costs", "draw"]

_HEADING = "### Added in the caller's thread"
_FIGURE = re.compile(r"(?P<median>-?[\d,.]+)(?: \[(?P<least>-?[\d,.]+)–(?P<most>-?[\d,.]+)\])?")
_NAMES = {
    "ragwheel": "ragwheel",
    "hand_batch": "spans by hand, in batches",
    "hand_commit": "spans by hand, each committed",
    "langfuse": "Langfuse",
    "traceloop": "OpenLLMetry",
    "oi_phoenix": "OpenInference, Phoenix",
    "oi_jsonl": "OpenInference, JSON lines",
    "mlflow": "MLflow",
}


class Cost(NamedTuple):
    """Microseconds that a system adds to a call: the median of the rounds, and their range."""

    system: str
    median_us: float
    least_us: float
    most_us: float


def costs(page: str) -> list[Cost]:
    """Read the table of the page, cheapest first.

    Raises:
        ValueError: the page has no such table.
    """
    _, heading, rest = page.partition(_HEADING)
    rows = re.findall(r"^\| `(\w+)` \| ([^|]+) \|", rest.partition("\n### ")[0], re.MULTILINE)
    if not heading or not rows:
        raise ValueError(f"no table under {_HEADING!r}. Next: python benchmarks/capture/run.py --summary")
    read = []
    for system, cell in rows:
        figures = _FIGURE.fullmatch(cell.strip())
        if figures is None or system not in _NAMES:
            continue
        median = _number(figures["median"])
        least, most = (_number(figures[name]) if figures[name] else median for name in ("least", "most"))
        read.append(Cost(_NAMES[system], median, least, most))
    return sorted(read, key=lambda cost: cost.median_us)


def draw(shown: Sequence[Cost], path: Path) -> None:
    """Write the chart as an SVG that is readable on white and on black."""
    import matplotlib as mpl
    from growth.pictures import BLUE, GREY, ORANGE, STYLE
    from matplotlib.figure import Figure

    mpl.use("svg")
    with mpl.rc_context({**STYLE, "axes.grid": False}):
        figure = Figure(figsize=(7.6, 0.42 * len(shown) + 0.9), layout="constrained")
        axis: Any = figure.add_subplot()
        figure.suptitle("µs added to a call that retrieves 40 chunks, at 100 calls a second", fontsize=11)
        places = range(len(shown))
        ranges = [[c.median_us - c.least_us for c in shown], [c.most_us - c.median_us for c in shown]]
        colors = [BLUE if cost.system == "ragwheel" else GREY for cost in shown]
        axis.barh(
            places, [cost.median_us for cost in shown], xerr=ranges, color=colors, ecolor=ORANGE, height=0.62
        )
        highest_us = max(cost.most_us for cost in shown)
        for place, cost in zip(places, shown):
            axis.text(cost.most_us + highest_us / 60, place, f"{cost.median_us:,.0f}", va="center")
        axis.set_yticks(places, [cost.system for cost in shown])
        axis.invert_yaxis()
        axis.set_xlim(0, 1.12 * highest_us)
        figure.savefig(path, transparent=True, metadata={"Date": None})


def _number(text: str) -> float:
    return float(text.replace(",", ""))


if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])  # its neighbours are packages of this folder
    draw(costs(Path(sys.argv[1]).read_text("utf-8")), Path(sys.argv[2]))
