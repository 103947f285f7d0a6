"""The typer application: one function a command, each in a module of its own."""

from __future__ import annotations

from typing import Annotated

import typer

import ragwheel
from ragwheel.cli.build import build
from ragwheel.cli.demo import demo
from ragwheel.cli.doctor import doctor
from ragwheel.cli.errors import CommandGroup
from ragwheel.cli.serve import serve
from ragwheel.cli.show import show
from ragwheel.cli.status import status

__all__ = ["app", "main"]

app = typer.Typer(
    name="ragwheel",
    cls=CommandGroup,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"ragwheel {ragwheel.__version__}")
        raise typer.Exit


@app.callback()
def _ragwheel(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and leave.")
    ] = False,
) -> None:
    """Turn what your RAG app retrieved, and what people did with it, into training data."""


app.command()(demo)
app.command()(status)
app.command()(doctor)
app.command()(show)
app.command()(build)
app.command()(serve)


def main() -> None:
    """The console script."""
    app(prog_name="ragwheel")
