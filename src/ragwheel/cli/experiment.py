"""``ragwheel experiment``: expectations written down before the run, and what to try next."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from ragwheel.cli import screen
from ragwheel.cli.errors import CommandGroup
from ragwheel.cli.evaluate import on_screen, open_collection
from ragwheel.cli.options import DbOption, JsonOption

if TYPE_CHECKING:
    from rich.console import Console

    from ragwheel.experiments import Experiment, Result
    from ragwheel.experiments.roadmap import Roadmap

__all__ = ["experiment", "print_experiment", "print_roadmap"]

experiment = typer.Typer(
    cls=CommandGroup,
    no_args_is_help=True,
    help="One change at a time, with the gain to expect written down before the run; what to try next.",
)

FolderOption = Annotated[
    Path, typer.Option(help="Where experiments are kept.", envvar="RAGWHEEL_EXPERIMENTS")
]
IdArgument = Annotated[str, typer.Argument(metavar="ID", help="Of the experiment, or how it begins.")]
HYPOTHESIS_HELP = "Why the change should help, in a sentence."
CHANGE_HELP = (
    "FIELD=VALUE[,VALUE]; fields: retriever, embedder, adapter, reranker, chunk_words, overlap_words."
)
METRIC_HELP = "What decides: nDCG@10, MRR@10, MAP or recall@1, 5, 10, 20, 40."
EXPECT_HELP = (
    "At least this: +15% of the baseline, +0.02 in the metric, +0 for any sure gain, -1% for a loss."
)
SET_HELP = "FIELD=VALUE of the baseline. Default: retriever=dense, embedder=minilm."
MANY_HELP = "Take several changes: each alone, and all together."
DATASET_HELP = "A folder that ragwheel build wrote; needs its database too."
DOCUMENTS_HELP = "A folder of the source documents (.txt, .md), to cut them anew."
LABELS_HELP = "Which judgments decide: explicit, evalset or inferred."


@experiment.command()
def new(
    hypothesis: Annotated[str, typer.Option(help=HYPOTHESIS_HELP)],
    change: Annotated[list[str], typer.Option(help=CHANGE_HELP)],
    expect: Annotated[str, typer.Option(help=EXPECT_HELP)],
    metric: Annotated[str, typer.Option(help=METRIC_HELP)] = "nDCG@10",
    set_: Annotated[list[str] | None, typer.Option("--set", metavar="FIELD=VALUE", help=SET_HELP)] = None,
    allow_many: Annotated[bool, typer.Option("--allow-many", help=MANY_HELP)] = False,
    folder: FolderOption = Path("experiments"),
    json: JsonOption = False,
) -> None:
    """Write hypothesis, change and criterion down. They cannot be changed afterwards."""
    from ragwheel.evaluate.measures import check_measure
    from ragwheel.experiments import Plan, plan_experiment
    from ragwheel.experiments.settings import parse_settings, variants_of

    variants = variants_of(change, parse_settings(set_ or []), allow_many=allow_many)
    plan = Plan(hypothesis, " and ".join(change), check_measure(metric), expect, variants)
    found = plan_experiment(folder, plan)
    if json:
        screen.print_json(found)
        return
    console = screen.stdout()
    print_experiment(console, found)
    where = "" if folder == Path("experiments") else f" --folder {folder}"
    cut = " --documents FOLDER" if any("_words=" in one for one in change) else ""
    screen.next_command(
        console, f"ragwheel experiment run {found.id}{where} --dataset dataset --db ragwheel.db{cut}"
    )


@experiment.command()
def run(
    id: IdArgument,
    dataset: Annotated[Path | None, typer.Option(help=DATASET_HELP)] = None,
    beir: Annotated[Path | None, typer.Option(help="Instead: an evaluation set in BEIR's layout.")] = None,
    db: DbOption = Path("ragwheel.db"),
    split: Annotated[str, typer.Option(help="test, or dev while trying things out.")] = "test",
    documents: Annotated[Path | None, typer.Option(help=DOCUMENTS_HELP)] = None,
    labels: Annotated[str | None, typer.Option(help=LABELS_HELP)] = None,
    folder: FolderOption = Path("experiments"),
    json: JsonOption = False,
) -> None:
    """Run the variants over the same queries and decide. Run again to go on where it was stopped."""
    from ragwheel.errors import ConfigurationError
    from ragwheel.evaluate.collection import LABELS
    from ragwheel.experiments import read_experiment
    from ragwheel.experiments.run import RunOptions, run_experiment

    chosen = next((one for one in LABELS if one == labels), None)
    if labels is not None and chosen is None:
        raise ConfigurationError(f"--labels is {labels!r}; allowed: {', '.join(LABELS)}.")
    planned = read_experiment(folder, id)
    collection = open_collection(dataset, beir, db, split=split)
    with on_screen("experiment") as tell:

        def progress(stage: str, done: int, total: int) -> None:
            tell("evaluate" if stage == "experiment" else stage, done, total)

        options = RunOptions(documents=documents, labels=chosen, progress=progress)
        found = run_experiment(folder, planned.id, collection, options)
    if json:
        screen.print_json(found)
    else:
        print_experiment(screen.stdout(), found)


@experiment.command("list")
def list_(folder: FolderOption = Path("experiments"), json: JsonOption = False) -> None:
    """All experiments, what was expected of them and what came out, good or bad."""
    from ragwheel.experiments import scan_experiments

    found, errors = scan_experiments(folder)
    for error in errors:
        screen.stderr().print(Text(f"not listed: {error}", "yellow"))
    console = screen.stdout()
    if json:
        screen.print_json(found)
    elif not found:
        console.print(f"No experiments in {folder}.")
        screen.next_command(console, "ragwheel experiment roadmap --dataset dataset", "what is worth trying")
    else:
        table = screen.columns("id", "planned", "metric", "expected", "found", "verdict", wide=("verdict",))
        for one in found:
            told = str(one.verdict) if one.verdict else one.status
            table.add_row(one.id, one.created_at[:10], one.metric, one.expect, _found(one), _word(one, told))
        console.print(table)


@experiment.command()
def show(id: IdArgument, folder: FolderOption = Path("experiments"), json: JsonOption = False) -> None:
    """One experiment: what was written down before, and every variant's figures."""
    from ragwheel.experiments import read_experiment

    found = read_experiment(folder, id)
    if json:
        screen.print_json(found)
    else:
        print_experiment(screen.stdout(), found)


@experiment.command("roadmap")
def roadmap_(
    dataset: Annotated[Path, typer.Option(help=DATASET_HELP)],
    db: DbOption = Path("ragwheel.db"),
    json: JsonOption = False,
) -> None:
    """What to try next, by measured headroom against cost, dependencies and risk."""
    from ragwheel.experiments.roadmap import roadmap

    found = roadmap(dataset, db)
    if json:
        screen.print_json({"quadrants": {s.name: s.quadrant for s in found.steps}, **vars(found)})
    else:
        print_roadmap(screen.stdout(), found)


def print_experiment(console: Console, found: Experiment) -> None:
    """What was decided before the run, then the results and the verdict."""
    screen.heading(console, found.id, found.status)
    console.print(
        screen.facts(
            [
                ("hypothesis", found.hypothesis),
                ("change", found.change),
                ("expected", f"{found.expect} {found.metric}"),
                ("criterion", found.criterion),
                ("written down", f"{found.created_at[:16].replace('T', ' ')} UTC, seal {found.sealed[:12]}"),
            ]
        )
    )
    screen.heading(console, "variants")
    if not found.results:
        first = found.variants[0].settings if found.variants else {}
        for one in found.variants:
            own = {field: value for field, value in one.settings.items() if first.get(field) != value}
            told = ", ".join(f"{field} {value}" for field, value in (own or one.settings).items())
            console.print(screen.indented(Text(screen.clean(f"{one.name}: {told}"))))
        return
    table = screen.columns(
        "variant", found.metric, "difference", "p", "ms/query", "verdict",
        right=(found.metric, "p", "ms/query"), wide=("verdict",),
    )  # fmt: skip
    for variant in found.variants:
        result = found.result(variant.name)
        table.add_row(Text(screen.clean(variant.name)), *_cells(found, result))
    console.print(screen.indented(table))
    good = [one for one in found.results if not one.error]
    if good:
        console.print(screen.indented(Text(f"{good[0].queries:,} queries, {good[0].labels} labels", "dim")))
    for note in dict.fromkeys(note for one in good for note in one.facts.get("notes", ())):
        console.print(screen.indented(Text(screen.clean(str(note)), "dim")))
    if found.verdict is not None:
        screen.heading(console, f"expectation {found.verdict.word}")
        if found.verdict.why:
            console.print(screen.indented(Text(screen.clean(found.verdict.why))))


def _cells(found: Experiment, result: Result | None) -> list[str | Text]:
    from ragwheel.evaluate.table import figure, gap

    if result is None:
        return ["", "", "", "", Text("not run yet", "dim")]
    if result.error:
        return ["", "", "", "", Text(screen.clean(f"failed: {result.error}"), "red")]
    told = result.gap
    verdict = str(result.verdict) if result.verdict else "the baseline"
    return [
        figure(result.means.get(found.metric)),
        gap(told.low, told.mean, told.high) if told else "",
        figure(told.p) if told and told.p is not None else "",
        f"{result.facts.get('ms_per_query', 0):.1f}",
        Text(screen.clean(verdict)),
    ]


def _found(one: Experiment) -> str:
    """The best variant's difference, in the unit of what was expected."""
    gaps = [(result.gap.mean, result) for result in one.results if result.gap]
    if not gaps:
        return ""
    mean = max(gaps, key=lambda item: item[0])[0]
    if not one.expectation.relative:
        return f"{mean:+.3f}"
    base = one.results[0].means.get(one.metric) or float("nan")
    return f"{mean / base:+.1%}"


def _word(one: Experiment, told: str) -> Text:
    styles = {"met": "green", "not met": "red"}
    return Text(screen.clean(told), styles.get(one.verdict.word, "") if one.verdict else "dim")


def print_roadmap(console: Console, found: Roadmap) -> None:
    """The four quadrants, each step with its number and its command; then where it fails."""
    says = {
        "do first": "high impact, low effort",
        "plan": "high impact, high effort",
        "fill in": "low impact, low effort",
        "leave": "low impact, high effort",
    }
    for name in ("do first", "plan", "fill in", "leave"):
        steps = found.quadrant(name)
        if not steps:
            continue
        screen.heading(console, name, says[name])
        for step in steps:
            needs = f"   needs {step.needs}" if step.needs else ""
            console.print(screen.indented(Text.assemble((step.name, "bold"), (needs, "yellow"))))
            rows: list[tuple[str, Text | str]] = [
                ("measured", step.measured),
                ("cost", step.cost),
                ("risk", step.risk),
            ]
            console.print(screen.indented(screen.facts([*rows, ("type", step.command)])))
    failing = [one for one in found.segments if one.failing]
    if failing:
        screen.heading(console, "where it fails", "no relevant chunk in the first five")
        table = screen.columns("questions about", "failing", "of", right=("failing", "of"))
        for one in failing:
            table.add_row(Text(screen.clean(one.name)), f"{one.failing:,}", f"{len(one.members):,}")
        console.print(screen.indented(table))
    screen.heading(console, "note")
    for note in found.notes:
        console.print(screen.indented(Text(note)))
