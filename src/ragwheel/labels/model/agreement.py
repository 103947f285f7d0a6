"""How far two questions' relevant chunks agree, learned from evidence that is itself uncertain.

Of two questions and one chunk there are four possibilities: relevant to both, to one of them, or to neither.
Their shares are estimated by expectation-maximisation from what each question's own evidence says of the
chunk (latent class analysis: Lazarsfeld and Henry, Latent Structure Analysis, 1968). Counting how often both
questions *use* a chunk would understate the agreement: a chunk that nobody happened to open looks unused.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

__all__ = ["Transfer", "agreement"]

Floats = npt.NDArray[np.float64]

_START: Final = np.array([[0.71, 0.12], [0.12, 0.05]])  # hardly more than chance: agreement has to be seen
_ROUNDS: Final = 200
_CONVERGED: Final = 1e-5
_HELD: Final = 20.0  # pairs of questions that the shares are shrunk to independence by
_LEAST, _MOST = 0.01, 0.99  # what one question's relevant chunks say of another's is never certain


@dataclass(frozen=True)
class Transfer:
    """What the relevance of a chunk to one question says about its relevance to another one.

    Attributes:
        relevant: the probability that the chunk is relevant to the other question if it is to this one.
        irrelevant: the same if it is not relevant to this one.
    """

    relevant: float
    irrelevant: float

    @property
    def kappa(self) -> float:
        """By how much the two probabilities differ, 0-1: 0 says that the questions have nothing in common."""
        return self.relevant - self.irrelevant


def agreement(own: Floats, theirs: Floats, count: Floats) -> Transfer | None:
    """Estimate the transfer between questions that are alike close.

    Args:
        own: (patterns,) log-likelihood ratios of chunks by the evidence of one question.
        theirs: (patterns,) those of the same chunks by the evidence of the other question.
        count: (patterns,) how many chunks have these.

    Returns:
        None where the questions do not agree more than chance.
    """
    likelihoods = [np.stack([np.ones(len(x)), np.exp(np.clip(x, -20, 20))]) for x in (own, theirs)]
    joint = likelihoods[0][:, None, :] * likelihoods[1][None, :, :]
    shares = _START.copy()
    for _ in range(_ROUNDS):
        mass = shares[:, :, None] * joint
        summed = (mass / mass.sum(axis=(0, 1)) * count).sum(axis=2)
        summed = (summed + summed.T) / 2  # every couple of questions counts in both directions
        marginal = summed.sum(axis=0) / summed.sum()
        learned = summed + _HELD * np.outer(marginal, marginal)
        learned /= learned.sum()
        moved = float(np.abs(learned - shares).max())
        shares = learned
        if moved < _CONVERGED:
            break
    irrelevant, relevant = np.clip(shares[:, 1] / shares.sum(axis=1), _LEAST, _MOST)
    return Transfer(round(float(relevant), 4), round(float(irrelevant), 4)) if relevant > irrelevant else None
