"""A turn: one question and its answer."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable
from contextvars import Token
from itertools import islice
from types import TracebackType
from typing import Any, Final

from ragwheel import runtime
from ragwheel.capture import handles, safe
from ragwheel.capture.context import origin, the_turn
from ragwheel.capture.recorder import RERANK, Retrieval
from ragwheel.citations import Candidate, extract
from ragwheel.guard import guard
from ragwheel.ids import new_span_id
from ragwheel.journal import records

__all__ = ["Turn", "turn"]

MAX_LISTED: Final = 1000
"""Chunks per turn that ``prompted`` and ``shown`` take in."""

Place = tuple[str, int]
"""Span id of a retrieval in hex, and a rank in it."""


class Turn:
    """One question and its answer. Made by :func:`turn`; nothing here ever raises.

    Attributes:
        handle: names this turn to :func:`ragwheel.signal`, also later and from elsewhere.
        retrievals: what was retrieved and re-ranked in it so far, oldest first (nested ones left out).
        query, session_id, user_id: as given.
    """

    def __init__(self, query: str | None, session_id: str | None, user_id: str | None) -> None:
        self.retrievals: list[Retrieval] = []
        self.query = query
        self.session_id = session_id
        self.user_id = user_id
        self.span_id = new_span_id()
        self.sampled = False
        self._rt: runtime.Runtime | None = None
        self._token: Token[Turn | None] | None = None
        self._revision = 0
        self._record: dict[str, Any] = {}
        self._flags: tuple[str, ...] = ()
        self._start_ns = time.time_ns()
        self._started_ns = time.perf_counter_ns()
        self.trace_id, self.parent_id, self.app_span = b"", None, 0
        try:
            self._begin()
        except Exception as exc:
            guard.caught("starting a turn", exc)

    def _begin(self) -> None:
        self._rt = rt = runtime.active()
        self.trace_id, self.parent_id, self.app_span = origin(the_turn.get())
        if rt is not None:
            self.sampled = rt.keeps(self.trace_id)
            for name in ("query", "session_id", "user_id"):
                setattr(self, name, self._text(getattr(self, name)))

    def _text(self, value: object) -> str | None:
        if value is None or self._rt is None:
            return None
        if isinstance(value, int):
            value = int.__repr__(value)
        text, flags = safe.text(value, self._rt.settings.max_text_chars)
        self._flags = tuple(dict.fromkeys(self._flags + flags))
        return text

    @property
    def handle(self) -> str:
        """A URL-safe string for :func:`ragwheel.signal`; signed when signing keys are configured."""
        if self._rt is None:
            return ""
        target = handles.Target(handles.TURN, self.span_id, self.trace_id, self.user_id, self._rt.settings.app)
        return handles.make(target, self._rt.settings.signing_keys)

    def prompted(self, chunks: Iterable[object]) -> None:
        """Say which chunks the LLM saw, in prompt order: objects that a retriever returned, or app ids.

        Without it, what the turn's outermost retrievals (or its last re-ranker) returned is assumed.
        """
        self._list("prompted", chunks)

    def shown(self, chunks: Iterable[object]) -> None:
        """Say which chunks a person saw, from the top."""
        self._list("shown", chunks)

    def answer(self, text_or_message: object, citations: object = None) -> None:
        """Record the answer and what it cites.

        Args:
            text_or_message: text, or a message of Anthropic, OpenAI, Cohere or LangChain.
            citations: ids, chunks or the provider's citation objects; by default they are read from the
                message and from ``[n]`` markers in the text. ``[n]`` is the n-th of the chunks last given
                to :meth:`prompted`, else of the turn's returned chunks in order.
        """
        try:
            found = extract(text_or_message, citations, self._candidates())
            self._flags = tuple(dict.fromkeys(self._flags + found.flags))
            self._record["answer"] = self._text(found.text)
            self._record["citations"] = [
                {
                    "marker": c.marker, "retrieval": c.retrieval, "rank": c.rank, "source": c.source, "chunk": c.chunk,
                    "start": c.start, "end": c.end, "text": c.text, "method": c.method,
                }
                for c in found.citations
            ]  # fmt: skip
            self._write(None)
        except Exception as exc:
            guard.caught("recording an answer", exc)

    def _list(self, what: str, chunks: Iterable[object]) -> None:
        try:
            if hasattr(type(chunks), "__next__"):
                self._flags = tuple(dict.fromkeys((*self._flags, "iterator_not_read")))
                return
            places = [self._place(chunk) for chunk in islice(iter(chunks), MAX_LISTED)]
            if None in places:
                self._flags = tuple(dict.fromkeys((*self._flags, f"unknown_{what}")))
            self._record[what] = [place for place in places if place is not None]
            if self._token is None and self._revision:  # said after the turn had ended
                self._write(None)
        except Exception as exc:
            guard.caught(f"recording what was {what}", exc)

    def _place(self, chunk: object) -> Place | None:
        """The latest retrieval of this turn that has ``chunk``, and its rank there."""
        for retrieval in reversed(self.retrievals):
            rank = retrieval.rank_of(chunk)
            if rank is not None:
                return retrieval.span_id.hex(), rank
        return None

    def _candidates(self) -> list[Candidate]:
        """What ``[n]`` counts: the prompted chunks, else the returned ones in order."""
        by_span = {retrieval.span_id.hex(): retrieval for retrieval in self.retrievals}
        places: list[Place] | None = self._record.get("prompted")
        if places is None:
            reranks = [r for r in self.retrievals if r.kind == RERANK]
            outermost = reranks[-1:] or self.retrievals
            places = [(r.span_id.hex(), n) for r in outermost for n in range(1, min(r.n_returned, len(r.chunk_ids)) + 1)]
        return [
            Candidate(span, rank, by_span[span].source, by_span[span].chunk_ids[rank - 1], by_span[span].item(rank))
            for span, rank in places
        ]

    def _write(self, error: str | None) -> None:
        rt = self._rt
        if rt is None:
            return
        if not self.sampled:
            if not self._revision:
                rt.count_unsampled()
            self._revision += 1
            return
        self._revision += 1
        query = self.query
        if query is None and self.retrievals:
            query = self.retrievals[0].query
        rt.write_turn(
            records.TurnRecord(
                self.span_id, self.trace_id, self.parent_id, self._revision, rt.settings.app, query,
                self._record.get("answer"), self.session_id, self.user_id, self._start_ns,
                time.perf_counter_ns() - self._started_ns, self._record.get("prompted"), self._record.get("shown"),
                self._record.get("citations"), error, self._flags,
            )
        )  # fmt: skip

    def __enter__(self) -> Turn:
        self._token = the_turn.set(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        token, self._token = self._token, None
        if token is not None:
            try:
                the_turn.reset(token)
            except ValueError:  # left in another context than it was entered in (an async generator's)
                with contextlib.suppress(LookupError):
                    if the_turn.get() is self:
                        the_turn.set(None)
        try:
            self._write(None if kind is None else kind.__name__)
        except Exception as exc:
            guard.caught("recording a turn", exc)

    async def __aenter__(self) -> Turn:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, traceback)


def turn(query: str | None = None, *, session_id: str | None = None, user_id: str | None = None) -> Turn:
    """One question and its answer, as a context manager for ``with`` and ``async with``.

    Args:
        query: what the person asked; the turn's first retrieval's query by default.
        session_id: any pseudonymous id of the conversation.
        user_id: any pseudonymous id of the person; signals are counted per person.
    """
    return Turn(query, session_id, user_id)
