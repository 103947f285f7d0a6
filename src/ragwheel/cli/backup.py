"""``ragwheel backup``: a copy of the database while apps go on writing."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ragwheel.cli import screen
from ragwheel.cli.options import DbOption, JsonOption

__all__ = ["backup"]


def backup(
    to: Annotated[Path, typer.Argument(metavar="FILE", help="A new file; nothing is overwritten.")],
    db: DbOption = Path("ragwheel.db"),
    json: JsonOption = False,
) -> None:
    """Copy the database as of one moment, the journal merged in, checked and synced, while apps write."""
    from ragwheel import offline

    with screen.reporting("copying pages") as report:
        copied = offline.backup(db, to, progress=lambda done, total: report("", done, total))
    if json:
        screen.print_json(copied)
        return
    console = screen.stdout()
    screen.heading(console, str(copied.to), "checked: no damage")
    console.print(
        screen.facts([("holds", f"{copied.retrievals:,} retrievals"), ("file", f"{copied.n_bytes:,} bytes")])
    )
