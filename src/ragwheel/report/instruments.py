"""What the label model learned about each instrument, and how its beliefs agree with people's judgments."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ragwheel.labels.calibration import ENOUGH
from ragwheel.labels.model.wording import channel_name, summary_of
from ragwheel.report.blocks import Block, Missing, Note, Table
from ragwheel.report.charts import diagonal

__all__ = ["learned_blocks", "reliability_blocks"]


def learned_blocks(trust: Mapping[str, Mapping[str, float]]) -> Iterator[Block]:
    """Yield a table with a row per instrument, and a remark on those that were found weak."""
    if not trust:
        yield Note(
            "Nothing was learned from this data: each kind of evidence weighs what the policy says.",
            quiet=True,
        )
        return
    summaries = {name: summary_of(numbers) for name, numbers in trust.items()}
    rows = [
        (
            name.replace("_", " "),
            f"{summary.readings:,}",
            f"{channel_name(name)}: {summary.ratio:+.1f}",
            f"{summary.prior_ratio:+.1f}",
            f"{summary.trust:.0%}",
            f"{summary.repeat:.2f}",
        )
        for name, summary in summaries.items()
    ]
    heads = (
        "instrument", "readings", "log-likelihood ratio", "the policy's", "from your traces",
        "correlation of repeats",
    )  # fmt: skip
    yield Table("What each instrument says about a chunk, and who says so", heads, rows, (1, 2, 3, 4, 5))
    yield Note(
        "A log-likelihood ratio of +2 says that relevant chunks get this e² ≈ 7 times as often as others. "
        "Where traces cannot tell relevant chunks from others, the policy's ratio is used.",
        quiet=True,
    )
    weak = [name.replace("_", " ") for name, summary in summaries.items() if summary.weak]
    if weak:
        yield Note(f"Found to say little about relevance in these traces: {', '.join(weak)}.")


def reliability_blocks(reliability: Mapping[str, Any], db: Path) -> Iterator[Block]:
    """Yield a reliability diagram where people judged enough chunks, else how many judgments are missing."""
    judged = int(reliability.get("judged", 0))
    bins = reliability.get("bins") or []
    if not bins:
        yield Missing(
            f"Whether beliefs are right can be checked once people have judged {ENOUGH} query and chunk "
            f"pairs that have traces; so far {judged:,}, so {ENOUGH - judged:,} more would settle it: they "
            f"show a calibration error of 0.1 ({4 * ENOUGH - judged:,} more one of 0.05), and beliefs are "
            "recalibrated on them. This asks about the pairs that tell most:",
            f"ragwheel grade --db {db} --check",
        )
        return
    yield from _diagram(
        reliability,
        "reliability",
        f"Beliefs beside what people said of {judged:,} pairs (3 or more is relevant). Each belief is of a "
        "model that has not seen people's grades for its question.",
    )
    after = reliability.get("recalibrated")
    if after is None:
        yield Note("Beliefs are used as they are: recalibrating them on these grades made none better.")
        return
    yield from _diagram(
        {**after, "error_by_chance": reliability.get("error_by_chance")},
        "recalibrated",
        f"The same pairs after recalibration, which the grades of this dataset use: log-odds become "
        f"{after['intercept']:+.2f} {after['slope']:+.2f} × log-odds. Here each pair is shown as the other "
        f"pairs teach it.",
    )


def _diagram(reliability: Mapping[str, Any], name: str, caption: str) -> Iterator[Block]:
    """Yield a reliability diagram, and its numbers as a table."""
    bins = reliability["bins"]
    points = [(float(row["belief"]), float(row["relevant"]), int(row["pairs"])) for row in bins]
    chance = reliability.get("error_by_chance")
    yield diagonal(
        name,
        f"{caption} Points on the diagonal are right; calibration error "
        f"{float(reliability['calibration_error']):.3f}"
        + (f", of which chance alone explains {float(chance):.3f}." if chance is not None else "."),
        points,
    )
    rows = [
        (f"{row['from']:.0%} to {row['to']:.0%}", f"{n:,}", f"{belief:.0%}", f"{relevant:.0%}")
        for row, (belief, relevant, n) in zip(bins, points)
    ]
    heads = ("belief", "pairs", "mean belief", "relevant for people")
    yield Table("The same as numbers", heads, rows, (1, 2, 3))
