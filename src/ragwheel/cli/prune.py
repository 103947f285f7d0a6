"""``ragwheel prune``: keep the database below an age or a size."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ragwheel.cli import screen
from ragwheel.cli.amounts import days, n_bytes
from ragwheel.cli.erase import DryRunOption, YesOption, counted, permitted
from ragwheel.cli.options import DbOption, JsonOption
from ragwheel.errors import ConfigurationError

if TYPE_CHECKING:
    from ragwheel.store import EraseReport

__all__ = ["prune"]


def prune(  # noqa: PLR0913, PLR0917 - a command's options are its parameters
    db: DbOption = Path("ragwheel.db"),
    older_than: Annotated[str | None, typer.Option(help="An age: 12h, 90d, 8w.", metavar="AGE")] = None,
    max_size: Annotated[str | None, typer.Option(help="500MB, 2GB, 2GiB.", metavar="SIZE")] = None,
    shipped: Annotated[
        bool, typer.Option("--shipped", help="Only whole days of which every row is in a lake.")
    ] = False,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    json: JsonOption = False,
) -> None:
    """Remove the oldest turns, retrievals and signals. Datasets and judgments stay, and lakes."""
    age = None if older_than is None else days(older_than)
    size = None if max_size is None else n_bytes(max_size)
    if shipped and (age is None or size is not None):
        raise ConfigurationError(
            f"--shipped drops by age: got --older-than {older_than} --max-size {max_size}. "
            f"Next: ragwheel prune --shipped --older-than 7d"
        )
    if not dry_run and not yes:
        planned = _pruned(db, age, size, shipped=shipped, dry_run=True)
        if planned.retrievals or planned.turns or planned.signals:
            about = "About " if size is not None else ""
            permitted(f"{about}{counted(planned)} will go for good. Go on?", "ragwheel prune … --yes")
    report = _pruned(db, age, size, shipped=shipped, dry_run=dry_run)
    if json:
        screen.print_json(report)
        return
    console = screen.stdout()
    screen.heading(console, str(db), "would go" if dry_run else "removed")
    console.print(screen.facts([("rows", counted(report)), ("file", f"{db.stat().st_size:,} bytes")]))


def _pruned(db: Path, age: float | None, size: int | None, *, shipped: bool, dry_run: bool) -> EraseReport:
    from ragwheel import offline

    with screen.reporting("pruning"):
        if shipped and age is not None:
            from ragwheel.fleet import prune_shipped

            return prune_shipped(db, max_age_days=age, dry_run=dry_run)
        return offline.prune(db, max_age_days=age, max_bytes=size, dry_run=dry_run)
