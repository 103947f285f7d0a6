"""``ragwheel status``: what is recorded, and what the next milestone needs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rich.text import Text

from ragwheel.cli import screen
from ragwheel.cli.options import DbOption, JsonOption

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from ragwheel.offline import Milestone, Status

__all__ = ["print_status", "status"]


def status(db: DbOption = Path("ragwheel.db"), json: JsonOption = False) -> None:
    """What is recorded, and what the next milestone needs."""
    from ragwheel import offline

    found = offline.status(db)
    if json:
        screen.print_json(found)
        return
    console = screen.stdout()
    print_status(console, found)
    if found.examples:
        screen.next_command(
            console, f"ragwheel build --db {db} --out dataset", "writes triplets, pairs and lists"
        )
    else:
        screen.next_command(console, "ragwheel demo", "shows the whole wheel on a database of its own")


def print_status(console: Console, found: Status) -> None:
    """The counts, the milestones, and the advice for the next one."""
    span = (
        f"{screen.moment(found.first_ns)} to {screen.moment(found.last_ns)}"
        if found.first_ns and found.last_ns
        else ""
    )
    screen.heading(console, found.db, span)
    console.print(screen.facts(_counts(found)))
    screen.heading(console, "examples", _exactness(found))
    console.print(screen.indented(_ladder(found.milestones)))
    short = found.next_milestone
    if short is None:
        return
    screen.heading(console, f"towards {short.need:,}", f"{short.missing:,} more to go; cheapest first")
    for step in short.advice:
        console.print(screen.indented(Text(f"- {step}")))


def _exactness(found: Status) -> str:
    if found.example_counts.exact:
        return f"{found.examples:,} questions with a positive that a build would write today"
    return f"at most {found.examples:,} questions; to count exactly: pip install 'ragwheel[build]'"


def _counts(found: Status) -> list[tuple[str, Text | str]]:
    counts: list[tuple[str, Text | str]] = [
        ("turns", f"{found.turns:,} in {found.sessions:,} sessions, {found.answered:,} answered"),
        (
            "retrievals",
            _joined(
                (found.retrievals, ""),
                (found.reranks, "re-rankings"),
                (found.failed, "failed"),
                (found.unreadable, "more that could not be read (ragwheel doctor says why)"),
            ),
        ),
        ("chunks seen", f"{found.chunks:,}" + _but(found.chunk_versions - found.chunks, "newer versions")),
        ("citations", f"{found.citations:,}" + _but(found.citations_unmatched, "point at nothing retrieved")),
        ("signals", ", ".join(f"{kind} {n:,}" for kind, n in found.signals.items()) or "none"),
    ]
    if found.signals_unmatched:
        counts.append(
            ("unmatched", ", ".join(f"{n:,} signals: {why}" for why, n in found.signals_unmatched.items()))
        )
    if found.judgments:
        counts.append(("judgments", f"{found.judgments:,}"))
    return counts


def _joined(*counts: tuple[int, str]) -> str:
    return ", ".join(f"{n:,} {name}".strip() for n, name in counts if n or not name)


def _but(n: int, what: str) -> str:
    return f", {n:,} {what}" if n else ""


def _ladder(milestones: tuple[Milestone, ...]) -> Table:
    right = ("have", "need")
    table = screen.columns("milestone", "have", "need", "", "what for", right=right, wide=("what for",))
    for milestone in milestones:
        mark = Text("reached", "green") if milestone.reached else Text("")
        counts = (f"{milestone.have:,}", f"{milestone.need:,}")
        table.add_row(milestone.name, *counts, mark, screen.one_line(milestone.purpose))
    return table
