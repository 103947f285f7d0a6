"""What became of a process's records: in SQLite, in the journal, or not kept, each of them measured."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

from ragwheel.guard import guard
from ragwheel.journal import frames
from ragwheel.journal.files import segment_folder
from ragwheel.journal.records import COUNTED
from ragwheel.journal.writer import Journal
from ragwheel.store.background import SegmentProgress
from ragwheel.store.segment import FORGET_NS

__all__ = ["LOST", "Audit", "MergeProgress", "Stats", "StoreCounts"]

LOST: Final = "lost"
REPEATED: Final = "repeated"
UNREADABLE: Final = "unreadable"
_ATTEMPTS: Final = 3


@dataclass(frozen=True)
class Stats:
    """Counts of this process; ``emitted == stored + journalled + sum(dropped.values())``.

    Each term is measured on its own, so that the equation can fail; ``unaccounted`` is by how much it does.

    Attributes:
        emitted: records (retrievals, turns, signals) that were to be kept; a turn that is written again, with
            its answer, is the same record.
        stored: rows in SQLite that this process's records made.
        journalled: records that can be read in the journal and are not merged yet.
        dropped: records that are neither, by reason. ``disk_full``, ``io_error``, ``broken``: could not be
            written. ``unreadable``: could not be read back. ``lost``: their journal was deleted or moved
            before it was merged, or the database that had them was replaced. ``repeated``: an event that had
            been stored before, which is one row.
        refused: signals not taken, by reason.
        unsampled: left out by ``sample_ratio``.
        errors: exceptions inside ragwheel that the app never saw, by place.
    """

    emitted: int = 0
    stored: int = 0
    journalled: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    refused: dict[str, int] = field(default_factory=dict)
    unsampled: int = 0
    errors: dict[str, int] = field(default_factory=dict)

    @property
    def unaccounted(self) -> int:
        """Records that were emitted and are in none of the counts; 0 unless something is wrong."""
        return self.emitted - self.stored - self.journalled - sum(self.dropped.values())


class Loss(NamedTuple):
    """How many records of a segment are lost, and how many the database has."""

    lost: int
    taken: int


@dataclass
class StoreCounts:
    """Records of some segments by what became of them.

    ``rewritten`` are in a segment's row beyond those counted as written to it: the writer found the segment
    moved and wrote them again in another, where they are ``repeated``. ``lost`` is by segment.
    """

    stored: int = 0
    journalled: int = 0
    repeated: int = 0
    rewritten: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    lost: dict[str, Loss] = field(default_factory=dict)

    def drop(self, reason: str, n: int) -> None:
        """Add ``n`` records that are not kept."""
        if n > 0:
            self.dropped[reason] = self.dropped.get(reason, 0) + n

    def settle(self) -> StoreCounts:
        """Count as stored what is repeated only because the writer wrote it again in another segment."""
        same = min(self.repeated, self.rewritten)
        self.stored += same
        self.drop(REPEATED, self.repeated - same)
        return self


class MergeProgress:
    """Follows the segments of this process into the database.

    Args:
        db: the database.
        merged: returns what the database has of some segments; None when it cannot be asked now.
    """

    def __init__(
        self, db: Path, merged: Callable[[Iterable[str]], Mapping[str, SegmentProgress] | None]
    ) -> None:
        self._folder = segment_folder(db)
        self._merged = merged
        self._latest: Mapping[str, SegmentProgress] = {}

    def measure(self, written: Mapping[str, int]) -> StoreCounts:
        """What became of the records written, by segment."""
        answer, waiting = self._look(written)
        for _ in range(_ATTEMPTS):
            ended = [name for name, n in waiting.items() if n is None and not self._is_finished(name)]
            if not (answer and ended):
                break
            answer, waiting = self._look(written)  # a segment that ended between the two looks is merged now
        measured = StoreCounts()
        for name, n in written.items():
            _add(measured, name, n, self._latest.get(name), waiting[name], asked=answer)
        return measured.settle()

    def _look(self, written: Mapping[str, int]) -> tuple[bool, dict[str, int | None]]:
        """Whether the database could be asked; and the records that wait in the file of each segment."""
        answer = self._merged(list(written))
        if answer is not None:
            self._latest = answer
        return answer is not None, {name: self._waiting(name, self._latest.get(name)) for name in written}

    def _is_finished(self, name: str) -> bool:
        merged = self._latest.get(name)
        return merged is not None and bool(merged.finished)

    def _waiting(self, name: str, merged: SegmentProgress | None) -> int | None:
        """The records in a segment's file that the database does not have; None when there is no file."""
        try:
            fd = os.open(self._folder / name, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return None
        try:
            start = 0 if merged is None else merged.position
            found = frames.read(fd, start, os.fstat(fd).st_size, resync=False)
            return sum(frame.kind in COUNTED for frame in found)
        finally:
            os.close(fd)


def _add(
    measured: StoreCounts,
    name: str,
    n: int,
    merged: SegmentProgress | None,
    waiting: int | None,
    *,
    asked: bool,
) -> None:
    """Add the ``n`` records of one segment; what was written after ``n`` was counted is left out."""
    if merged is None and waiting is None and asked and _is_folded(name):
        merged = SegmentProgress(n, 0, 0, 1, 0)
    merged = merged or SegmentProgress(0, 0, 0, 0, 0)
    taken = min(merged.records, n)
    repeated = min(merged.repeated, taken)
    measured.stored += taken - repeated
    measured.repeated += repeated
    measured.rewritten += merged.records - taken
    left = n - taken
    if merged.finished:
        measured.drop(UNREADABLE, left)
        return
    unreadable = min(merged.unreadable, left)
    measured.drop(UNREADABLE, unreadable)
    left -= unreadable
    if waiting is None and asked:
        measured.drop(LOST, left)
        measured.lost[name] = Loss(left, taken)
    else:  # where the database could not be asked, a segment without a file may be merged or not
        measured.journalled += left if waiting is None else min(waiting, left)


def _is_folded(name: str) -> bool:
    """Whether a segment is so old that the database may have folded its row into the sum of old ones."""
    created_ns = name.partition("-")[0]
    return created_ns.isdigit() and time.time_ns() - int(created_ns) > FORGET_NS


class Audit:
    """Compares what a journal has written with what became of it, and reports losses to the database.

    Args:
        journal: of this process.
        merged: as of :class:`MergeProgress`.
    """

    def __init__(
        self, journal: Journal, merged: Callable[[Iterable[str]], Mapping[str, SegmentProgress] | None]
    ) -> None:
        self._journal = journal
        self._tally = MergeProgress(journal.db, merged)
        self._lock = threading.Lock()
        self._told = 0  # records that the database has been told are lost
        self._flushed: Mapping[str, int] = {}  # records by segment that a flush has reported as stored

    def written(self) -> dict[str, int]:
        """The records written so far, by segment."""
        with self._journal.lock:
            return dict(self._journal.written)

    def measure(self) -> tuple[int, dict[str, int], StoreCounts]:
        """Records emitted, those dropped at once, and what became of the others."""
        journal = self._journal
        with journal.lock:
            emitted, written, dropped = journal.emitted, dict(journal.written), dict(journal.dropped)
        return emitted, dropped, self._tally.measure(written)

    def flushed(self, written: Mapping[str, int]) -> bool:
        """Whether nothing was lost, up to ``written``, but what an earlier flush has reported as stored."""
        whole = all(
            loss.lost <= max(self._flushed.get(name, 0) - loss.taken, 0)
            for name, loss in self.tell_losses().items()
        )
        self._flushed = written
        return whole

    def tell_losses(self) -> Mapping[str, Loss]:
        """Have the database count records that were lost since the last time; all lost ones, by segment."""
        try:
            measured = self.measure()[2]
        except Exception as exc:  # noqa: BLE001 - runs inside the app
            guard.caught("counting lost records", exc)
            return {}
        lost = measured.dropped.get(LOST, 0)
        with self._lock:
            more, self._told = lost - self._told, lost
        if more:  # fewer than before when a folder that was moved away has come back
            self._journal.tell(LOST, more)
        if more > 0:
            db = self._journal.db
            guard.warn_once(
                "journal.lost",
                f"ragwheel lost {more} records: the folder {db}.segments was moved or deleted before it was "
                f"merged, or the database was replaced. Put the folder back where it was and its records are "
                f"merged: ragwheel doctor --db {db}",
            )
        return measured.lost
