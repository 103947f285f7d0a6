"""``ragwheel import``: judgments and evaluation sets that the team already has."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from ragwheel.cli import screen
from ragwheel.cli.build import require_packages
from ragwheel.cli.options import DbOption, JsonOption
from ragwheel.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["import_"]


def import_(  # noqa: PLR0913, PLR0917 - a command's options are its parameters
    path: Annotated[Path, typer.Argument(help="A CSV file of judgments, or an evaluation set.")],
    kind: Annotated[
        Literal["judgments", "evalset"] | None, typer.Option(help="What it is; --evalset is short for one.")
    ] = None,
    evalset: Annotated[bool, typer.Option("--evalset", help="The same as --kind evalset.")] = False,
    judge: Annotated[str, typer.Option(help="Whose judgments, where the file does not say.")] = "me",
    name: Annotated[str | None, typer.Option(help="Of the evaluation set; default: the file's.")] = None,
    use: Annotated[
        Literal["train", "test"], typer.Option(help="One use only: test examples are never trained on.")
    ] = "test",
    format: Annotated[  # noqa: A002
        str | None, typer.Option(help="beir, trec, csv, ragas, deepeval or pairs; default: found out.")
    ] = None,
    db: DbOption = Path("ragwheel.db"),
    json: JsonOption = False,
) -> None:
    """Take in grades by people (CSV), or an evaluation set (BEIR, TREC, CSV, Ragas, DeepEval, pairs)."""
    if evalset and kind == "judgments":
        raise ConfigurationError("--evalset and --kind judgments contradict each other; give one of them.")
    if not evalset and kind is None:
        raise ConfigurationError(
            f"What is {path}? ragwheel import {path} --kind judgments (CSV: query, chunk_id, grade), or "
            f"ragwheel import {path} --evalset --use test"
        )
    if evalset or kind == "evalset":
        _evalset(db, path, {"name": name, "use": use, "format": format}, json=json)
    else:
        _judgments(db, path, judge, json=json)


def _judgments(db: Path, path: Path, judge: str, *, json: bool) -> None:
    from ragwheel.offline import import_judgments

    with screen.progress(screen.stderr()) as bar:
        task = bar.add_task("reading judgments", total=None)
        found = import_judgments(db, path, judge=judge, progress=lambda n: bar.update(task, completed=n))
    if json:
        screen.print_json(found)
        return
    console = screen.stdout()
    counts = {"new": found.new, "changed": found.changed, "there already": found.same, "older": found.older}
    _counts("judgments", counts, found.refused)
    for example in found.examples[:5]:
        console.print(screen.indented(screen.one_line(example)))
    screen.next_command(console, f"ragwheel build --db {db} --out DIR", "judgments by people win")


def _evalset(db: Path, path: Path, given: dict[str, Any], *, json: bool) -> None:
    require_packages("import --evalset")
    from ragwheel.judgments import import_evalset

    found = import_evalset(db, path, **given)
    if json:
        screen.print_json(found)
        return
    told = {"queries": found.queries, "judgments": found.judgments, "of these new": found.new}
    told |= {f"chunks, {_WAYS[way]}": n for way, n in found.chunks.items() if n}
    _counts(f"{found.name} ({found.format}), for {found.use}", told, found.refused)
    screen.next_command(screen.stdout(), f"ragwheel build --db {db} --out DIR")


_WAYS = {
    "id": "known by id",
    "text": "known by text",
    "near": "known by near-equal text",
    "added": "added",
}


def _counts(title: str, counts: Mapping[str, int], refused: Mapping[str, int]) -> None:
    console = screen.stdout()
    for head, some in ((title, counts), ("left out", refused)):
        if some:
            screen.heading(console, head)
            console.print(screen.facts([(name, f"{n:,}") for name, n in some.items()]))
