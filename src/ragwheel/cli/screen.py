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
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from rich.console import Console
from rich.padding import Padding
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from ragwheel.typing import Progress as ReportProgress

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
    "reporting",
    "stderr",
    "stdout",
]

#: Seconds between two lines of progress where there is no terminal, for work of many minutes.
LINES_EVERY_S: Final = 5.0


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


def columns(
    *headers: str, right: tuple[str, ...] = (), wide: tuple[str, ...] = (), folded: tuple[str, ...] = ()
) -> Table:
    """A table without lines.

    Args:
        headers: One for each column.
        right: Columns of numbers, which stand on the right.
        wide: Columns of single lines that are cut, with an ellipsis, when room is short.
        folded: Columns whose cells go on in the next line when room is short; nothing of them is lost.
    """
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", pad_edge=False, show_edge=False)
    for header in headers:
        # rich takes room from the columns that may wrap; a wide one's cells are single lines with an ellipsis
        table.add_column(
            header,
            justify="right" if header in right else "left",
            no_wrap=header not in wide and header not in folded,
            overflow="fold" if header in folded else "ellipsis",
        )
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


@contextmanager
def reporting(
    title: str,
    *,
    whole: str = "",
    stages: Mapping[str, str] | None = None,
    visible: bool = True,
    lines_every_s: float = 60.0,
) -> Iterator[ReportProgress]:
    """Yield a callback ``(stage, done, total)`` that shows on standard error how far a long command is.

    On a terminal it is one bar that leaves no trace when it is done. Elsewhere, as in a log, it is a line
    now and then.

    Args:
        title: What the command does, such as ``building the dataset``.
        whole: The stage that counts the whole work. The bar then shows this stage only, and the others stand
            beside it in words. Without it the bar starts again with every stage.
        stages: Words for the names of stages.
        visible: False shows nothing: one of several processes that do the same.
        lines_every_s: seconds between two lines where there is no terminal.
    """
    console = stderr()
    bar = Progress(
        TextColumn("  {task.description}"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TimeRemainingColumn(compact=True),
        console=console,
        transient=True,
        disable=not (console.is_terminal and visible),
    )
    task = bar.add_task(title, total=None)
    printed_at = time.monotonic()

    def report(stage: str, done: int, total: int) -> None:
        nonlocal printed_at
        words = (stages or {}).get(stage, stage)
        if stage == whole:
            bar.update(task, description=title, completed=done, total=total or None)
        elif whole:
            bar.update(task, description=f"{title}: {words} {done:,} of {total:,}")
        else:
            bar.update(task, description=f"{title}: {words}", completed=done, total=total or None)
        now = time.monotonic()
        if visible and not console.is_terminal and now - printed_at >= lines_every_s:
            printed_at = now
            parts = [
                *([words] if words and stage != whole else []),
                *([f"{done:,} of {total:,}"] if total else []),
            ]
            console.print(": ".join(["  " + title, *([" ".join(parts)] if parts else [])]), soft_wrap=True)

    with bar:
        yield report


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
