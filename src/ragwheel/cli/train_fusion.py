"""``ragwheel train fusion``: the weights of hybrid search."""

from __future__ import annotations

from typing import Annotated

import typer

from ragwheel.cli.options import JsonOption, OriginOption
from ragwheel.cli.train_options import DatasetArgument, OutOption
from ragwheel.cli.train_screen import train_on_screen

__all__ = ["fusion"]

FIRST_HELP = "The first system, as ragwheel evaluate names it."
SECOND_HELP = "The second one."
FEWEST_HELP = "Fewer training questions than this are refused."


def fusion(  # noqa: PLR0913, PLR0917 - the options of a command
    dataset: DatasetArgument,
    out: OutOption,
    first: Annotated[str, typer.Option(help=FIRST_HELP)] = "bm25",
    second: Annotated[str, typer.Option(help=SECOND_HELP)] = "embedder:minilm",
    min_examples: Annotated[int, typer.Option(help=FEWEST_HELP)] = 50,
    db: OriginOption = None,
    json: JsonOption = False,
) -> None:
    """Tune how two retrievers are fused: weights of scaled scores, or of reciprocal ranks."""
    from ragwheel.train import FusionOptions, train_fusion

    options = FusionOptions(first=first, second=second, min_examples=min_examples)
    train_on_screen(
        "fusion",
        json,
        lambda bar: train_fusion(dataset, out, options=options, db=db, progress=bar),
    )
