"""``ragwheel probe``: how the result of a retrieval function is read, before anything is recorded."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from ragwheel.cli import screen
from ragwheel.cli.options import JsonOption
from ragwheel.errors import ConfigurationError

if TYPE_CHECKING:
    from rich.console import Console

    from ragwheel.offline import Probe, ProbedSource

__all__ = ["probe"]

_SHOWN = 10


def probe(
    function: Annotated[
        str | None,
        typer.Argument(metavar="MODULE:FUNCTION", help="The retrieval function."),
    ] = None,
    question: Annotated[str | None, typer.Argument(help="What to ask it.")] = None,
    adapter: Annotated[
        str | None, typer.Option(metavar="MODULE:FUNCTION", help="Read the result with this adapter.")
    ] = None,
    db: Annotated[
        Path | None,
        typer.Option("--db", help="Look at what was recorded instead."),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Call a retrieval function once, store nothing, and print how its result is read.

    Exit code 1 when nothing of it can be read.
    """
    from ragwheel import offline

    if db is not None:
        sources = offline.probe_store(db)
        if json:
            screen.print_json(sources)
        else:
            _print_sources(screen.stdout(), sources)
        return
    if function is None or question is None:
        raise typer.BadParameter('give MODULE:FUNCTION and "a question", or --db FILE')
    probed = offline.probe(_imported(function), question, adapter=_imported(adapter) if adapter else None)
    if json:
        screen.print_json(probed)
    else:
        _print(screen.stdout(), probed)
    if probed.unreadable:
        raise typer.Exit(1)


def _imported(name: str) -> Any:
    """The object that ``package.module:name`` names, found from the working directory, too."""
    module, _, path = name.partition(":")
    sys.path.insert(0, "")
    try:
        target: Any = importlib.import_module(module)
        for part in path.split("."):
            target = getattr(target, part)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigurationError(
            f"{name!r} cannot be imported: {error}. Allowed: MODULE:FUNCTION, such as app.search:find"
        ) from error
    finally:
        sys.path.remove("")
    if not callable(target):
        raise ConfigurationError(f"{name!r} is a {type(target).__name__}; allowed: a function")
    return target


def _print(console: Console, probed: Probe) -> None:
    if probed.unreadable:
        screen.heading(console, "not readable", f"{probed.type}: {probed.unreadable}")
    else:
        screen.heading(console, f"{probed.total:,} chunks", f"read from {probed.type}")
        table = screen.columns(
            "rank",
            "id",
            "score",
            "metadata",
            "text",
            right=("rank",),
            wide=("text",),
            folded=("id", "metadata"),
        )
        for chunk in probed.chunks[:_SHOWN]:
            score = "none" if chunk.score is None else f"{chunk.score:.4g}"
            names = ", ".join(chunk.metadata[:4]) + (", ..." if len(chunk.metadata) > 4 else "")
            cells = (screen.one_line(chunk.id, 40), score, screen.one_line(names, 40))
            table.add_row(str(chunk.rank), *cells, screen.one_line(chunk.text))
        console.print(screen.indented(table))
    if probed.flags:
        screen.heading(console, "flags", "what was guessed, or could not be kept as it was: docs/capture.md")
        for flag in probed.flags:
            console.print(screen.indented(Text(f"- {screen.clean(flag)}")))
    if probed.adapter:
        screen.heading(console, "adapter", "say it yourself where this is not what you expected")
        console.print(screen.indented(Text(screen.clean(probed.adapter))))


def _print_sources(console: Console, sources: list[ProbedSource]) -> None:
    for source in sources:
        screen.heading(console, source.source, f"{source.retrievals:,} of the latest retrievals")
        console.print(
            screen.facts(
                [
                    ("chunks", f"{source.chunks:,}"),
                    ("with an id", _share(source.with_id, source.chunks)),
                    ("with a text", _share(source.with_text, source.chunks)),
                    ("with a score", _share(source.with_score, source.chunks)),
                    ("flags", "; ".join(f"{flag}: {n:,}" for flag, n in source.flags.items()) or "none"),
                ]
            )
        )


def _share(part: int, whole: int) -> str:
    return f"{part:,} ({part / whole:.0%})" if whole else "0"
