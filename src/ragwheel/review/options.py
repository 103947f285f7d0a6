"""Settings of the review page."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

__all__ = ["ReviewOptions"]


@dataclass(frozen=True)
class ReviewOptions:
    """What is reviewed, and how.

    Args:
        db: the database.
        rater: the name that the page suggests to a new rater.
        blind: hide rank, scores, evidence and the grades of others until the rater has graded a chunk.
        per_question: chunks of one question that are graded in one go.
        policy: the label policy, as for a build.
        dataset: the folder of a build whose triplets are browsed; None: the newest one of the database.
        check: ask first about pairs of every degree of belief, each of another question: whether beliefs are
            right is seen by these.
        runs: two TREC run files whose rankings are compared; empty: versions of retrievers in the traces.
    """

    db: Path
    rater: str = "me"
    blind: bool = True
    per_question: int = 5
    policy: Path | None = None
    dataset: Path | None = None
    check: bool = False
    runs: tuple[Path, ...] = ()
