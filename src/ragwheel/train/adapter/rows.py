"""What an adapter is trained on: rows of a question, a relevant chunk and negatives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ragwheel.errors import ModelError
from ragwheel.train.adapter.options import MIN_QUERIES
from ragwheel.train.beliefs import LEAST, Believed
from ragwheel.train.examples import read_examples

if TYPE_CHECKING:
    from ragwheel.datasets import BuiltDataset

__all__ = ["AdapterRows", "believed_chunks", "labelled_chunks", "rows_of_beliefs", "rows_of_labels"]

_KEPT: Final = 0.95  # share of the questions that n-tuples must keep to be preferred to triplets
_NEGATIVES: Final = 4
_IRRELEVANT: Final = 0.2  # labels of pairs are grade / 5


@dataclass(frozen=True)
class AdapterRows:
    """Rows of train and dev.

    Attributes:
        questions, positives: the texts of each row.
        negatives: of each row, none or several.
        weights: how far each row is believed.
        sources: of each row's positive.
        dev: whether each row is of ``dev``.
    """

    questions: list[str]
    positives: list[str]
    negatives: list[tuple[str, ...]]
    weights: list[float]
    sources: list[str]
    dev: list[bool]


def rows_of_beliefs(dataset: BuiltDataset, believed: Believed, *, dev_from_train: bool) -> AdapterRows:
    """One row for each chunk that is believed in, weighted by the belief.

    Args:
        dataset: its pairs say which chunks are negatives; a question without any still counts.
        believed: the beliefs of its questions.
        dev_from_train: leave ``dev`` out.

    Raises:
        ModelError: there are too few training questions.
    """
    rows = AdapterRows([], [], [], [], [], [])
    for split in ("train",) if dev_from_train else ("train", "dev"):
        negatives = _negatives(dataset, split)
        for row in believed.split(split):
            if row.belief < LEAST:
                continue
            rows.questions.append(row.query)
            rows.positives.append(believed.texts[row.version])
            rows.negatives.append(negatives.get(row.query, ()))
            rows.weights.append(row.belief)
            rows.sources.append(row.source)
            rows.dev.append(split == "dev")
    taught = {question for question, dev in zip(rows.questions, rows.dev) if not dev}
    _enough(dataset, len(taught), "a chunk that is believed to be relevant")
    return rows


def rows_of_labels(dataset: BuiltDataset, *, dev_from_train: bool) -> AdapterRows:
    """The n-tuples or triplets of the dataset.

    Raises:
        DatasetError: the dataset is damaged.
        ModelError: there are too few training questions.
    """
    config = "ntuples" if _all_questions(dataset) else "triplets"
    rows = AdapterRows([], [], [], [], [], [])
    for split in ("train",) if dev_from_train else ("train", "dev"):
        examples = read_examples(dataset, config, split)
        if split == "train":
            _enough(dataset, examples.questions, "a positive and a negative")
        columns = [values for name, values in examples.columns.items() if name.startswith("negative")]
        rows.questions.extend(examples.columns["anchor"])
        rows.positives.extend(examples.columns["positive"])
        rows.negatives.extend(zip(*columns))
        rows.weights.extend(examples.confidence)
        rows.sources.extend(_sources(dataset, config, split, len(examples)))
        rows.dev.extend([split == "dev"] * len(examples))
    return rows


def believed_chunks(believed: Believed, *, dev_from_train: bool) -> list[tuple[str, str, float]]:
    """Question, text and P(relevant) of every exposed chunk."""
    rows = [*believed.train, *(() if dev_from_train else believed.dev)]
    return [(row.query, believed.texts[row.version], row.belief) for row in rows]


def labelled_chunks(dataset: BuiltDataset, *, dev_from_train: bool) -> list[tuple[str, str, float]]:
    """The same of the chunks that the dataset has labels for, the label standing for the belief."""
    chunks: list[tuple[str, str, float]] = []
    for split in ("train",) if dev_from_train else ("train", "dev"):
        pairs = read_examples(dataset, "pairs", split).columns
        chunks.extend(
            (query, text, min(1.0, max(0.0, label)))
            for query, text, label in zip(pairs["query"], pairs["document"], pairs["label"])
        )
    return chunks


def _negatives(dataset: BuiltDataset, split: str) -> dict[str, tuple[str, ...]]:
    """Up to four irrelevant chunks of each question, by its text."""
    pairs = read_examples(dataset, "pairs", split)
    negatives: dict[str, tuple[str, ...]] = {}
    for query, text, label in zip(*(pairs.columns[name] for name in ("query", "document", "label"))):
        if label <= _IRRELEVANT and len(own := negatives.get(query, ())) < _NEGATIVES:
            negatives[query] = (*own, text)
    return negatives


def _enough(dataset: BuiltDataset, questions: int, what: str) -> None:
    if questions < MIN_QUERIES:
        raise ModelError(
            f"{dataset.folder} has {questions} training questions with {what}, an adapter needs "
            f"{MIN_QUERIES}, better 200. Until then: examples in prompts (ragwheel fewshot). "
            "Next: ragwheel status"
        )


def _all_questions(dataset: BuiltDataset) -> bool:
    """Whether n-tuples are written, and hardly a question is missing for having too few negatives for one."""
    if "ntuples" not in dataset.configs:
        return False
    tuples, triplets = (
        set(dataset.rows(name, "train")["anchor"].to_pylist()) for name in ("ntuples", "triplets")
    )
    return len(tuples) >= _KEPT * len(triplets)


def _sources(dataset: BuiltDataset, config: str, split: str, count: int) -> list[str]:
    """The source of each row's positive."""
    table = dataset.provenance(config, split)
    columns = zip(*(table[name].to_pylist() for name in ("row", "role", "source")))
    source = {row: name for row, role, name in columns if role == "positive"}
    return [source.get(row, "") for row in range(count)]
