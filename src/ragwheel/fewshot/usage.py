"""Which example was in which turn, how those turns were received, and which examples have had their time."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from ragwheel.errors import ConfigurationError, DatasetError
from ragwheel.fewshot.build import as_built, build
from ragwheel.fewshot.examples import Example, Library, Retired
from ragwheel.fewshot.options import FewshotOptions, Progress
from ragwheel.flags import EXAMPLES_PREFIX
from ragwheel.offline.answers import read_turns
from ragwheel.offline.reading import reading, rows

__all__ = ["Rotation", "RotationOptions", "Usage", "rotate", "usage"]

_DAY_NS: Final = 86_400 * 1_000_000_000
USED = """
SELECT t.turn_id, t.start_ns, substr(f.value, length(?1) + 1) AS examples
  FROM turns t JOIN json_each(t.flags) f
 WHERE t.flags IS NOT NULL AND substr(f.value, 1, length(?1)) = ?1
"""
RENEWED = """
SELECT DISTINCT c.turn_id
  FROM citations c JOIN chunks h ON h.chunk_id = c.chunk_id AND h.source = coalesce(c.source, h.source)
  JOIN turns t ON t.turn_id = c.turn_id
 WHERE c.matched AND h.first_seen_ns > t.start_ns + t.duration_ns
"""


@dataclass(frozen=True, slots=True)
class Usage:
    """What became of an example in prompts.

    Attributes:
        used: turns whose prompt held it.
        liked, disliked: of those, how many answers were.
        last_ns: when it was last used (Unix nanoseconds); None: never.
    """

    used: int = 0
    liked: int = 0
    disliked: int = 0
    last_ns: int | None = None


@dataclass(frozen=True)
class RotationOptions:
    """When an example has had its time.

    Args:
        max_age_days: since it was asked; None: age alone is no reason.
        max_share: of all turns with examples, from ``least_turns`` of them: the prompts become the same.
        least_turns: see ``max_share``.
        least_outcomes: liked and disliked answers before its outcomes count.
        refill: pick others for what was retired.
        now_ns: the present; None: the clock.
    """

    max_age_days: float | None = 365
    max_share: float = 0.5
    least_turns: int = 100
    least_outcomes: int = 10
    refill: bool = True
    now_ns: int | None = None

    def __post_init__(self) -> None:
        """Raise ConfigurationError for what cannot be."""
        if (self.max_age_days is not None and self.max_age_days <= 0) or not 0 < self.max_share <= 1:
            raise ConfigurationError(
                f"rotate: got max_age_days={self.max_age_days}, max_share={self.max_share}; "
                "allowed: more than 0 days, a share above 0 up to 1"
            )


@dataclass(frozen=True)
class Rotation:
    """The library afterwards, what was retired now, and what came in."""

    library: Library
    retired: tuple[Retired, ...]
    added: tuple[Example, ...]


def usage(db: str | Path, library: Library) -> dict[str, Usage]:
    """By id, how often every example of the library was used and how those turns were received.

    Raises:
        StoreError: the database cannot be read.
    """
    found = {one.id: Usage() for one in library.examples}
    received = {turn.turn_id: turn for turn in read_turns(db)}
    for turn_id, at_ns, ids in _used(db):
        turn = received.get(turn_id)
        bad = turn is not None and bool(turn.disliked or turn.again)
        good = turn is not None and bool(turn.liked) and not bad
        for id in ids & found.keys():
            one = found[id]
            found[id] = Usage(
                one.used + 1, one.liked + good, one.disliked + bad, max(one.last_ns or 0, at_ns)
            )
    return found


def rotate(
    db: str | Path,
    library: Library,
    options: RotationOptions | None = None,
    build_options: FewshotOptions | None = None,
    *,
    progress: Progress | None = None,
) -> Rotation:
    """Retire what is stale, overused or badly received, and pick others in its place; history is kept.

    Args:
        db: the database.
        library: as it is; it is not changed, and not saved.
        options: see :class:`RotationOptions`.
        build_options: for picking others; default: those that the library was built with, as far as a file
            can remember them (functions it cannot).
        progress: called as ``(stage, done, total)``.

    Raises:
        StoreError: the database cannot be read.
        ConfigurationError: see :class:`RotationOptions`.
    """
    options = options or RotationOptions()
    now_ns = options.now_ns or time.time_ns()
    reasons = _reasons(db, library, options, now_ns)
    gone = tuple(Retired(one, reasons[one.id], now_ns) for one in library.examples if one.id in reasons)
    stays = tuple(one for one in library.examples if one.id not in reasons)
    left = replace(library, examples=stays, retired=(*library.retired, *gone))
    if not gone or not options.refill:
        return Rotation(left, gone, ())
    n = len(library.examples)
    oldest_ns = None if options.max_age_days is None else now_ns - int(options.max_age_days * _DAY_NS)
    wanted = replace(build_options or as_built(library), n=n, per_group=False, since_ns=oldest_ns)
    without = {each for one in left.retired for each in (one.example.id, one.example.turn_id or "")}
    try:
        fresh = build(db, wanted, kept=stays, without=without | _renewed(db), progress=progress)
    except DatasetError:
        return Rotation(left, gone, ())  # nothing to pick from; what stays is still good
    have = {one.id for one in stays}
    added = tuple(one for one in fresh.examples if one.id not in have)[: len(gone)]
    renamed = {one.id: one for one in fresh.examples}  # their groups may have other names now
    examples = (*(renamed.get(one.id, one) for one in stays), *added)
    people = library.people + len(added)
    return Rotation(replace(fresh, examples=examples, retired=left.retired, people=people), gone, added)


def _reasons(db: str | Path, library: Library, options: RotationOptions, now_ns: int) -> dict[str, str]:
    """By id, why an example has had its time."""
    found = usage(db, library)
    turns = len(_used(db))
    renewed = _renewed(db)
    liked = sum(one.liked for one in found.values())
    outcomes = liked + sum(one.disliked for one in found.values())
    usual = liked / outcomes if outcomes else 1.0
    reasons: dict[str, str] = {}
    for one in library.examples:
        its = found[one.id]
        age_days = (now_ns - one.asked_ns) / _DAY_NS if one.asked_ns else 0.0
        told = its.liked + its.disliked
        if one.turn_id in renewed:
            reasons[one.id] = "stale: a chunk that its answer cites has a newer text"
        elif options.max_age_days is not None and age_days > options.max_age_days:
            reasons[one.id] = f"stale: {age_days:.0f} days old"
        elif told >= options.least_outcomes and _upper(its.liked, told) < usual:
            reasons[one.id] = f"badly received: liked in {its.liked} of {told} turns, {usual:.0%} usual"
        elif turns >= options.least_turns and its.used > options.max_share * turns:
            reasons[one.id] = f"overused: in {its.used} of {turns} turns with examples"
    return reasons


def _renewed(db: str | Path) -> set[str]:
    """Turns whose answer cites a chunk that has a newer text since."""
    with reading(db) as connection:
        return {row["turn_id"] for row in rows(connection, RENEWED)}


def _used(db: str | Path) -> list[tuple[str, int, set[str]]]:
    """Turns with examples: id, time, and the examples' ids."""
    with reading(db) as connection:
        found = rows(connection, USED, EXAMPLES_PREFIX)
    return [(row["turn_id"], row["start_ns"], set(row["examples"].split())) for row in found]


def _upper(liked: int, told: int) -> float:
    """The upper end of Wilson's 95 % interval of a share; exactly 1 where all outcomes were good."""
    if liked == told:
        return 1.0
    z, share = 1.96, liked / told
    centre = share + z * z / (2 * told)
    return float(
        (centre + z * ((share * (1 - share) + z * z / (4 * told)) / told) ** 0.5) / (1 + z * z / told)
    )
