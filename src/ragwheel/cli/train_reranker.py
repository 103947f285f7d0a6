"""``ragwheel train reranker``: on features of the retriever's rankings, or a cross-encoder."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from ragwheel.cli.options import JsonOption, OriginOption
from ragwheel.cli.train_options import (
    BaseOption,
    BatchOption,
    DatasetArgument,
    DeviceOption,
    EpochsOption,
    NoDevOption,
    OutOption,
    PrecisionOption,
    RestartOption,
    SeedOption,
    TokensOption,
)
from ragwheel.cli.train_screen import train_on_screen

__all__ = ["reranker"]

Kind = Literal["auto", "features", "cross-encoder"]
Model = Literal["auto", "linear", "trees"]
KIND_HELP = "features: seconds, no GPU; cross-encoder: a neural model; auto: by what there is."
MODEL_HELP = "Of features: linear, trees (LightGBM), or what gains more."
ENCODER_HELP = "Of features: an embedding model whose similarities are features, too."
FEWEST_HELP = "Fewer training questions than this are refused."


def reranker(  # noqa: PLR0913, PLR0917 - the options of a command
    dataset: DatasetArgument,
    out: OutOption,
    kind: Annotated[Kind, typer.Option(help=KIND_HELP)] = "auto",
    model: Annotated[Model, typer.Option(help=MODEL_HELP)] = "auto",
    encoder: Annotated[str | None, typer.Option(help=ENCODER_HELP)] = None,
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
    min_examples: Annotated[
        int | None, typer.Option(help=FEWEST_HELP, show_default="50 for features, else 100")
    ] = None,
    without_dev: NoDevOption = False,
    seed: SeedOption = 0,
    device: DeviceOption = None,
    precision: PrecisionOption = "auto",
    db: OriginOption = None,
    restart: RestartOption = False,
    json: JsonOption = False,
) -> None:
    """Train a re-ranker: on features in seconds, or a cross-encoder from a base that can score pairs."""
    from ragwheel.train import RerankerOptions, choose_kind, train_reranker
    from ragwheel.train.features import FeatureOptions, train_feature_reranker

    chosen, why = (kind, ()) if kind != "auto" else choose_kind(dataset, base, db)
    if chosen == "features":
        fewest = 50 if min_examples is None else min_examples
        on_features = FeatureOptions(model=model, encoder=encoder, min_examples=fewest, seed=seed)
        train_on_screen(
            "reranker", json,
            lambda bar: train_feature_reranker(dataset, out, options=on_features, db=db, progress=bar),
            why,
        )  # fmt: skip
        return
    options = RerankerOptions(
        base=base, loss=loss, epochs=epochs, learning_rate=learning_rate, batch_size=batch_size,
        max_tokens=max_tokens, positive_weight=positive_weight,
        min_examples=100 if min_examples is None else min_examples, without_dev=without_dev, seed=seed,
        device=device, precision=precision,
    )  # fmt: skip
    train_on_screen(
        "reranker", json,
        lambda bar: train_reranker(dataset, out, options=options, db=db, restart=restart, progress=bar),
        why,
    )  # fmt: skip
