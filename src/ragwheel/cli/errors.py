"""How a command ends when something is wrong: one message, an exit code, no traceback.

====  ==============================================================================
code  when
====  ==============================================================================
0     all well
1     one of ragwheel's errors (:mod:`ragwheel.errors`), or a file or folder that cannot be read or written;
      also ``doctor`` with a finding of severity error
2     the command was typed wrongly
130   Ctrl-C
====  ==============================================================================
"""

from __future__ import annotations

import os
import sys
from typing import Any

import typer
from typer.core import TyperGroup

from ragwheel.cli.command import as_flag
from ragwheel.errors import RagwheelError

__all__ = ["CommandGroup"]


class CommandGroup(TyperGroup):
    """Commands in the order in which they are used; errors of ours end them with one message."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Names in the order in which they were added, not of the alphabet."""
        return list(self.commands)

    def get_help_option(self, ctx: Any) -> Any:
        """Return the option ``--help``, a flag as the others are."""
        return as_flag(super().get_help_option(ctx))

    def invoke(self, ctx: Any) -> Any:
        """Run the command; see the module's table for how it may end."""
        try:
            return super().invoke(ctx)
        except RagwheelError as error:
            _say(f"ragwheel: {error}")
            raise typer.Exit(1) from None
        except KeyboardInterrupt:
            _say("\nragwheel: stopped by Ctrl-C; nothing is left half-written")
            raise typer.Exit(130) from None
        except BrokenPipeError:
            # the reader of our output left (`ragwheel show | head`): say nothing, not even at exit
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(1) from None
        except OSError as error:
            if error.filename is None:  # not about a file: a defect, or the network
                raise
            _say(f"ragwheel: {error.filename}: {error.strerror}. Look at: ls -ld {error.filename}; df -h .")
            raise typer.Exit(1) from None


def _say(message: str) -> None:
    typer.echo(message, err=True)
