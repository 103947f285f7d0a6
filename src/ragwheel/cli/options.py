"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["DbOption", "JsonOption"]

DbOption = Annotated[
    Path,
    typer.Option(
        "--db",
        envvar="RAGWHEEL_DB",
        help="The database given to ragwheel.configure(db=...).",
        show_default=True,
    ),
]
JsonOption = Annotated[
    bool, typer.Option("--json", help="One JSON document on standard output, for scripts.")
]
