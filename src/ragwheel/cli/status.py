"""``ragwheel status``: what is recorded, and what the next milestone needs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rich.text import Text

from ragwheel.cli import screen
from ragwheel.cli.options import JsonOption, ReadableOption, name_as_typed, option_as_typed

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from ragwheel.offline import Milestone, Status

__all__ = ["print_status", "status"]


def status(db: ReadableOption = Path("ragwheel.db"), json: JsonOption = False) -> None:
    """What is recorded, and what the next milestone needs."""
    from ragwheel import offline

    counts = offline.status(db)
    if json:
        screen.print_json(counts)
        return
    console = screen.stdout()
    print_status(console, counts)
    if counts.examples:
        screen.next_command(
            console, f"ragwheel build {option_as_typed(db)} --out dataset", "writes triplets, pairs and lists"
        )
    else:
        screen.next_command(console, "ragwheel demo", "shows the whole wheel on a database of its own")


def print_status(console: Console, current: Status) -> None:
    """The counts, the milestones, and the advice for the next one."""
    span = (
        f"{screen.moment(current.first_ns)} to {screen.moment(current.last_ns)}"
        if current.first_ns and current.last_ns
        else ""
    )
    screen.heading(console, name_as_typed(Path(current.db)), span)
    console.print(screen.facts(_counts(current)))
    screen.heading(console, "examples", _exactness(current))
    console.print(screen.indented(_milestone_table(current.milestones)))
    short = current.next_milestone
    if short is None:
        return
    screen.heading(console, f"towards {short.need:,}", f"{short.missing:,} more to go; cheapest first")
    for step in short.advice:
        console.print(screen.indented(Text(f"- {step}")))


def _exactness(current: Status) -> str:
    if current.example_counts.exact:
        return f"{current.examples:,} questions with a positive that a build would write today"
    return f"at most {current.examples:,} questions; to count exactly: pip install 'ragwheel[build]'"


def _counts(current: Status) -> list[tuple[str, Text | str]]:
    counts: list[tuple[str, Text | str]] = [
        ("turns", f"{current.turns:,} in {current.sessions:,} sessions, {current.answered:,} answered"),
        (
            "retrievals",
            _joined(
                (current.retrievals, ""),
                (current.reranks, "re-rankings"),
                (current.failed, "failed"),
                (current.unreadable, "more that could not be read (ragwheel doctor says why)"),
            ),
        ),
        (
            "chunks seen",
            f"{current.chunks:,}" + _of_these(current.chunk_versions - current.chunks, "newer versions"),
        ),
        (
            "citations",
            f"{current.citations:,}" + _of_these(current.citations_unmatched, "point at nothing retrieved"),
        ),
        ("signals", ", ".join(f"{kind} {n:,}" for kind, n in current.signals.items()) or "none"),
    ]
    if current.signals_unmatched:
        counts.append(
            ("unmatched", ", ".join(f"{n:,} signals: {why}" for why, n in current.signals_unmatched.items()))
        )
    if current.judgments:
        counts.append(("judgments", f"{current.judgments:,}"))
    return counts


def _joined(*counts: tuple[int, str]) -> str:
    return ", ".join(f"{n:,} {name}".strip() for n, name in counts if n or not name)


def _of_these(n: int, what: str) -> str:
    return f", {n:,} {what}" if n else ""


def _milestone_table(milestones: tuple[Milestone, ...]) -> Table:
    right = ("have", "need")
    table = screen.columns("milestone", "have", "need", "", "what for", right=right, folded=("what for",))
    for milestone in milestones:
        mark = Text("reached", "green") if milestone.reached else Text("")
        counts = (f"{milestone.have:,}", f"{milestone.need:,}")
        table.add_row(milestone.name, *counts, mark, screen.clean(milestone.purpose))
    return table
