"""Who reacts at all: how likely it is that a person who left no trace would have left one.

Some people never open anything, whatever they are shown, and what these passed over says nothing. How many
there are shows in people who came several times: those who react do so in a share of their turns, the others
in none (a binomial with an excess of zeros: Hall, Zero-inflated Poisson and binomial regression with random
effects, Biometrics 56, 2000). In a single turn without a trace the two look the same. Then the person counts
as one who reacts: rates of opening are then rates among all, and nothing is assumed of how many chunks there
were to open.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

__all__ = ["Patterns", "reacting"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

_ROUNDS: Final = 200
_REACT: Final = (20.0, 0.2)  # people who react, and who do not, that the share of them is shrunk to
_TURNS: Final = (2.0, 2.0)  # turns with and without a reaction, likewise


@dataclass(frozen=True)
class Patterns:
    """How people behaved, by pattern: so many had so many turns with, and without, a reaction."""

    people: Ints
    active: Ints
    silent: Ints


def reacting(patterns: Patterns) -> Floats:
    """Return (patterns,) the probability that the people are of those who react at all."""
    people, turns = patterns.people.astype(float), patterns.active + patterns.silent
    share, often, probability = 0.9, 0.6, np.ones(len(people))
    for _ in range(_ROUNDS):
        silent = share * (1 - often) ** turns
        probability = np.where(patterns.active > 0, 1.0, silent / (silent + 1 - share))
        share = float((people @ probability + _REACT[0]) / (people.sum() + sum(_REACT)))
        theirs = float((people * probability) @ turns)
        often = float((people @ patterns.active + _TURNS[0]) / (theirs + sum(_TURNS)))
    return np.asarray(probability)
