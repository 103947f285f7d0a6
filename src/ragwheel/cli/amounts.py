"""Ages and sizes as people type them: ``90d``, ``12h``, ``2026-01-31``; ``2GB``, ``500 MiB``."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone
from typing import Final

import typer

__all__ = ["days", "moment_before", "n_bytes", "seconds"]

_HOURS: Final = {"h": 1, "d": 24, "w": 7 * 24}
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600}
_BYTES: Final = {
    "": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12,
    "KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40,
}  # fmt: skip
_AGE: Final = "hours, days or weeks, such as 12h, 90d or 8w"


def days(text: str) -> float:
    """An age in days.

    Raises:
        typer.BadParameter: it is none.
    """
    match = re.fullmatch(r"(\d{1,6}(?:\.\d+)?)\s*([hdw])", text.strip(), re.IGNORECASE)
    if match is None:
        raise typer.BadParameter(f"got {text!r}, expected {_AGE}")
    return float(match[1]) * _HOURS[match[2].lower()] / 24


def seconds(text: str) -> float:
    """An interval in seconds.

    Raises:
        typer.BadParameter: it is none, or zero.
    """
    match = re.fullmatch(r"(\d{1,6}(?:\.\d+)?)\s*([smh])", text.strip(), re.IGNORECASE)
    value = 0.0 if match is None else float(match[1]) * _SECONDS[match[2].lower()]
    if value <= 0:
        raise typer.BadParameter(f"got {text!r}, expected an interval such as 60s, 5m or 1h")
    return value


def moment_before(text: str) -> datetime:
    """The moment that an age reaches back to from now, or midnight (local time) of a date.

    Raises:
        typer.BadParameter: it is neither.
    """
    if re.fullmatch(r"\d{4}-\d{2}-\d{2}", text.strip()):
        try:
            return datetime.fromisoformat(text.strip()).astimezone()
        except ValueError as exc:
            raise typer.BadParameter(f"got {text!r}: {exc}") from None
    try:
        return datetime.now(timezone.utc) - timedelta(days=days(text))
    except (typer.BadParameter, OverflowError):
        raise typer.BadParameter(f"got {text!r}, expected {_AGE}, or a date such as 2026-01-31") from None


def n_bytes(text: str) -> int:
    """A size in bytes.

    Raises:
        typer.BadParameter: it is none.
    """
    match = re.fullmatch(r"(\d{1,15}(?:\.\d+)?)\s*([KMGT]?i?B?)", text.strip(), re.IGNORECASE)
    factor = None if match is None else _BYTES.get(match[2].upper())
    if match is None or factor is None:
        raise typer.BadParameter(f"got {text!r}, expected a size such as 500MB, 2GB or 2GiB")
    return int(float(match[1]) * factor)
