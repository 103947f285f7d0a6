"""The graded store behind the page, computed once in the background and kept for all requests."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from ragwheel.errors import RagwheelError
from ragwheel.judgments.queue import OpenPair, open_pairs
from ragwheel.labels.engines.engine import DuckDBEngine
from ragwheel.labels.pipeline import GradedStore, grade_store
from ragwheel.labels.policy import Policy, load_policy
from ragwheel.labels.traces.read import TextReader, read_store
from ragwheel.store import open_store

__all__ = ["AnalysisState", "StoreAnalysis"]


@dataclass(frozen=True)
class AnalysisState:
    """How far the computation is: ``stage`` while it runs, ``error`` when it could not be done."""

    stage: str
    ready: bool
    error: str | None = None


class StoreAnalysis:
    """Grades of the store and the queue of pairs, as of the last :meth:`start`.

    Args:
        db: the database.
        policy: as for a build.
        check: the order of the queue, see :func:`ragwheel.judgments.queue.open_pairs`.
    """

    def __init__(self, db: Path, policy: Path | None = None, *, check: bool = False) -> None:
        self._db, self._policy_path, self._check = db, policy, check
        self._lock = threading.Lock()  # of the engine: one query at a time
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None
        self._engine: DuckDBEngine | None = None
        self._store: GradedStore | None = None
        self.policy: Policy = load_policy(policy)
        self.state = AnalysisState("waiting", ready=False)
        self.pairs: list[OpenPair] = []
        self.generation = 0
        self.finished = threading.Event()

    def start(self) -> None:
        """Compute in the background, unless that is under way; what is there is used until it is done."""
        with self._starting:
            if self._thread is not None and self._thread.is_alive():
                return
            self.finished.clear()
            self._thread = threading.Thread(target=self._run, name="ragwheel-review", daemon=True)
            self._thread.start()

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

    def _run(self) -> None:
        try:
            self._compute()
        except RagwheelError as exc:
            self.state = AnalysisState("failed", ready=self._store is not None, error=str(exc))
        finally:
            self.finished.set()

    def _compute(self) -> None:
        ready = self._store is not None

        def stage(name: str) -> None:
            self.state = AnalysisState(name, ready=ready)

        stage("reading the traces")
        engine = DuckDBEngine()
        try:
            with closing(open_store(self._db, require_traces=True)) as connection:
                store = grade_store(
                    engine, read_store(connection), TextReader(connection), self.policy, stage
                )
                stage("queue")
                pairs = open_pairs(store, check=self._check)
        except BaseException:
            engine.close()
            raise
        with self._lock:
            before, self._engine, self._store = self._engine, engine, store
            if before is not None:
                before.close()
        self.pairs, self.generation = pairs, self.generation + 1
        self.state = AnalysisState("ready", ready=True)
