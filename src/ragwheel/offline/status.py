"""Counts of a database, and its distance from the next milestone."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from pathlib import Path

from ragwheel.offline.examples import ExampleCounts, count_examples
from ragwheel.offline.milestones import Milestone, Supply, milestones
from ragwheel.offline.reading import number, reading, rows
from ragwheel.semconv import UNREADABLE_FLAG
from ragwheel.store.unreadable import not_counted, unreadable_retrievals

__all__ = ["Status", "status"]


@dataclass(frozen=True, slots=True)
class Status:
    """Counts of one database.

    ``examples`` is the number of questions with a positive that a build would write today; ``example_counts``
    has them by split, and those with a liked answer.
    """

    db: str
    turns: int
    answered: int
    """Turns with an answer."""
    sessions: int
    retrievals: int
    reranks: int
    failed: int
    """Retrievals that raised."""
    unreadable: int
    """Retrievals of whose results nothing could be read; they are not among ``retrievals``."""
    chunks: int
    """Distinct chunks (source and id) seen; ``chunk_versions`` counts changed texts apart."""
    chunk_versions: int
    citations: int
    citations_unmatched: int
    signals: dict[str, int]
    """Matched signals by kind, most frequent first."""
    signals_unmatched: dict[str, int]
    """Signals that are no evidence, by the reason."""
    judgments: int
    examples: int
    example_counts: ExampleCounts
    first_ns: int | None
    """When the first and the last retrieval began: nanoseconds since 1970."""
    last_ns: int | None
    milestones: tuple[Milestone, ...]

    @property
    def next_milestone(self) -> Milestone | None:
        """The first milestone that is not reached yet, or None."""
        return next((milestone for milestone in self.milestones if not milestone.reached), None)


def status(db: str | Path) -> Status:
    """Count what the database holds.

    Raises :class:`~ragwheel.errors.StoreError`: see :func:`ragwheel.store.open_store`. A database
    without traces is no error here: all counts are zero and the first milestone says what to do.
    """
    examples = count_examples(db)
    with reading(db) as connection:
        return _counted(connection, str(db), examples)


def _counted(connection: sqlite3.Connection, db: str, examples: ExampleCounts) -> Status:
    def count(sql: str) -> int:
        return number(connection, sql)

    spans = rows(connection, "SELECT min(start_ns), max(start_ns) FROM retrievals")[0]
    signals = _by(connection, "SELECT kind, count(*) FROM signals GROUP BY kind ORDER BY 2 DESC, 1")
    unmatched = _by(
        connection, "SELECT reason, count(*) FROM unmatched_signals GROUP BY reason ORDER BY 2 DESC, 1"
    )
    turns = count("SELECT count(*) FROM turns")
    answered = count("SELECT count(*) FROM turns WHERE answer IS NOT NULL")
    unreadable = unreadable_retrievals(connection)
    unread = sum(each.retrievals for each in unreadable)
    retrievals = count(
        "SELECT count(*) FROM retrievals WHERE kind = 'retrieval' "
        f"AND NOT instr(coalesce(flags, ''), '{UNREADABLE_FLAG}')"
    )
    citations = count("SELECT count(*) FROM citations")
    citations_unmatched = count("SELECT count(*) FROM citations WHERE NOT matched")
    supply = Supply(
        retrievals=retrievals,
        turns=turns,
        answered=answered,
        citations=citations,
        citations_unmatched=citations_unmatched,
        signals=sum(signals.values()),
        signals_unmatched=sum(unmatched.values()),
        examples=examples,
        unreadable=not_counted(unreadable),
    )
    return Status(
        db=db,
        turns=turns,
        answered=answered,
        sessions=count("SELECT count(DISTINCT session_id) FROM retrievals"),
        retrievals=retrievals,
        reranks=count("SELECT count(*) FROM retrievals WHERE kind = 'rerank'"),
        failed=count("SELECT count(*) FROM retrievals WHERE error IS NOT NULL"),
        unreadable=unread,
        chunks=count("SELECT count(*) FROM (SELECT DISTINCT source, chunk_id FROM chunks)"),
        chunk_versions=count("SELECT count(*) FROM chunks"),
        citations=citations,
        citations_unmatched=citations_unmatched,
        signals=signals,
        signals_unmatched=unmatched,
        judgments=count("SELECT count(*) FROM judgments"),
        examples=examples.total,
        example_counts=examples,
        first_ns=spans[0],
        last_ns=spans[1],
        milestones=milestones(supply),
    )


def _by(connection: sqlite3.Connection, sql: str) -> dict[str, int]:
    return dict(connection.execute(sql).fetchall())
