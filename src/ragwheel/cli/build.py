"""``ragwheel build``: from the traces to a dataset folder that trainers open."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.table import Table
from rich.text import Text

from ragwheel.cli import screen
from ragwheel.cli.extras import require_packages
from ragwheel.cli.options import DbOption, JsonOption

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.console import Console
    from rich.padding import Padding

    from ragwheel.datasets import BuildOptions, BuildReport, TripletExplanation

__all__ = ["build", "build_and_print", "print_report", "print_triplets"]

Sign = Literal["positive", "negative"]

FORMAT_HELP = (
    "Also write st-ntuple (four negatives a row), jsonl, st-pair-5, flagembedding, tevatron, beir, trec or "
    "llamaindex; may be given more than once."
)


def build(  # noqa: PLR0913, PLR0917 - a command's options are its parameters
    out: Annotated[Path, typer.Option(help="A new folder, or that of an earlier build: its splits stay.")],
    db: DbOption = Path("ragwheel.db"),
    formats: Annotated[list[str] | None, typer.Option("--format", help=FORMAT_HELP)] = None,
    seed: Annotated[int, typer.Option(help="The same input and seed give the same rows.")] = 0,
    policy: Annotated[Path | None, typer.Option(help="A label policy of your own (TOML).")] = None,
    from_parquet: Annotated[
        str | None,
        typer.Option(metavar="DEST", help="Read what ragwheel export traces --out DEST wrote, not --db."),
    ] = None,
    engine: Annotated[
        str, typer.Option(help="duckdb, or spark (needs the extra spark and Java).")
    ] = "duckdb",
    memory_limit: Annotated[str | None, typer.Option(help="Of the engine, for example 4GB.")] = None,
    json: JsonOption = False,
) -> None:
    """Write triplets, graded pairs and lists, with splits, provenance and a dataset card."""
    require_packages("build")
    from ragwheel.datasets import BuildOptions

    options = BuildOptions(
        formats=tuple(formats or ("st-triplet",)),
        seed=seed,
        policy=policy,
        engine=engine,
        memory_limit=memory_limit,
    )
    traces = from_parquet or db
    if json:
        screen.print_json(_built(traces, out, options))
        return
    console = screen.stdout()
    report = _built(traces, out, options)
    print_report(console, report)
    screen.next_command(console, _opening(report))


def _opening(report: BuildReport) -> str:
    """The command that opens what was built, with what is installed and a config that has rows."""
    from ragwheel.datasets.describe import default_config

    config = default_config(report.rows)
    if importlib.util.find_spec("datasets") is not None:
        code = f"import datasets; print(datasets.load_dataset({str(report.out)!r}, {config!r}))"
    else:
        split = next(split for split, n in report.rows[config].items() if n)
        path = str(report.out / config / f"{split}.parquet")
        code = f"import pyarrow.parquet as pq; print(pq.read_table({path!r}))"
    return f'python -c "{code}"'


def build_and_print(console: Console, db: Path, out: Path, *, seed: int = 0) -> BuildReport:
    """Build with the defaults and print the report, as the demo does."""
    from ragwheel.datasets import BuildOptions

    report = _built(db, out, BuildOptions(seed=seed))
    print_report(console, report)
    return report


def _built(db: str | Path, out: Path, options: BuildOptions) -> BuildReport:
    from ragwheel import datasets

    with screen.reporting("building the dataset", whole="build") as report:
        return datasets.build(db, out, options=options, progress=report)


def print_report(console: Console, report: BuildReport) -> None:
    """Rows by split, what the labels came from, what was left out by which rule, and the files."""
    screen.heading(console, str(report.out), f"built in {report.elapsed_s:.1f} s")
    splits = list(report.groups)
    table = screen.columns("rows", *splits, "", right=tuple(splits), wide=("",))
    for config, counts in report.rows.items():
        table.add_row(config, *(f"{counts[split]:,}" for split in splits), "")
    table.add_row(
        *(Text(cell, "dim") for cell in ("queries", *(f"{report.groups[s]:,}" for s in splits), ""))
    )
    console.print(screen.indented(table))
    for title, beside, counts in (
        ("evidence", "for and against, by kind", report.evidence),
        ("negatives", "usable ones, by where they come from", report.negatives),
        ("left out", "by rule", report.dropped),
    ):
        if counts:
            screen.heading(console, title, beside)
            console.print(screen.indented(_tally(dict(counts))))
    for warning in report.warnings:
        screen.heading(console, "note")
        console.print(screen.indented(Text(screen.clean(warning))))


def _tally(counts: dict[str, int]) -> Table:
    """Counts, largest first, with the names of the rules beside them."""
    table = Table.grid(padding=(0, 2))
    table.add_column(justify="right", no_wrap=True)
    table.add_column(overflow="fold")
    for name, count in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
        table.add_row(f"{count:,}", Text(screen.clean(name.replace("_", " "))))
    return table


def print_triplets(
    console: Console, out: Path, n: int = 3, *, truth: Mapping[str, frozenset[str]] | None = None
) -> None:
    """The first triplets, each with why its chunks are what they are.

    ``truth`` (question -> ids of its relevant chunks; a simulation has one) is printed beside them.
    """
    from ragwheel import datasets

    triplets = _varied(datasets.explain(out, 20 * n), n)
    if not triplets:
        return
    screen.heading(console, "triplets", "and why each chunk is what it is")
    for number, triplet in enumerate(triplets, 1):
        if number > 1:
            console.print()
        console.print(screen.facts([("question", Text(screen.clean(triplet.anchor), "bold"))]))
        sides: tuple[tuple[Sign, str], ...] = (("positive", "green"), ("negative", "red"))
        for sign, style in sides:
            relevant = None if truth is None else _chunk_id(triplet, sign) in truth.get(triplet.anchor, ())
            console.print(_chunk(console, triplet, sign, style, relevant))


def _chunk(
    console: Console, triplet: TripletExplanation, sign: Sign, style: str, relevant: bool | None
) -> Padding:
    """One side of a triplet: id, confidence, the beginning of the text, the reasons."""
    if sign == "positive":
        text, reasons, confidence = triplet.positive, triplet.why_positive, triplet.confidence_positive
    else:
        text, reasons, confidence = triplet.negative, triplet.why_negative, triplet.confidence_negative
    truth_note = "" if relevant is None else f", in truth {'relevant' if relevant else 'not relevant'}"
    head = Text.assemble(
        (screen.clean(_chunk_id(triplet, sign)), style), (f"  {confidence:.0%} sure{truth_note}", "dim")
    )
    lines: list[tuple[str, Text | str]] = [(sign, head), ("", screen.one_line(text, 2 * console.width - 30))]
    lines += [("because" if first == 0 else "", why) for first, why in enumerate(reasons)]
    return screen.facts(lines)


def _varied(triplets: list[TripletExplanation], n: int) -> list[TripletExplanation]:
    """``n`` of them that differ in question, and as far as possible in where the negative comes from."""
    chosen: list[TripletExplanation] = []
    for rule in ("strategy and question", "question", "any"):
        for triplet in triplets:
            strategy_is_new = triplet.strategy not in {explanation.strategy for explanation in chosen}
            question_is_new = triplet.anchor not in {explanation.anchor for explanation in chosen}
            fits = rule == "any" or (question_is_new and (strategy_is_new or rule == "question"))
            if fits and triplet not in chosen and len(chosen) < n:
                chosen.append(triplet)
    return chosen


def _chunk_id(triplet: TripletExplanation, sign: Sign) -> str:
    return (triplet.positive_id if sign == "positive" else triplet.negative_id)[1]
