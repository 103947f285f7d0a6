"""What an integration supplies to :class:`ragwheel.testing.IntegrationContract`; reading the store."""

from __future__ import annotations

import tempfile
import unittest
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import ragwheel
from ragwheel.store import open_store

__all__ = ["CORPUS", "QUESTION", "ContractChunk", "IntegrationHarness"]

QUESTION = "How are the keys rotated?"


class ContractChunk(NamedTuple):
    """A passage of the contract's corpus, or what was read of a framework's own chunk."""

    id: str
    text: str
    metadata: Mapping[str, Any] = {}
    score: float | None = None


CORPUS: Sequence[ContractChunk] = tuple(
    ContractChunk(str(n), f"Page {n} of the handbook says how part {n} is kept in order.", {"part": n})
    for n in range(12)
)


class IntegrationHarness:
    """The framework's side: real objects of the framework, with its own in-memory parts.

    An integration overrides what raises ``NotImplementedError`` and, unless it lists the feature under
    ``unsupported``, what raises ``SkipTest``.

    Attributes:
        framework: its name in the table of features.
        unsupported: why a feature cannot be had in this framework, by the feature's name in
            ``ragwheel.testing.FEATURES``.
        has_ids, has_scores, has_metadata: whether the framework's retrievers give these.
        wrapped_is_traced: whether the framework traces what :meth:`overfetching` wraps.
        searches_are_turns: whether each search outside of the app's turns is a turn of its own.
    """

    framework: ClassVar[str]
    unsupported: ClassVar[Mapping[str, str]] = {}
    has_ids: ClassVar[bool] = True
    has_scores: ClassVar[bool] = True
    has_metadata: ClassVar[bool] = True
    wrapped_is_traced: ClassVar[bool] = True
    searches_are_turns: ClassVar[bool] = False

    def instrument(self) -> None:
        """Call the integration's ``instrument()``."""
        raise NotImplementedError

    def uninstrument(self) -> None:
        """Call the integration's ``uninstrument()``."""
        raise NotImplementedError

    def retriever(
        self, k: int = 4, *, error: BaseException | None = None, during: Callable[[], None] | None = None
    ) -> Any:
        """Return a retriever over :data:`CORPUS` that gives ``k`` chunks, the same ones for the same query.

        It raises ``error``, or calls ``during``, in the middle of each search.
        """
        raise NotImplementedError

    def search(self, retriever: Any, query: str) -> Sequence[Any]:
        """Search the way apps do, and return the framework's own chunks."""
        raise NotImplementedError

    async def asearch(self, retriever: Any, query: str) -> Sequence[Any]:
        """Search asynchronously."""
        raise unittest.SkipTest("the harness has no asearch()")

    def read(self, chunk: Any) -> ContractChunk:
        """Read one of the framework's own chunks."""
        raise NotImplementedError

    def nested(self, retriever: Any) -> Any:
        """Return a retriever that runs ``retriever`` and gives the first two of its chunks."""
        raise unittest.SkipTest("the harness has no nested()")

    def reranked(self, retriever: Any) -> Callable[[str], Sequence[Any]]:
        """Return a search through a re-ranker of the framework that reverses what ``retriever`` gives."""
        raise unittest.SkipTest("the harness has no reranked()")

    def engine(self, retriever: Any, answer: str) -> Callable[[str], str]:
        """Return an app that retrieves, has a model answer with ``answer``, and returns the text."""
        raise unittest.SkipTest("the harness has no engine()")

    def streaming_engine(self, retriever: Any, answer: str) -> Callable[[str], Iterator[str]]:
        """Return an app that retrieves and streams ``answer`` in pieces."""
        raise unittest.SkipTest("the harness has no streaming_engine()")

    def overfetching(self, retriever: Any, capture_k: int) -> Any:
        """Return the integration's wrapper around ``retriever`` that records ``capture_k`` chunks."""
        raise unittest.SkipTest("the harness has no overfetching()")

    def traced(self) -> AbstractContextManager[list[Any]]:
        """Record what the framework's own tracing sees, as comparable values without ids and times."""
        raise unittest.SkipTest("the harness has no traced()")

    # --- what the tests read

    def setup_method(self) -> None:
        """Configure ragwheel with a database of its own."""
        self._folder = tempfile.TemporaryDirectory()
        self.db = Path(self._folder.name) / "ragwheel.db"
        ragwheel.configure(db=str(self.db))
        self._errors_before = dict(ragwheel.stats().errors)  # of the process: earlier tests may have counted

    def teardown_method(self) -> None:
        """End recording; whatever broke inside ragwheel fails the test, also where the framework hid it."""
        try:
            self.uninstrument()
            counts = ragwheel.stats().errors
            errors = {where: n for where, n in counts.items() if n != self._errors_before.get(where, 0)}
        finally:
            ragwheel.shutdown()
            self._folder.cleanup()
        assert errors == {}, f"exceptions inside ragwheel or the integration: {errors}"

    def rows(self, sql: str) -> list[dict[str, Any]]:
        """Return what is in the store by now."""
        assert ragwheel.flush(timeout_s=30), "ragwheel.flush() was not done in 30 s"
        connection = open_store(self.db)
        try:
            connection.row_factory = lambda cursor, row: dict(
                zip((column[0] for column in cursor.description), row, strict=True)
            )
            return connection.execute(sql).fetchall()
        finally:
            connection.close()

    def retrievals(self) -> list[dict[str, Any]]:
        """Return the rows of the view ``retrievals`` without re-rankings, oldest first."""
        return self.rows("SELECT * FROM retrievals WHERE kind = 'retrieval' ORDER BY start_ns")

    def recorded(self, retrieval_id: str) -> list[ContractChunk]:
        """Return the chunks recorded of a retrieval, in rank order."""
        rows = self.rows(
            "SELECT i.chunk_id, c.text, c.metadata, i.score FROM impressions i "
            f"JOIN chunks c USING (chunk_version) WHERE i.retrieval_id = '{retrieval_id}' ORDER BY i.rank"
        )
        return [
            ContractChunk(row["chunk_id"], row["text"], _json(row["metadata"]), row["score"]) for row in rows
        ]

    @contextmanager
    def instrumented(self) -> Iterator[None]:
        """Record in this block."""
        self.instrument()
        try:
            yield
        finally:
            self.uninstrument()


def _json(text: str | None) -> dict[str, Any]:
    import json

    return json.loads(text) if text else {}
