"""A roadmap of what to try next, by measured headroom, cost, dependencies and risk."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ragwheel.datasets import open_dataset
from ragwheel.experiments.headroom import Headroom, measure_headroom
from ragwheel.experiments.segments import Segment, segments
from ragwheel.experiments.steps import QUADRANTS, ExperimentStep, Quadrant, Steps

__all__ = ["ExperimentStep", "Roadmap", "roadmap"]


@dataclass(frozen=True)
class Roadmap:
    """The steps, best first, the measured headroom, failing segments of queries, and notes on limitations."""

    steps: tuple[ExperimentStep, ...]
    headroom: Headroom
    segments: tuple[Segment, ...]
    notes: tuple[str, ...]

    def quadrant(self, name: Quadrant) -> tuple[ExperimentStep, ...]:
        """Return the steps of a quadrant."""
        return tuple(step for step in self.steps if step.quadrant == name)


def roadmap(dataset: str | Path, db: str | Path) -> Roadmap:
    """Measure the headroom and rank the possible steps.

    Args:
        dataset: the folder that ``ragwheel build`` wrote.
        db: the store that it was built from.

    Raises:
        DatasetError: the folder is not a dataset's.
        StoreError: the database cannot be read.
        MissingExtra: scikit-learn is not installed.
    """
    headroom = measure_headroom(open_dataset(dataset), db)
    steps = Steps(headroom, str(dataset), str(db)).all()
    steps.sort(key=lambda step: (QUADRANTS.index(step.quadrant), bool(step.needs), -step.headroom))
    return Roadmap(
        tuple(steps), headroom, tuple(segments(headroom.texts, headroom.failing)), tuple(_notes(headroom))
    )


def _notes(headroom: Headroom) -> list[str]:
    notes = [
        (
            f"Measured on {headroom.queries:,} queries of train and dev that have a positive; the test split "
            f"is kept for the proof."
        )
    ]
    if headroom.explicit < headroom.queries:
        notes.append(
            "Most labels come from clicks and citations: they know only chunks that were retrieved and "
            "shown, so the true ceiling of recall is not in them, and what ranks high looks too good."
        )
    return notes
