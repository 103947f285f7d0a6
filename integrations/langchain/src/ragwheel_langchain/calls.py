"""One call of a wrapped retriever, and how its LangChain run finds it.

The wrapper knows the source, the version and k; the callback handler knows the run and what it is
nested in. The call is announced in a context variable for as long as it lasts, and the first retriever
run that starts meanwhile with the same query object is its own.
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
    """What the app calls its retriever; None: the name of the LangChain run."""

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
    """The retrieval of the wrapped call that this code runs inside, if any."""
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
        """Record what the search gave; the app gets the first `returned` (None: all)."""
        if self.retrieval is not None:
            self.retrieval.finish(chunks, returned=returned)

    def flag(self, words: str) -> None:
        """Note with the retrieval what could not be done."""
        if self.retrieval is not None:
            self.retrieval.flag(words)

    def room(self, asked: int) -> int:
        """How many of `asked` chunks would be recorded: 0 while ragwheel is not configured."""
        if self.retrieval is None or not self.retrieval.sampled:
            return 0
        return min(asked, self.retrieval.capture_k)


def announced(query: object) -> LangChainCall | None:
    """The call whose run has not started yet, if it asks `query`."""
    call = _current.get()
    return call if call is not None and not call.begun and call.query is query else None
