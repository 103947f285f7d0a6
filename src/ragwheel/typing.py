"""The types of the functions that you may hand to ragwheel: callbacks for progress, embedding functions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

__all__ = ["CountProgress", "Embed", "Progress", "StageProgress"]

#: Called now and then by long work with the stage, and how many of its steps are done and how many there are
#: (0 where that is not known). Whatever it raises stops the work, which then leaves nothing half-written.
Progress: TypeAlias = Callable[[str, int, int], None]

#: Called now and then by work of a single stage: how many of its steps are done, and how many there are.
CountProgress: TypeAlias = Callable[[int, int], None]

#: Called with the name of each stage when it begins.
StageProgress: TypeAlias = Callable[[str], None]

#: Returns one vector for each text, as an array of shape (texts, dimensions) or as lists of numbers.
Embed: TypeAlias = Callable[[Sequence[str]], Any]
