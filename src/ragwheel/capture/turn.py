"""A turn: one question and its answer."""

from __future__ import annotations

import contextlib
import itertools
import re
import time
from collections.abc import Iterable
from contextvars import Token
from types import TracebackType
from typing import Any, Final

from ragwheel import runtime
from ragwheel.capture import handles
from ragwheel.capture.context import current_turn, origin, the_turn
from ragwheel.capture.recorder import RERANK, Retrieval
from ragwheel.citations import Candidate, extract
from ragwheel.guard import guard
from ragwheel.host import safe
from ragwheel.host.certainty import ITERATOR
from ragwheel.host.items import plain_id
from ragwheel.host.results import objects_in
from ragwheel.ids import new_span_id
from ragwheel.journal import records
from ragwheel.semconv import FEWSHOT_FLAG

__all__ = ["Turn", "turn"]

MAX_LISTED: Final = 1000
"""Chunks per turn that ``prompted`` and ``shown`` take in."""
MAX_ID_CHARS: Final = 1000
MAX_EXAMPLES: Final = 100
"""Few-shot examples per turn that ``examples`` takes in."""
_EXAMPLE_ID: Final = re.compile(r"[\w-]{1,64}", re.ASCII)

Place = tuple[str, int]
"""Span id of a retrieval in hex, and a rank in it."""


class Turn:
    """One question and its answer. Made by :func:`turn`; nothing here ever raises.

    Attributes:
        handle: names this turn to :func:`ragwheel.signal`, also later and from elsewhere.
        retrievals: what was retrieved and re-ranked in it so far, oldest first (nested ones left out).
        query, session_id, user_id: as given.
        ended: whether its ``with`` block has been left.
    """

    def __init__(self, query: object, session_id: object, user_id: object) -> None:
        self.retrievals: list[Retrieval] = []
        self.query: str | None = None
        self.session_id: str | None = None
        self.user_id: str | None = None
        self.span_id = bytes(8)
        self.sampled = False
        self.ended = False
        self._rt: runtime.Runtime | None = None
        self._tokens: list[Token[Turn | None]] = []
        self._revision = 0
        self._duration_ns = 0
        self._error: str | None = None
        self._record: dict[str, Any] = {}
        self._flags: dict[str, None] = {}
        self._examples: tuple[str, ...] = ()
        self._start_ns = time.time_ns()
        self._started_ns = time.perf_counter_ns()
        self.trace_id, self.parent_id, self.app_span = b"", None, 0
        try:
            self.span_id = new_span_id()
            self._rt = runtime.active()
            self.trace_id, self.parent_id, self.app_span = origin(current_turn())
            if self._rt is not None:
                self.sampled = self._rt.keeps(self.trace_id)
                self.query = self._text(query)
                self.session_id = self._id("session_id", session_id)
                self.user_id = self._id("user_id", user_id)
        except Exception as exc:
            guard.caught("starting a turn", exc)

    def _text(self, value: object) -> str | None:
        if value is None or self._rt is None:
            return None
        text, flags = safe.text(value, self._rt.settings.max_text_chars)
        self._flags.update(dict.fromkeys(flags))
        return text

    def _id(self, name: str, value: object) -> str | None:
        """A pseudonymous id as text: of a str, int or UUID; None of anything else."""
        found = plain_id(value)
        if found is None:
            if value is not None and type(value) is not str:
                self._flags[f"bad_{name}"] = None
            return None
        text, flags = safe.text(found, MAX_ID_CHARS)
        self._flags.update(dict.fromkeys(flags))
        return text

    @property
    def handle(self) -> str:
        """A URL-safe string for :func:`ragwheel.signal`; signed when signing keys are configured."""
        if self._rt is None:
            return ""
        try:
            target = handles.Target(
                handles.TURN, self.span_id, self.trace_id, self.user_id, self._rt.settings.app
            )
            return handles.make(target, self._rt.settings.signing_keys)
        except Exception as exc:
            guard.caught("making a handle", exc)
            return ""

    def prompted(self, chunks: Iterable[object]) -> None:
        """Say which chunks the LLM saw, in prompt order: objects that a retriever returned, or app ids.

        Without it, what the turn's outermost retrievals (or its last re-ranker) returned is assumed.
        """
        self._list("prompted", chunks)

    def shown(self, chunks: Iterable[object]) -> None:
        """Say which chunks a person saw, from the top."""
        self._list("shown", chunks)

    def examples(self, examples: Iterable[object]) -> None:
        """Say which few-shot examples were in the prompt, for ``ragwheel fewshot`` to count their effect.

        Args:
            examples: their ids, or the examples as a selector gave them: objects with an ``id``, or dicts.
                The latest call counts.
        """
        if self._rt is None:
            return
        try:
            listed = [examples] if isinstance(examples, str) else itertools.islice(examples, MAX_EXAMPLES)
            ids = [
                plain_id(one.get("id") if isinstance(one, dict) else getattr(one, "id", one))
                for one in listed
            ]
            good = [id for id in ids if id is not None and _EXAMPLE_ID.fullmatch(id)]
            if len(good) < len(ids):
                self._flags["bad_example_id"] = None
            self._examples = (FEWSHOT_FLAG + " ".join(dict.fromkeys(good)),) if good else ()
            if not self._tokens and self._revision:  # said after the turn was written for the last time
                self._write()
        except Exception as exc:
            guard.caught("recording examples", exc)

    def answer(self, text_or_message: object, citations: object = None, *, reasoning: object = None) -> None:
        """Record the answer and what it cites; on disk when this returns. A second answer replaces the first.

        Args:
            text_or_message: text, or a message of Anthropic, OpenAI, Cohere or LangChain.
            citations: ids, chunks or the provider's citation objects; by default they are read from the
                message and from ``[n]`` markers in the text. ``[n]`` is the n-th of the chunks last given
                to :meth:`prompted`, else of the turn's returned chunks in order.
            reasoning: text: how the LLM came to the answer. Few-shot examples show it as their thinking.
        """
        if self._rt is None:
            return
        try:
            found = extract(text_or_message, citations, self._candidates())
            self._flags.update(dict.fromkeys(found.flags))
            self._record["answer"] = self._text(found.text)
            self._record["reasoning"] = self._text(reasoning)
            self._record["citations"] = [
                {
                    "marker": c.marker, "retrieval": c.retrieval, "rank": c.rank, "source": c.source,
                    "chunk": c.chunk, "start": c.start, "end": c.end, "text": c.text, "method": c.method,
                }
                for c in found.citations
            ]  # fmt: skip
            self._write()
        except Exception as exc:
            guard.caught("recording an answer", exc)

    def _list(self, what: str, chunks: object) -> None:
        if self._rt is None:
            return
        try:
            single = plain_id(chunks) is not None
            listed, unreadable = ([chunks], "") if single else objects_in(chunks, MAX_LISTED)
            if unreadable:
                self._flags["iterator_not_read" if unreadable == ITERATOR else f"unread_{what}"] = None
                return
            places = [self._place(chunk) for chunk in listed]
            if None in places:
                self._flags[f"unknown_{what}"] = None
            self._record[what] = [place for place in places if place is not None]
            if not self._tokens and self._revision:  # said after the turn was written for the last time
                self._write()
        except Exception as exc:
            guard.caught(f"recording what was {what}", exc)

    def _place(self, chunk: object) -> Place | None:
        """The rank in this turn's latest retrieval that returned this object, or else one with its id."""
        for find in (Retrieval.holds, Retrieval.rank_of):
            for retrieval in reversed(self.retrievals):
                rank = find(retrieval, chunk)
                if rank is not None:
                    return retrieval.span_id.hex(), rank
        return None

    def _candidates(self) -> list[Candidate]:
        """What ``[n]`` counts: the prompted chunks, else the returned ones in order."""
        by_span = {retrieval.span_id.hex(): retrieval for retrieval in self.retrievals}
        places: list[Place] | None = self._record.get("prompted")
        if places is None:
            reranks = [r for r in self.retrievals if r.kind == RERANK]
            places = [
                (r.span_id.hex(), rank)
                for r in reranks[-1:] or self.retrievals
                for rank in range(1, min(r.n_returned, len(r.chunk_ids)) + 1)
            ]
        return [
            Candidate(
                span, rank, by_span[span].source, by_span[span].chunk_ids[rank - 1], by_span[span].item(rank)
            )
            for span, rank in places
        ]

    def _write(self) -> None:
        """Write the turn as it is now; its duration is 0 until it has ended."""
        rt = self._rt
        if rt is None:
            return
        self._revision += 1
        if not self.sampled:
            if self._revision == 1:
                rt.count_unsampled()
            return
        query = self.query
        if query is None and self.retrievals:
            query = self.retrievals[0].query
        said = self._record
        rt.write_turn(
            records.TurnRecord(
                span_id=self.span_id,
                trace_id=self.trace_id,
                parent_id=self.parent_id,
                revision=self._revision,
                app=rt.settings.app,
                query=query,
                answer=said.get("answer"),
                session_id=self.session_id,
                user_id=self.user_id,
                start_ns=self._start_ns,
                duration_ns=self._duration_ns,
                prompted=said.get("prompted"),
                shown=said.get("shown"),
                citations=said.get("citations"),
                error=self._error,
                flags=(*self._flags, *self._examples),
                reasoning=said.get("reasoning"),
            )
        )

    def __enter__(self) -> Turn:
        self.ended = False
        self._tokens.append(the_turn.set(self))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # left in another context than it was entered in (an async generator's), or left without having been
        # entered: `current_turn` leaves it out because it has ended
        with contextlib.suppress(ValueError, IndexError):
            the_turn.reset(self._tokens.pop())
        if self._tokens:
            return
        self.ended = True
        try:
            self._duration_ns = time.perf_counter_ns() - self._started_ns
            self._error = None if kind is None else kind.__name__
            self._write()
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
