"""LambdaMART by LightGBM, shallow and slow, for hundreds of questions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ragwheel.deploy.features.scoring import TreeScorer, read_trees

if TYPE_CHECKING:
    from ragwheel.train.features.matrix import Lesson

__all__ = ["fit_trees", "trees_available"]

_LEVELS: Final = 31  # LightGBM takes whole numbers as relevance; this many steps of belief
_SHAPE: Final[dict[str, Any]] = {
    "objective": "lambdarank",
    "learning_rate": 0.05,
    "num_leaves": 7,
    "max_depth": 4,
    "min_data_in_leaf": 40,
    "feature_fraction": 0.7,
    "bagging_fraction": 0.8,
    "bagging_freq": 1,
    "lambda_l2": 5.0,
    "lambdarank_truncation_level": 20,
    "monotone_constraints_method": "advanced",
    "deterministic": True,
    "force_row_wise": True,
    "num_threads": 1,
    "verbosity": -1,
}


def trees_available() -> bool:
    """Whether LightGBM can be imported."""
    try:
        import lightgbm  # noqa: F401 - only asked whether it is there
    except (ImportError, OSError):
        return False
    return True


def fit_trees(lesson: Lesson, *, rounds: int, seed: int) -> TreeScorer:
    """LambdaMART (Burges 2010) with monotone constraints.

    Args:
        lesson: what to learn from.
        rounds: number of trees.
        seed: of the rows and features that each tree sees.
    """
    import lightgbm

    rows = lesson.rows
    relevance = np.round(lesson.gains[rows] * (_LEVELS - 1)).astype(int)
    data = lightgbm.Dataset(
        lesson.matrix.rows[rows],
        relevance,
        group=[n for n in lesson.lengths if n],
        weight=lesson.weights[rows],
    )
    params = {
        **_SHAPE,
        "seed": seed,
        "label_gain": [step / (_LEVELS - 1) for step in range(_LEVELS)],
        "monotone_constraints": [int(sign) for sign in lesson.signs],
    }
    booster = lightgbm.train(params, data, num_boost_round=rounds)
    return read_trees(booster.model_to_string())
