"""``ragwheel train``: embedder, re-ranker and adapter from a dataset folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.text import Text

from ragwheel.cli import screen
from ragwheel.cli.errors import CommandGroup
from ragwheel.cli.options import JsonOption, OriginOption
from ragwheel.cli.train_adapter import adapter, evaluate_command
from ragwheel.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable

    from ragwheel.train import TrainedModel

__all__ = ["print_model", "train"]

Side = Literal["auto", "query", "both"]

train = typer.Typer(
    cls=CommandGroup, no_args_is_help=True, help="Train a model on what ragwheel build wrote."
)

DatasetArgument = Annotated[Path, typer.Argument(help="A folder that ragwheel build wrote.")]
OutOption = Annotated[
    Path, typer.Option(help="A new folder, or that of an earlier training, which is replaced.")
]
BaseOption = Annotated[str, typer.Option(help="What to start from: minilm, a folder, or a hub id.")]
EPOCHS_HELP = "Passes over the training rows."
EpochsOption = Annotated[float, typer.Option(help=EPOCHS_HELP)]
BatchOption = Annotated[
    int | None, typer.Option(help="Rows a step and device.", show_default="32, on a GPU 128")
]
TokensOption = Annotated[
    int | None, typer.Option(help="Longer texts are cut.", show_default="128 on a CPU, else the model's")
]
FewOption = Annotated[int, typer.Option(help="Fewer training questions than this are refused.")]
NoDevOption = Annotated[bool, typer.Option("--without-dev", help="Take the last step; no gain is measured.")]
SeedOption = Annotated[
    int, typer.Option(help="The same input and seed give the same weights on one machine.")
]
DeviceOption = Annotated[
    str | None, typer.Option(help="As torch names it.", show_default="a GPU if there is one")
]
PrecisionOption = Annotated[
    Literal["auto", "float32", "bfloat16"],
    typer.Option(help="auto: bfloat16 where the machine is fast at it."),
]
RestartOption = Annotated[
    bool, typer.Option("--restart", help="Throw away an unfinished training of this folder.")
]
SIDE_HELP = "query: what embeds questions, the index stays; both: documents are indexed again."
LOSS_HELP = "auto, infonce (also mnrl), gist, triplet or marginmse."
MATRYOSHKA_HELP = "Dimensions that prefixes of the vectors shall be good at: 384,192,96."
MERGE_HELP = "Share of the tuned weights in the result, the rest is the base's."


@train.command()
def embedder(  # noqa: PLR0913, PLR0917 - the options of a command
    dataset: DatasetArgument,
    out: OutOption,
    base: BaseOption = "minilm",
    side: Annotated[Side, typer.Option(help=SIDE_HELP)] = "auto",
    loss: Annotated[str, typer.Option(help=LOSS_HELP)] = "auto",
    epochs: Annotated[
        float | None, typer.Option(help=EPOCHS_HELP, show_default="8 for query, 3 for both")
    ] = None,
    learning_rate: Annotated[
        float | None, typer.Option(help="At its highest.", show_default="3e-5 for query, 2e-5 for both")
    ] = None,
    batch_size: BatchOption = None,
    max_tokens: TokensOption = None,
    matryoshka: Annotated[str | None, typer.Option(help=MATRYOSHKA_HELP)] = None,
    lora_rank: Annotated[int, typer.Option(help="Train low-rank additions only; 0: all weights.")] = 0,
    merge_with_base: Annotated[
        float | None, typer.Option(help=MERGE_HELP, show_default="what does best on dev")
    ] = None,
    min_examples: FewOption = 100,
    without_dev: NoDevOption = False,
    seed: SeedOption = 0,
    device: DeviceOption = None,
    precision: PrecisionOption = "auto",
    no_cache: Annotated[bool, typer.Option("--no-cache", help="Keep no vectors on disk.")] = False,
    db: OriginOption = None,
    restart: RestartOption = False,
    json: JsonOption = False,
) -> None:
    """Tune an embedding model; the same command goes on where an interrupted one stopped."""
    from ragwheel.train import EmbedderOptions, train_embedder

    options = EmbedderOptions(
        base=base, side=side, loss=loss, epochs=epochs, learning_rate=learning_rate, batch_size=batch_size,
        max_tokens=max_tokens, matryoshka=_dimensions(matryoshka), lora_rank=lora_rank,
        merge_with_base=merge_with_base, min_examples=min_examples, without_dev=without_dev, seed=seed,
        device=device, precision=precision,
    )  # fmt: skip
    _train(
        "embedder", json,
        lambda bar: train_embedder(
            dataset, out, options=options, db=db, restart=restart, cache=not no_cache, progress=bar
        ),
    )  # fmt: skip


@train.command()
def reranker(  # noqa: PLR0913, PLR0917 - the options of a command
    dataset: DatasetArgument,
    out: OutOption,
    base: BaseOption = "minilm",
    loss: Annotated[str, typer.Option(help="auto, bce (graded pairs) or lambda (lists).")] = "auto",
    epochs: EpochsOption = 1.0,
    learning_rate: Annotated[float, typer.Option(help="At its highest.")] = 4e-5,
    batch_size: BatchOption = None,
    max_tokens: TokensOption = None,
    positive_weight: Annotated[
        float | None,
        typer.Option(help="Of a relevant pair in bce.", show_default="irrelevant to relevant, 1-10"),
    ] = None,
    min_examples: FewOption = 100,
    without_dev: NoDevOption = False,
    seed: SeedOption = 0,
    device: DeviceOption = None,
    precision: PrecisionOption = "auto",
    db: OriginOption = None,
    restart: RestartOption = False,
    json: JsonOption = False,
) -> None:
    """Tune a cross-encoder that orders what was retrieved; a base without such a head gets a fresh one."""
    from ragwheel.train import RerankerOptions, train_reranker

    options = RerankerOptions(
        base=base, loss=loss, epochs=epochs, learning_rate=learning_rate, batch_size=batch_size,
        max_tokens=max_tokens, positive_weight=positive_weight, min_examples=min_examples,
        without_dev=without_dev, seed=seed, device=device, precision=precision,
    )  # fmt: skip
    _train(
        "reranker", json,
        lambda bar: train_reranker(dataset, out, options=options, db=db, restart=restart, progress=bar),
    )  # fmt: skip


train.command()(adapter)


def _dimensions(text: str | None) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(",")) if text else ()
    except ValueError:
        raise ConfigurationError(f"--matryoshka is {text!r}; allowed: numbers such as 384,192,96.") from None


def _train(kind: str, json: bool, start: Callable[[Any], TrainedModel]) -> None:
    """Run with a bar; print what came out. Only the first of several processes prints."""
    from ragwheel.train.work import is_main_process

    errors = screen.stderr()
    with screen.progress(errors) as bar:
        whole = bar.add_task(f"training the {kind}", total=None, visible=is_main_process())

        def on_progress(stage: str, done: int, total: int) -> None:
            if stage == "train":
                bar.update(whole, description=f"training the {kind}", completed=done, total=total)
            else:
                said = stage if stage.startswith("embedding") else "looking at dev"
                bar.update(whole, description=f"{said}: {done:,} of {total:,}")

        try:
            made = start(on_progress)
        except KeyboardInterrupt:
            bar.stop()
            errors.print(Text("the same command goes on from the newest checkpoint"))
            raise
    if not is_main_process():
        return
    if json:
        screen.print_json(made)
        return
    print_model(made)


def print_model(made: TrainedModel) -> None:
    """What was chosen and why, the gain on ``dev``, and the next command."""
    console = screen.stdout()
    seconds = made.figures["training_s"]
    screen.heading(
        console, str(made.folder), f"trained in {seconds / 60:.1f} min, {made.figures['steps']:,.0f} steps"
    )
    lines: list[tuple[str, Text | str]] = [("recipe", made.recipe)]
    lines += [("because" if first == 0 else "", why) for first, why in enumerate(made.why)]
    if made.dev is not None:
        dev = made.dev
        interval = f"95 % interval {dev.low:+.3f} to {dev.high:+.3f}, {dev.queries:,} questions"
        lines.append(("nDCG@10 on dev", f"{dev.base:.3f} → {dev.tuned:.3f}  ({dev.gain:+.3f}, {interval})"))
    if not made.recommended:
        lines.append(("verdict", Text("worse than its base: do not use it", "red")))
    lines += [("note", note) for note in made.notes]
    console.print(screen.facts(lines))
    facts = made.facts
    system = f"{facts.kind}:{made.folder}" + (" over captured" if facts.kind == "reranker" else "")
    screen.next_command(console, evaluate_command(facts, system), "proof on questions that it never saw")
