"""The folder and the card of a re-ranker on features."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np

from ragwheel.datasets import BuiltDataset
from ragwheel.deploy.features import FEATURES, NAMES, FeatureReranker
from ragwheel.errors import ConfigurationError
from ragwheel.files import replace_folder
from ragwheel.models.card import ModelFacts, write_model_card
from ragwheel.store.artifacts import register_artifact
from ragwheel.train.features.choose import Chosen
from ragwheel.train.options import DevFigures, TrainedModel
from ragwheel.train.saving import subjects_of, traces_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ragwheel.evaluate.criterion import Gain

__all__ = ["FeatureOptions", "FeatureTraining", "finish"]

_FEWEST: Final = 20
_CERTAIN: Final = 100


@dataclass(frozen=True)
class FeatureOptions:
    """How to train a re-ranker on features.

    Args:
        model: ``linear``, ``trees`` (LambdaMART, needs LightGBM), or ``auto``: what gains more on questions
            that it was not fitted on.
        encoder: an embedding model whose similarities are features, too: ``minilm``, a folder, a hub id.
            None: no encoder; the retriever's own score is a feature in any case.
        labels: ``model``: what the label model believes of every exposed chunk; ``dataset``: the grades of
            the dataset's pairs alone.
        min_examples: training questions below which nothing is trained.
        seed: of every draw.

    Raises:
        ConfigurationError: a value that cannot be used.
    """

    model: Literal["auto", "linear", "trees"] = "auto"
    encoder: str | None = None
    labels: Literal["model", "dataset"] = "model"
    min_examples: int = 50
    seed: int = 0

    def __post_init__(self) -> None:
        if self.model not in ("auto", "linear", "trees"):
            raise ConfigurationError(f"model is {self.model!r}; allowed: auto, linear, trees.")
        if self.labels not in ("model", "dataset"):
            raise ConfigurationError(f"labels is {self.labels!r}; allowed: model, dataset.")
        if self.min_examples < _FEWEST:
            raise ConfigurationError(f"min_examples is {self.min_examples}; allowed: {_FEWEST} or more.")


@dataclass(frozen=True, eq=False)
class FeatureTraining:
    """Everything that the card and the result are made from."""

    dataset: BuiltDataset
    db: Path
    out: Path
    options: FeatureOptions
    model: FeatureReranker
    chosen: Chosen
    without: dict[str, Gain]
    dev: DevFigures | None
    lists: int
    started: float


def finish(done: FeatureTraining, columns: NDArray[np.int64]) -> TrainedModel:
    """Write the folder, whole or not at all, and say what was chosen and why."""
    why, notes, recommended = _reasons(done), _warnings(done), is_recommended(done)
    subjects, people = subjects_of(done.dataset, done.db)
    took = {"examples": float(done.lists), "training_s": round(time.monotonic() - done.started, 1)}
    measured = {} if done.dev is None else {"dev nDCG@10": {**asdict(done.dev), "gain": done.dev.gain}}
    facts = ModelFacts(
        kind="reranker",
        base="features",
        dataset_id=done.dataset.id,
        dataset_path=str(done.dataset.folder),
        database=str(done.db),
        traces=traces_of(done.dataset),
        subjects=subjects,
        configuration={**asdict(done.options), "kind": "features", "chosen": _chosen(done, columns)},
        seeds=(done.options.seed,),
        figures={**measured, **took, **_gains(done), **_weights(done.model, columns)},
        notes=(*why, *notes, people),
        recommended=recommended,
        usage=_USAGE,
    )
    with replace_folder(done.out) as folder:
        done.model.save(folder)
        write_model_card(folder, facts)
    register_artifact(
        done.db, "model", done.out, parents=[done.dataset.folder], subjects=facts.subjects.count
    )
    return TrainedModel(done.out, facts, done.chosen.recipe.name, why, done.dev, notes, took)


def is_recommended(done: FeatureTraining) -> bool:
    """Whether a gain is expected, and neither new answers nor dev speak against it."""
    gain, new = done.chosen.gain, done.chosen.slices.unseen
    harmless = (new is None or new.high >= 0) and (done.dev is None or done.dev.high >= 0)
    return gain.mean > 0 and gain.high > 0 and harmless


def _reasons(done: FeatureTraining) -> tuple[str, ...]:
    gain = done.chosen.gain
    first = (
        f"{done.chosen.recipe.name}: {gain.mean:+.3f} expected nDCG@10 [{gain.low:+.3f}, {gain.high:+.3f}] "
        f"on {gain.queries:,} training questions, each scored by a model that was fitted without it"
    )
    others = [f"{name}: {entry.mean:+.3f}" for name, entry in done.chosen.gains.items()]
    groups = sorted(done.without.items(), key=lambda item: item[1].mean)
    slices = ((done.chosen.slices.unseen, "was not"), (done.chosen.slices.seen, "was"))
    return (
        first,
        *(
            f"of {part.queries:,} questions whose answer {word} trained on: {part.mean:+.3f} "
            f"[{part.low:+.3f}, {part.high:+.3f}]"
            for part, word in slices
            if part is not None
        ),
        *(line for line in others if not line.startswith(f"{done.chosen.recipe.name}:")),
        *(f"without the {group} features: {entry.mean:+.3f}" for group, entry in groups),
    )


def _warnings(done: FeatureTraining) -> tuple[str, ...]:
    gain, notes = done.chosen.gain, []
    if not is_recommended(done):
        notes.append("it is not expected to order better than the retriever: do not use it")
    elif gain.low < 0:
        notes.append(f"the gain on {gain.queries:,} questions may be chance: the interval holds zero")
    if done.lists < _CERTAIN:
        notes.append(f"only {done.lists} questions to learn from: let it prove itself (ragwheel evaluate)")
    return tuple(notes)


def _chosen(done: FeatureTraining, columns: NDArray[np.int64]) -> dict[str, Any]:
    return {
        "model": done.chosen.recipe.name,
        "features": [NAMES[column] for column in columns],
        "retriever": done.model.version,
    }


def _gains(done: FeatureTraining) -> dict[str, Any]:
    gain = done.chosen.gain
    return {
        "expected gain, cross-fitted": {"mean": gain.mean, "low": gain.low, "high": gain.high},
        **done.chosen.slices.figures,
        "expected gain by recipe": {name: entry.mean for name, entry in done.chosen.gains.items()},
        "expected gain without a group": {name: entry.mean for name, entry in done.without.items()},
    }


_USAGE: Final = """
from ragwheel.deploy import Reranked
from ragwheel.deploy.features import FeatureReranker

search = Reranked(search, FeatureReranker.load("path/to/this/folder"), fetch_k=40, k=5)
"""


def _weights(model: FeatureReranker, columns: NDArray[np.int64]) -> dict[str, Any]:
    """The weights of a linear model by feature, for the card."""
    weights = getattr(model.scorer, "weights", None)
    if weights is None:
        return {}
    return {
        "weight of a standard deviation": {
            f"{FEATURES[column].name} ({FEATURES[column].description})": float(weight)
            for column, weight in zip(columns, weights)
            if abs(weight) > 1e-6
        }
    }
