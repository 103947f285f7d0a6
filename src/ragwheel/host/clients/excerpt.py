"""What an entry of the registry of client classes takes and returns."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["Excerpt", "Opener"]

Opener = Callable[[Any, int], Any]
"""``opener(value, limit)`` returns what `value` holds, as plain values, or `value` itself."""


class Excerpt(list[Any]):
    """The first items of a longer list, and how many there are in all."""

    def __init__(self, items: list[Any], total: int) -> None:
        super().__init__(items)
        self.total = total
