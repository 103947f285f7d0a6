"""Dishonest subjects: people with handles of their own who try to bend what is learned from them.

A liar does what a person with a valid handle can do: ask questions, and say anything about the chunks that
came back, any number of times. Liars come beside the honest users of
:func:`~ragwheel.testing.write_traces`, whose rows are the same with and without them.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any, Final, Literal

__all__ = ["ATTACKS", "Liars", "lies", "question"]

Attack = Literal["random", "promote", "demote"]
ATTACKS: Final[tuple[Attack, ...]] = ("random", "promote", "demote")

_PRAISE: Final[tuple[tuple[str, float | None], ...]] = (
    ("click", None), ("copy", None), ("expand", None), ("bookmark", None), ("more_like_this", None),
    ("dwell", 60.0), ("thumbs_up", None), ("rating", 5.0),
)  # fmt: skip
_BLAME: Final[tuple[tuple[str, float | None], ...]] = (
    ("click", None), ("dwell", 0.5), ("delete", None), ("thumbs_down", None), ("rating", 0.0),
)  # fmt: skip


@dataclass(frozen=True)
class Liars:
    """Who lies, and to what end.

    Args:
        share: of all people, liars and users; below 1.
        attack: ``random``: praise or blame of everything that is displayed, by tossing a coin; ``promote``
            and ``demote``: only questions that display ``target``, all praise, or all blame, for it.
        target: index of the chunk in ``world.chunks``.
        repeat: how often each lie is told.
    """

    share: float
    attack: Attack = "random"
    target: int = -1
    repeat: int = 3

    def among(self, users: int) -> int:
        """How many of them there are beside so many honest users."""
        return round(users * self.share / (1 - self.share))


def question(liars: Liars, rng: random.Random, displayed: list[list[int]]) -> int:
    """Which query a liar asks, given what each query displays.

    Raises:
        ValueError: no query displays the target.
    """
    fitting = [
        query for query, chunks in enumerate(displayed) if liars.attack == "random" or liars.target in chunks
    ]
    if not fitting:
        raise ValueError(f"Liars(target={liars.target}): no query displays that chunk.")
    return rng.choice(fitting)


def lies(liars: Liars, rng: random.Random, chunks: list[int]) -> list[tuple[str, int, Any]]:
    """(kind, rank, value) of everything a liar says about the displayed chunks."""
    claims: list[tuple[str, int, Any]] = []
    for rank, chunk in enumerate(chunks, 1):
        if liars.attack == "random":
            words = _PRAISE if rng.random() < 0.5 else _BLAME
        elif chunk == liars.target:
            words = _PRAISE if liars.attack == "promote" else _BLAME
        else:
            continue
        claims.extend((kind, rank, value) for _ in range(liars.repeat) for kind, value in words)
    return claims
