"""``ragwheel report``: one self-contained HTML page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ragwheel.cli import screen
from ragwheel.cli.options import ReadableOption

__all__ = ["report"]

DATASET_HELP = "A folder that ragwheel build wrote. Default: the newest that the database knows of."
MODEL_HELP = "A folder of a trained model, any number of times. Default: those that the database knows of."
EVALUATION_HELP = "A folder that ragwheel evaluate --out wrote, any number of times."
EXPERIMENTS_HELP = "The folder of experiments. Default: experiments, if there is one."


def report(
    dataset: Annotated[Path | None, typer.Argument(help=DATASET_HELP)] = None,
    db: ReadableOption = Path("ragwheel.db"),
    model: Annotated[list[Path] | None, typer.Option(help=MODEL_HELP)] = None,
    evaluation: Annotated[list[Path] | None, typer.Option(help=EVALUATION_HELP)] = None,
    experiments: Annotated[Path | None, typer.Option(help=EXPERIMENTS_HELP)] = None,
    out: Annotated[Path, typer.Option(help="The file to write.")] = Path("report.html"),
    no_text: Annotated[
        bool, typer.Option("--no-text", help="Leave texts of queries and chunks out.")
    ] = False,
) -> None:
    """Write a page that says where retrieval stands: one file, no script, no network."""
    from ragwheel.report import ReportOptions, make_report

    folder = experiments or Path("experiments")
    options = ReportOptions(
        dataset=dataset,
        models=model or (),
        evaluations=evaluation or (),
        experiments=folder if experiments is not None or folder.is_dir() else None,
        texts=not no_text,
    )
    with screen.reporting("reading"):
        page = make_report(db, options)
    path = page.write(out)
    typer.echo(str(path))
