"""From a dataset folder to a re-ranker on features: :func:`train_feature_reranker`."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ragwheel.datasets import BuiltDataset, open_dataset
from ragwheel.deploy.features import FeatureReranker
from ragwheel.errors import ModelError, TrainingError
from ragwheel.evaluate.dcg import ndcg
from ragwheel.models.card import MANIFEST
from ragwheel.train.beliefs import beliefs, beliefs_of_rows
from ragwheel.train.features.choose import ablate, choose, fitted, gain_on, recipes
from ragwheel.train.features.lists import RankedList, read_traffic
from ragwheel.train.features.matrix import ListMatrix, fill_by_rank, filled, matrix_of
from ragwheel.train.features.outcome import FeatureOptions, FeatureTraining, finish
from ragwheel.train.features.remember import remember
from ragwheel.train.options import DevFigures, TrainedModel

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ragwheel.deploy.features import Tables
    from ragwheel.typing import Progress

__all__ = ["FeatureOptions", "database_of", "train_feature_reranker"]

_USEFUL: Final = 0.6


def train_feature_reranker(
    dataset: BuiltDataset | str | Path,
    out: str | Path,
    *,
    options: FeatureOptions | None = None,
    db: str | Path | None = None,
    progress: Progress | None = None,
) -> TrainedModel:
    """Train a re-ranker on features of the retriever's rankings; seconds, and no GPU.

    The dataset says which questions are for training; their rankings come from the store, and what is
    believed of their chunks from the label model. Every recipe is cross-fitted over the training questions.
    The one with the highest expected gain is taken, and ``dev`` only checks it. ``test`` is never read.

    Args:
        dataset: a folder that ``ragwheel build`` wrote.
        out: the model's folder: new, empty, or that of an earlier training.
        options: how to train.
        db: the store that the dataset was built from; None: the one that its manifest names.
        progress: called as the work goes on.

    Raises:
        DatasetError: there is no such dataset, or the store is another one.
        TrainingError: there are too few training questions with a ranking.
        ModelError: `out` holds something else.
        MissingExtra: a package that is needed is not installed.
    """
    options, out = options or FeatureOptions(), Path(out)
    started = time.monotonic()
    if out.exists() and not (out.is_dir() and (not any(out.iterdir()) or (out / MANIFEST).is_file())):
        raise ModelError(f"{out} exists and is no model of ragwheel's; name a new folder with --out DIR")
    opened = dataset if isinstance(dataset, BuiltDataset) else open_dataset(dataset)
    store = database_of(opened, db)

    def tell(stage: str, done: int, total: int) -> None:
        if progress is not None:
            progress(stage, done, total)

    _enough(opened.examples.get("train", 0), opened, options)
    course = _read(opened, store, options, tell)
    matrix = course.train
    columns = np.flatnonzero(matrix.rows.std(axis=0) > 1e-9)
    chosen = choose(matrix, recipes(options.model, options.seed), columns, tell)
    without = ablate(matrix, chosen.recipe, columns, tell)
    scorer = fitted(matrix, chosen.recipe, np.arange(len(matrix)), columns)
    model = FeatureReranker(
        scorer, columns, course.fill, course.tables, course.version, course.sources, options.encoder or ""
    )
    figures = _on_dev(course.dev, scorer, columns)
    return finish(
        FeatureTraining(
            opened, store, out, options, model, chosen, without, figures, course.questions, started
        ),
        columns,
    )


@dataclass(frozen=True, eq=False)
class _Course:
    """What a re-ranker learns from.

    Attributes:
        train, dev: the lists of the questions, without gaps.
        fill: what stands in a gap.
        tables: what is remembered of the training questions.
        questions: how many of them teach.
        version: the retriever's version that most lists are of.
        sources: of the chunks.
    """

    train: ListMatrix
    dev: ListMatrix
    fill: NDArray[np.float64]
    tables: Tables
    questions: int
    version: str
    sources: tuple[str, ...]


def _read(dataset: BuiltDataset, store: Path, options: FeatureOptions, tell: Progress) -> _Course:
    """Read beliefs and rankings of train and dev, and measure the features of every candidate.

    Raises:
        TrainingError: too few training questions have a ranking.
    """
    tell("read", 0, 2)
    believed = beliefs(dataset, store) if options.labels == "model" else beliefs_of_rows(dataset, store)
    rows, checked = believed["train"], believed["dev"]
    tell("read", 1, 2)
    traffic = read_traffic(store, frozenset(row.query_key for row in (*rows, *checked)))
    tell("read", 2, 2)
    lists = traffic.lists(rows)
    questions = sum(map(_teaches, lists))
    _enough(questions, dataset, options)
    tables, families = remember(list(traffic.chunks.values()), rows, traffic.asked_ns)
    measured = _with_encoder([*lists, *traffic.lists(checked)], options, tell)
    whole = matrix_of(measured[: len(lists)], tables, families)
    fill = fill_by_rank(whole)
    return _Course(
        train=without_gaps(whole, fill),
        dev=without_gaps(matrix_of(measured[len(lists) :], tables, {}), fill),
        fill=fill,
        tables=tables,
        questions=questions,
        version=max(traffic.versions, key=lambda name: (traffic.versions[name], name)),
        sources=tuple(sorted({row.source for row in rows})),
    )


def database_of(dataset: BuiltDataset, db: str | Path | None) -> Path:
    """The store of a dataset: what was named, else what its manifest names.

    Raises:
        TrainingError: there is none.
    """
    named = db or dataset.manifest.get("read", {}).get("database") or ""
    if not str(named) or not Path(named).is_file():
        raise TrainingError(
            f"Features are made from the retriever's rankings, which are in the database that "
            f"{dataset.folder} was built from; got {str(named) or 'none'!r}, which is no file here. "
            "Next: name it with --db FILE, or train a cross-encoder: --kind cross-encoder"
        )
    return Path(named)


def without_gaps(matrix: ListMatrix, fill: NDArray[np.float64]) -> ListMatrix:
    """The matrix with what could not be measured filled in."""
    rows = [filled(matrix.rows[entry], fill) for entry in matrix.slices()]
    return replace(matrix, rows=np.vstack(rows) if rows else matrix.rows)


def _enough(questions: int, dataset: BuiltDataset, options: FeatureOptions) -> None:
    if questions < options.min_examples:
        raise TrainingError(
            f"{dataset.folder} has {questions} training questions with a ranking and a relevant chunk in "
            f"it; a re-ranker on features needs {options.min_examples}. Until then hybrid search helps "
            "without any training. Next: ragwheel status"
        )


def _teaches(entry: RankedList) -> bool:
    """Whether the list holds a relevant chunk and something below it."""
    labelled = ~np.isnan(entry.belief)
    return bool((entry.belief[labelled] >= _USEFUL).any() and len(entry.candidates) > 1)


def _with_encoder(lists: Sequence[RankedList], options: FeatureOptions, tell: Progress) -> list[RankedList]:
    """The lists with similarities, where an encoder was named."""
    if options.encoder is None:
        return list(lists)
    from ragwheel.train.adapter.embedding import embedding

    encoder = embedding(options.encoder)
    documents = list({entry.text: None for ranked in lists for entry in ranked.candidates})
    vectors = encoder(documents, "document", progress=tell)
    queries = encoder([ranked.query for ranked in lists], "query", progress=tell)
    position = {text: row for row, text in enumerate(documents)}
    return [
        ranked.with_similarities(vectors[[position[entry.text] for entry in ranked.candidates]] @ query)
        for ranked, query in zip(lists, queries)
    ]


def _on_dev(dev: ListMatrix, scorer: Any, columns: NDArray[np.int64]) -> DevFigures | None:
    """nDCG@10 on dev by the retriever's order, and what the model is expected to add."""
    if not len(dev):
        return None
    scores = np.concatenate([scorer(dev.rows[rows][:, columns]) for rows in dev.slices()])
    gain = gain_on(dev, scores)
    base = _ndcg(dev)
    return DevFigures(gain.queries, base, base + gain.mean, gain.low, gain.high)


def _ndcg(matrix: ListMatrix) -> float:
    """Mean nDCG@10 of the retriever's order by belief, over the labelled chunks."""
    values = np.array([ndcg(np.nan_to_num(matrix.belief[rows])) for rows in matrix.slices()])
    relevant = ~np.isnan(values)
    return float(values[relevant].mean()) if relevant.any() else 0.0
