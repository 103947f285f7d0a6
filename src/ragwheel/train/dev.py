"""Looking at ``dev``: nDCG@10 per question, which picks the checkpoint. ``test`` is never opened here."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from ragwheel.models.encoding import encode
from ragwheel.train.examples import USEFUL
from ragwheel.train.options import DevFigures

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from ragwheel.datasets import BuiltDataset
    from ragwheel.typing import Progress

__all__ = ["DevSet", "compare", "ndcg_of_vectors", "read_dev", "score_embedder", "score_reranker"]

_DISTRACTORS: Final = 20
_RESAMPLES: Final = 2000
_DEPTH: Final = 100


@dataclass(frozen=True)
class DevSet:
    """``dev`` questions that have a useful chunk, the chunks to search, and grades by question and chunk."""

    queries: tuple[str, ...]
    documents: tuple[str, ...]
    grades: tuple[dict[int, int], ...]
    seed: int

    def candidates(self, number: int) -> list[int]:
        """What a re-ranker orders for a question: its graded chunks and some seeded others."""
        known = sorted(self.grades[number])
        others = [row for row in range(len(self.documents)) if row not in self.grades[number]]
        drawn = random.Random(f"{self.seed}/{number}").sample(others, min(_DISTRACTORS, len(others)))
        return known + drawn


def read_dev(dataset: BuiltDataset, *, documents: int, seed: int) -> DevSet | None:
    """The graded chunks of ``dev`` in a haystack of chunks of ``train``; None: there is no question."""
    table = dataset.rows("pairs", "dev").to_pydict()
    graded: dict[str, dict[str, int]] = {}
    for query, document, label in zip(table["query"], table["document"], table["label"]):
        graded.setdefault(query, {})[document] = round(5 * label)
    graded = {query: found for query, found in graded.items() if max(found.values()) >= 5 * USEFUL}
    if not graded:
        return None
    own = list(dict.fromkeys(document for found in graded.values() for document in found))
    rest = sorted(set(dataset.rows("pairs", "train")["document"].to_pylist()) - set(own))
    drawn = random.Random(seed).sample(rest, min(len(rest), max(0, documents - len(own))))
    place = {document: row for row, document in enumerate([*own, *drawn])}
    grades = tuple({place[document]: grade for document, grade in found.items()} for found in graded.values())
    return DevSet(tuple(graded), tuple(place), grades, seed)


def score_embedder(
    model: Any, dev: DevSet, *, bfloat16: bool = False, progress: Progress | None = None
) -> npt.NDArray[np.float64]:
    """nDCG@10 of searching all chunks, one number a question."""
    documents = encode(model, dev.documents, role="document", bfloat16=bfloat16, progress=progress)
    return ndcg_of_vectors(model, dev, documents, bfloat16=bfloat16)


def ndcg_of_vectors(
    model: Any, dev: DevSet, documents: npt.NDArray[np.float32], *, bfloat16: bool = False
) -> npt.NDArray[np.float64]:
    """The same over vectors of the chunks, (chunks, dimension), that are there already."""
    queries = encode(model, dev.queries, role="query", bfloat16=bfloat16)
    scores = queries @ documents.T
    depth = min(_DEPTH, scores.shape[1])
    best = (-scores).argpartition(depth - 1, axis=1)[:, :depth]
    ranked = [[(int(row), float(scores[number, row])) for row in rows] for number, rows in enumerate(best)]
    return _ndcg(dev, ranked)


def score_reranker(
    model: Any, dev: DevSet, *, bfloat16: bool = False, progress: Progress | None = None
) -> npt.NDArray[np.float64]:
    """nDCG@10 of ordering each question's graded chunks and some others, one number a question."""
    from contextlib import nullcontext

    import torch

    rows = [dev.candidates(number) for number in range(len(dev.queries))]
    pairs = [(dev.queries[n], dev.documents[row]) for n, some in enumerate(rows) for row in some]
    found: list[float] = []
    fast = torch.autocast(model.device.type, torch.bfloat16) if bfloat16 else nullcontext()
    with torch.inference_mode(), fast:
        for start in range(0, len(pairs), 256):
            some = pairs[start : start + 256]
            found += [float(score) for score in model.predict(some, show_progress_bar=False)]
            if progress is not None:
                progress("score", min(start + 256, len(pairs)), len(pairs))
    scores = iter(found)
    return _ndcg(dev, [[(row, next(scores)) for row in some] for some in rows])


def _ndcg(dev: DevSet, ranked: Sequence[Sequence[tuple[int, float]]]) -> npt.NDArray[np.float64]:
    import ir_measures
    import numpy as np

    qrels = [
        ir_measures.Qrel(str(number), str(row), grade)
        for number, graded in enumerate(dev.grades)
        for row, grade in graded.items()
    ]
    run = [
        ir_measures.ScoredDoc(str(number), str(row), score)
        for number, some in enumerate(ranked)
        for row, score in some
    ]
    found = np.zeros(len(dev.queries))
    for metric in ir_measures.iter_calc([ir_measures.nDCG @ 10], qrels, run):
        found[int(metric.query_id)] = metric.value
    return found


def compare(base: npt.NDArray[np.float64], tuned: npt.NDArray[np.float64], seed: int) -> DevFigures:
    """Both means, and a bootstrap interval over questions of their paired difference."""
    import numpy as np

    difference = tuned - base
    draws = np.random.default_rng(seed).integers(0, len(difference), (_RESAMPLES, len(difference)))
    low, high = np.percentile(difference[draws].mean(axis=1), [2.5, 97.5])
    return DevFigures(len(difference), float(base.mean()), float(tuned.mean()), float(low), float(high))
