"""``ragwheel demo --interactive``: the person at the keyboard is the visitor."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from rich.panel import Panel
from rich.text import Text

from ragwheel.cli import screen
from ragwheel.demo.desk import Command, Desk, DeskError, parse_command

if TYPE_CHECKING:
    from langchain_core.documents import Document
    from rich.console import Console

__all__ = ["converse"]

HELP = (
    ("o 3", "open passage 3 and read it"),
    ("c 1 3", "cite: these passages answer the question"),
    ("d 2", "delete passage 2 from the results"),
    ("m 2", "more like passage 2"),
    ("+  or  -", "thumbs for the results; + 2 or - 2 for one passage"),
    ("q", "quit and see what your visit became"),
)


def converse(console: Console, desk: Desk) -> None:
    """Read lines until ``q`` or the end of the input; every line is recorded as what it means."""
    _print_help(console)
    try:
        while (line := _read(console, first=desk.asked == 0)) is not None:
            try:
                command = parse_command(line)
                if command.verb == "quit":
                    break
                _obey(console, desk, command)
            except DeskError as error:
                console.print(screen.indented(Text(str(error), "yellow")))
    finally:
        desk.close()


def _obey(console: Console, desk: Desk, command: Command) -> None:
    if command.verb == "help":
        _print_help(console)
    elif command.verb == "ask":
        _print_results(console, desk.ask(command.text))
    elif command.verb == "nothing":
        desk.leave_opened()
    else:
        about = desk.do(command)
        if command.verb == "open":
            _print_passage(console, about[0])
        else:
            named = ", ".join(str(document.id) for document in about) or "the results"
            console.print(screen.indented(Text.assemble((f"{command.verb} ", "dim"), screen.clean(named))))


def _read(console: Console, *, first: bool) -> str | None:
    """One line, or None at the end; a piped line is printed, so that the transcript can be read."""
    console.print()
    prompt = "ask> " if first else "> "
    if sys.stdin.isatty():
        try:
            return input(prompt)
        except EOFError:
            return None
    line = sys.stdin.readline()
    if not line:
        return None
    console.print(Text.assemble((prompt, "dim"), screen.clean(line.rstrip("\n"))))
    return line


def _print_help(console: Console) -> None:
    console.print()
    console.print(screen.indented(Text("Type a question; then, about what was found:")))
    console.print(screen.facts([(keys, what) for keys, what in HELP]))


def _print_results(console: Console, documents: list[Document]) -> None:
    if not documents:
        console.print(screen.indented(Text("nothing found: try other words", "yellow")))
        return
    for rank, document in enumerate(documents, 1):
        title = Text.assemble((f" {rank} ", "bold"), (f"{screen.clean(str(document.id))} ", "cyan"))
        preview = screen.one_line(document.page_content, 3 * max(40, console.width - 6))
        preview.no_wrap, preview.overflow = False, "fold"
        console.print(Panel(preview, title=title, title_align="left", border_style="dim", height=None))


def _print_passage(console: Console, document: Document) -> None:
    console.print(
        Panel(
            Text(screen.clean(document.page_content)),
            title=Text(f" {screen.clean(str(document.id))} ", "cyan"),
            title_align="left",
            subtitle=Text(" your next line closes it ", "dim"),
        )
    )
