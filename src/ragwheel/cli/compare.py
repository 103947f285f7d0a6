"""``ragwheel compare``: two systems, query by query, on every measure; or live, by interleaving."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from ragwheel.cli import screen
from ragwheel.cli.evaluate import open_collection
from ragwheel.cli.options import DbOption, JsonOption
from ragwheel.errors import ConfigurationError

if TYPE_CHECKING:
    from rich.console import Console

    from ragwheel.evaluate import Comparison, Measured

__all__ = ["compare", "print_comparison"]

ONLINE_HELP = "Read an interleaving experiment in the database instead; A may name it."
SIDE_HELP = "FOLDER:SYSTEM of a folder of results; with DATASET or --beir a system, as for evaluate."


def compare(
    a: Annotated[str | None, typer.Argument(help=SIDE_HELP)] = None,
    b: Annotated[str | None, typer.Argument(help="What it is compared with, named in the same way.")] = None,
    dataset: Annotated[Path | None, typer.Argument(help="Evaluate both now, on this dataset folder.")] = None,
    beir: Annotated[Path | None, typer.Option(help="Evaluate both now, on this evaluation set.")] = None,
    online: Annotated[bool, typer.Option("--online", help=ONLINE_HELP)] = False,
    db: DbOption = Path("ragwheel.db"),
    split: Annotated[str, typer.Option(help="With DATASET or --beir.")] = "test",
    json: JsonOption = False,
) -> None:
    """Compare two systems query by query: differences with intervals, p values, effect size."""
    if online:
        _online(db, a, json=json)
        return
    if a is None or b is None:
        raise ConfigurationError(
            "Name two systems, such as results:mine results:base (ragwheel evaluate --out results), or read "
            "an interleaving experiment: ragwheel compare --online"
        )
    from ragwheel import evaluate as evaluating
    from ragwheel.evaluate.results import comparison_as_json

    if dataset is None and beir is None:
        comparison = evaluating.compare(_stored(a), _stored(b))
    else:
        collection = open_collection(dataset, beir, db, split=split)
        systems = [evaluating.parse_system(side) for side in (a, b)]
        with screen.reporting("evaluating", whole="evaluate") as progress:
            measured = evaluating.evaluate(collection, systems, progress=progress).measured
        comparison = evaluating.compare(*(measured[system.name] for system in systems))
    if json:
        screen.print_json(comparison_as_json(comparison))
    else:
        print_comparison(screen.stdout(), comparison)


def _online(db: Path, name: str | None, *, json: bool) -> None:
    """What people's clicks and citations say of two retrievers that were interleaved."""
    from ragwheel.offline.interleaving import interleaving

    experiment = interleaving(db, name)
    if json:
        screen.print_json(experiment)
        return
    console = screen.stdout()
    screen.heading(console, experiment.name, "interleaved")
    failed = f", {experiment.failed:,} served the old result because new failed" if experiment.failed else ""
    decided = experiment.wins + experiment.losses + experiment.ties
    facts: list[tuple[str, Text | str]] = [
        ("served", f"{experiment.served:,} turns{failed}"),
        ("with a click or citation", f"{decided:,} turns of {experiment.people:,} people"),
        ("new ahead, behind, level", f"{experiment.wins:,}, {experiment.losses:,}, {experiment.ties:,}"),
        ("p, by a sign test", f"{experiment.p_value:.3f}"),
    ]
    console.print(screen.facts(facts))
    screen.heading(console, "verdict")
    console.print(screen.indented(Text(screen.clean(experiment.verdict))))


def _stored(side: str) -> Measured:
    """A system of a folder of results; of a folder with a single one, its name may be left out."""
    from ragwheel.evaluate import read_results

    folder, colon, name = (side, "", "") if Path(side).is_dir() else side.rpartition(":")
    if not folder:
        folder, colon, name = side, "", ""
    results = read_results(folder)
    if name in results or (not colon and len(results) == 1):
        return results[name] if name in results else next(iter(results.values()))
    raise ConfigurationError(
        f"{folder} has the systems {', '.join(results)}; got {name or 'none of them'}. Name one: "
        f"{folder}:{next(iter(results))}"
    )


def print_comparison(console: Console, comparison: Comparison) -> None:
    """A row for each kind of label, slice and measure; then the verdict."""
    from ragwheel.evaluate.table import LABELS_SAY, figure, gap, slice_says

    screen.heading(console, f"{comparison.a} against {comparison.b}", comparison.collection)
    console.print(screen.facts([("A", comparison.a), ("B", comparison.b)]))
    for labels in dict.fromkeys(row.labels for row in comparison.rows):
        for part in dict.fromkeys(row.part for row in comparison.rows if row.labels == labels):
            some = [row for row in comparison.rows if (row.labels, row.part) == (labels, part)]
            first = some[0].difference
            groups = "" if first.clusters == first.queries else f" in {first.clusters:,} groups"
            screen.heading(
                console, f"{first.queries:,} queries{groups}, {slice_says(part)}", LABELS_SAY[labels]
            )
            right = ("A", "B", "p", "d", "won:lost")
            table = screen.columns("measure", "A", "B", "difference", *right[2:], right=right)
            for row in some:
                gaps = row.difference
                cells = [figure(row.a), figure(row.b), gap(gaps.low, gaps.mean, gaps.high), figure(gaps.p)]
                table.add_row(row.measure, *cells, figure(gaps.effect), f"{gaps.wins:,}:{gaps.losses:,}")
            console.print(screen.indented(table))
    screen.heading(
        console,
        f"{comparison.a} is {comparison.verdict.word}"
        if comparison.verdict.word != "can't tell"
        else "can't tell",
    )
    first_row = comparison.rows[0]
    text = comparison.verdict.why or f"by {first_row.measure}, {LABELS_SAY[first_row.labels]}"
    console.print(screen.indented(Text(screen.clean(text))))
