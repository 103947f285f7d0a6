"""Three user models that the label stage does not know; every number below is stated, none is read from it.

* :class:`Clicking`: position-biased clicks with trust bias. A person looks at place *r* with probability
  ``r ** -0.8``. Having looked, they click a relevant passage with 0.75 (grade 2) or 0.55 (grade 1), and an
  irrelevant one with ``0.05 + 0.30 / r``: the higher, the more they trust it. A click is timed four times
  in five; irrelevant ones are left within 3 s in six of ten cases.
* :class:`Citing`: an LLM that loses the middle. It cites a relevant passage of its prompt with 0.85 (grade 1:
  0.68) times 1, .75, .5, .7, .95 by place, and one citation in five goes to a random passage of the prompt.
  Where it found nothing it still cites something at random three times in ten.
* :class:`Lazy`: explicit feedback. For 2 % of the passages that they look at people say something: thumbs-up,
  thumbs-down or delete, and one time in ten the wrong thing.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Act", "Citing", "Clicking", "Lazy"]

PROMPTED, SHOWN = 5, 10
_MIDDLE = (1.0, 0.75, 0.5, 0.7, 0.95)


@dataclass(frozen=True)
class Act:
    """A signal about the passage at ``rank``."""

    rank: int
    kind: str
    value: float | None = None


def _looks(rank: int, rng: random.Random) -> bool:
    return rng.random() < float(rank**-0.8)


class Clicking:
    """Position-biased clicks with trust bias."""

    def acts(self, grades: Sequence[int], rng: random.Random) -> list[Act]:
        """What one person does with passages of these grades."""
        done: list[Act] = []
        for rank, grade in enumerate(grades, 1):
            wants = (0.05 + 0.30 / rank, 0.55, 0.75)[grade]
            if not _looks(rank, rng) or rng.random() >= wants:
                continue
            done.append(Act(rank, "click"))
            if rng.random() < 0.8:
                if grade:
                    seconds = min(rng.lognormvariate(3.0, 0.6), 300.0)
                else:
                    seconds = rng.uniform(0.4, 2.9) if rng.random() < 0.6 else rng.uniform(3.0, 12.0)
                done.append(Act(rank, "dwell", round(seconds, 2)))
        return done


class Citing:
    """An LLM that neglects the middle of its prompt and cites wrongly one time in five."""

    def cites(self, grades: Sequence[int], rng: random.Random) -> list[int]:
        """The places in the prompt that its answer cites."""
        cited = [
            rng.randint(1, len(grades)) if rng.random() < 0.2 else place
            for place, grade in enumerate(grades, 1)
            if grade and rng.random() < (0.0, 0.68, 0.85)[grade] * _MIDDLE[place - 1]
        ]
        if not cited and rng.random() < 0.3:
            cited = [rng.randint(1, len(grades))]
        return sorted(set(cited))


class Lazy:
    """Explicit feedback on one looked-at passage in fifty."""

    def acts(self, grades: Sequence[int], rng: random.Random) -> list[Act]:
        """What one person says about passages of these grades."""
        done = []
        for rank, grade in enumerate(grades, 1):
            if _looks(rank, rng) and rng.random() < 0.02:
                likes = (grade > 0) != (rng.random() < 0.1)
                done.append(Act(rank, "thumbs_up" if likes else rng.choice(("thumbs_down", "delete"))))
        return done
