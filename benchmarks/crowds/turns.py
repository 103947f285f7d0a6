"""What happens when a crowd uses a retriever: arrays of exposures, one row per chunk that was returned."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from labels.worlds import World

from crowds.crowd import Crowd

__all__ = ["Exposures", "simulate"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Exposures:
    """Columns, one row per chunk returned in a turn, turn by turn in rank order.

    ``question`` and ``chunk`` are numbers into ``questions`` and ``chunks``; ``place`` is 1-based;
    ``prompted`` whether it was in the prompt; ``vote`` is +1, -1 or 0; ``seconds`` nan where nothing was
    measured; ``person`` -1 where anonymous; ``grade`` the truth.
    """

    turn: Ints
    question: Ints
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
    chunks: list[str]

    def __len__(self) -> int:
        return len(self.turn)


def simulate(world: World, crowd: Crowd, turns: int) -> Exposures:
    """``turns`` turns over as many questions as ``turns_per_question`` asks for.

    Where the world has fewer, a question comes again as another one: its chunks then have the same grades,
    but what happens to them is drawn again.
    """
    rng = np.random.default_rng([crowd.seed, 7])
    distinct = sorted(world.queries)
    rng.shuffle(distinct)
    n = max(1, round(turns / crowd.turns_per_question))
    questions = [distinct[i % len(distinct)] for i in range(n)]
    top = max(max(grades.values(), default=1) for grades in world.grades.values())
    numbers = {chunk: i for i, chunk in enumerate(world.texts)}
    asked = np.concatenate([np.arange(n), rng.integers(0, n, max(0, turns - n))])[:turns]
    rng.shuffle(asked)
    pool = crowd.people or len(asked)
    clickers = rng.random(pool) < crowd.clickers
    columns: dict[str, list[npt.NDArray[np.generic]]] = {}
    size = max(crowd.shown, crowd.prompted)
    for turn, number in enumerate(asked):
        query = questions[number]
        ranked = list(world.rankings[query])
        for place in range(len(ranked) - 1):
            if rng.random() < crowd.noise:
                ranked[place], ranked[place + 1] = ranked[place + 1], ranked[place]
        ranked = ranked[:size]
        judged = world.grades[query]
        grades = np.array([judged.get(chunk, 0) for chunk in ranked])
        places = np.arange(1, len(ranked) + 1)
        response = crowd.response(grades, top)
        prompted, shown = places <= crowd.prompted, places <= crowd.shown
        person = turn if not crowd.people else int(rng.integers(pool))
        clicker = bool(clickers[person])
        cited = np.zeros(len(ranked), bool)
        cited[prompted] = rng.random(prompted.sum()) < crowd.cite_rate(response[prompted], places[prompted])
        clicked = (rng.random(len(ranked)) < crowd.click_rate(response, places)) & shown & clicker
        seconds = np.exp(rng.normal(crowd.dwell_mean(response), crowd.dwell_sd))
        seconds[~(clicked & (rng.random(len(ranked)) < crowd.timed))] = np.nan
        up, down = crowd.vote_rates(response, places)
        dice = rng.random(len(ranked))
        vote = np.where(dice < up, 1, np.where(dice < up + down, -1, 0)) * shown
        row = {
            "turn": np.full(len(ranked), turn),
            "question": np.full(len(ranked), number),
            "chunk": np.array([numbers[chunk] for chunk in ranked]),
            "place": places,
            "prompted": prompted,
            "cited": cited,
            "clicked": clicked,
            "seconds": np.round(seconds, 2),
            "vote": vote,
            "person": np.full(len(ranked), person if crowd.people else -1),
            "clicker": np.full(len(ranked), clicker),
            "grade": grades,
        }
        for name, values in row.items():
            columns.setdefault(name, []).append(values)
    arrays = {name: np.concatenate(values) for name, values in columns.items()}
    return Exposures(**arrays, questions=questions, chunks=list(world.texts))
