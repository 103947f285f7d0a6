"""More questions than a collection has: the same ones, asked about other things."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Final

from labels.worlds import World

__all__ = ["enlarge"]

_VOWELS: Final = ("a", "e", "i", "o", "u", "ar", "en", "ol")
_SYLLABLES: Final = tuple(consonant + vowel for consonant in "bdfgklmnprstvz" for vowel in _VOWELS)


def enlarge(world: World, questions: int, seed: int) -> World:
    """Return a world with at least this many questions.

    A world that has enough is returned as it is. Any other becomes several copies of itself. Each copy is
    about a thing of its own, whose three invented words begin every question and every chunk, and has its
    own chunk ids. So no two copies return the same chunk, their questions are not near-identical, and
    evidence from one copy says nothing about another. The grades are the same in every copy, and a chunk of
    one copy is no answer to the questions of another.
    """
    copies = -(-questions // len(world.queries))
    if copies <= 1:
        return world
    rng = random.Random(seed)
    texts: dict[str, str] = {}
    rankings: dict[str, list[str]] = {}
    grades: dict[str, Mapping[str, int]] = {}
    wordings: dict[str, list[str]] = {}
    for copy in range(copies):
        thing = " ".join("".join(rng.choices(_SYLLABLES, k=3)).capitalize() for _ in range(3))
        for query in world.queries:
            question = f"{thing}: {query}"
            grades[question] = {f"{doc}~{copy}": grade for doc, grade in world.grades[query].items()}
            for wording in world.wordings_of(query):
                wordings.setdefault(question, []).append(f"{thing}: {wording}")
                rankings[f"{thing}: {wording}"] = [f"{doc}~{copy}" for doc in world.rankings[wording]]
                texts |= {f"{doc}~{copy}": f"{thing}. {world.texts[doc]}" for doc in world.rankings[wording]}
    return World(world.name, world.complete, texts, rankings, grades, {}, wordings=wordings)
