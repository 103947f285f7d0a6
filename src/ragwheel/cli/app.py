"""The typer application: one function a command, each in a module of its own."""

from __future__ import annotations

from typing import Annotated, Any, Final

import typer

import ragwheel
from ragwheel.cli.backup import backup
from ragwheel.cli.build import build
from ragwheel.cli.command import add_command
from ragwheel.cli.compare import compare
from ragwheel.cli.demo import demo
from ragwheel.cli.doctor import doctor
from ragwheel.cli.erase import erase
from ragwheel.cli.errors import CommandGroup
from ragwheel.cli.evaluate import evaluate
from ragwheel.cli.experiment import experiment
from ragwheel.cli.export import export
from ragwheel.cli.fewshot import fewshot
from ragwheel.cli.grade import grade
from ragwheel.cli.import_ import import_
from ragwheel.cli.judge import judge
from ragwheel.cli.probe import probe
from ragwheel.cli.prune import prune
from ragwheel.cli.report import report
from ragwheel.cli.review import review
from ragwheel.cli.serve import serve
from ragwheel.cli.ship import ship
from ragwheel.cli.show import show
from ragwheel.cli.status import status
from ragwheel.cli.train import train

__all__ = ["app", "main"]

_ORDER: Final = (
    "demo", "probe", "status", "doctor", "show", "build", "review", "grade", "judge", "train", "evaluate",
    "compare", "experiment", "fewshot", "report", "serve", "import", "export", "ship", "erase", "prune",
    "backup",
)  # fmt: skip


class _InOrderOfUse(CommandGroup):
    """Lists the commands as people come to need them; typer puts those with commands of their own last."""

    def list_commands(self, ctx: Any) -> list[str]:
        return sorted(super().list_commands(ctx), key=_ORDER.index)


app = typer.Typer(
    name="ragwheel",
    cls=_InOrderOfUse,
    epilog="New here? ragwheel demo shows all of it on text of your own machine. With an app of yours: wrap "
    "its retriever, and ragwheel status says what there is and what comes next.",
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
        bool,
        typer.Option("--version", metavar="", callback=_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    """Turn what your RAG app retrieved, and what people did with it, into training data."""


add_command(app, demo)
add_command(app, probe)
add_command(app, status)
add_command(app, doctor)
add_command(app, show)
add_command(app, build)
add_command(app, review)
add_command(app, grade)
add_command(app, judge)
app.add_typer(train, name="train")
add_command(app, evaluate)
add_command(app, compare)
app.add_typer(experiment, name="experiment")
app.add_typer(fewshot, name="fewshot")
add_command(app, report)
add_command(app, serve)
add_command(app, import_, "import")
app.add_typer(export, name="export")
add_command(app, ship)
add_command(app, erase)
add_command(app, prune)
add_command(app, backup)


def main() -> None:
    """The console script."""
    app(prog_name="ragwheel")
