"""The one number of examples: questions with a positive that a build would write.

Every count of examples, of the status, the milestones, the report, builds, training and few-shot prompts,
comes from :func:`positive_questions`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

from ragwheel.datasets.grading import Inputs, label
from ragwheel.datasets.labelled import Labelled
from ragwheel.datasets.options import SPLITS, BuildOptions
from ragwheel.datasets.splits import Assignment, evalset_keys, load_assignment
from ragwheel.errors import DatasetError
from ragwheel.labels.engines.engine import open_engine
from ragwheel.labels.policy import load_policy
from ragwheel.labels.traces.read_source import open_source
from ragwheel.store.artifacts import list_artifacts

__all__ = ["by_split", "count_questions", "examples_today", "positive_questions"]


def positive_questions(labelled: Labelled) -> dict[str, str]:
    """Return the query keys of the groups with a positive that has text, each with its split."""
    return dict(_positive_questions(labelled))


def _positive_questions(labelled: Labelled) -> Iterator[tuple[str, str]]:
    """Yield the key and the split of each question with a positive that has text, in the dataset's order."""
    has_text: dict[int, bool] = {}
    positives = labelled.graded.filter(labelled.graded.status == "positive").select("place", "text_id")
    rows = positives.join(labelled.assigned.select("place", "query_key", "split"), "place")
    previous = -1
    for batch in labelled.engine.batches(rows.order_by("place", "text_id")):
        columns = (batch[name].to_pylist() for name in ("place", "text_id", "query_key", "split"))
        for group, text_id, key, split in zip(*columns):
            if group == previous:
                continue
            if text_id not in has_text:
                has_text[text_id] = bool(labelled.text_of(text_id).strip())
            if has_text[text_id]:
                previous = group
                yield key, split


def count_questions(labelled: Labelled) -> dict[str, int]:
    """Return how many questions of :func:`positive_questions` each split has, in the order of the splits."""
    return _in_order(Counter(split for _key, split in _positive_questions(labelled)))


def by_split(questions: Mapping[str, str]) -> dict[str, int]:
    """Return how many questions each split has, in the order of the splits."""
    return _in_order(Counter(questions.values()))


def _in_order(counts: Counter[str]) -> dict[str, int]:
    return {split: counts[split] for split in SPLITS}


def examples_today(db: str | Path) -> dict[str, str]:
    """Return what :func:`positive_questions` gives for a build with the default options, without writing.

    Splits are those of the newest dataset folder that was built from the database, where there is one, as
    they would be if it were built again.

    Raises:
        StoreError: the database cannot be read.
    """
    options, policy = BuildOptions(), load_policy()
    with open_source(db) as source, open_engine(options.engine) as engine:
        decided = Assignment(_newest_splits(db), *evalset_keys(source.evalsets()))
        labelled = label(Inputs(source, engine, policy, options, decided, _untold))
        return positive_questions(labelled)


def _newest_splits(db: str | Path) -> Mapping[str, str]:
    folders = [
        artifact.path
        for artifact in list_artifacts(db)
        if artifact.kind == "dataset" and artifact.path.is_dir()
    ]
    try:
        return load_assignment(folders[-1]) if folders else {}
    except DatasetError:  # a folder that was damaged or moved decides nothing; a build into it would say so
        return {}


def _untold(_stage: str) -> None:
    """Take a stage that no caller asked for."""
