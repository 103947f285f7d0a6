"""Training rows out of a dataset folder, with how far each one's labels are believed."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, Any, Final

from ragwheel.errors import TrainingError

if TYPE_CHECKING:
    from ragwheel.datasets import BuiltDataset

__all__ = ["USEFUL", "Examples", "check_amount", "read_examples", "resample"]

#: Labels of pairs are grade / 5; from grade 3 on a chunk is useful.
USEFUL: Final = 0.6
_FINE_TUNING: Final = 1000
_COLUMNS: Final[Mapping[str, tuple[str, ...]]] = {
    "ntuples": ("anchor", "positive", "negative_1"),
    "triplets": ("anchor", "positive", "negative"),
    "pairs": ("query", "document", "label"),
    "lists": ("query", "docs", "labels"),
}


@dataclass(frozen=True)
class Examples:
    """Rows of one config: its columns in order, and the confidence of each row (of its least sure chunk)."""

    config: str
    columns: Mapping[str, list[Any]]
    confidence: list[float]

    def __len__(self) -> int:
        return len(self.confidence)

    @property
    def questions(self) -> int:
        """Different questions in the rows."""
        return len(set(next(iter(self.columns.values()))))

    def take(self, rows: Sequence[int]) -> Examples:
        """These rows, in this order."""
        columns = {name: [values[row] for row in rows] for name, values in self.columns.items()}
        return Examples(self.config, columns, [self.confidence[row] for row in rows])


def read_examples(dataset: BuiltDataset, config: str, split: str = "train") -> Examples:
    """The rows of a config.

    Raises:
        DatasetError: there is no such config.
        TrainingError: its columns are not the ones that trainers expect.
    """
    import pyarrow.compute as pc

    table = dataset.rows(config, split)
    missing = [name for name in _COLUMNS[config] if name not in table.column_names]
    if missing:
        raise TrainingError(
            f"{dataset.folder}/{config} lacks the columns {', '.join(missing)}; got: "
            f"{', '.join(table.column_names)}; needed: {', '.join(_COLUMNS[config])}. "
            f"Build it again: ragwheel build --out {dataset.folder}"
        )
    confidence = [1.0] * table.num_rows
    origins = dataset.provenance(config, split)
    least = origins.group_by("row").aggregate([("confidence", "min")])
    for row, value in zip(least["row"].to_pylist(), pc.fill_null(least["confidence_min"], 1.0).to_pylist()):
        confidence[row] = value
    columns = {name: table[name].to_pylist() for name in table.column_names}
    return Examples(config, columns, confidence)


def resample(examples: Examples, seed: int) -> Examples:
    """As many rows, drawn in proportion to their confidence.

    Systematic resampling (Kitagawa 1996): a row with twice the mean confidence stands there twice, one with
    half of it is left out every second time; equal confidences change nothing.
    """
    total = sum(examples.confidence)
    if not examples or total <= 0:
        return examples
    step = total / len(examples)
    bounds = list(accumulate(examples.confidence))
    at = random.Random(seed).random() * step
    rows, row = [], 0
    for _ in range(len(examples)):
        while row < len(bounds) - 1 and bounds[row] <= at:
            row += 1
        rows.append(row)
        at += step
    return examples.take(rows)


def check_amount(dataset: BuiltDataset, least: int) -> tuple[int, tuple[str, ...]]:
    """Return the examples in train (questions with a positive), and what to be careful about.

    Raises:
        TrainingError: fewer than ``least``; says which milestone and what to do instead.
    """
    pairs = dataset.rows("pairs", "train")
    if missing := [name for name in _COLUMNS["pairs"] if name not in pairs.column_names]:
        raise TrainingError(
            f"{dataset.folder}/pairs lacks the columns {', '.join(missing)}; got: "
            f"{', '.join(pairs.column_names)}. Build it again: ragwheel build --out {dataset.folder}"
        )
    example = dataset.examples["train"]
    if example < least:
        raise TrainingError(
            f"{dataset.folder} has {example:,} training questions with a relevant chunk; "
            f"a model needs {least:,}, and the milestone for fine-tuning is "
            f"{_FINE_TUNING:,}. Until then: compare retrievers "
            "from 20 on (ragwheel evaluate), examples in prompts from 30 on (ragwheel fewshot), an adapter "
            "(ragwheel train adapter), which needs fewer. Next: ragwheel status says what brings examples "
            f"soonest; --min-examples {max(example, 1)} trains all the same."
        )
    if example < _FINE_TUNING:
        note = (
            f"{example:,} training questions are fewer than the {_FINE_TUNING:,} of the milestone for "
            "fine-tuning: gains are small and may be chance."
        )
        return example, (note,)
    return example, ()
