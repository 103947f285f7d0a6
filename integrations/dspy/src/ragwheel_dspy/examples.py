"""What people liked as few-shot examples, and what was graded as a metric, for DSPy's optimizers."""

from __future__ import annotations

import csv
import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dspy

from ragwheel import ConfigurationError
from ragwheel.integration import check_whole, text_id

if TYPE_CHECKING:
    from ragwheel.fewshot import Library

__all__ = ["few_shot_examples", "graded_metric"]


def few_shot_examples(
    library: Library | str | Path, *, question: str = "question", answer: str = "answer"
) -> list[Any]:
    """Return a few-shot library's examples as ``dspy.Example``, for ``demos`` or as a training set.

    Args:
        library: what ``ragwheel fewshot build`` wrote, or its path.
        question: the input field of your signature.
        answer: the output field of your signature.

    Returns:
        One example per question, with the inputs set; ``reasoning`` where the library has it, and
        ``ragwheel_id``, which ``turn.examples(...)`` takes.

    Raises:
        ragwheel.errors.DatasetError: there is no library in that place.
    """
    from ragwheel.fewshot import Library  # needs numpy, which capturing does not

    loaded = library if isinstance(library, Library) else Library.load(library)
    examples = []
    for example in loaded.examples:
        fields = {question: example.question, answer: example.answer, "ragwheel_id": example.id}
        if example.reasoning:
            fields["reasoning"] = example.reasoning
        examples.append(dspy.Example(**fields).with_inputs(question))
    return examples


def graded_metric(grades: str | Path, *, k: int = 5, question: str = "question") -> Callable[..., float]:
    """Return a metric for programs that retrieve: how much of what is relevant stands among the first `k`.

    It is the sum of the beliefs of the first `k` passages, divided by the largest such sum that the graded
    passages of the question allow: 1 is the best order that is graded, 0 none of it. Passages that nobody
    graded count 0, and so does a question without a grade: keep to ``metric.questions``.

    Args:
        grades: what ``ragwheel export grades`` wrote: ``.jsonl`` or ``.csv``.
        k: how many passages count.
        question: the example's field with the question.

    Returns:
        ``metric(example, prediction, trace=None)``, for a prediction with ``passages`` and, where the store
        knows passages by their places in the corpus, ``indices``.

    Raises:
        ragwheel.ConfigurationError: the file is of another kind or has other columns, or `k` is below 1.
    """
    check_whole("graded_metric", "k", k, advice="Try k=5.")
    beliefs: dict[str, dict[str, float]] = defaultdict(dict)
    for row in _rows(Path(grades)):
        try:
            query, chunk, belief = str(row["query"]), str(row["chunk_id"]), row["belief"]
        except KeyError as error:
            raise ConfigurationError(
                f"graded_metric: {grades} has no column {error.args[0]}; needed: query, chunk_id, belief. "
                "Next: ragwheel export grades --db PATH --out grades.jsonl"
            ) from None
        if belief not in {None, ""}:
            beliefs[query][chunk] = float(belief)

    def metric(example: Any, prediction: Any, trace: object = None) -> float:  # noqa: ARG001 - DSPy's protocol
        graded = beliefs.get(example[question], {})
        best = sum(sorted(graded.values(), reverse=True)[:k])
        reached = sum(graded.get(chunk, 0.0) for chunk in _chunk_ids(prediction, graded)[:k])
        return reached / best if best else 0.0

    metric.questions = frozenset(beliefs)  # type: ignore[attr-defined]
    return metric


def _chunk_ids(prediction: Any, graded: Mapping[str, float]) -> list[str]:
    passages = list(getattr(prediction, "passages", None) or ())
    indices = [str(index) for index in getattr(prediction, "indices", None) or ()]
    own = indices if len(indices) == len(passages) else [""] * len(passages)
    return [chunk if chunk in graded else text_id(text) for chunk, text in zip(own, passages, strict=True)]


def _rows(path: Path) -> Iterator[Mapping[str, Any]]:
    if path.suffix not in {".jsonl", ".csv"}:
        raise ConfigurationError(
            f"graded_metric: {path} is no .jsonl or .csv file. "
            "Next: ragwheel export grades --db PATH --out grades.jsonl"
        )
    with path.open(encoding="utf-8", newline="") as lines:
        yield from csv.DictReader(lines) if path.suffix == ".csv" else map(json.loads, lines)
