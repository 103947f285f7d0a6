"""Options that several commands share."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from pathlib import Path
from typing import Annotated, Final

import typer

from ragwheel.cli.extras import require_packages

__all__ = ["DbOption", "JsonOption", "OriginOption", "ReadableOption", "name_as_typed", "option_as_typed"]


def _existing(db: Path | None) -> Path | None:
    """A database that a model shall be remembered in has to be there before hours of training."""
    if db is not None:
        from ragwheel.store.connect import check_file

        check_file(db, may_be_new=False)
    return db


def _readable(db: str | Path) -> Path:
    """A database; of a lake of many stores, a copy of all of it in one, which ends with the command.

    Typer gives the option's text, or its default as it is.
    """
    text = str(db)
    if "://" not in text and not (Path(text) / "_ragwheel.json").is_file():
        return Path(text)
    require_packages("--db with a lake")
    from ragwheel import fleet
    from ragwheel.cli import screen

    folder = Path(tempfile.mkdtemp(prefix="ragwheel-lake-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    with screen.reporting("reading the lake") as report:
        pulled = fleet.pull(text, folder / "lake.db", progress=report)
    screen.stderr().print(f"{text}: {pulled.stores} stores read as one", highlight=False)
    _lakes[pulled.db] = text
    return pulled.db


_lakes: Final[dict[Path, str]] = {}
"""Of each copy that a command reads, the lake that was typed."""


def name_as_typed(db: Path) -> str:
    """Return what was typed as the database: for the copy of a lake, the lake."""
    return _lakes.get(db, str(db))


def option_as_typed(db: Path) -> str:
    """Return the option with which a build reads what this command has read."""
    return f"--from-parquet {_lakes[db]}" if db in _lakes else f"--db {db}"


DbOption = Annotated[
    Path,
    typer.Option(
        "--db",
        envvar="RAGWHEEL_DB",
        help="The database that the app writes.",
        show_default=True,
    ),
]
ReadableOption = Annotated[
    Path,
    typer.Option(
        "--db",
        envvar="RAGWHEEL_DB",
        metavar="PATH|URL",
        parser=_readable,
        help="The database that the app writes, or a lake of many (ragwheel ship).",
        show_default=True,
    ),
]
OriginOption = Annotated[
    Path | None,
    typer.Option(
        "--db",
        envvar="RAGWHEEL_DB",
        callback=_existing,
        help="The database behind the dataset: it remembers the model, for erase.",
    ),
]
JsonOption = Annotated[
    bool, typer.Option("--json", help="One JSON document on standard output, for scripts.")
]
