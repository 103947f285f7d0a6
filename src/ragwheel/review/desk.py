"""What all rooms of the page share: the options, the graded store and the queue."""

from __future__ import annotations

import threading
from typing import Any

from starlette.requests import Request

from ragwheel.errors import JudgmentError
from ragwheel.review.analysis import AnalysisState, StoreAnalysis
from ragwheel.review.options import ReviewOptions
from ragwheel.review.ordering import ReviewQueue
from ragwheel.store.reviews import reading_rows, recent_pairs

__all__ = ["ReviewDesk", "rater_in", "rater_of"]


class ReviewDesk:
    """The state behind the page."""

    def __init__(self, options: ReviewOptions) -> None:
        self.options = options
        self.analysis = StoreAnalysis(options.db, options.policy, check=options.check)
        self._lock = threading.Lock()
        self._queue = ReviewQueue((), options.per_question)
        self._generation = 0
        self._results: dict[str, tuple[int, Any]] = {}

    @property
    def generation(self) -> int:
        """The number of the order that the queue has; it changes when another one is computed."""
        return self._generation

    @property
    def state(self) -> AnalysisState:
        """How far the computation in the background is."""
        return self.analysis.state

    def queue(self, rater: str | None = None) -> ReviewQueue:
        """Return the queue as of the last computation; with what this rater has handled before.

        Raises:
            StoreError: the database cannot be read.
        """
        with self._lock:
            if self.analysis.generation != self._generation:
                self._generation = self.analysis.generation
                together = 1 if self.options.check else self.options.per_question
                self._queue = ReviewQueue(self.analysis.pairs, together)
            queue = self._queue
            if rater is not None and not queue.knows(rater):
                with reading_rows(self.options.db) as connection:
                    queue.begin(rater, [row[:3] for row in recent_pairs(connection, rater)])
            return queue

    def remembered(self, name: str) -> Any:
        """Return what was worked out from the current graded store, or None."""
        generation, value = self._results.get(name, (-1, None))
        return value if generation == self.analysis.generation else None

    def remember(self, name: str, value: Any) -> Any:
        """Keep what was worked out until the store is graded again; returns it."""
        self._results[name] = (self.analysis.generation, value)
        return value

    def close(self) -> None:
        """End the work in the background."""
        self.analysis.close()


def rater_of(desk: ReviewDesk, request: Request) -> str:
    """Return who uses the page, by its address."""
    return request.query_params.get("as", "").strip()[:100] or desk.options.rater


def rater_in(body: dict[str, Any]) -> str:
    """Return who sends a command.

    Raises:
        JudgmentError: there is no name, or a longer one than 100 characters.
    """
    rater = body.get("rater")
    if not isinstance(rater, str) or not rater.strip() or len(rater) > 100:
        raise JudgmentError("rater: expected a name of at most 100 characters")
    return rater.strip()
