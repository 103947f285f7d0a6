"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["DbOption", "JsonOption", "OriginOption"]


def _existing(db: Path | None) -> Path | None:
    """A database that a model shall be remembered in has to be there before hours of training."""
    if db is not None:
        from ragwheel.store.connect import check_file

        check_file(db, may_be_new=False)
    return db


DbOption = Annotated[
    Path,
    typer.Option(
        "--db",
        envvar="RAGWHEEL_DB",
        help="The database that the app writes.",
        show_default=True,
    ),
]
OriginOption = Annotated[
    Path | None,
    typer.Option(
        "--db",
        envvar="RAGWHEEL_DB",
        callback=_existing,
        help="The database behind the dataset: it remembers the model, for erase.",
    ),
]
JsonOption = Annotated[
    bool, typer.Option("--json", help="One JSON document on standard output, for scripts.")
]
