"""``ragwheel erase``: take a person, a session or matching queries out of everything that holds them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from ragwheel.cli import screen
from ragwheel.cli.amounts import moment_before
from ragwheel.cli.options import DbOption, JsonOption
from ragwheel.errors import ConfigurationError

if TYPE_CHECKING:
    from rich.console import Console

    from ragwheel.fleet import LakeErasure
    from ragwheel.offline import Erasure, Selection

__all__ = ["DryRunOption", "YesOption", "counted", "erase", "permitted"]

DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Say what would go, and change nothing.")]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]

_ROWS = ("retrievals", "turns", "signals", "judgments", "chunks", "texts")


def erase(  # noqa: PLR0913, PLR0917 - a command's options are its parameters
    db: DbOption = Path("ragwheel.db"),
    user: Annotated[str | None, typer.Option(help="A user id, a signal's subject, a judge.")] = None,
    session: Annotated[str | None, typer.Option(help="A session id.")] = None,
    older_than: Annotated[
        str | None, typer.Option(help="An age (12h, 90d, 8w) or a date (2026-01-31).", metavar="AGE")
    ] = None,
    query_matching: Annotated[
        str | None, typer.Option(help="A regular expression on queries.", metavar="PATTERN")
    ] = None,
    datasets: Annotated[
        list[Path] | None,
        typer.Option("--dataset", help="A dataset folder that was moved or copied; may be given again."),
    ] = None,
    outboxes: Annotated[
        list[Path] | None,
        typer.Option("--outbox", help="The outbox of a signal client on this machine; may be given again."),
    ] = None,
    lake: Annotated[
        str | None,
        typer.Option(
            "--lake",
            metavar="URL",
            help="Erase from every store's part of a lake, not from --db.",
        ),
    ] = None,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    json: JsonOption = False,
) -> None:
    """Remove for good what meets all conditions: from the store, the journal and the built datasets.

    With --lake: from the partitions of every store there. Servers that still
    have some of it erase it before their next export.

    Exit code 1 when some of it was found afterwards in a file that ragwheel does not change.
    """
    from ragwheel import offline

    before = None if older_than is None else moment_before(older_than)
    selection = offline.Selection(user, session, before, query_matching)
    if lake is not None:
        _erase_from_lake(lake, selection, dry_run=dry_run, yes=yes, json=json)
        return
    console = screen.stdout()
    if not dry_run and not yes:
        planned = _erased(db, selection, datasets, dry_run=True)
        _print(screen.stderr(), db, planned)
        if any(getattr(planned.store, name) for name in _ROWS):
            permitted("Erase this for good?", "ragwheel erase … --yes")
    erasure = _erased(db, selection, datasets, outboxes, dry_run=dry_run)
    if json:
        screen.print_json(erasure)
    else:
        _print(console, db, erasure)
    if erasure.still_in:
        raise typer.Exit(1)


def _erase_from_lake(lake: str, selection: Selection, *, dry_run: bool, yes: bool, json: bool) -> None:
    from ragwheel import fleet

    if not dry_run and not yes:
        planned = fleet.erase_from_lake(lake, selection, dry_run=True)
        _print_lake(screen.stderr(), planned)
        permitted("Erase this for good, and from later exports?", "ragwheel erase … --lake URL --yes")
    with screen.reporting("erasing") as report:
        erasure = fleet.erase_from_lake(
            lake, selection, dry_run=dry_run, progress=lambda stage: report(stage, 0, 0)
        )
    if json:
        screen.print_json(erasure)
        return
    _print_lake(screen.stdout(), erasure)


def _print_lake(console: Console, report: LakeErasure) -> None:
    screen.heading(console, report.lake, "would go" if report.dry_run else "erased")
    rows = ", ".join(f"{n:,} {name}s" for name, n in report.rows.items() if n)
    stores = f"{report.files:,} of {len(report.stores):,} stores"
    console.print(screen.facts([("rows", rows or "none"), ("files", stores)]))


def _erased(
    db: Path,
    selection: Selection,
    datasets: list[Path] | None,
    outboxes: list[Path] | None = None,
    *,
    dry_run: bool,
) -> Erasure:
    from ragwheel import offline

    with screen.reporting("erasing") as report:
        return offline.erase(
            db,
            selection,
            datasets=datasets or (),
            outboxes=outboxes or (),
            dry_run=dry_run,
            progress=lambda stage: report(stage, 0, 0),
        )


def permitted(question: str, command: str) -> None:
    """Ask on the terminal, and end the command when the answer is no.

    Raises:
        ConfigurationError: there is no terminal to ask on.
    """
    if not sys.stdin.isatty():
        raise ConfigurationError(
            f"Nothing was removed: there is no terminal to ask for consent on. Look first with --dry-run, "
            f"then say it is meant: {command}"
        )
    if not typer.confirm(question, err=True):
        typer.echo("Nothing was removed.", err=True)
        raise typer.Exit(1)


def counted(rows: object) -> str:
    """Counts of rows in words: ``5 retrievals, 5 turns, 1 chunk``."""
    counts = [(getattr(rows, name), name) for name in _ROWS]
    return ", ".join(f"{n:,} {name[:-1] if n == 1 else name}" for n, name in counts if n) or "nothing"


def _print(console: Console, db: Path, erasure: Erasure) -> None:
    would = "would go" if erasure.dry_run else "removed"
    screen.heading(console, str(db), would)
    lines: list[tuple[str, Text | str]] = [("rows", counted(erasure.store))]
    for folder in erasure.datasets:
        rows = ", ".join(f"{n:,} of {folder.of[name]:,} {name}" for name, n in folder.rows.items() if n)
        lines.append(("dataset", f"{folder.folder}: {rows or 'no row is from it'}"))
    lines += [
        ("not found", f"{gone.path}: a dataset built from it; copies may exist") for gone in erasure.missing
    ]
    lines += [
        ("retrain", f"{artifact.path}: a {artifact.kind} made from it, and only making it again takes it out")
        for artifact in erasure.retrain
    ]
    if erasure.outbox_signals:
        lines.append(("outbox", f"{erasure.outbox_signals:,} signals that waited to be sent"))
    if erasure.store.echoes:
        shown = ", ".join(map(screen.clean, erasure.store.echoes[:5]))
        more = "" if len(erasure.store.echoes) <= 5 else f" and {len(erasure.store.echoes) - 5:,} more"
        lines.append(("echoed in", f"{shown}{more}: others were shown these chunks with the same words"))
    lines += [
        ("still in", Text(f"{path}: delete it, or keep it knowingly", "bold red"))
        for path in erasure.still_in
    ]
    if not erasure.dry_run and not erasure.still_in:
        n = erasure.store.looked_for
        looked = f"{n:,} of the erased texts and ids looked for in the bytes of all files: none"
        lines.append(("proof", looked if n else "nothing to look for: others have the same texts"))
    console.print(screen.facts(lines))
    short = [folder.folder for folder in erasure.datasets if folder.n]
    if short and not erasure.dry_run:
        screen.next_command(
            console,
            f"ragwheel build --db {db} --out {short[0]}",
            "brings back rows that others' behaviour supports",
        )
