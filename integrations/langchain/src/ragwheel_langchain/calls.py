"""Calls of a wrapped retriever, and their assignment to LangChain runs.

The wrapper knows the source, the version and k; the callback handler knows the run and its parents. During
the call, a context variable holds it, and the first retriever run that starts with the same query object
belongs to it.
"""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from typing_extensions import Self

import ragwheel
from ragwheel_langchain.runs import OPEN

if TYPE_CHECKING:
    from types import TracebackType
    from uuid import UUID

    from ragwheel import Retrieval

__all__ = ["Labels", "LangChainCall", "announced", "enclosing", "started"]


@dataclass(frozen=True, slots=True)
class Labels:
    """The app's names for its retriever; None: the name of the LangChain run."""

    source: str | None = None
    name: str | None = None
    version: str | None = None


def started(
    query: object, run_name: str, labels: Labels, *, top_k: int | None = None, outer: Retrieval | None = None
) -> Retrieval | None:
    """Begin a retrieval, named after the LangChain run where the app gave no name; None: not configured."""
    retrieval = ragwheel.start_retrieval(
        query,
        source=labels.source or run_name,
        name=labels.name or run_name,
        version=labels.version,
        top_k=top_k,
        outer=outer,
    )
    return retrieval if isinstance(retrieval, ragwheel.Retrieval) else None


_current: ContextVar[LangChainCall | None] = ContextVar("ragwheel_langchain_call", default=None)


def enclosing() -> Retrieval | None:
    """Return the retrieval of the wrapped call that this code runs inside, or None."""
    call = _current.get()
    return None if call is None else call.retrieval


@dataclass(slots=True, eq=False)
class LangChainCall:
    """A context manager around one call: announces it, and records the exception if it fails."""

    query: object
    labels: Labels
    k: int | None
    refused: str | None
    begun: bool = False
    retrieval: Retrieval | None = None
    _outer: Retrieval | None = field(default_factory=enclosing)
    _run_id: UUID | None = None
    _before: LangChainCall | None = field(default=None, repr=False)

    def __enter__(self) -> Self:
        self._before = _current.get()
        _current.set(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if _current.get() is self:  # it may be left in another context, which has nothing to be set back
            _current.set(self._before)
        if self.retrieval is not None:
            self.retrieval.leave()
        if self._run_id is not None:
            OPEN.close(self._run_id)  # LangChain reports no end for a cancelled run
        if error is not None and self.retrieval is not None:
            self.retrieval.fail(error)

    def begin(
        self, run_name: str, *, outer: Retrieval | None = None, run_id: UUID | None = None
    ) -> Retrieval | None:
        """Start recording; `run_id` is the LangChain run's where the callback handler sees it."""
        self.begun = True
        self._run_id = run_id
        self.retrieval = started(self.query, run_name, self.labels, top_k=self.k, outer=outer or self._outer)
        if self.refused is not None:
            self.flag(f"overfetch_refused: {self.refused}")
        if self.retrieval is not None:
            self.retrieval.enter()
        return self.retrieval

    def finish(self, chunks: object, returned: int | None = None) -> None:
        """Record the result of the search, of which the app gets the first `returned` (None: all)."""
        if self.retrieval is not None:
            self.retrieval.finish(chunks, returned=returned)

    def flag(self, words: str) -> None:
        """Add flags to the retrieval."""
        if self.retrieval is not None:
            self.retrieval.flag(words)

    def room(self, asked: int) -> int:
        """Return how many of `asked` chunks would be recorded; 0 while ragwheel is not configured."""
        if self.retrieval is None or not self.retrieval.sampled:
            return 0
        return min(asked, self.retrieval.capture_k)


def announced(query: object) -> LangChainCall | None:
    """Return the current call, if its run has not started yet and it asks `query`."""
    call = _current.get()
    return call if call is not None and not call.begun and call.query is query else None
