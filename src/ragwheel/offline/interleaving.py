"""The winner of an interleaving experiment, from clicks and citations.

Each turn is one comparison: the retriever whose chunks got more favourable signals and citations wins. The
preference is (turns that the new one won + half of the ties) / turns with any (Chapelle, Joachims, Radlinski
& Yue, TOIS 2012). Its interval is clustered by person (or session), and a sign test over people is added.
"""

from __future__ import annotations

import json
import math
import sqlite3
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from ragwheel.errors import StoreEmpty
from ragwheel.flags import TEAMS_PREFIX, teams_of
from ragwheel.kinds import FAVOURABLE
from ragwheel.offline.reading import reading, rows

__all__ = ["Interleaving", "interleaving"]

_Z: Final = 1.96
_FEWEST_PEOPLE: Final = 10
Winner = Literal["old", "new"]


@dataclass(frozen=True, slots=True)
class Interleaving:
    """The state of an interleaving experiment.

    Attributes:
        name: of the experiment, as given to :func:`ragwheel.interleave`.
        served: turns with an interleaved retrieval.
        failed: retrievals that gave the old result because the new retriever failed.
        wins, losses, ties: turns in which the new retriever's chunks got more, fewer, as many acts.
        people: clusters of the interval: subjects, else sessions, else turns.
        preference: share of turns for the new retriever, ties half; 0.5 is no difference.
        low, high: its 95 % interval.
        p_value: of the two-sided sign test over people.
        winner: ``new`` or ``old``; None: can't tell.
        more_turns: how many more decided turns would settle a difference of this size; None: settled, or
            nobody can say yet.
    """

    name: str
    served: int
    failed: int
    wins: int
    losses: int
    ties: int
    people: int
    preference: float
    low: float
    high: float
    p_value: float
    winner: Winner | None
    more_turns: int | None

    @property
    def verdict(self) -> str:
        """The result as a sentence."""
        share = f"{self.preference:.1%} for new, 95 % interval {self.low:.1%} to {self.high:.1%}"
        if self.winner is not None:
            return f"{self.winner} is better ({share})"
        if self.more_turns is None:
            return f"can't tell: {self.wins + self.losses + self.ties} turns with a click or citation so far"
        return f"can't tell ({share}): about {self.more_turns:,} more turns with a click or citation needed"


def interleaving(db: str | Path, name: str | None = None) -> Interleaving:
    """Return wins, losses and ties of an experiment, with an interval.

    Args:
        db: a trace database.
        name: the name of the experiment; by default the latest one.

    Raises:
        StoreEmpty: no such experiment has been recorded.
        StoreError: see :func:`ragwheel.store.open_store`.
    """
    with reading(db) as connection:
        named = _names(connection)
        if not named or (name is not None and name not in named):
            got = f"experiments: {', '.join(named)}" if named else "no interleaved retrieval"
            raise StoreEmpty(
                f"{db}: got {got}{f', asked for {name!r}' if name else ''}. "
                "Serve both retrievers with ragwheel.interleave(old, new, name=...)"
            )
        name = name or named[0]
        turns = _turns(connection, name)
        failed = rows(connection, _FAILED, name)[0][0]
    return _judged(name, turns, int(failed))


# The newest experiment first.
_NAMES: Final = """
SELECT retriever FROM retrievals, json_each(flags) f WHERE f.value LIKE 'interleave%'
 GROUP BY retriever ORDER BY max(start_ns) DESC, retriever
"""
_FAILED: Final = """
SELECT count(*) FROM retrievals, json_each(flags) f
 WHERE retriever = ? AND f.value LIKE 'interleave_failed%'
"""
_SERVED: Final = f"""
SELECT retrieval_id, turn_id, coalesce(user_id, session_id, turn_id, retrieval_id) AS person, f.value AS teams
  FROM retrievals, json_each(flags) f WHERE retriever = ? AND f.value LIKE '{TEAMS_PREFIX}%'
"""
_CHUNKS: Final = "SELECT rank, source, chunk_id FROM impressions WHERE retrieval_id = ?"
_ACTS: Final = """
SELECT turn_id, retrieval_id, source, chunk_id FROM signals
 WHERE chunk_id IS NOT NULL AND kind IN (SELECT value FROM json_each(?))
UNION SELECT turn_id, NULL, source, chunk_id FROM citations WHERE matched
"""


@dataclass(frozen=True, slots=True)
class _ServedTurn:
    person: str
    score: int
    """1: the new one's chunks got more; -1: the old one's; 0: as many; acts without any are no turn here."""
    acts: int


def _names(connection: sqlite3.Connection) -> list[str]:
    return [row[0] for row in rows(connection, _NAMES)]


def _turns(connection: sqlite3.Connection, name: str) -> list[_ServedTurn]:
    acted: dict[str, set[tuple[str, str]]] = defaultdict(set)
    for act in rows(connection, _ACTS, json.dumps(FAVOURABLE)):
        acted[act["turn_id"] or act["retrieval_id"]].add((act["source"], act["chunk_id"]))
    credit: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    people: dict[str, str] = {}
    for served in rows(connection, _SERVED, name):
        turn = served["turn_id"] or served["retrieval_id"]
        people[turn] = served["person"]
        if turn not in acted:
            continue
        teams = dict(enumerate(teams_of([served["teams"]]) or "", 1))
        for row in rows(connection, _CHUNKS, served["retrieval_id"]):
            team = teams.get(row["rank"])
            if team in {"o", "n"} and (row["source"], row["chunk_id"]) in acted[turn]:
                credit[turn][team == "n"] += 1
    return [
        _ServedTurn(people[turn], (new > old) - (new < old), old + new)
        for turn in people
        for old, new in [credit[turn]]
    ]


def _judged(name: str, turns: list[_ServedTurn], failed: int) -> Interleaving:
    decided = [turn for turn in turns if turn.acts]
    wins, losses = (sum(turn.score == side for turn in decided) for side in (1, -1))
    by_person: dict[str, list[int]] = defaultdict(list)
    for turn in decided:
        by_person[turn.person].append(turn.score)
    preference, low, high = _preference(list(by_person.values()))
    lean = [sum(scores) for scores in by_person.values()]
    p_value = _sign_test(sum(s > 0 for s in lean), sum(s < 0 for s in lean))
    winner: Winner | None = None
    more: int | None = None
    if len(by_person) >= _FEWEST_PEOPLE:
        winner = "new" if low > 0.5 else "old" if high < 0.5 else None
        if winner is None and preference != 0.5:
            needed = ((high - low) / 2 / (preference - 0.5)) ** 2
            more = max(1, math.ceil(len(decided) * (needed - 1)))
    return Interleaving(
        name, len(turns), failed, wins, losses, len(decided) - wins - losses, len(by_person),
        preference, low, high, p_value, winner, more,
    )  # fmt: skip


def _preference(people: list[list[int]]) -> tuple[float, float, float]:
    """Return the mean of (score + 1) / 2 over turns, and its 95 % interval.

    The linearised variance of a ratio of sums over people (cluster-robust): a bootstrap over people
    approximates the same. Two imagined people for either side keep a few unanimous ones from giving an
    interval of no width (Agresti & Coull 1998).
    """
    turns = sum(map(len, people))
    if len(people) < 2:
        return (0.5 + sum(map(sum, people)) / (2 * turns) if turns else 0.5), 0.0, 1.0
    preference = 0.5 + sum(map(sum, people)) / (2 * turns)
    people = [*people, [1], [1], [-1], [-1]]
    n = turns + 4
    mean = sum(map(sum, people)) / n
    spread = sum((sum(scores) - mean * len(scores)) ** 2 for scores in people)
    margin = _Z * math.sqrt(len(people) / (len(people) - 1) * spread) / (2 * n)
    return preference, max(0.0, 0.5 + mean / 2 - margin), min(1.0, 0.5 + mean / 2 + margin)


def _sign_test(wins: int, losses: int) -> float:
    """Return the exact two-sided p value of the sign test."""
    n = wins + losses
    tail = sum(math.comb(n, k) for k in range(min(wins, losses) + 1))
    return min(1.0, float(2 * tail / 2**n))
