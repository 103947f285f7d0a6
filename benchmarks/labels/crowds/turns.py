"""What happens when a crowd uses a retriever: arrays of exposures, one row per chunk that was returned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from labels.crowds.copies import enlarge
from labels.crowds.crowd import Crowd
from labels.worlds import World

__all__ = ["Exposures", "simulate"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Exposures:
    """Columns, one row per chunk returned in a turn, turn by turn in rank order.

    ``question``, ``wording`` and ``chunk`` are numbers into ``questions``, ``wordings`` and ``chunks`` (ids);
    ``place`` is 1-based; ``prompted`` whether it was in the prompt; ``vote`` is +1, -1 or 0; ``seconds`` nan
    where nothing was measured; ``person`` -1 where anonymous; ``grade`` the truth. ``world`` has the texts.
    """

    turn: Ints
    question: Ints
    wording: Ints
    chunk: Ints
    place: Ints
    prompted: Bools
    cited: Bools
    clicked: Bools
    seconds: Floats
    vote: Ints
    person: Ints
    clicker: Bools
    grade: Ints
    questions: list[str]
    wordings: list[str]
    chunks: list[str]
    world: World

    def __len__(self) -> int:
        return len(self.turn)


def simulate(collection: World, crowd: Crowd, turns: int) -> Exposures:
    """Simulate ``turns`` turns over as many questions as ``turns_per_question`` asks for.

    A collection with fewer questions is enlarged first (:func:`labels.crowds.copies.enlarge`). Each turn
    draws one of its question's wordings at random.
    """
    n = max(1, round(turns / crowd.turns_per_question))
    world = enlarge(collection, n, crowd.seed)
    rng = np.random.default_rng([crowd.seed, 7])
    questions = sorted(world.queries)
    rng.shuffle(questions)
    questions = questions[:n]
    wordings = [wording for question in questions for wording in world.wordings_of(question)]
    wording_numbers = {wording: i for i, wording in enumerate(wordings)}
    chunk_numbers = {chunk: i for i, chunk in enumerate(world.texts)}
    asked = np.concatenate([np.arange(n), rng.integers(0, n, max(0, turns - n))])[:turns]
    rng.shuffle(asked)
    pool = crowd.people or len(asked)
    clickers = rng.random(pool) < crowd.clickers
    columns: dict[str, list[npt.NDArray[np.generic]]] = {}
    for turn, number in enumerate(asked):
        query = questions[number]
        choice = world.wordings_of(query)
        wording = choice[int(rng.integers(len(choice)))]
        ranked = _returned(world.rankings[wording], crowd, rng)
        judged = world.grades[query]
        grades = np.array([judged.get(chunk, 0) for chunk in ranked])
        person = turn if not crowd.people else int(rng.integers(pool))
        row = {
            "turn": np.full(len(ranked), turn),
            "question": np.full(len(ranked), number),
            "wording": np.full(len(ranked), wording_numbers[wording]),
            "chunk": np.array([chunk_numbers[chunk] for chunk in ranked]),
            "person": np.full(len(ranked), person if crowd.people else -1),
            "clicker": np.full(len(ranked), clickers[person]),
            "grade": grades,
            **_reactions(crowd.response(grades, world.top), bool(clickers[person]), crowd, rng),
        }
        for name, values in row.items():
            columns.setdefault(name, []).append(values)
    arrays = {name: np.concatenate(values) for name, values in columns.items()}
    return Exposures(**arrays, questions=questions, wordings=wordings, chunks=list(world.texts), world=world)


def _returned(ranking: Sequence[str], crowd: Crowd, rng: np.random.Generator) -> list[str]:
    """The chunks that the app gets: the ranking's first, with some neighbours swapped."""
    ranked = list(ranking)
    for place in range(len(ranked) - 1):
        if rng.random() < crowd.noise:
            ranked[place], ranked[place + 1] = ranked[place + 1], ranked[place]
    return ranked[: max(crowd.shown, crowd.prompted)]


def _reactions(
    response: Floats, clicker: bool, crowd: Crowd, rng: np.random.Generator
) -> dict[str, npt.NDArray[np.generic]]:
    """What the LLM and one person do with the chunks of a turn."""
    places = np.arange(1, len(response) + 1)
    prompted, shown = places <= crowd.prompted, places <= crowd.shown
    cited = np.zeros(len(places), bool)
    cited[prompted] = rng.random(prompted.sum()) < crowd.cite_rate(response[prompted], places[prompted])
    clicked = (rng.random(len(places)) < crowd.click_rate(response, places)) & shown & clicker
    seconds = np.exp(rng.normal(crowd.dwell_mean(response), crowd.dwell_sd))
    seconds[~(clicked & (rng.random(len(places)) < crowd.timed))] = np.nan
    up, down = crowd.vote_rates(response, places)
    dice = rng.random(len(places))
    vote = np.where(dice < up, 1, np.where(dice < up + down, -1, 0)) * shown
    return {
        "place": places,
        "prompted": prompted,
        "cited": cited,
        "clicked": clicked,
        "seconds": np.round(seconds, 2),
        "vote": vote,
    }
