"""The room of agreement: raters beside each other, the judge beside people, beliefs beside both."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from ragwheel.labels.calibration import ENOUGH, reliability
from ragwheel.review.desk import ReviewDesk, rater_of
from ragwheel.review.diagram import reliability_diagram
from ragwheel.review.kappa import KappaEstimate, weighted_kappa
from ragwheel.review.ordering import PairKey
from ragwheel.review.pages import page
from ragwheel.store.reviews import all_judgments, reading_rows
from ragwheel.words import query_key

__all__ = ["Disagreement", "agreement_page", "disagreements"]

_APART: Final = 2.0
_MOST: Final = 50
_RATERS: Final = 12


@dataclass(frozen=True)
class Disagreement:
    """A pair on which people, or people and an LLM judge, are two grades or more apart."""

    key: PairKey
    query: str
    source: str
    chunk: str
    grades: tuple[tuple[str, str, float, str | None], ...]

    @property
    def spread(self) -> float:
        """The distance between the lowest and the highest grade."""
        values = [grade for _judge, _kind, grade, _note in self.grades]
        return max(values) - min(values)


@dataclass(frozen=True)
class _Judged:
    """All grades of all pairs."""

    words: Mapping[PairKey, str]
    grades: Mapping[PairKey, dict[tuple[str, str], tuple[float, str | None]]]

    def compared(self, first: tuple[str, str], second: tuple[str, str]) -> KappaEstimate:
        both = [key for key, sides in self.grades.items() if first in sides and second in sides]
        sides = [[self.grades[key][rater][0] for key in both] for rater in (first, second)]
        return weighted_kappa(sides[0], sides[1], [key[0] for key in both])

    def against_people(self, judge: tuple[str, str]) -> KappaEstimate:
        """An LLM judge beside the mean of people."""
        keys, people, theirs = [], [], []
        for key, sides in self.grades.items():
            human = [grade for (_name, kind), (grade, _note) in sides.items() if kind == "human"]
            if judge in sides and human:
                keys.append(key[0])
                people.append(sum(human) / len(human))
                theirs.append(sides[judge][0])
        return weighted_kappa(people, theirs, keys)


def _judged(desk: ReviewDesk) -> _Judged:
    words: dict[PairKey, str] = {}
    grades: defaultdict[PairKey, dict[tuple[str, str], tuple[float, str | None]]] = defaultdict(dict)
    with reading_rows(desk.options.db) as connection:
        for query, source, chunk, judge, kind, grade, note in all_judgments(connection):
            key = (query_key(query), source, chunk)
            words.setdefault(key, query)
            grades[key][judge, kind] = (grade, note)
    return _Judged(words, grades)


def disagreements(desk: ReviewDesk) -> list[Disagreement]:
    """Return the pairs on which grades are far apart, the farthest first."""
    return _apart(_judged(desk))


def _apart(judged: _Judged) -> list[Disagreement]:
    rows = [
        Disagreement(
            key, judged.words[key], key[1], key[2],
            tuple((judge, kind, grade, note) for (judge, kind), (grade, note) in sorted(sides.items())),
        )
        for key, sides in judged.grades.items()
        if len(sides) > 1
    ]  # fmt: skip
    rows = [row for row in rows if row.spread >= _APART]
    return sorted(rows, key=lambda row: (-row.spread, row.key))


def agreement_page(desk: ReviewDesk, request: Request) -> Response:
    """Return how raters, judges and beliefs agree, and where they do not."""
    desk.analysis.renew()
    judged = _judged(desk)
    counts: defaultdict[tuple[str, str], int] = defaultdict(int)
    for sides in judged.grades.values():
        for rater in sides:
            counts[rater] += 1
    people = sorted((rater for rater in counts if rater[1] == "human"), key=lambda rater: -counts[rater])
    judges = sorted((rater for rater in counts if rater[1] == "llm"), key=lambda rater: -counts[rater])
    pairs = [(a, b, judged.compared(a, b)) for a, b in combinations(people[:_RATERS], 2)]
    apart = _apart(judged)
    calibration = _calibration(desk)
    after = (calibration or {}).get("recalibrated", {}).get("bins", ())
    return page(
        "agreement.html",
        room="agreement",
        rater=rater_of(desk, request),
        people=[(name, counts[name, kind]) for name, kind in people],
        pairs=[(a[0], b[0], statistics) for a, b, statistics in pairs if statistics.pairs],
        judges=[(judge[0], judged.against_people(judge)) for judge in judges[:_RATERS]],
        apart=apart[:_MOST],
        n_apart=len(apart),
        calibration=calibration,
        diagram=reliability_diagram(calibration["bins"], after)
        if calibration and "bins" in calibration
        else None,
        state=desk.state,
        enough=ENOUGH,
    )


def _calibration(desk: ReviewDesk) -> dict[str, Any] | None:
    """Return how the beliefs from traces compare with the grades of the last computation; None before it."""
    with desk.analysis.graded() as store:
        if store is None:
            return None
        cached = desk.remembered("calibration")
        if cached is None:
            cached = desk.remember("calibration", reliability(store.judged))
        return dict(cached)
