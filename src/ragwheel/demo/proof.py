"""A re-ranker that learns from the visits, and its proof on the questions that no visitor asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ragwheel.evaluate import (
    Collection,
    Compared,
    Evaluation,
    System,
    compare,
    evaluate,
    read_beir,
    reranked,
)
from ragwheel.evaluate.runs import Ranking
from ragwheel.train import FeatureOptions, train_feature_reranker

if TYPE_CHECKING:
    from langchain_core.retrievers import BaseRetriever

    from ragwheel.demo.run import DemoFolder
    from ragwheel.train import TrainedModel
    from ragwheel.typing import Progress

__all__ = ["PROVED_BY", "Proof", "prove"]

PROVED_BY: Final = ("nDCG@10", "recall@10")
_FEWEST: Final = 20
_DEPTH: Final = 40


@dataclass(frozen=True)
class Proof:
    """The app's retriever, alone and with the re-ranker behind it.

    Attributes:
        model: the re-ranker.
        questions: how many were measured; no visitor asked them.
        compared: by measure of :data:`PROVED_BY`, with the re-ranker against without.
    """

    model: TrainedModel
    questions: int
    compared: Mapping[str, Compared]


def prove(
    folder: DemoFolder, retriever: BaseRetriever, *, seed: int = 0, progress: Progress | None = None
) -> Proof:
    """Train a re-ranker on the dataset of the visits and measure it on the evaluation set.

    Args:
        folder: of a demo that has built its dataset and written its evaluation set.
        retriever: the app's own, not wrapped, so that nothing of the test is recorded.
        seed: of every draw.
        progress: called as the work goes on.

    Raises:
        TrainingError: the visits left fewer than 20 questions to learn from.
    """
    options = FeatureOptions(model="linear", min_examples=_FEWEST, seed=seed)
    model = train_feature_reranker(
        folder.dataset, folder.reranker, options=options, db=folder.db, progress=progress
    )
    app = System("app", "python:app", lambda collection, _: _ranked(retriever, collection))
    systems = [app, reranked(folder.reranker, app, "re-ranked", depth=_DEPTH)]
    evaluation = evaluate(read_beir(folder.evalset), systems, progress=progress)
    return Proof(model, evaluation.queries["evalset"], _by_measure(evaluation))


def _ranked(retriever: BaseRetriever, collection: Collection) -> dict[str, tuple[str, ...]]:
    """The first 40 passages of the app's retriever for each question, with its scores."""
    deep = retriever.model_copy(update={"k": _DEPTH})
    rankings: dict[str, tuple[str, ...]] = {}
    for query, text in collection.queries.items():
        documents = deep.invoke(text)
        rankings[query] = Ranking.of([(str(each.id), float(each.metadata["score"])) for each in documents])
    return rankings


def _by_measure(evaluation: Evaluation) -> dict[str, Compared]:
    measured = evaluation.measured
    comparison = compare(measured["re-ranked"], measured["app"], measures=PROVED_BY)
    return {row.measure: row for row in comparison.rows if row.part == "all"}
