"""Results as Markdown tables, and into the page that shows them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from labels.measures import Interval, Tally
from labels.traffic import TRAFFIC

__all__ = ["SYSTEMS", "put_into", "table", "tables"]

SYSTEMS: Final = ("ragwheel", "naive recipe", "mine_hard_negatives", "mine_hard_negatives, 5 % margin")

Results = Mapping[tuple[str, str], Mapping[str, Tally]]


def tables(results: Results, seeds: int) -> str:
    """All tables: rightness, calibration, strategies, bars."""
    parts = [f"{seeds} seeds; 95 % intervals resample queries. Traffic:", _traffic(results)]
    parts += [_rightness(results), _calibration(results), _strategies(results), _bars(results)]
    return "\n\n".join(parts)


def put_into(path: Path, text: str, name: str = "benchmarks/labels") -> None:
    """Replace what is between the comments ``<!-- name -->`` and ``<!-- end of name -->``."""
    begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    page = path.read_text("utf-8")
    head, rest = page.split(begin, 1)
    _, tail = rest.split(end, 1)
    path.write_text(f"{head}{begin}\n\n{text}\n\n{end}{tail}", "utf-8")


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _traffic(results: Results) -> str:
    names = dict.fromkeys(name for _, name in results)
    return "\n".join(f"* **{name}**: {TRAFFIC[name].says}; {TRAFFIC[name].asked} times" for name in names)


def _rightness(results: Results) -> str:
    rows = []
    for (world, name), systems in results.items():
        for system, tally in systems.items():
            rows.append(
                [
                    f"{world}, {name}", system,
                    str(tally.share("right positives", "positives")),
                    f"{tally.count('right positives'):,}",
                    str(tally.share("right negatives", "negatives")),
                    f"{tally.count('negatives'):,}",
                    f"{tally.share('with both', 'with positive').value:.2f}",
                ]
            )  # fmt: skip
    head = ["traffic", "system", "precision of positives", "right positives", "precision of negatives",
            "negatives", "queries with a positive that have negatives"]  # fmt: skip
    return table(head, rows)


def _calibration(results: Results) -> str:
    rows = []
    for (world, name), systems in results.items():
        tally = systems.get("ragwheel")
        if tally is None:
            continue
        rows.append(
            [
                f"{world}, {name}", str(tally.ece("decided")), str(tally.ece("belief")),
                str(tally.brier("belief")), f"{tally.base_brier('belief'):.3f}", f"{tally.tau():.2f}",
            ]
        )  # fmt: skip
    head = ["traffic", "ECE of confidence", "ECE of belief", "Brier of belief", "of the base rate", "τ-b"]
    return table(head, rows)


def _strategies(results: Results) -> str:
    rows = []
    for (world, name), systems in results.items():
        tally = systems.get("ragwheel")
        for strategy in tally.strategies() if tally else ():
            share = tally.share(f"right negatives {strategy}", f"negatives {strategy}") if tally else None
            n = tally.count(f"negatives {strategy}") if tally else 0
            rows.append([f"{world}, {name}", f"`{strategy}`", f"{n:,}", str(share)])
    return table(["traffic", "strategy", "negatives", "precision"], rows)


def _bars(results: Results) -> str:
    rows = []
    for (world, name), systems in results.items():
        ours, plain = systems.get("ragwheel"), systems.get("naive recipe")
        if ours is None or plain is None:
            continue
        negatives = ours.share("right negatives", "negatives")
        error = 1 - plain.share("right negatives", "negatives").value
        recall = ours.count("right positives") / max(plain.count("right positives"), 1)
        ratio = (1 - negatives.value) / error if error else float("nan")
        verdicts = [
            _verdict(negatives, 0.97),
            _mark(f"{ratio:.2f}", ratio <= 1 / 3),
            _verdict(ours.share("with both", "with positive"), 0.6),
            _verdict(ours.share("right positives", "positives"), 0.9),
            _mark(f"{recall:.2f}", recall >= 0.8),
            _mark(f"{ours.ece('decided').value:.3f}", ours.ece("decided").value <= 0.05),
            _mark(
                f"{ours.brier('belief').value:.3f} / {ours.base_brier('belief'):.3f}",
                ours.brier("belief").value < ours.base_brier("belief"),
            ),
        ]
        rows.append([f"{world}, {name}", *verdicts])
    head = ["traffic", "negatives right ≥ .97", "error ÷ naive ≤ ⅓", "coverage ≥ .6",
            "positives right ≥ .90", "recall ÷ naive ≥ .8", "ECE ≤ .05", "Brier < base"]  # fmt: skip
    return table(head, rows)


def _verdict(found: Interval, least: float) -> str:
    return _mark(f"{found.value:.3f}", found.value >= least)


def _mark(text: str, met: bool) -> str:
    return f"{text} {'met' if met else '**missed**'}"
