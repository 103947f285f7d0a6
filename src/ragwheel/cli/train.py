"""``ragwheel train``: embedder, re-ranker and adapter from a dataset folder."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from ragwheel.cli.command import add_command
from ragwheel.cli.errors import CommandGroup
from ragwheel.cli.options import JsonOption, OriginOption
from ragwheel.cli.train_adapter import adapter
from ragwheel.cli.train_fusion import fusion
from ragwheel.cli.train_options import (
    EPOCHS_HELP,
    BaseOption,
    BatchOption,
    DatasetArgument,
    DeviceOption,
    FewOption,
    NoDevOption,
    OutOption,
    PrecisionOption,
    RestartOption,
    SeedOption,
    TokensOption,
)
from ragwheel.cli.train_reranker import reranker
from ragwheel.cli.train_screen import train_on_screen
from ragwheel.errors import ConfigurationError

__all__ = ["train"]

Side = Literal["auto", "query", "both"]

train = typer.Typer(
    cls=CommandGroup, no_args_is_help=True, help="Train a model on what ragwheel build wrote."
)

SIDE_HELP = "query: what embeds questions, the index stays; both: documents are indexed again."
LOSS_HELP = "auto, infonce (also mnrl), gist, triplet or marginmse."
MATRYOSHKA_HELP = "Dimensions that prefixes of the vectors shall be good at: 384,192,96."
PROMPT_HELP = "Put before each {what}, where the base's own configuration has no prompt: E5, BGE, nomic."
MERGE_HELP = "Share of the tuned weights in the result, the rest is the base's."


def embedder(  # noqa: PLR0913, PLR0917 - the options of a command
    dataset: DatasetArgument,
    out: OutOption,
    base: BaseOption = "minilm",
    query_prompt: Annotated[str | None, typer.Option(help=PROMPT_HELP.format(what="question"))] = None,
    document_prompt: Annotated[
        str | None, typer.Option(help=PROMPT_HELP.format(what="chunk; the index was made with it"))
    ] = None,
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
        base=base, query_prompt=query_prompt, document_prompt=document_prompt, side=side, loss=loss,
        epochs=epochs, learning_rate=learning_rate, batch_size=batch_size, max_tokens=max_tokens,
        matryoshka=_dimensions(matryoshka), lora_rank=lora_rank, merge_with_base=merge_with_base,
        min_examples=min_examples, without_dev=without_dev, seed=seed, device=device, precision=precision,
    )  # fmt: skip
    train_on_screen(
        "embedder", json,
        lambda bar: train_embedder(
            dataset, out, options=options, db=db, restart=restart, cache=not no_cache, progress=bar
        ),
    )  # fmt: skip


add_command(train, embedder)
add_command(train, adapter)
add_command(train, reranker)
add_command(train, fusion)


def _dimensions(text: str | None) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(",")) if text else ()
    except ValueError:
        raise ConfigurationError(f"--matryoshka is {text!r}; allowed: numbers such as 384,192,96.") from None
