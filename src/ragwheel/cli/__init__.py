"""The command ``ragwheel``."""

from __future__ import annotations

from ragwheel.cli.app import app, main

__all__ = ["app", "main"]
