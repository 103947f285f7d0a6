"""How results look: one console, calm tables, text that cannot disturb the terminal.

Piped output carries no colour codes. Stored text is shown as :class:`rich.text.Text`, never as
markup, with control characters and lone surrogates taken out: what an app retrieved is not trusted
to write escape sequences to somebody's terminal.
"""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from datetime import datetime
from typing import Any, Final

from rich.console import Console
from rich.padding import Padding
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

__all__ = [
    "LINES_EVERY_S",
    "clean",
    "columns",
    "facts",
    "heading",
    "indented",
    "moment",
    "next_command",
    "one_line",
    "print_json",
    "progress",
    "stderr",
    "stdout",
]


LINES_EVERY_S: Final = 5.0
"""Between two lines of progress where there is no terminal."""


def stdout() -> Console:
    """A console on the present ``sys.stdout`` (made per command: tests and pipes replace the stream)."""
    return Console(file=sys.stdout, highlight=False, markup=False, emoji=False, soft_wrap=False)


def stderr() -> Console:
    """The same on ``sys.stderr``, for errors and progress bars."""
    return Console(file=sys.stderr, highlight=False, markup=False, emoji=False, soft_wrap=False)


def heading(console: Console, title: str, beside: str = "") -> None:
    """A blank line, then a bold title with a quiet remark beside it."""
    console.print()
    console.print(Text.assemble((clean(title), "bold"), "  " if beside else "", (clean(beside), "dim")))


def facts(pairs: list[tuple[str, Text | str]]) -> Padding:
    """Two columns: quiet names and their values."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in pairs:
        table.add_row(name, value if isinstance(value, Text) else Text(clean(value)))
    return indented(table)


def columns(*headers: str, right: tuple[str, ...] = (), wide: tuple[str, ...] = ()) -> Table:
    """A table without lines; ``right`` columns hold numbers, ``wide`` ones are cut when room is short."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", pad_edge=False, show_edge=False)
    for header in headers:
        # rich takes room from the columns that may wrap; a wide one's cells are single lines with an ellipsis
        table.add_column(header, justify="right" if header in right else "left", no_wrap=header not in wide)
    return table


def indented(renderable: Any) -> Padding:
    """Two blanks to the left, as under every heading."""
    return Padding(renderable, (0, 0, 0, 2), expand=False)


def next_command(console: Console, command: str, why: str = "") -> None:
    """The one line that says what to type now; the command is printed whole, however long."""
    console.print()
    console.print(
        Text.assemble(("next  ", "dim"), (command, "bold"), f"   {why}" if why else ""), soft_wrap=True
    )


class _Lines(Progress):
    """Prints a line every few seconds, for a log or a pipe, where a bar cannot move."""

    _printed_s: float | None = None

    def update(self, task_id: TaskID, **changes: Any) -> None:
        super().update(task_id, **changes)
        now, task = time.monotonic(), self.tasks[self.task_ids.index(task_id)]
        if self._printed_s is None:
            self._printed_s = now
        if not task.visible or now - self._printed_s < LINES_EVERY_S:
            return
        self._printed_s = now
        count = "" if task.total is None else f": {task.completed:,.0f} of {task.total:,.0f}"
        elapsed = f", {task.elapsed:.0f} s" if task.elapsed is not None else ""
        self.console.print(f"{clean(task.description)}{count}{elapsed}", soft_wrap=True)


def progress(console: Console, *, piped: bool = False) -> Progress:
    """A progress bar on standard error that leaves no trace when it is done.

    Where there is no terminal it is silent, or with ``piped`` prints a line every few seconds.
    """
    lines = piped and not console.is_terminal
    return (_Lines if lines else Progress)(
        TextColumn("  {task.description}"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TimeRemainingColumn(compact=True),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )


def clean(text: str) -> str:
    """Printable text: control characters become blanks, lone surrogates a question mark."""
    safe = text.encode("utf-8", "replace").decode("utf-8")
    return "".join(sign if sign.isprintable() or sign == "\n" else " " for sign in safe)


def one_line(text: str, limit: int = 400) -> Text:
    """The beginning of a text on one line."""
    return Text(" ".join(clean(text[: limit * 2]).split())[:limit], overflow="ellipsis", no_wrap=True)


def moment(time_ns: int) -> str:
    """Local time of nanoseconds since 1970."""
    return datetime.fromtimestamp(time_ns / 1e9).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def print_json(value: Any) -> None:
    """One JSON document on standard output; dataclasses become objects."""
    json.dump(value, sys.stdout, default=_plain, ensure_ascii=True, indent=2)
    sys.stdout.write("\n")


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    return str(value)
