"""Scoring of features: a weighted sum, or LightGBM's trees."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ragwheel.errors import MissingExtra, ModelError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

__all__ = ["FeatureScorer", "LinearScorer", "TreeScorer", "read_trees"]


class FeatureScorer(Protocol):
    """Computes scores from a feature matrix without missing values."""

    def __call__(self, rows: Floats) -> Floats:
        """Return scores (rows,) for features (rows, columns); higher is better."""


@dataclass(frozen=True, eq=False)
class LinearScorer:
    """A weighted sum of standardised features.

    Attributes:
        weights, mean, scale: arrays of shape (columns,).
    """

    weights: Floats
    mean: Floats
    scale: Floats

    def __call__(self, rows: Floats) -> Floats:
        """Return scores, see :class:`FeatureScorer`."""
        scores: Floats = ((rows - self.mean) / self.scale) @ self.weights
        return scores


@dataclass(frozen=True, eq=False)
class TreeScorer:
    """LightGBM's boosted trees.

    Attributes:
        text: the model in LightGBM's text format.
        booster: the loaded model.
    """

    text: str
    booster: Any

    def __call__(self, rows: Floats) -> Floats:
        """Return scores, see :class:`FeatureScorer`."""
        return np.asarray(self.booster.predict(rows, num_threads=1), dtype=np.float64)


def read_trees(text: str) -> TreeScorer:
    """Load a model in LightGBM's text format.

    Raises:
        MissingExtra: LightGBM is not installed.
        ModelError: the text is no model of LightGBM.
    """
    try:
        import lightgbm
    except ImportError as error:
        raise MissingExtra(
            "this re-ranker holds LightGBM's trees, and lightgbm is not installed here. "
            "Next: pip install 'ragwheel[rerank]', or: ragwheel train reranker --model linear"
        ) from error
    if not text.startswith("tree\n"):
        raise ModelError("the trees of the re-ranker are damaged. Copy the folder again, or train it again.")
    try:
        return TreeScorer(text, lightgbm.Booster(model_str=text))
    except lightgbm.basic.LightGBMError as error:
        raise ModelError(f"the trees of the re-ranker are damaged ({error}). Train it again.") from error
