"""Options that the commands of ``ragwheel train`` share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

__all__ = [
    "EPOCHS_HELP",
    "BaseOption",
    "BatchOption",
    "DatasetArgument",
    "DeviceOption",
    "EpochsOption",
    "FewOption",
    "NoDevOption",
    "OutOption",
    "PrecisionOption",
    "RestartOption",
    "SeedOption",
    "TokensOption",
]

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
