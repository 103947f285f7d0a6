"""What commands need beside the light core."""

from __future__ import annotations

import importlib.util

from ragwheel.errors import MissingExtra

__all__ = ["NEEDED", "require_packages"]

NEEDED = ("ibis", "duckdb", "pyarrow")


def require_packages(command: str) -> None:
    """Raise :class:`MissingExtra` with the pip command when the extra `build` is not installed."""
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise MissingExtra(
            f"ragwheel {command} needs {', '.join(missing)}, not installed in this Python. "
            "Next: pip install 'ragwheel[build]'"
        )
