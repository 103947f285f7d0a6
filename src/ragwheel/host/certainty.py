"""How sure a reading is: what was taken by name, what was guessed from values, what cannot be told.

What cannot be told is not stored as a chunk: :class:`Unreadable` says why. A guess is stored and flagged,
``guessed: text=absatz id=nummer``, so that it can be looked at with ``ragwheel probe``.
"""

from __future__ import annotations

from typing import Final

from ragwheel.host.names import Part

__all__ = [
    "AMBIGUOUS", "BROKEN", "ITERATOR", "NOTHING_READABLE", "NO_CHUNKS", "ONLY_POSITIONS", "SEVERAL_ANSWERS",
    "SEVERAL_LISTS", "Certainty", "Unreadable",
]  # fmt: skip

SEVERAL_ANSWERS: Final = "several answers"
"""The result holds a ranked list for each of several questions."""
SEVERAL_LISTS: Final = "several lists"
"""Several fields hold a list of chunks, and no name says which is the ranking."""
ONLY_POSITIONS: Final = "only positions"
"""A re-ranking by position in a list that is not known."""
NO_CHUNKS: Final = "no chunks"
"""Nothing in the result looks like a list of chunks."""
NOTHING_READABLE: Final = "no text and no id"
"""A ranked list whose records have neither."""
AMBIGUOUS: Final = "ambiguous columns"
"""Several columns could be the text."""
ITERATOR: Final = "iterator"
"""An iterator, awaitable, cursor or query that has not been run: reading would use it up or run it."""
BROKEN: Final = "reading it raised"
"""The host's own code raised while it was read."""

_MAX_NAME_CHARS: Final = 60


class Unreadable(Exception):
    """A result of which nothing can be told; its text is one of this module's reasons."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Certainty:
    """What had to be guessed, and what could not be kept as it was, while one result is read."""

    __slots__ = ("flags", "guesses")

    def __init__(self) -> None:
        self.flags: dict[str, None] = {}
        self.guesses: dict[Part, str] = {}

    def flag(self, word: str) -> None:
        """Note something that could not be kept as it was."""
        self.flags[word] = None

    def guess(self, part: Part, name: object) -> None:
        """Note that `part` was taken from the field `name` because of its values."""
        self.guesses.setdefault(part, str(name)[:_MAX_NAME_CHARS] if type(name) in (str, int) else "?")

    def words(self) -> tuple[str, ...]:
        """Return all flags, the guesses in one."""
        if not self.guesses:
            return tuple(self.flags)
        guessed = " ".join(f"{part}={name}" for part, name in sorted(self.guesses.items()))
        return (*self.flags, f"guessed: {guessed}")
