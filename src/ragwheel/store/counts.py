"""What became of a process's records: in SQLite, in the journal, or dropped."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ragwheel.journal.files import segment_folder
from ragwheel.store.background import Merged

__all__ = ["Stats", "Tally"]


@dataclass(frozen=True)
class Stats:
    """Counts of this process; ``emitted == stored + journalled + sum(dropped.values())`` always.

    ``emitted``: records (retrievals, turns, signals) that were to be kept. ``stored``: in SQLite.
    ``journalled``: on disk, not merged yet. ``dropped``: could not be written (or, ``unreadable``, not be
    read back from a damaged disk), by reason. ``refused``: signals not taken, by reason. ``unsampled``: left
    out by ``sample_ratio``. ``errors``: exceptions inside ragwheel that the app never saw, by place.
    """

    emitted: int = 0
    stored: int = 0
    journalled: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    refused: dict[str, int] = field(default_factory=dict)
    unsampled: int = 0
    errors: dict[str, int] = field(default_factory=dict)


class Tally:
    """Follows the segments of this process into the database.

    Args:
        db: the database.
        merged: tells what the database has of some segments.
    """

    def __init__(self, db: Path, merged: Callable[[Iterable[str]], Mapping[str, Merged]]) -> None:
        self._folder = segment_folder(db)
        self._merged = merged
        self._known: dict[str, Merged] = {}  # what is finished is not asked for again

    def stored(self, written: Mapping[str, int]) -> tuple[int, int]:
        """How many of the records written, by segment, are in SQLite, and how many can never be."""
        unfinished = (n for n in written if n not in self._known or not self._known[n].finished)
        self._known.update(self._merged(list(unfinished)))
        stored = unreadable = 0
        for name, n in written.items():
            found = self._known.get(name)
            if found is None:
                stored += (
                    0 if (self._folder / name).exists() else n
                )  # a file goes when all of it is in SQLite
                continue
            taken = min(found.records, n)
            stored += taken
            unreadable += n - taken if found.finished else min(found.unreadable, n - taken)
        return stored, unreadable
