"""``ragwheel doctor``: is the database sound, and was anything lost."""

from __future__ import annotations

from pathlib import Path

import typer
from rich.table import Table
from rich.text import Text

from ragwheel.cli import screen
from ragwheel.cli.options import JsonOption, ReadableOption

__all__ = ["doctor"]

STYLES = {"ok": "green", "note": "cyan", "warning": "yellow", "error": "bold red"}


def doctor(db: ReadableOption = Path("ragwheel.db"), json: JsonOption = False) -> None:
    """Is the database sound, does anything wait, was anything lost. Exit code 1 on an error."""
    from ragwheel import offline

    findings = offline.doctor(db)
    if json:
        screen.print_json(findings)
    else:
        table = Table.grid(padding=(0, 2))
        table.add_column(no_wrap=True)
        table.add_column(no_wrap=True)
        table.add_column(overflow="fold")
        for finding in findings:
            text = Text(screen.clean(finding.text))
            if finding.next:
                text.append(f"\n{screen.clean(finding.next)}", style="bold")
            table.add_row(Text(finding.severity, STYLES[finding.severity]), finding.check, text)
        screen.stdout().print(table)
    if any(finding.severity == "error" for finding in findings):
        raise typer.Exit(1)
