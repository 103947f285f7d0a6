"""A crowd uses a collection; what its store then believes, and the dataset that is built from it."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
from labels.crowds.crowd import draw_crowd
from labels.crowds.replay import replay
from labels.crowds.turns import simulate

from criterion.settings import APPS, Setting, read_setting
from ragwheel.datasets import BuildOptions, build, open_dataset
from ragwheel.labels import graded
from ragwheel.train.adapter.examples import AdapterExamples

__all__ = ["DOUBTFUL", "Labelled", "TooFewQuestions", "label"]

TURNS: Final = 2_000
FOLDS: Final = 5
#: No candidate is trained on chunks that are believed less than this.
DOUBTFUL: Final = 0.1
_NEGATIVES: Final = 4
_LEAST: Final = 30


class TooFewQuestions(Exception):
    """A crowd left too few questions with a positive to train on."""


@dataclass(frozen=True)
class Labelled:
    """What the store of one crowd says.

    Attributes:
        setting: the collection and the app's retriever.
        questions: n texts of all questions that were asked, with a positive or without.
        fold: (n,) which of :data:`FOLDS` a question belongs to; families stay together.
        beliefs: for each question, the numbers of its exposed chunks, and the belief in each.
        positives: for each question, the numbers of the chunks that the build took as positives.
        examples: training rows, one for each exposed chunk with a belief of at least :data:`DOUBTFUL`,
            weighted by the belief; the questions are numbered as above.
        row_belief: (rows,) the belief in each row's chunk.
    """

    setting: Setting
    questions: list[str]
    fold: npt.NDArray[np.int64]
    beliefs: list[tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]]
    positives: list[npt.NDArray[np.int64]]
    examples: AdapterExamples
    row_belief: npt.NDArray[np.float64]

    def taught(self, least: float) -> npt.NDArray[np.int64]:
        """Numbers of the rows whose chunk is believed to be relevant with at least ``least``."""
        return np.flatnonzero(self.row_belief >= least)


def label(name: str, seed: int, data: Path) -> Labelled:
    """Simulate the crowd of a seed on a collection, play it into a store, and build a dataset of it.

    Raises:
        TooFewQuestions: fewer than 30 questions have a positive.
    """
    app = APPS[int(np.random.default_rng([seed, len(name)]).choice(3, p=(0.5, 0.25, 0.25)))]
    setting, crowd = read_setting(name, data, app), draw_crowd(seed)
    turns = min(TURNS, round(crowd.turns_per_question * len(setting.world.queries)))
    with tempfile.TemporaryDirectory(prefix="ragwheel-criterion-") as folder:
        db, out = Path(folder) / "traces.db", Path(folder) / "dataset"
        replay(db, simulate(setting.world, crowd, turns), crowd)
        build(db, out, options=BuildOptions(dev=0.1, test=0.0, seed=seed))
        return _read(setting, db, out, seed)


def _read(setting: Setting, db: Path, out: Path, seed: int) -> Labelled:
    dataset = open_dataset(out)
    number = {chunk: n for n, chunk in enumerate(setting.world.texts)}
    positive: dict[str, set[int]] = {}
    negative: dict[str, list[int]] = {}
    text_of: dict[str, str] = {}
    for split in ("train", "dev"):
        rows = dataset.rows("pairs", split).to_pylist()
        for told in dataset.provenance("pairs", split).to_pylist():
            row, chunk = rows[told["row"]], number.get(told["chunk_id"])
            if chunk is None:
                continue
            text_of[told["query_key"]] = row["query"]
            if row["label"] >= 0.6:
                positive.setdefault(told["query_key"], set()).add(chunk)
            elif row["label"] <= 0.2:
                negative.setdefault(told["query_key"], []).append(chunk)
    if len(positive) < _LEAST:
        raise TooFewQuestions(f"{len(positive)} questions with a positive")
    table = graded(db).select(["query_key", "query", "chunk_id", "belief"]).to_pylist()
    exposed: dict[str, dict[int, float]] = {}
    for row in table:
        text_of[row["query_key"]] = row["query"]
        exposed.setdefault(row["query_key"], {})[number[row["chunk_id"]]] = row["belief"]
    splits = pq.read_table(out / "splits.parquet").to_pylist()
    keys = sorted({*positive, *exposed})
    family = dict(zip(keys, keys)) | {row["query_key"]: row["family"] for row in splits}
    names = sorted({family[key] for key in keys})
    np.random.default_rng(seed).shuffle(names)
    fold_of = {name: place % FOLDS for place, name in enumerate(names)}
    questions = [text_of[key] for key in keys]
    beliefs = [
        (np.array(list(some), dtype=np.int64), np.array(list(some.values()), dtype=np.float64))
        for some in (exposed.get(key, {}) for key in keys)
    ]
    rows = [
        (n, chunk, sorted(negative.get(key, ()))[:_NEGATIVES], belief)
        for n, key in enumerate(keys)
        for chunk, belief in sorted(exposed.get(key, {}).items())
        if belief >= DOUBTFUL
    ]
    weight = np.array([row[3] for row in rows])
    hard = np.full((len(rows), _NEGATIVES), -1)
    for place, row in enumerate(rows):
        hard[place, : len(row[2])] = row[2]
    examples = AdapterExamples(
        setting.of(questions), setting.documents, np.array([row[0] for row in rows]),
        np.array([row[1] for row in rows]), hard, (weight / weight.mean()).astype(np.float32),
    )  # fmt: skip
    return Labelled(
        setting, questions, np.array([fold_of[family[key]] for key in keys]), beliefs,
        [np.array(sorted(positive.get(key, ())), dtype=np.int64) for key in keys], examples, weight,
    )  # fmt: skip
