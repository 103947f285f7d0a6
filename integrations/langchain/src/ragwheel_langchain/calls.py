"""One call of a wrapped retriever, and how its LangChain run finds it.

The wrapper knows the source, the version and k; the callback handler knows the run and what it is
nested in. The call is announced in a context variable for as long as it lasts, and the first retriever
run that starts meanwhile with the same query object is its own.
"""

from __future__ import annotations

from contextvars import ContextVar, Token
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import ragwheel
from ragwheel_langchain.runs import OPEN, Recorder

if TYPE_CHECKING:
    from types import TracebackType
    from uuid import UUID

__all__ = ["Call", "Labels", "announced", "enclosing"]


@dataclass(frozen=True, slots=True)
class Labels:
    """What the app calls its retriever; None: the name of the LangChain run."""

    source: str | None = None
    name: str | None = None
    version: str | None = None


@dataclass(slots=True, eq=False)
class Call:
    """A context manager around one call: announces it, and records the exception if it fails."""

    query: Any
    labels: Labels
    k: int | None
    refused: str | None
    recorder: Recorder | None = None
    _outer: Recorder | None = None
    _run_id: UUID | None = None
    _token: Token[Call | None] | None = field(default=None, repr=False)

    def __enter__(self) -> Call:
        self._outer = enclosing()
        self._token = _current.set(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._token is not None:
            _current.reset(self._token)
        if self._run_id is not None:
            OPEN.close(self._run_id)  # LangChain reports no end for a cancelled run
        if error is not None and self.recorder is not None:
            self.recorder.fail(error)

    def begin(self, run_name: str, *, outer: Recorder | None = None, run_id: UUID | None = None) -> Recorder:
        """Start recording, with the name of the LangChain run where the app gave none."""
        labels = self.labels
        self._run_id = run_id
        self.recorder = ragwheel.start_retrieval(
            self.query,
            source=labels.source or run_name,
            name=labels.name or run_name,
            version=labels.version,
            top_k=self.k,
            outer=outer or self._outer,
        )
        if self.refused is not None:
            self.refuse(self.refused)
        return self.recorder

    def finish(self, chunks: Any, returned: int | None = None) -> None:
        """Record what the search gave; the app gets the first `returned` (None: all)."""
        if self.recorder is not None:
            self.recorder.finish(chunks, returned=returned)

    def refuse(self, reason: str) -> None:
        """Note with the retrieval why no more than the app's own chunks were asked for."""
        if self.recorder is not None:
            self.recorder.flag(f"overfetch refused: {reason}")

    def room(self, asked: int) -> int:
        """How many of `asked` chunks would be recorded: 0 while ragwheel is not configured."""
        return min(asked, getattr(self.recorder, "capture_k", 0))


_current: ContextVar[Call | None] = ContextVar("ragwheel_langchain_call", default=None)


def announced(query: object) -> Call | None:
    """The call whose run has not started yet, if it asks `query`."""
    call = _current.get()
    return call if call is not None and call.recorder is None and call.query is query else None


def enclosing() -> Recorder | None:
    """The recorder of the wrapped call that this code runs inside, if any."""
    call = _current.get()
    return None if call is None else call.recorder
