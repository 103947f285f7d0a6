"""Options are what their declarations say, on every Python."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import typer

from ragwheel.cli.app import app


def commands(command: Any, name: str = "ragwheel") -> Iterator[tuple[str, Any]]:
    inner = getattr(command, "commands", {})
    if not inner:
        yield name, command
    for word, each in inner.items():
        yield from commands(each, f"{name} {word}")


COMMANDS = dict(commands(typer.main.get_command(app)))


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_option_has_its_help_and_no_name_of_a_variable(name: str) -> None:
    """A declaration that is not read loses both: ``--format`` would be ``--formats``."""
    params = COMMANDS[name].params
    assert [p.opts for p in params if not getattr(p, "help", "an argument")] == []
    assert [p.opts for p in params if any(option.endswith(("-", "_")) for option in p.opts)] == []


def test_the_command_line_is_whole() -> None:
    assert len(COMMANDS) > 30
    assert "--format" in [option for p in COMMANDS["ragwheel build"].params for option in p.opts]
