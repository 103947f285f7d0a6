"""``ragwheel train adapter``: from a dataset to an adapter of query vectors."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

import typer
from rich.text import Text

from ragwheel.cli import screen
from ragwheel.cli.endpoints import PrivateOption
from ragwheel.cli.options import JsonOption, OriginOption
from ragwheel.errors import ConfigurationError

if TYPE_CHECKING:
    from rich.console import Console

    from ragwheel.models import ModelFacts
    from ragwheel.train.adapter import AdapterOptions, TrainedAdapter
    from ragwheel.train.held_out import SlicedGain

__all__ = ["adapter", "evaluate_command"]

Method = Literal["contrastive", "ridge", "procrustes"]
Side = Literal["query", "both"]
DATASET_HELP = "A folder that ragwheel build wrote."
OUT_HELP = "A new folder, or that of an earlier adapter."
BASE_HELP = "The embedding model in the app: minilm, a folder, a hub id; with --embed-url its name there."
URL_HELP = "An endpoint that speaks OpenAI's embeddings API, up to and without /embeddings."
KEY_HELP = "Name of the environment variable that holds its key."
KEY_DEFAULT = "RAGWHEEL_EMBED_KEY, or OPENAI_API_KEY for api.openai.com"
PROMPT_HELP = "Put before each {what}, instead of the base model's own prompt: E5, BGE, nomic."
METHOD_HELP = "ridge and procrustes take seconds and no torch."
SEGMENTS_HELP = "One adapter per query type: a number of clusters, auto, or source (of the relevant chunk)."
GATE_HELP = "Share of queries, the least like those trained on, that keep the base model's vector."
SIDE_HELP = "query: the index stays; both: writes a SentenceTransformer, and documents are indexed again."
DEV_HELP = "Hold questions of train out and leave dev alone; done anyway where dev has fewer than 10."


def adapter(  # noqa: PLR0913, PLR0917 - the options of a command
    dataset: Annotated[Path, typer.Argument(help=DATASET_HELP)],
    out: Annotated[Path, typer.Option(help=OUT_HELP)],
    base: Annotated[str, typer.Option(envvar="RAGWHEEL_EMBED_MODEL", help=BASE_HELP)] = "minilm",
    embed_url: Annotated[str | None, typer.Option(envvar="RAGWHEEL_EMBED_URL", help=URL_HELP)] = None,
    embed_key_env: Annotated[str | None, typer.Option(help=KEY_HELP, show_default=KEY_DEFAULT)] = None,
    allow_private: PrivateOption = False,
    query_prompt: Annotated[str | None, typer.Option(help=PROMPT_HELP.format(what="question"))] = None,
    document_prompt: Annotated[str | None, typer.Option(help=PROMPT_HELP.format(what="chunk"))] = None,
    method: Annotated[Method, typer.Option(help=METHOD_HELP)] = "contrastive",
    segments: Annotated[str | None, typer.Option(help=SEGMENTS_HELP)] = None,
    gate: Annotated[float, typer.Option(help=GATE_HELP)] = 0.0,
    side: Annotated[Side, typer.Option(help=SIDE_HELP)] = "query",
    dev_from_train: Annotated[bool, typer.Option("--dev-from-train", help=DEV_HELP)] = False,
    no_cache: Annotated[bool, typer.Option("--no-cache", help="Keep no vectors on disk.")] = False,
    seed: Annotated[int, typer.Option(help="The same input and seed give the same adapter.")] = 0,
    db: OriginOption = None,
    json: JsonOption = False,
) -> None:
    """Train a linear adapter of query vectors: minutes, and no document is indexed again."""
    from ragwheel.train.adapter import AdapterOptions, EmbeddingEndpoint

    options = AdapterOptions(
        method=method,
        side=side,
        segments=_segments(segments),
        gate=gate,
        query_prompt=query_prompt,
        document_prompt=document_prompt,
        seed=seed,
    )
    embed = (
        base
        if embed_url is None
        else EmbeddingEndpoint(embed_url, base, embed_key_env, allow_private=allow_private or None)
    )
    choices = {"dev_from_train": dev_from_train, "cache": not no_cache, "db": db}
    started = time.monotonic()
    trained = _trained(dataset, out, embed, options, choices)
    if json:
        screen.print_json(_summary(trained))
    else:
        _report(screen.stdout(), trained, time.monotonic() - started, two_sided=side == "both")


def _segments(text: str | None) -> int | Literal["auto", "column"] | None:
    if text is None or text == "auto":
        return cast("Literal['auto'] | None", text)
    if text == "source":
        return "column"
    if text.isdigit():
        return int(text)
    raise ConfigurationError(f"--segments {text}: allowed: a whole number from 2, auto or source")


def _trained(
    dataset: Path, out: Path, embed: Any, options: AdapterOptions, choices: dict[str, Any]
) -> TrainedAdapter:
    from ragwheel.train.adapter import train_adapter

    with screen.reporting("training an adapter", lines_every_s=screen.LINES_EVERY_S) as report:
        return train_adapter(dataset, out, embed, options=options, progress=report, **choices)


def _report(console: Console, trained: TrainedAdapter, wall_s: float, *, two_sided: bool) -> None:
    fit = trained.fit
    screen.heading(console, str(trained.folder), f"trained in {wall_s:.1f} s")
    lines: list[tuple[str, Text | str]] = [
        ("base", trained.facts.base),
        ("questions", f"{fit.n_train:,} train, {fit.n_dev:,} dev"),
        (
            f"dev {fit.metric}",
            f"{fit.base:.4f} → {fit.adapted:.4f}   difference {fit.low:+.4f} to {fit.high:+.4f}",
        ),
        ("map", fit.chosen),
    ]
    if fit.gain is not None:
        lines[3:3] = _expected(fit.gain)
    if not two_sided:
        lines.append(("id", fit.adapter.version))
    console.print(screen.facts(lines))
    if fit.segments:
        screen.heading(console, "segments", "chosen by their own dev questions")
        table = screen.columns(
            "",
            "train",
            "dev",
            "map",
            "base",
            "adapted",
            right=("train", "dev", "base", "adapted"),
            folded=("", "map"),
        )
        for part in fit.segments:
            figures = ("–" if math.isnan(value) else f"{value:.4f}" for value in (part.base, part.adapted))
            table.add_row(
                screen.clean(part.name), f"{part.n_train:,}", f"{part.n_dev:,}", part.chosen, *figures
            )
        console.print(screen.indented(table))
    if fit.note:
        screen.heading(console, "note")
        console.print(screen.indented(Text(fit.note)))
    if fit.adapter.is_identity:
        embedder = f"ragwheel train embedder {trained.facts.dataset_path} --out embedder"
        screen.next_command(console, embedder, "the model itself also learns about other documents")
    elif two_sided:
        screen.next_command(
            console, evaluate_command(trained.facts, f"embedder:{trained.folder}"), "then index again"
        )
    else:
        screen.next_command(
            console,
            evaluate_command(trained.facts, f"adapter:{trained.folder}"),
            "proof on questions that it never saw",
        )


def _expected(gain: SlicedGain) -> Iterator[tuple[str, str]]:
    """Lines of the report: what is expected in all, and by whether the answer was trained on."""
    for name, part, what in (
        ("expected nDCG@10", gain.all, "questions held out in turn"),
        ("  new answers", gain.unseen, "of them, whose answer was not trained on"),
        ("  known answers", gain.seen, "of them, whose answer was"),
    ):
        if part is not None:
            yield name, f"{part.mean:+.3f} [{part.low:+.3f}, {part.high:+.3f}]   {part.queries:,} {what}"


def evaluate_command(facts: ModelFacts, system: str) -> str:
    """What measures a trained model on the test questions of the dataset that it was trained on."""
    db = f" --db {facts.database}" if facts.database not in ("", "ragwheel.db") else ""
    named = f"'{system}'" if " " in system else system
    return f"ragwheel evaluate {facts.dataset_path}{db} --system {named}"


def _summary(trained: TrainedAdapter) -> dict[str, Any]:
    fit = trained.fit
    return {
        "folder": str(trained.folder),
        "adapter": fit.adapter.version,
        "is_identity": fit.adapter.is_identity,
        "dimension": fit.adapter.dimension,
        "base_model": trained.facts.base,
        "metric": fit.metric,
        "base": fit.base,
        "adapted": fit.adapted,
        "low": fit.low,
        "high": fit.high,
        "expected_gain": None if fit.gain is None else asdict(fit.gain),
        "chosen": fit.chosen,
        "train_questions": fit.n_train,
        "dev_questions": fit.n_dev,
        "segments": [
            {"name": part.name, "train": part.n_train, "dev": part.n_dev, "map": part.chosen}
            for part in fit.segments
        ],
        "note": fit.note,
        "elapsed_s": fit.elapsed_s,
    }
