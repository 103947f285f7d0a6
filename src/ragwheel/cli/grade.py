"""``ragwheel grade``: a person reads a question and a chunk, and presses a key."""

from __future__ import annotations

import getpass
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from ragwheel.cli import screen
from ragwheel.cli.extras import require_packages
from ragwheel.cli.options import DbOption

if TYPE_CHECKING:
    from rich.console import Console

    from ragwheel.judgments import Candidate

__all__ = ["grade"]

_SCALE = "0 irrelevant · 1 · 2 touches it · 3 useful · 4 · 5 fully answers"
_KEYS = "0-5 grade   s skip   u undo   q quit"
_CTRL_D = "\x04"


def grade(
    db: DbOption = Path("ragwheel.db"),
    judge: Annotated[str | None, typer.Option(help="Who you are; default: your login name.")] = None,
    n: Annotated[int, typer.Option("--limit", "-n", min=1, help="At most so many in this sitting.")] = 50,
    check: Annotated[
        bool,
        typer.Option("--check", help="Pairs of every degree of belief, to see whether beliefs are right."),
    ] = False,
    not_blind: Annotated[
        bool, typer.Option("--not-blind", help="Also say why each chunk is asked about.")
    ] = False,
) -> None:
    """Grade retrieved chunks by hand, those that tell most first. Every grade is kept at once."""
    require_packages("grade")
    from ragwheel.judgments import candidates

    name = judge or _login()
    console = screen.stdout()
    asked = candidates(db, judge=name, limit=n, check=check)
    if not asked:
        if check:
            console.print("  People have judged every chunk that traces say something about.")
            return
        console.print(
            f"  {name} has judged every chunk that was retrieved. More traffic brings more to judge."
        )
        return
    console.print(Text(f"  {len(asked)} to grade as {name}. {_SCALE}", "dim"))
    with _keys_at_once():
        written = _GradingSession(db, name, console, show_grades=not_blind).run(asked)
    console.print()
    console.print(f"  {written} graded. The next build uses them: a person's grade wins over all evidence.")
    screen.next_command(console, f"ragwheel build --db {db} --out DIR")


class _GradingSession:
    """One person at the keys; every grade is in the store before the next question is asked."""

    def __init__(self, db: Path, judge: str, console: Console, *, show_grades: bool) -> None:
        self._db, self._judge, self._console, self._show = db, judge, console, show_grades

    def run(self, asked: list[Candidate]) -> int:
        """Ask until the end or ``q``; returns how many were graded."""
        graded: dict[int, str] = {}
        index = 0
        while index < len(asked):
            self._ask(asked[index], index + 1, len(asked))
            key = self._key()
            if key in ("q", ""):
                break
            if key == "u":
                if index == 0:
                    self._console.print(Text("  nothing to undo", "dim"))
                    continue
                index -= 1
                if graded.pop(index, None) is not None:
                    self._take_back(asked[index])
                continue
            if key != "s":
                self._keep(asked[index], int(key))
                graded[index] = key
            index += 1
        return len(graded)

    def _ask(self, candidate: Candidate, number: int, total: int) -> None:
        screen.heading(self._console, f"{number} of {total}", candidate.why if self._show else "")
        self._console.print(
            screen.facts(
                [
                    ("question", Text(screen.clean(candidate.query), "bold")),
                    ("chunk", f"{candidate.source} · {candidate.chunk_id}"),
                    ("", Text(screen.clean(candidate.text))),
                ]
            )
        )

    def _key(self) -> str:
        self._console.print(Text(f"  {_KEYS} > ", "dim"), end="")
        while True:
            typed = _read_key()
            key = "" if typed == _CTRL_D else typed.lower()
            if key in ("", "s", "u", "q", *"012345"):
                self._console.print(key or "q")
                return key

    def _keep(self, candidate: Candidate, grade: int) -> None:
        from ragwheel import offline

        offline.judge(
            self._db, candidate.query, candidate.chunk_id, grade, judge=self._judge, source=candidate.source
        )

    def _take_back(self, candidate: Candidate) -> None:
        from ragwheel import offline

        offline.unjudge(
            self._db, candidate.query, candidate.chunk_id, judge=self._judge, source=candidate.source
        )


@contextmanager
def _keys_at_once() -> Iterator[None]:
    """A terminal hands over each key as it is typed, one typed ahead too; afterwards it is as it was."""
    if not sys.stdin.isatty():
        yield
        return
    import termios
    import tty

    terminal = sys.stdin.fileno()
    before = termios.tcgetattr(terminal)
    try:
        tty.setcbreak(terminal, termios.TCSANOW)
        yield
    finally:
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)


def _read_key() -> str:
    """The next sign that is no blank; nothing at the end of a pipe."""
    while (sign := sys.stdin.read(1)).isspace():
        pass
    return sign


def _login() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # a container without a user table
        return "me"
