"""Flags of a record that carry values: writing and parsing them.

A flag is a string in the column ``flags``. Only this module knows how a value is written into a flag.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

__all__ = [
    "EXAMPLES_PREFIX",
    "TEAMS_PREFIX",
    "Exploration",
    "examples_flag",
    "examples_of",
    "exploration_of",
    "flags_of",
    "teams_flag",
    "teams_of",
]

EXAMPLES_PREFIX: Final = "fewshot: "
TEAMS_PREFIX: Final = "interleaved: "
_EXPLORED_PREFIX: Final = "explored: "


class Exploration(NamedTuple):
    """Random swaps of neighbouring ranks.

    ``probability`` is that of each swap; ``moves`` has one letter per rank: ``-`` stayed, ``u`` moved up,
    ``d`` moved down.
    """

    probability: float
    moves: str

    @property
    def flag(self) -> str:
        """Return the flag of an explored retrieval."""
        return f"{_EXPLORED_PREFIX}{self}"

    def __str__(self) -> str:
        return f"{self.probability!r} {self.moves}"


def flags_of(column: str | None) -> list[str]:
    """Return the flags in a column of the store, which is a JSON array or NULL."""
    return [] if column is None else json.loads(column)


def exploration_of(flags: Iterable[str]) -> Exploration | None:
    """Return the random swaps of a retrieval, or None if it was not explored."""
    if (text := _rest(flags, _EXPLORED_PREFIX)) is None:
        return None
    probability, _, moves = text.partition(" ")
    return Exploration(float(probability), moves)


def teams_flag(teams: str) -> str:
    """Return the flag of an interleaved retrieval, with the retriever that gave the chunk at each rank."""
    return TEAMS_PREFIX + teams


def teams_of(flags: Iterable[str]) -> str | None:
    """Return the retriever of each rank, one letter each, or None if nothing was interleaved."""
    return _rest(flags, TEAMS_PREFIX)


def examples_flag(ids: Sequence[str]) -> str:
    """Return the flag of a turn with few-shot examples in its prompt."""
    return EXAMPLES_PREFIX + " ".join(dict.fromkeys(ids))


def examples_of(flags: Iterable[str]) -> tuple[str, ...] | None:
    """Return the ids of the few-shot examples in a prompt, or None if there were none."""
    text = _rest(flags, EXAMPLES_PREFIX)
    return None if text is None else tuple(text.split())


def _rest(flags: Iterable[str], prefix: str) -> str | None:
    return next((flag[len(prefix) :] for flag in flags if flag.startswith(prefix)), None)
