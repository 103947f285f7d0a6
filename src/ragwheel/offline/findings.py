"""The findings of ``doctor``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["Finding", "Severity", "size"]

Severity = Literal["ok", "note", "warning", "error"]


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of a check; ``next`` says what to do about it, and is empty if nothing needs to be done."""

    severity: Severity
    check: str
    text: str
    next: str = ""


def size(n_bytes: int) -> str:
    """Return a number of bytes for display: ``1.5 MB`` (powers of 1,000)."""
    amount = float(n_bytes)
    for unit in ("bytes", "kB", "MB"):
        if amount < 1_000:
            return f"{amount:.0f} {unit}" if unit == "bytes" else f"{amount:.1f} {unit}"
        amount /= 1_000
    return f"{amount:.1f} GB"
