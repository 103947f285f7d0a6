"""Closed forms: the map that carries queries onto their relevant documents, drawn towards identity.

All give D of ``q -> q + qD``; identity is D = 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ragwheel.train.adapter.examples import AdapterExamples

    Floats = NDArray[np.float32]

__all__ = ["IDENTITY", "ClosedForm", "grid", "procrustes", "ridge"]

PULLS = (0.3, 1.0, 3.0, 10.0, 30.0)
SHARES = (0.1, 0.25, 0.5, 1.0)


def ridge(examples: AdapterExamples, pull: float) -> Floats:
    """Least squares of ``q + qD`` to the positive, with ``pull`` times the mean eigenvalue on ``|D|²``.

    (QᵀWQ + λI)⁻¹ QᵀW(P − Q): ridge regression (Hoerl & Kennard 1970) shrunk towards the identity map.
    """
    queries = examples.queries[examples.query].astype(np.float64)
    positives = examples.documents[examples.positive]
    weighted = queries * examples.weight[:, None]
    gram = weighted.T @ queries
    dimension = len(gram)
    strength = pull * float(np.trace(gram)) / dimension
    found: Floats = np.linalg.solve(
        gram + strength * np.eye(dimension), weighted.T @ (positives - queries)
    ).astype(np.float32)
    return found


def procrustes(examples: AdapterExamples) -> Floats:
    """The rotation that carries queries nearest to their positives (Schönemann 1966), less identity."""
    weighted = examples.queries[examples.query] * examples.weight[:, None]
    left, _, right = np.linalg.svd(weighted.T @ examples.documents[examples.positive])
    found: Floats = (left @ right - np.eye(len(left))).astype(np.float32)
    return found


def grid(method: str) -> list[ClosedForm]:
    """The closed forms to choose from on dev; for ``contrastive`` they are where it may start."""
    if method == "procrustes":
        return [ClosedForm("procrustes", share=share) for share in SHARES]
    return [ClosedForm("ridge", pull) for pull in PULLS]


@dataclass(frozen=True, slots=True)
class ClosedForm:
    """A closed form by name, its pull towards identity, and the share of it that is applied."""

    name: str
    pull: float = 0.0
    share: float = 1.0

    def __str__(self) -> str:
        """In words, for reports."""
        if self.name == "identity":
            return self.name
        return f"{self.name}" + (f", pull {self.pull:g}" if self.pull else "") + f", share {self.share:g}"

    def of(self, examples: AdapterExamples) -> Floats:
        """D of these examples."""
        if self.name == "identity":
            dimension = examples.queries.shape[1]
            return np.zeros((dimension, dimension), dtype=np.float32)
        full = procrustes(examples) if self.name == "procrustes" else ridge(examples, self.pull)
        return np.float32(self.share) * full


IDENTITY = ClosedForm("identity")
