"""Selection of the (question, chunk) pairs that a judge is asked about: the most informative ones.

First come some pairs that people graded, to compare the judge with them, then the queue of ``ragwheel grade``
(contradictory, abstained, unsure, nothing known), and chunks that ranked high but were never exposed, for
which only a judge can give evidence. Questions of test sets, and of the test split of every dataset that was
built from this database, are left out.
"""

from __future__ import annotations

from collections import defaultdict
from contextlib import closing
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from statistics import fmean
from typing import Final

from ragwheel.datasets.splits import load_assignment, load_evalsets
from ragwheel.judgments import candidates
from ragwheel.labels.traces.text import query_key
from ragwheel.llm_judge.options import JudgeOptions
from ragwheel.store import open_store
from ragwheel.store.artifacts import list_artifacts

__all__ = ["JudgeItem", "JudgeSelection", "People", "people_of", "select", "test_keys"]

_AHEAD: Final = 1.25  # share of extra candidates, since some belong to test questions

#: The mean grade that people gave, by (query key, source, chunk id).
People = dict[tuple[str, str, str], float]


@dataclass(frozen=True, slots=True)
class JudgeItem:
    """A chunk to judge for a question."""

    query: str
    source: str
    chunk_id: str
    text: str

    @property
    def key(self) -> tuple[str, str, str]:
        """The key of this pair in people's grades."""
        return query_key(self.query), self.source, self.chunk_id


@dataclass(frozen=True)
class JudgeSelection:
    """The pairs to ask about, in order; ``left_out`` counts those of test questions."""

    items: list[JudgeItem]
    people: People = field(default_factory=dict)
    left_out: int = 0


def select(db: str | Path, judge: str, options: JudgeOptions) -> JudgeSelection:
    """Select pairs for the judge of this name; the same store gives the same selection.

    Raises:
        StoreError: the database cannot be read.
        ConfigurationError: the policy cannot be used.
        DatasetError: a dataset that was built from it is there and its splits cannot be read.
    """
    tested = test_keys(db)
    people = people_of(db, tested)
    items = _graded_by_people(db, judge, people)[: options.calibrate]
    chosen = {item.key for item in items}
    left_out = 0
    asked = int(options.limit * _AHEAD) + len(chosen)
    while True:
        proposals = candidates(db, judge=judge, limit=asked, policy=options.policy, unexposed=True)
        new = [
            JudgeItem(proposal.query, proposal.source, proposal.chunk_id, proposal.text)
            for proposal in proposals
        ]
        kept = [item for item in new if item.key[0] not in tested]
        left_out = len(new) - len(kept)
        fresh = [item for item in kept if item.key not in chosen]
        if len(fresh) >= options.limit or len(proposals) < asked:
            return JudgeSelection(items + fresh[: options.limit], people, left_out)
        asked *= 4


def test_keys(db: str | Path) -> frozenset[str]:
    """Return the keys of the queries with which models trained on this database are tested."""
    with closing(open_store(db)) as connection:
        keys = set(load_evalsets(connection)[0])
    for artifact in list_artifacts(db):
        if artifact.kind == "dataset" and (artifact.path / "splits.parquet").exists():
            keys |= {key for key, split in load_assignment(artifact.path).items() if split == "test"}
    return frozenset(keys)


def people_of(db: str | Path, without: frozenset[str] = frozenset()) -> People:
    """Return the mean grade of people for each pair, without the questions of these keys."""
    grades: defaultdict[tuple[str, str, str], list[float]] = defaultdict(list)
    with closing(open_store(db)) as connection:
        sql = (
            "SELECT query, source, chunk_id, grade FROM judgments WHERE judge_kind = 'human'"
            " ORDER BY judgment_id"
        )
        for query, source, chunk_id, grade in connection.execute(sql):
            grades[query_key(query), source, chunk_id].append(grade)
    return {key: fmean(values) for key, values in grades.items() if key[0] not in without}


def _graded_by_people(db: str | Path, judge: str, people: People) -> list[JudgeItem]:
    """Return the pairs that people graded and this judge did not, in pseudo-random order."""
    sql = """
        SELECT j.query, j.source, j.chunk_id, c.text FROM judgments j JOIN chunks c USING (source, chunk_id)
         WHERE j.judge_kind = 'human' AND coalesce(j.content_hash = c.content_hash, 1) AND trim(c.text) <> ''
           AND NOT EXISTS (SELECT 1 FROM judgments k WHERE k.judge = ? AND k.source = j.source
                              AND k.chunk_id = j.chunk_id AND k.query = j.query)
         ORDER BY j.judgment_id, c.first_seen_ns, c.chunk_version"""
    with closing(open_store(db)) as connection:
        rows = [JudgeItem(*row) for row in connection.execute(sql, (judge,))]
    items = {item.key: item for item in rows if item.key in people}
    return sorted(items.values(), key=lambda item: blake2b("\0".join(item.key).encode()).digest())
