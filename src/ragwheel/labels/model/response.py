"""Who reacts at all: how likely it is that somebody who left no trace looked and decided against it.

Nobody clicked in this turn: either the person never clicks, or nothing was worth it. Only in the second case
does a chunk that was not clicked say anything. A mixture of the two is fitted to the turns of each person:
whoever clicked in other turns is somebody who reacts, so that their silence counts. The same serves answers
without citations, with all answers of a store as one person.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["Patterns", "Places", "silent_weights"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

_ROUNDS = 40
_OWN = 1.0  # how many turns of others a person's own habits are shrunk to


@dataclass(frozen=True)
class Patterns:
    """How people behaved, one row per pattern: so many of them had so many turns with and without a reaction.

    ``length`` is the mean number of chunks in the turns without.
    """

    people: Ints
    active: Ints
    silent: Ints
    length: Ints


@dataclass(frozen=True)
class Places:
    """Per place from 1 on: reactions, and impressions in turns with a reaction."""

    events: Ints
    impressions: Ints


def silent_weights(patterns: Patterns, places: Places) -> Floats:
    """Return (patterns,) the probability that the person was reacting in a turn where they left no trace.

    Args:
        patterns: all people of the store.
        places: counts by place over all turns.
    """
    counts = np.arange(len(places.events))
    people, length = patterns.people.astype(float), np.minimum(patterns.length, len(counts))
    turns = patterns.active + patterns.silent
    share, weights = 0.6, np.full(len(people), 0.5)
    for _ in range(_ROUNDS):
        silent = np.bincount(length, people * patterns.silent * weights, len(counts) + 1)
        below = silent[::-1].cumsum()[::-1][1:]  # silent turns that reach each place
        rate = (places.events + 0.5) / (places.impressions + below + 2.0)
        unseen = np.concatenate([[0.0], np.log1p(-np.clip(rate, 1e-3, 0.95)).cumsum()])
        nothing = np.exp(unseen[length])
        reacting = patterns.active + patterns.silent * weights
        share = float(np.clip((people @ reacting + 3) / (people @ turns + 5), 0.02, 0.995))
        own = (reacting + _OWN * share) / (turns + _OWN)
        weights = own * nothing / (own * nothing + 1 - own)
    return weights
