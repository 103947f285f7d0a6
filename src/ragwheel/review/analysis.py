"""The graded store behind the page, computed in the background and kept for all requests.

There is an order of pairs from the first moment on: see :mod:`ragwheel.review.first_pairs`. What weighs the
evidence takes seconds to load, and is loaded in the background, too.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from ragwheel.errors import RagwheelError
from ragwheel.judgments.pairs import OpenPair
from ragwheel.review.first_pairs import first_pairs, keep_order
from ragwheel.store import open_store
from ragwheel.store.review_order import store_state
from ragwheel.store.reviews import reading_rows

if TYPE_CHECKING:
    from ragwheel.labels.engines.engine import DuckDBEngine
    from ragwheel.labels.pipeline import GradedStore

__all__ = ["AnalysisState", "StoreAnalysis"]

_log = logging.getLogger(__name__)
#: The stages of a computation in order, and what people read of each.
_STAGES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "traces": "reading the traces",
        "exposure": "who saw what",
        "evidence": "collecting the evidence",
        "grades": "weighing it",
        "queue": "putting the pairs in order",
    }
)
_RESTS: Final = 2.0  # how long it is left alone, in durations of the last computation


@dataclass(frozen=True)
class AnalysisState:
    """How far the computation is.

    Attributes:
        stage: what is being done, in words; *ready* when nothing is.
        ready: whether there is a graded store, of this or an earlier computation.
        error: why it could not be done; None when it could.
        at_s: when the graded store was read, in seconds since 1970; 0 until there is one.
    """

    stage: str
    ready: bool
    error: str | None = None
    at_s: float = 0.0

    @property
    def running(self) -> bool:
        """Whether a computation is under way."""
        return self.stage != "ready" and self.error is None


class StoreAnalysis:
    """Grades of the store and the queue of pairs, as of the last :meth:`start`.

    ``pairs`` has an order from the first start on; ``generation`` counts the orders.

    Args:
        db: the database.
        policy: as for a build.
        check: the order of the queue, see :func:`ragwheel.judgments.queue.open_pairs`.
    """

    def __init__(self, db: Path, policy: Path | None = None, *, check: bool = False) -> None:
        self._db, self._policy, self._check = db, policy, check
        self._lock = threading.Lock()  # of the engine: one query at a time
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None
        self._engine: DuckDBEngine | None = None
        self._store: GradedStore | None = None
        self.state = AnalysisState("waiting", ready=False)
        self.pairs: list[OpenPair] = []
        self.generation = 0
        self.finished = threading.Event()
        self._computed: tuple[int, ...] = ()
        self._took_s, self._rested_from_s = 0.0, 0.0

    def start(self) -> None:
        """Compute in the background, unless that is under way; what is there is used until it is done."""
        with self._starting:
            if self._thread is not None and self._thread.is_alive():
                return
            if self.generation == 0:
                self._begin()
            self.finished.clear()
            self._thread = threading.Thread(target=self._run, name="ragwheel-review", daemon=True)
            self._thread.start()

    def renew(self) -> None:
        """Compute again in the background where the store has changed, but not all the time."""
        state = self.state
        rested = time.monotonic() - self._rested_from_s >= _RESTS * self._took_s
        if state.running or not (state.ready and rested):
            return
        with reading_rows(self._db) as connection:
            changed = store_state(connection) != self._computed
        if changed:
            self.start()

    def close(self) -> None:
        """Wait for a computation under way, and give the engine's memory back."""
        if self._thread is not None:
            self._thread.join()
        with self._lock:
            if self._engine is not None:
                self._engine.close()
            self._engine = self._store = None

    @contextlib.contextmanager
    def graded(self) -> Iterator[GradedStore | None]:
        """The graded store, for the caller alone; None until it is ready."""
        with self._lock:
            yield self._store

    def _begin(self) -> None:
        """Put an order there that costs nothing."""
        try:
            self.pairs = first_pairs(self._db, check=self._check)
        except RagwheelError:  # the computation that follows meets the same trouble and says it
            _log.debug("no pairs to begin with", exc_info=True)
        self.generation = 1

    def _run(self) -> None:
        started_s = time.monotonic()
        try:
            self._compute()
        except RagwheelError as exc:
            self.state = AnalysisState("failed", self._store is not None, str(exc), self.state.at_s)
        finally:
            self._rested_from_s = time.monotonic()
            self._took_s = self._rested_from_s - started_s
            self.finished.set()

    def _compute(self) -> None:
        ready, before_s, at_s = self._store is not None, self.state.at_s, time.time()
        names = list(_STAGES)

        def stage(name: str) -> None:
            words = f"{_STAGES[name]} ({names.index(name) + 1} of {len(names)})"
            self.state = AnalysisState(words, ready, at_s=before_s)

        stage("traces")
        from ragwheel.judgments.queue import open_pairs
        from ragwheel.labels.engines.engine import DuckDBEngine
        from ragwheel.labels.pipeline import grade_store
        from ragwheel.labels.policy import load_policy
        from ragwheel.labels.traces.read import TextReader, read_store

        engine = DuckDBEngine()
        try:
            with closing(open_store(self._db, require_traces=True)) as connection:
                computed = store_state(connection)
                store = grade_store(
                    engine, read_store(connection), TextReader(connection), load_policy(self._policy), stage
                )
                stage("queue")
                pairs = open_pairs(store, check=self._check)
            self._keep(store, pairs)
        except BaseException:
            engine.close()
            raise
        with self._lock:
            before, self._engine, self._store = self._engine, engine, store
            if before is not None:
                before.close()
        self._computed = computed
        self.pairs, self.generation = pairs, self.generation + 1
        self.state = AnalysisState("ready", ready=True, at_s=at_s)

    def _keep(self, store: GradedStore, pairs: list[OpenPair]) -> None:
        try:
            keep_order(store, pairs, self._db, check=self._check)
        except OSError as exc:  # a medium that cannot be written: the next visit begins with the newest
            _log.info("the order of the review page is not kept: %s", exc)
