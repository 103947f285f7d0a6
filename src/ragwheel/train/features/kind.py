"""Which kind of re-ranker suits what there is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

from ragwheel.datasets import open_dataset
from ragwheel.errors import TrainingError
from ragwheel.models.loading import MINILM, resolve
from ragwheel.train.features.train import database_of

__all__ = ["choose_kind"]


def choose_kind(
    dataset: str | Path, base: str = MINILM, db: str | Path | None = None
) -> tuple[Literal["features", "cross-encoder"], tuple[str, ...]]:
    """Choose between a re-ranker on features and a cross-encoder.

    Args:
        dataset: a folder that ``ragwheel build`` wrote.
        base: what a cross-encoder would start from.
        db: the store that the dataset was built from, if named.

    Returns:
        The kind, and sentences that say why.

    Raises:
        DatasetError: there is no such dataset.
        ModelError: there is no such base.
    """
    if base != MINILM and _scores_pairs(base):
        return "cross-encoder", (f"{base} can score pairs already, so a cross-encoder starts from it",)
    try:
        database_of(open_dataset(dataset), db)
    except TrainingError:
        return "cross-encoder", (
            "the database with the retriever's rankings is not at hand (--db FILE), so there are no features",
        )
    return "features", (
        f"features: the database has the retriever's rankings, and {base} has no trained head for scores",
    )


def _scores_pairs(base: str) -> bool:
    """Whether a base has a head for scores; of a hub id that is not known, and it is taken for one."""
    config = Path(resolve(base)) / "config.json"
    if not config.is_file():
        return not Path(resolve(base)).is_dir()
    try:
        architectures = json.loads(config.read_text("utf-8")).get("architectures") or ()
    except (OSError, ValueError):
        return False
    return any("SequenceClassification" in name for name in architectures)
