"""The use of examples in turns, how those turns were received, and the rotation of examples."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from ragwheel.errors import ConfigurationError, DatasetError
from ragwheel.fewshot.build import as_built, build
from ragwheel.fewshot.examples import Example, Library, Retired
from ragwheel.fewshot.options import FewshotOptions
from ragwheel.flags import EXAMPLES_PREFIX
from ragwheel.offline.answers import read_turns
from ragwheel.offline.reading import reading, rows
from ragwheel.typing import Progress

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
    """The use of an example in prompts.

    Attributes:
        used: the number of turns with the example in the prompt.
        liked, disliked: the numbers of those turns with liked and with disliked answers.
        last_ns: when it was last used (Unix nanoseconds); None: never.
    """

    used: int = 0
    liked: int = 0
    disliked: int = 0
    last_ns: int | None = None


@dataclass(frozen=True)
class RotationOptions:
    """The options of rotation: when an example is retired.

    Args:
        max_age_days: the largest age of the question; None: age does not matter.
        max_share: the largest share of all turns with examples that may use the same example, since prompts
            would become uniform.
        least_turns: the least number of turns for ``max_share`` to apply.
        least_outcomes: the least number of liked and disliked answers for outcomes to count.
        refill: whether to pick new examples for retired ones.
        now_ns: the present time; None: that of the clock.
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
    """The library after rotation, the examples that were retired, and the new ones."""

    library: Library
    retired: tuple[Retired, ...]
    added: tuple[Example, ...]


def usage(db: str | Path, library: Library) -> dict[str, Usage]:
    """Return the usage of every example of the library, by id.

    Raises:
        StoreError: the database cannot be read.
    """
    usages = {example.id: Usage() for example in library.examples}
    received = {turn.turn_id: turn for turn in read_turns(db)}
    for turn_id, at_ns, ids in _used(db):
        turn = received.get(turn_id)
        bad = turn is not None and bool(turn.disliked or turn.again)
        good = turn is not None and bool(turn.liked) and not bad
        for id in ids & usages.keys():
            example_usage = usages[id]
            usages[id] = Usage(
                example_usage.used + 1,
                example_usage.liked + good,
                example_usage.disliked + bad,
                max(example_usage.last_ns or 0, at_ns),
            )
    return usages


def rotate(
    db: str | Path,
    library: Library,
    options: RotationOptions | None = None,
    build_options: FewshotOptions | None = None,
    *,
    progress: Progress | None = None,
) -> Rotation:
    """Retire stale, overused or badly received examples and pick new ones; retired ones stay in the history.

    Args:
        db: the database.
        library: the library, which is neither changed nor saved.
        options: see :class:`RotationOptions`.
        build_options: options for picking new examples; default: those that the library was built with,
            except functions, which a file cannot store.
        progress: called as ``(stage, done, total)``.

    Raises:
        StoreError: the database cannot be read.
        ConfigurationError: see :class:`RotationOptions`.
    """
    options = options or RotationOptions()
    now_ns = options.now_ns or time.time_ns()
    reasons = _reasons(db, library, options, now_ns)
    gone = tuple(
        Retired(example, reasons[example.id], now_ns) for example in library.examples if example.id in reasons
    )
    stays = tuple(example for example in library.examples if example.id not in reasons)
    left = replace(library, examples=stays, retired=(*library.retired, *gone))
    if not gone or not options.refill:
        return Rotation(left, gone, ())
    n = len(library.examples)
    oldest_ns = None if options.max_age_days is None else now_ns - int(options.max_age_days * _DAY_NS)
    wanted = replace(build_options or as_built(library), n=n, per_group=False, since_ns=oldest_ns)
    without = {
        each
        for retirement in left.retired
        for each in (retirement.example.id, retirement.example.turn_id or "")
    }
    try:
        fresh = build(db, wanted, kept=stays, without=without | _renewed(db), progress=progress)
    except DatasetError:
        return Rotation(left, gone, ())  # there are no candidates; the remaining examples are still good
    have = {stay.id for stay in stays}
    added = tuple(example for example in fresh.examples if example.id not in have)[: len(gone)]
    renamed = {
        example.id: example for example in fresh.examples
    }  # the names of their groups may have changed
    examples = (*(renamed.get(stay.id, stay) for stay in stays), *added)
    people = library.people + len(added)
    return Rotation(replace(fresh, examples=examples, retired=left.retired, people=people), gone, added)


def _reasons(db: str | Path, library: Library, options: RotationOptions, now_ns: int) -> dict[str, str]:
    """Return the reason for retiring an example, by id."""
    usages = usage(db, library)
    turns = len(_used(db))
    renewed = _renewed(db)
    liked = sum(example_usage.liked for example_usage in usages.values())
    outcomes = liked + sum(example_usage.disliked for example_usage in usages.values())
    usual = liked / outcomes if outcomes else 1.0
    reasons: dict[str, str] = {}
    for example in library.examples:
        its = usages[example.id]
        age_days = (now_ns - example.asked_ns) / _DAY_NS if example.asked_ns else 0.0
        n_told = its.liked + its.disliked
        if example.turn_id in renewed:
            reasons[example.id] = "stale: a chunk that its answer cites has a newer text"
        elif options.max_age_days is not None and age_days > options.max_age_days:
            reasons[example.id] = f"stale: {age_days:.0f} days old"
        elif n_told >= options.least_outcomes and _upper(its.liked, n_told) < usual:
            reasons[example.id] = f"badly received: liked in {its.liked} of {n_told} turns, {usual:.0%} usual"
        elif turns >= options.least_turns and its.used > options.max_share * turns:
            reasons[example.id] = f"overused: in {its.used} of {turns} turns with examples"
    return reasons


def _renewed(db: str | Path) -> set[str]:
    """Return the turns whose answer cites a chunk that has a newer version."""
    with reading(db) as connection:
        return {row["turn_id"] for row in rows(connection, RENEWED)}


def _used(db: str | Path) -> list[tuple[str, int, set[str]]]:
    """Yield the turns with examples: id, time, and the examples' ids."""
    with reading(db) as connection:
        uses = rows(connection, USED, EXAMPLES_PREFIX)
    return [(row["turn_id"], row["start_ns"], set(row["examples"].split())) for row in uses]


def _upper(liked: int, n: int) -> float:
    """Return the upper end of Wilson's 95 % interval of a share; exactly 1 if all outcomes were good."""
    if liked == n:
        return 1.0
    z, share = 1.96, liked / n
    centre = share + z * z / (2 * n)
    return float((centre + z * ((share * (1 - share) + z * z / (4 * n)) / n) ** 0.5) / (1 + z * z / n))
