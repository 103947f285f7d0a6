"""A crowd drawn at random: how an LLM cites, and how people look, click, read and vote.

Every rate is drawn from a wide range by the seed, so that nothing can be tuned to one of them. The same
object simulates what happens in a turn and gives the likelihood of what happened, which is what
:mod:`labels.crowds.bound` computes the Bayes-optimal labels from.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["Crowd", "draw_crowd"]

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Crowd:
    """The rates of one crowd; ``response`` in 0-1 is how a passage's grade shows (0: irrelevant).

    Attributes:
        turns_per_question: how often each question is asked on average.
        shown, prompted: how many chunks a person sees, and the LLM gets.
        look_decay: a person looks at place r with probability r ** -look_decay.
        click: probability of a click on what was looked at, of an irrelevant and of a fully relevant chunk.
        trust: added to the click rate of irrelevant chunks at place r, divided by r.
        clickers: the share of people who click at all.
        cite: probability of being cited, of an irrelevant and of a fully relevant chunk.
        cite_shape: factors on it by place in the prompt.
        dwell: mean of log seconds, of an irrelevant and of a fully relevant chunk.
        dwell_sd: standard deviation of log seconds.
        timed: the share of clicks whose reading time is measured.
        vote: probability that somebody votes on a chunk that they looked at.
        wrong_votes: the share of votes that say the opposite.
        graded: exponent of the response: a chunk of half the top grade responds like 0.5 ** graded.
        people: size of the pool of people; 0: anonymous.
        noise: probability that two neighbours of a ranking are swapped.
        tells_shown, tells_prompted: whether the app reports exposure.
    """

    seed: int
    turns_per_question: float
    shown: int
    prompted: int
    look_decay: float
    click: tuple[float, float]
    trust: float
    clickers: float
    cite: tuple[float, float]
    cite_shape: tuple[float, ...]
    dwell: tuple[float, float]
    dwell_sd: float
    timed: float
    vote: float
    wrong_votes: float
    graded: float
    people: int
    noise: float
    tells_shown: bool
    tells_prompted: bool

    @property
    def cites(self) -> bool:
        """Whether answers cite."""
        return self.cite[1] > 0

    @property
    def clicks(self) -> bool:
        """Whether anybody clicks."""
        return self.clickers > 0

    def response(self, grades: npt.ArrayLike, top: int) -> Floats:
        """(n,) how strongly chunks of these grades show that they are relevant, 0-1."""
        return np.asarray((np.asarray(grades, float) / top) ** self.graded * (np.asarray(grades) > 0))

    def look(self, place: npt.ArrayLike) -> Floats:
        """Probability that a person looks at a place."""
        return np.asarray(np.asarray(place, float) ** -self.look_decay)

    def click_rate(self, response: Floats, place: npt.ArrayLike) -> Floats:
        """Probability that a person who clicks at all clicks this chunk."""
        low, high = self.click
        wrong = np.minimum(low + self.trust / np.asarray(place, float), 0.95)
        return np.asarray(self.look(place) * np.maximum(wrong, low + (high - low) * response))

    def cite_rate(self, response: Floats, place: npt.ArrayLike) -> Floats:
        """Probability that the answer cites the chunk at this place of the prompt."""
        low, high = self.cite
        shape = np.asarray(self.cite_shape)[np.asarray(place, int) - 1]
        return np.asarray((low + (high - low) * response) * shape)

    def dwell_mean(self, response: Floats) -> Floats:
        """Mean of log seconds."""
        return np.asarray(self.dwell[0] + (self.dwell[1] - self.dwell[0]) * response)

    def vote_rates(self, response: Floats, place: npt.ArrayLike) -> tuple[Floats, Floats]:
        """Probability of a vote for, and of one against."""
        some = self.vote * self.look(place)
        likes = np.where(response > 0, 1 - self.wrong_votes, self.wrong_votes)
        return some * likes, some * (1 - likes)


def draw_crowd(seed: int) -> Crowd:
    """A crowd whose every rate comes from the seed."""
    rng = np.random.default_rng([seed, 20261128])
    cites, clicks, votes = rng.random() < 0.8, rng.random() < 0.85, rng.random() < 0.5
    if not cites and not clicks:
        cites = clicks = True
    prompted = int(rng.choice([3, 5, 8, 10]))
    places = np.arange(prompted) / max(prompted - 1, 1)
    middle = rng.uniform(0, 0.6) if rng.random() < 0.6 else 0.0
    decay = rng.uniform(0, 0.5) if rng.random() < 0.5 else 0.0
    shape = (1 - middle * 4 * places * (1 - places)) * (1 - decay * places)
    irrelevant = rng.uniform(-0.5, 1.5)
    return Crowd(
        seed=seed,
        turns_per_question=float(rng.choice([1.2, 2, 4, 10, 30])),
        shown=int(rng.choice([5, 8, 10])),
        prompted=prompted,
        look_decay=rng.uniform(0.2, 1.5),
        click=(rng.uniform(0.02, 0.25), rng.uniform(0.35, 0.95)),
        trust=rng.uniform(0, 0.3),
        clickers=rng.uniform(0.25, 1.0) if clicks else 0.0,
        cite=(rng.uniform(0.01, 0.15), rng.uniform(0.4, 0.95)) if cites else (0.0, 0.0),
        cite_shape=tuple(float(x) for x in shape),
        dwell=(irrelevant, irrelevant + rng.uniform(0.4, 2.0)),
        dwell_sd=rng.uniform(0.4, 1.2),
        timed=rng.uniform(0.3, 1.0) if rng.random() < 0.7 else 0.0,
        vote=rng.uniform(0.005, 0.1) if votes else 0.0,
        wrong_votes=rng.uniform(0.02, 0.25),
        graded=rng.uniform(0.5, 2.0),
        people=int(rng.choice([0, 20, 200, 2000])),
        noise=rng.uniform(0, 0.3),
        tells_shown=bool(rng.random() < 0.75),
        tells_prompted=bool(rng.random() < 0.75),
    )
