"""What all commands have in common: how their help looks, and that options of earlier releases still work."""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin, get_type_hints

import typer
from typer.core import TyperCommand
from typer.models import ArgumentInfo, OptionInfo

from ragwheel.cli.spelling import as_typed_today

__all__ = ["Command", "add_command", "as_flag"]

#: What help prints for the value of an option, by its Python type. A flag takes no value.
_METAVARS: Final[dict[Any, str]] = {bool: "", int: "N", float: "X", str: "TEXT", Path: "PATH"}


class Command(TyperCommand):
    """A command that also understands the options of earlier releases."""

    def get_help_option(self, ctx: Any) -> Any:
        """Return the option ``--help``, a flag as the others are."""
        return as_flag(super().get_help_option(ctx))

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the words behind the command, those of earlier releases too."""
        return super().parse_args(ctx, as_typed_today(_name(ctx), args))


def as_flag(option: Any) -> Any:
    """Return an option without the name of a type behind it."""
    if option is not None:
        option.metavar = ""
    return option


def add_command(group: typer.Typer, function: Callable[..., None], name: str | None = None) -> None:
    """Add a function to a group of commands, under its own name unless another one is given."""
    hints = {name: _declared(hint) for name, hint in get_type_hints(function, include_extras=True).items()}
    for parameter in inspect.signature(function).parameters:
        _set_metavar(parameter, hints[parameter])
    function.__annotations__.update(hints)  # typer would read the strings again, without what was set
    group.command(name, cls=Command)(function)


def _declared(hint: Any) -> Any:
    """Return a hint as it is declared: Python 3.10 puts ``Optional`` around that of a default of None."""
    if get_origin(hint) is Union:
        inner = [part for part in get_args(hint) if part is not types.NoneType]
        if len(inner) == 1 and get_origin(inner[0]) is Annotated:
            return inner[0]
    return hint


def _set_metavar(parameter: str, hint: Any) -> None:
    """Give an option or argument the metavar of its type, unless its declaration names one."""
    if get_origin(hint) is not Annotated:
        return
    type_, info = get_args(hint)[:2]
    if not isinstance(info, OptionInfo | ArgumentInfo) or info.metavar is not None:
        return
    info.metavar = parameter.upper() if isinstance(info, ArgumentInfo) else _metavar(type_)


def _metavar(type_: Any) -> str | None:
    """Return the metavar of a type; of ``X | None`` and ``list[X]`` that of X."""
    if get_origin(type_) in {Union, types.UnionType, list}:
        inner = [part for part in get_args(type_) if part is not types.NoneType]
        return _metavar(inner[0])
    if get_origin(type_) is Literal:
        return "|".join(map(str, get_args(type_)))
    return _METAVARS.get(type_)


def _name(ctx: Any) -> str:
    """Return the name of the running command below ``ragwheel``, such as ``train adapter``."""
    names: list[str] = []
    while ctx.parent is not None:
        names.append(str(ctx.info_name))
        ctx = ctx.parent
    return " ".join(reversed(names))
