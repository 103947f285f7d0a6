"""``ragwheel demo --interactive``: the person at the keyboard is the visitor."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

import typer
from rich.panel import Panel
from rich.text import Text

from ragwheel.cli import screen
from ragwheel.demo.desk import Desk, DeskError, VisitorCommand, parse_command
from ragwheel.errors import DatasetError

if TYPE_CHECKING:
    from langchain_core.documents import Document
    from langchain_core.retrievers import BaseRetriever
    from rich.console import Console

    from ragwheel.demo.run import DemoFolder

__all__ = ["visit"]

PREVIEW_LINES = 3
DONE = {"cite": "cited", "delete": "removed", "more": "more like", "up": "thumbs up:", "down": "thumbs down:"}
HELP = (
    ("o 3", "open passage 3 and read it"),
    ("c 1 3", "cite: passages 1 and 3 answer the question"),
    ("d 2", "delete passage 2 from the results"),
    ("m 2", "more like passage 2"),
    ("+ or -", "thumbs for the answer; + 2 or - 2 for one passage"),
    ("q", "quit, and see what your visit became"),
)


def visit(console: Console, folder: DemoFolder, retriever: BaseRetriever) -> None:
    """Let the person ask, look and judge; then build what they left and show it."""
    import ragwheel
    from ragwheel import offline
    from ragwheel.cli.build import build_and_print, print_triplets
    from ragwheel.cli.status import print_status

    ragwheel.configure(db=folder.db, app="demo")
    desk = Desk(retriever, session_id=f"visit-{time.time_ns():x}", timed=sys.stdin.isatty())
    try:
        _converse(console, desk)
    except KeyboardInterrupt:
        sys.stderr.write(f"\nragwheel: stopped by Ctrl-C; {folder.db} is whole and holds your visit. ")
        sys.stderr.write(f"Next: ragwheel show --db {folder.db}\n")
        raise typer.Exit(130) from None
    finally:
        desk.close()
        ragwheel.shutdown()
    if not desk.asked:
        console.print(screen.indented(Text("you asked nothing, so there is nothing to build", "dim")))
        return
    print_status(console, offline.status(folder.db))
    try:
        build_and_print(console, folder.db, folder.dataset)
        print_triplets(console, folder.dataset)
    except DatasetError as error:  # too little was judged: no fault of the person's
        screen.heading(console, "no triplets yet")
        console.print(screen.indented(Text(screen.clean(str(error)))))
    screen.next_command(
        console, f"ragwheel show --db {folder.db}", "your last turn, with everything known about it"
    )


def _converse(console: Console, desk: Desk) -> None:
    """Read lines until ``q`` or the end of the input; every line is recorded as what it means."""
    _print_help(console)
    while (line := _read(console, first=desk.asked == 0)) is not None:
        try:
            command = parse_command(line)
            if command.verb == "quit":
                return
            _obey(console, desk, command)
        except DeskError as error:
            console.print(screen.indented(Text(str(error), "yellow")))


def _obey(console: Console, desk: Desk, command: VisitorCommand) -> None:
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
            named = ", ".join(str(document.id) for document in about) or "the answer"
            console.print(
                screen.indented(Text.assemble((f"{DONE[command.verb]} ", "dim"), screen.clean(named)))
            )


def _read(console: Console, *, first: bool) -> str | None:
    """One line, or None at the end; a piped line is printed, so that the transcript can be read."""
    prompt = "ask> " if first else "> "
    console.print()
    if sys.stdin.isatty():
        try:
            return input(prompt)
        except EOFError:
            return None
    line = sys.stdin.readline()
    if line:
        console.print(Text.assemble((prompt, "dim"), screen.clean(line.rstrip("\n"))))
    return line or None


def _print_help(console: Console) -> None:
    screen.heading(console, "you are the visitor", "type a question; then, about what was found:")
    console.print(screen.facts(list(HELP)))


def _print_results(console: Console, documents: list[Document]) -> None:
    if not documents:
        console.print(screen.indented(Text("nothing found: try other words", "yellow")))
    for rank, document in enumerate(documents, 1):
        title = Text.assemble((f"{rank} ", "bold"), (screen.clean(str(document.id)), "cyan"))
        width = max(20, console.width - 4)
        preview = Text(screen.one_line(document.page_content, PREVIEW_LINES * width).plain)
        preview.truncate(PREVIEW_LINES * width - 10, overflow="ellipsis")
        console.print(Panel(preview, title=title, title_align="left", border_style="dim"))


def _print_passage(console: Console, document: Document) -> None:
    console.print(
        Panel(
            Text(screen.clean(document.page_content)),
            title=Text(screen.clean(str(document.id)), "cyan"),
            title_align="left",
            subtitle=Text("your next line closes it", "dim"),
        )
    )
