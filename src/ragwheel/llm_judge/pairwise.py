"""Pairwise comparison of a question's passages, in both orders.

LLMs are biased towards the first or the second passage (Wang et al., Large language models are not fair
evaluators, 2023), so every pair is asked in both orders; different answers count as a tie. The passages of a
question form a ring and each is compared with its two neighbours, so the cost is linear in their number.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Final

from ragwheel.llm_judge.choosing import JudgeItem
from ragwheel.llm_judge.options import Preference
from ragwheel.llm_judge.prompts import Ask

__all__ = ["Pair", "asks_of", "compare", "pairs_of"]

#: Points of a chunk in a comparison: it won, it lost to a helpful one, both help, neither helps.
POINTS: Final = {"won": 5.0, "lost": 2.0, "both": 3.5, "neither": 0.0}
_SWAPPED: Final = {"A": "B", "B": "A", "both": "both", "neither": "neither"}


@dataclass(frozen=True, slots=True)
class Pair:
    """The indices of two items of the same question."""

    first: int
    second: int


def pairs_of(items: Sequence[JudgeItem]) -> list[Pair]:
    """Return the neighbouring items in the ring of each question; a question's only item has no pair."""
    places: defaultdict[str, list[int]] = defaultdict(list)
    for index, item in enumerate(items):
        places[item.key[0]].append(index)
    pairs = []
    for ring in places.values():
        ends = [(ring[n - 1], ring[n]) for n in range(1, len(ring))]
        if len(ring) > 2:
            ends.append((ring[-1], ring[0]))
        pairs += [Pair(*end) for end in ends]
    return pairs


def asks_of(pair: Pair, items: Sequence[JudgeItem]) -> tuple[Ask, Ask]:
    """Return the questions for both orders of a pair."""
    first_item, other = items[pair.first], items[pair.second]
    return Ask(first_item.query, (first_item.text, other.text)), Ask(
        first_item.query, (other.text, first_item.text)
    )


def compare(
    pairs: Sequence[Pair], items: Sequence[JudgeItem], answers: Mapping[Ask, int | str]
) -> tuple[list[Preference], dict[int, float]]:
    """Return the comparisons with answers for both orders, and the grade, 0-5, of every item in them."""
    preferences, points = [], defaultdict[int, list[float]](list)
    for pair in pairs:
        there, back = asks_of(pair, items)
        if there not in answers or back not in answers:
            continue
        first_answer, again = str(answers[there]), _SWAPPED[str(answers[back])]
        won = first_answer if first_answer == again and first_answer in ("A", "B") else None
        first, second = items[pair.first], items[pair.second]
        preferred = {"A": first.chunk_id, "B": second.chunk_id, None: None}[won]
        preferences.append(
            Preference(first.query, first.chunk_id, second.chunk_id, preferred, first_answer == again)
        )
        for item, mine in ((pair.first, "A"), (pair.second, "B")):
            points[item].append(fmean(_points(answer, mine) for answer in (first_answer, again)))
    return preferences, {item: fmean(values) for item, values in points.items()}


def _points(answer: str, mine: str) -> float:
    return POINTS["won" if answer == mine else answer if answer in ("both", "neither") else "lost"]
