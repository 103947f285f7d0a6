"""The number of examples of a store, which status, report, milestones and builds share.

An example is a question with at least one positive that ``ragwheel build`` would write today, counted once.
The number is exact if the extra ``build`` is installed, since the labels decide. Without it, the number of
questions with any sign of a positive is an upper bound.
"""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass
from pathlib import Path

from ragwheel.errors import MissingExtra, StoreEmpty
from ragwheel.kinds import FAVOURABLE
from ragwheel.offline.answers import read_turns, why_not
from ragwheel.offline.reading import number, reading

__all__ = ["ExampleCounts", "count_examples", "liked_questions"]


@dataclass(frozen=True, slots=True)
class ExampleCounts:
    """The numbers of examples of a store.

    Attributes:
        total: all of them.
        train, dev, test: by the split that a build would put them in; all 0 where ``exact`` is false.
        liked: those whose answer was liked, for prompts with examples.
        exact: False where the extra ``build`` is not installed: ``total`` and ``liked`` are upper bounds.
    """

    total: int
    train: int = 0
    dev: int = 0
    test: int = 0
    liked: int = 0
    exact: bool = True


def count_examples(db: str | Path) -> ExampleCounts:
    """Count the examples of a store.

    Raises:
        StoreError: the database cannot be read.
        LeakError: the splits of an earlier build contradict each other.
    """
    try:
        from ragwheel.datasets.examples import by_split, examples_today
        from ragwheel.labels.traces.text import query_key
    except MissingExtra:
        return _at_most(db)
    try:
        questions = examples_today(db)
    except StoreEmpty:
        return ExampleCounts(0)
    liked = {query_key(question) for question in liked_questions(db)} & questions.keys()
    split = by_split(questions)
    return ExampleCounts(
        len(questions), train=split["train"], dev=split["dev"], test=split["test"], liked=len(liked)
    )


def liked_questions(db: str | Path) -> set[str]:
    """Return the questions, as they were asked, with an answer that can be shown as an example in a prompt.

    Raises:
        StoreError: the database cannot be read.
    """
    return {turn.question for turn in read_turns(db) if why_not(turn) is None}


# Queries are the same when they differ in case and surrounding blanks only.
_SIGNS = """
WITH positive (retrieval_id) AS (
    SELECT retrieval_id FROM citations WHERE matched
    UNION
    SELECT retrieval_id FROM signals
     WHERE chunk_version IS NOT NULL
       AND (kind IN (SELECT value FROM json_each(?))
            OR kind = 'rating' AND value >= 4)
), example (query) AS (
    SELECT lower(trim(query)) FROM retrievals WHERE retrieval_id IN (SELECT retrieval_id FROM positive)
    UNION
    SELECT lower(trim(query)) FROM judgments WHERE grade >= 3
)
SELECT count(*) FROM example WHERE query <> ''
"""


def _at_most(db: str | Path) -> ExampleCounts:
    with reading(db) as connection:
        return ExampleCounts(_signs(connection), liked=len(liked_questions(db)), exact=False)


def _signs(connection: sqlite3.Connection) -> int:
    return number(connection, _SIGNS, json.dumps(FAVOURABLE))
