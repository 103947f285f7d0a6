"""Filters for liked answers that are no good examples: too long, too specific, too unusual, or repeated."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np

from ragwheel.fewshot.options import FewshotOptions
from ragwheel.offline.answers import AnsweredTurn, why_not
from ragwheel.offline.words import key, rare_names, words

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

__all__ = ["good", "near_copies", "scrubbed", "unusual"]

_LEAST_WORDS: Final = 2
_NEIGHBOURS: Final = 10
_ENOUGH: Final = 20
"""The least number of candidates for the filter of unusual questions."""
_RARE: Final = 0.001
"""A name is rare if it occurs in at most one question, or in at most this share of them."""


def good(turns: Sequence[AnsweredTurn], options: FewshotOptions) -> tuple[list[AnsweredTurn], Counter[str]]:
    """Return the turns that may become examples, and counts of the others by their first reason."""
    left_out: Counter[str] = Counter()
    counts = Counter(name for turn in {key(t.question): t for t in turns}.values() for name in _names(turn))
    rare_up_to = max(1, int(_RARE * len(turns)))
    best: dict[str, AnsweredTurn] = {}
    for turn in turns:
        reason = why_not(turn) or _unfit(turn, options, counts, rare_up_to)
        if reason is not None:
            left_out[reason] += 1
            continue
        before = best.get(key(turn.question))
        if before is not None:
            left_out["asked more than once"] += 1
        if before is None or _received(turn) > _received(before):
            best[key(turn.question)] = turn
    return sorted(best.values(), key=lambda t: (t.asked_ns, t.turn_id)), left_out


def _names(turn: AnsweredTurn) -> set[str]:
    return set(rare_names(turn.question))


def _unfit(
    turn: AnsweredTurn, options: FewshotOptions, word_counts: Counter[str], rare_up_to: int
) -> str | None:
    asked = words(turn.question)
    if len(asked) < _LEAST_WORDS:
        return "too short a question"
    if len(turn.answer) > options.max_answer_chars:
        return "too long an answer"
    rare = [name for name in rare_names(turn.question) if word_counts[name] <= rare_up_to]
    if len(rare) > options.max_rare_share * len(asked):
        return "too specific"
    return None


def _received(turn: AnsweredTurn) -> tuple[int, int, int]:
    """Return a sort key for how well an answer was received; ties go to the later turn."""
    return turn.liked, turn.cited, turn.asked_ns


def scrubbed(turns: Iterable[AnsweredTurn], redact: Callable[[str], str]) -> tuple[list[AnsweredTurn], int]:
    """Return the turns with personal data replaced, and the number of turns that had some."""
    kept, changed = [], 0
    for turn in turns:
        clean = replace(
            turn,
            question=redact(turn.question),
            answer=redact(turn.answer),
            reasoning=None if turn.reasoning is None else redact(turn.reasoning),
        )
        changed += clean != turn
        kept.append(clean)
    return kept, changed


def unusual(sim: Floats, share: float) -> NDArray[np.bool_]:
    """Return the candidates with the lowest mean similarity to their ten nearest questions.

    Args:
        sim: similarities of shape (population, candidates).
        share: the share of the candidates to return.
    """
    population, candidates = sim.shape
    if candidates < _ENOUGH or share <= 0:
        return np.zeros(candidates, dtype=bool)
    near = min(_NEIGHBOURS, population)
    density = np.partition(sim, population - near, axis=0)[population - near :].mean(axis=0)
    is_copy = np.zeros(candidates, dtype=bool)
    is_copy[np.argsort(density, kind="stable")[: int(share * candidates)]] = True
    return is_copy


def near_copies(vectors: Floats, order: Sequence[int], near: float) -> NDArray[np.bool_]:
    """Return the rows that are near-copies of an earlier one in ``order``."""
    is_odd = np.zeros(len(vectors), dtype=bool)
    group = np.empty(len(vectors), dtype=np.int64)
    group[list(order)] = np.arange(len(vectors))
    for start in range(0, len(vectors), 1_024):
        block = vectors[start : start + 1_024] @ vectors.T >= near
        earlier = group[None, :] < group[start : start + 1_024, None]
        is_odd[start : start + 1_024] = (block & earlier).any(axis=1)
    return is_odd
