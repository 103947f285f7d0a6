"""``ragwheel experiment``: expectations written down before the run, and what to try next."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from ragwheel.cli import screen
from ragwheel.cli.command import add_command
from ragwheel.cli.errors import CommandGroup
from ragwheel.cli.evaluate import open_collection
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
    Path,
    typer.Option("--experiments", help="The folder of experiments.", envvar="RAGWHEEL_EXPERIMENTS"),
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
    planned = plan_experiment(folder, plan)
    if json:
        screen.print_json(planned)
        return
    console = screen.stdout()
    print_experiment(console, planned)
    where = "" if folder == Path("experiments") else f" --experiments {folder}"
    cut = " --documents FOLDER" if any("_words=" in setting for setting in change) else ""
    screen.next_command(console, f"ragwheel experiment run {planned.id} dataset{where} --db ragwheel.db{cut}")


def run(
    id: IdArgument,
    dataset: Annotated[Path | None, typer.Argument(help=DATASET_HELP)] = None,
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

    chosen = next((kind for kind in LABELS if kind == labels), None)
    if labels is not None and chosen is None:
        raise ConfigurationError(f"--labels is {labels!r}; allowed: {', '.join(LABELS)}.")
    planned = read_experiment(folder, id)
    collection = open_collection(dataset, beir, db, split=split)
    with screen.reporting("experiment", whole="experiment") as progress:
        options = RunOptions(documents=documents, labels=chosen, progress=progress)
        finished = run_experiment(folder, planned.id, collection, options)
    if json:
        screen.print_json(finished)
    else:
        print_experiment(screen.stdout(), finished)


def list_(folder: FolderOption = Path("experiments"), json: JsonOption = False) -> None:
    """All experiments, what was expected of them and what came out, good or bad."""
    from ragwheel.experiments import scan_experiments

    stored, errors = scan_experiments(folder)
    for error in errors:
        screen.stderr().print(Text(f"not listed: {error}", "yellow"))
    console = screen.stdout()
    if json:
        screen.print_json(stored)
    elif not stored:
        console.print(f"No experiments in {folder}.")
        screen.next_command(console, "ragwheel experiment roadmap dataset", "what is worth trying")
    else:
        table = screen.columns(
            "id", "planned", "metric", "expected", "found", "verdict", folded=("id", "verdict")
        )
        for listed in stored:
            status = str(listed.verdict) if listed.verdict else listed.status
            table.add_row(
                listed.id,
                listed.created_at[:10],
                listed.metric,
                listed.expect,
                _found(listed),
                _word(listed, status),
            )
        console.print(table)


def show(id: IdArgument, folder: FolderOption = Path("experiments"), json: JsonOption = False) -> None:
    """One experiment: what was written down before, and every variant's figures."""
    from ragwheel.experiments import read_experiment

    stored = read_experiment(folder, id)
    if json:
        screen.print_json(stored)
    else:
        print_experiment(screen.stdout(), stored)


def roadmap_(
    dataset: Annotated[Path, typer.Argument(help=DATASET_HELP)],
    db: DbOption = Path("ragwheel.db"),
    json: JsonOption = False,
) -> None:
    """What to try next, by measured headroom against cost, dependencies and risk."""
    from ragwheel.experiments.roadmap import roadmap

    plan = roadmap(dataset, db)
    if json:
        screen.print_json({"quadrants": {s.name: s.quadrant for s in plan.steps}, **vars(plan)})
    else:
        print_roadmap(screen.stdout(), plan)


add_command(experiment, new)
add_command(experiment, run)
add_command(experiment, list_, "list")
add_command(experiment, show)
add_command(experiment, roadmap_, "roadmap")


def print_experiment(console: Console, stored: Experiment) -> None:
    """What was decided before the run, then the results and the verdict."""
    screen.heading(console, stored.id, stored.status)
    console.print(
        screen.facts(
            [
                ("hypothesis", stored.hypothesis),
                ("change", stored.change),
                ("expected", f"{stored.expect} {stored.metric}"),
                ("criterion", stored.criterion),
                (
                    "written down",
                    f"{stored.created_at[:16].replace('T', ' ')} UTC, seal {stored.sealed[:12]}",
                ),
            ]
        )
    )
    screen.heading(console, "variants")
    if not stored.results:
        first = stored.variants[0].settings if stored.variants else {}
        for variant_planned in stored.variants:
            own = {
                field: value for field, value in variant_planned.settings.items() if first.get(field) != value
            }
            text = ", ".join(f"{field} {value}" for field, value in (own or variant_planned.settings).items())
            console.print(screen.indented(Text(screen.clean(f"{variant_planned.name}: {text}"))))
        return
    table = screen.columns(
        "variant", stored.metric, "difference", "p", "ms/query", "verdict",
        right=(stored.metric, "p", "ms/query"), folded=("variant", "verdict"),
    )  # fmt: skip
    for variant in stored.variants:
        result = stored.result(variant.name)
        table.add_row(Text(screen.clean(variant.name)), *_cells(stored, result))
    console.print(screen.indented(table))
    good = [result_of_variant for result_of_variant in stored.results if not result_of_variant.error]
    if good:
        console.print(screen.indented(Text(f"{good[0].queries:,} queries, {good[0].labels} labels", "dim")))
    for note in dict.fromkeys(
        note for result_of_variant in good for note in result_of_variant.facts.get("notes", ())
    ):
        console.print(screen.indented(Text(screen.clean(str(note)), "dim")))
    if stored.verdict is not None:
        screen.heading(console, f"expectation {stored.verdict.word}")
        if stored.verdict.why:
            console.print(screen.indented(Text(screen.clean(stored.verdict.why))))


def _cells(stored: Experiment, result: Result | None) -> list[str | Text]:
    from ragwheel.evaluate.table import figure, gap

    if result is None:
        return ["", "", "", "", Text("not run yet", "dim")]
    if result.error:
        return ["", "", "", "", Text(screen.clean(f"failed: {result.error}"), "red")]
    gap_of_result = result.gap
    verdict = str(result.verdict) if result.verdict else "the baseline"
    return [
        figure(result.means.get(stored.metric)),
        gap(gap_of_result.low, gap_of_result.mean, gap_of_result.high) if gap_of_result else "",
        figure(gap_of_result.p) if gap_of_result and gap_of_result.p is not None else "",
        f"{result.facts.get('ms_per_query', 0):.1f}",
        Text(screen.clean(verdict)),
    ]


def _found(stored: Experiment) -> str:
    """The best variant's difference, in the unit of what was expected."""
    gaps = [(result.gap.mean, result) for result in stored.results if result.gap]
    if not gaps:
        return ""
    mean = max(gaps, key=lambda item: item[0])[0]
    if not stored.expectation.relative:
        return f"{mean:+.3f}"
    base = stored.results[0].means.get(stored.metric) or float("nan")
    return f"{mean / base:+.1%}"


def _word(stored: Experiment, word: str) -> Text:
    styles = {"met": "green", "not met": "red"}
    return Text(screen.clean(word), styles.get(stored.verdict.word, "") if stored.verdict else "dim")


def print_roadmap(console: Console, roadmap: Roadmap) -> None:
    """The four quadrants, each step with its number and its command; then where it fails."""
    says = {
        "do first": "high impact, low effort",
        "plan": "high impact, high effort",
        "fill in": "low impact, low effort",
        "leave": "low impact, high effort",
    }
    for name in ("do first", "plan", "fill in", "leave"):
        steps = roadmap.quadrant(name)
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
    failing = [segment for segment in roadmap.segments if segment.failing]
    if failing:
        screen.heading(console, "where it fails", "no relevant chunk in the first five")
        table = screen.columns(
            "questions about", "failing", "of", right=("failing", "of"), folded=("questions about",)
        )
        for segment in failing:
            cells = (f"{segment.failing:,}", f"{len(segment.members):,}")
            table.add_row(Text(screen.clean(segment.name)), *cells)
        console.print(screen.indented(table))
    screen.heading(console, "note")
    for note in roadmap.notes:
        console.print(screen.indented(Text(note)))
