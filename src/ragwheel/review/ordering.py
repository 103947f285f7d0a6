"""Which pair a rater sees next: the queue's order, a few chunks of one question at a time."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b

from ragwheel.judgments.pairs import OpenPair
from ragwheel.words import query_key

__all__ = ["PairKey", "QueuedPair", "ReviewQueue", "pair_id"]

PairKey = tuple[str, str, str]
"""Query group, source and chunk id."""


@dataclass(frozen=True, slots=True)
class QueuedPair:
    """A pair in the order of review; ``group`` numbers the chunks of one question that come together."""

    id: str
    group: int
    pair: OpenPair

    @property
    def key(self) -> PairKey:
        """What a rater says something of once."""
        return (self.pair.query_key, self.pair.source, self.pair.chunk_id)


@dataclass
class _Progress:
    handled: set[PairKey] = field(default_factory=set)
    cursor: int = 0


def pair_id(key: PairKey) -> str:
    """Return the name of a pair in the page: the same over restarts."""
    return blake2b("\x1f".join(key).encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


class ReviewQueue:
    """All pairs in the order of review, and how far each rater is.

    Within each tier of the queue (contradictory, abstained, …) the chunks of a question come together, at
    most ``per_question`` at a time.
    """

    def __init__(self, pairs: Iterable[OpenPair], per_question: int) -> None:
        self._lock = threading.Lock()
        self.ordered = _grouped(pairs, per_question)
        self._by_id = {queued.id: queued for queued in self.ordered}
        self._places = {queued.id: index for index, queued in enumerate(self.ordered)}
        self._members: defaultdict[int, list[QueuedPair]] = defaultdict(list)
        for queued in self.ordered:
            self._members[queued.group].append(queued)
        self._raters: dict[str, _Progress] = {}

    def __len__(self) -> int:
        return len(self.ordered)

    def knows(self, rater: str) -> bool:
        """Whether the rater's progress was taken in."""
        return rater in self._raters

    def begin(self, rater: str, handled: Iterable[tuple[str, str, str]]) -> None:
        """Take in what a rater has handled before: (query, source, chunk id)."""
        keys = {(query_key(query), source, chunk) for query, source, chunk in handled}
        with self._lock:
            self._raters[rater] = _Progress({key for key in keys if pair_id(key) in self._by_id})

    def handle(self, rater: str, key: PairKey) -> None:
        """A rater has graded or skipped a pair."""
        with self._lock:
            if pair_id(key) in self._by_id:
                self._raters.setdefault(rater, _Progress()).handled.add(key)

    def reopen(self, rater: str, key: PairKey) -> None:
        """A rater took it back: it comes again."""
        with self._lock:
            progress = self._raters.setdefault(rater, _Progress())
            progress.handled.discard(key)
            progress.cursor = min(progress.cursor, self._places.get(pair_id(key), progress.cursor))

    def following(self, rater: str, n: int, held: Collection[str] = ()) -> list[QueuedPair]:
        """Return the next ``n`` pairs that the rater has not handled and the page does not hold yet."""
        with self._lock:
            progress = self._raters.setdefault(rater, _Progress())
            index, ordered = progress.cursor, self.ordered
            while index < len(ordered) and ordered[index].key in progress.handled:
                index += 1
            progress.cursor = index
            chosen: list[QueuedPair] = []
            while index < len(ordered) and len(chosen) < n:
                queued = ordered[index]
                if queued.key not in progress.handled and queued.id not in held:
                    chosen.append(queued)
                index += 1
            return chosen

    def counts(self, rater: str) -> tuple[int, int]:
        """Return how many pairs the rater has handled, and how many there are."""
        with self._lock:
            return len(self._raters.setdefault(rater, _Progress()).handled), len(self.ordered)

    def pair(self, id: str) -> QueuedPair | None:
        """Return a pair by its name."""
        return self._by_id.get(id)

    def members(self, group: int) -> Sequence[QueuedPair]:
        """Return the pairs of a group."""
        return self._members[group]


def _grouped(pairs: Iterable[OpenPair], per_question: int) -> list[QueuedPair]:
    """Bring the pairs of a question together: (tier, question) groups, where their first pair stands."""
    seen: set[PairKey] = set()
    open_groups: dict[tuple[str, str], list[OpenPair]] = {}
    groups: list[list[OpenPair]] = []
    for pair in pairs:
        key = (pair.query_key, pair.source, pair.chunk_id)
        if key in seen:  # another version of a chunk that is asked about already
            continue
        seen.add(key)
        group = open_groups.get((pair.why, pair.query_key))
        if group is None or len(group) == per_question:
            group = open_groups[pair.why, pair.query_key] = []
            groups.append(group)
        group.append(pair)
    return [
        QueuedPair(pair_id((pair.query_key, pair.source, pair.chunk_id)), number, pair)
        for number, group in enumerate(groups)
        for pair in group
    ]
