"""A turn: one question and its answer."""

from __future__ import annotations

import itertools
import re
import sys
import time
from collections.abc import Callable, Iterable
from types import FrameType, TracebackType
from typing import Any, Final, ParamSpec, TypeVar

from ragwheel import handles, runtime
from ragwheel.capture import scopes
from ragwheel.capture.bound import bound
from ragwheel.capture.context import current_turn, span_parent
from ragwheel.capture.recorder import RERANK, Retrieval
from ragwheel.citations import CitableChunk, extract
from ragwheel.flags import examples_flag
from ragwheel.guard import guard
from ragwheel.host import safe
from ragwheel.host.certainty import ITERATOR
from ragwheel.host.items import plain_id
from ragwheel.host.results import objects_in
from ragwheel.ids import new_span_id
from ragwheel.journal import records

__all__ = ["Turn", "turn"]

MAX_LISTED: Final = 1000
"""Chunks per turn that ``prompted`` and ``shown`` take in."""
MAX_ID_CHARS: Final = 1000
MAX_EXAMPLES: Final = 100
"""Few-shot examples per turn that ``examples`` takes in."""
FIRST_KEPT: Final = 50
LAST_KEPT: Final = 200
"""A turn remembers this many of its first and of its latest retrievals; all of them are recorded."""
_EXAMPLE_ID: Final = re.compile(r"[\w-]{1,64}", re.ASCII)

Place = tuple[str, int]
"""Span id of a retrieval in hex, and a rank in it."""

P = ParamSpec("P")
T = TypeVar("T")


class Turn:
    """One question and its answer. Made by :func:`turn`; nothing here ever raises.

    Attributes:
        handle: names this turn to :func:`ragwheel.signal`, also later and from elsewhere.
        retrievals: what was retrieved and re-ranked in it so far, oldest first (nested ones left out; of more
            than 250 the first 50 and the latest 200).
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
        self._open: list[scopes.Scope] = []
        self._holders: dict[scopes.Scope, FrameType] = {}
        self._n_outside = 0
        self._revision = 0
        self._duration_ns = 0
        self._error: str | None = None
        self._record: dict[str, Any] = {}
        self._flags: dict[str, None] = {}
        self._examples: tuple[str, ...] = ()
        self._start_ns = time.time_ns()
        self._started_ns = time.perf_counter_ns()
        self.trace_id, self.parent_id, self.app_span = b"", None, 0
        with guard("starting a turn"):
            self.span_id = new_span_id()
            self._rt = runtime.active()
            self.trace_id, self.parent_id, self.app_span = span_parent(current_turn())
            if self._rt is not None:
                self.sampled = self._rt.keeps(self.trace_id)
                self._n_outside = self._rt.n_outside
                self.query = self._text(query)
                self.session_id = self._id("session_id", session_id)
                self.user_id = self._id("user_id", user_id)

    def _text(self, value: object) -> str | None:
        if value is None or self._rt is None:
            return None
        text, flags = safe.text(value, self._rt.settings.max_text_chars)
        self._flags.update(dict.fromkeys(flags))
        return text

    def _id(self, name: str, value: object) -> str | None:
        """A pseudonymous id as text: of a str, int or UUID; None of anything else."""
        plain = plain_id(value)
        if plain is None:
            if value is not None and type(value) is not str:
                self._flags[f"bad_{name}"] = None
            return None
        text, flags = safe.text(plain, MAX_ID_CHARS)
        self._flags.update(dict.fromkeys(flags))
        return text

    @property
    @guard("making a handle", returns="")
    def handle(self) -> str:
        """A URL-safe string for :func:`ragwheel.signal`; signed when signing keys are configured."""
        if self._rt is None:
            return ""
        target = handles.Target(
            handles.TURN, self.span_id, self.trace_id, self.user_id, self._rt.settings.app
        )
        return handles.make(target, self._rt.settings.signing_keys)

    def run(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Call ``function`` as part of this turn, in whatever thread, task or context this is called.

        For executors, which do not pass the context on: ``pool.submit(turn.run, search, "query")``.
        """
        return self.bind(function)(*args, **kwargs)

    def bind(self, function: Callable[P, T], /) -> Callable[P, T]:
        """Return ``function`` such that every call of it is part of this turn.

        For functions, coroutine functions, generators and async generators that another thread or task will
        run: ``asyncio.create_task(turn.bind(producer)(queue))``. The signature stays.
        """
        with guard("binding a function to a turn"):
            return bound(self, function)
        return function

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
        with guard("recording examples"):
            listed = [examples] if isinstance(examples, str) else itertools.islice(examples, MAX_EXAMPLES)
            ids = [
                plain_id(entry.get("id") if isinstance(entry, dict) else getattr(entry, "id", entry))
                for entry in listed
            ]
            good = [id for id in ids if id is not None and _EXAMPLE_ID.fullmatch(id)]
            if len(good) < len(ids):
                self._flags["bad_example_id"] = None
            self._examples = (examples_flag(good),) if good else ()
            if not self._open and self._revision:  # said after the turn was written for the last time
                self._write()

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
        with guard("recording an answer"):
            candidates, numbered = self._candidates()
            extracted = extract(text_or_message, citations, candidates, numbered)
            self._flags.update(dict.fromkeys(extracted.flags))
            if "unmatched_citation" in extracted.flags and self._rt.n_outside > self._n_outside:
                self._say_outside()
            self._record["answer"] = self._text(extracted.text)
            self._record["reasoning"] = self._text(reasoning)
            self._record["citations"] = [
                {
                    "marker": c.marker, "retrieval": c.retrieval, "rank": c.rank, "source": c.source,
                    "chunk": c.chunk, "start": c.start, "end": c.end, "text": c.text, "method": c.method,
                }
                for c in extracted.citations
            ]  # fmt: skip
            self._write()

    def _list(self, what: str, chunks: object) -> None:
        if self._rt is None:
            return
        with guard(f"recording what was {what}"):
            single = plain_id(chunks) is not None
            listed, unreadable = ([chunks], "") if single else objects_in(chunks, MAX_LISTED)
            if unreadable:
                self._flags["iterator_not_read" if unreadable == ITERATOR else f"unread_{what}"] = None
                return
            places = [self._place(chunk) for chunk in listed]
            if None in places:
                self._flags[f"unknown_{what}"] = None
            self._record[what] = [rank for rank in places if rank is not None]
            if not self._open and self._revision:  # said after the turn was written for the last time
                self._write()

    def _place(self, chunk: object) -> Place | None:
        """The rank in this turn's latest retrieval that returned this object, or else one with its id."""
        for find in (Retrieval.holds, Retrieval.rank_of):
            for retrieval in reversed(self.retrievals):
                rank = find(retrieval, chunk)
                if rank is not None:
                    return retrieval.span_id.hex(), rank
        return None

    def _candidates(self) -> tuple[list[CitableChunk], int | None]:
        """Return what ``[n]`` counts, the prompted chunks, else the returned ones in order.

        Also return how many of them are numbered: in a turn too long to be remembered whole the latest are
        not, since it is not known what number they have.
        """
        by_span = {retrieval.span_id.hex(): retrieval for retrieval in self.retrievals}
        places: list[Place] | None = self._record.get("prompted")
        numbered = None
        if places is None:
            reranks = [r for r in self.retrievals if r.kind == RERANK]
            places = [
                (r.span_id.hex(), rank)
                for r in reranks[-1:] or self.retrievals
                for rank in range(1, min(r.n_returned, len(r.chunk_ids)) + 1)
            ]
            if "long_turn" in self._flags and not reranks:
                numbered = sum(min(r.n_returned, len(r.chunk_ids)) for r in self.retrievals[:FIRST_KEPT])
        candidates = [
            CitableChunk(
                span, rank, by_span[span].source, by_span[span].chunk_ids[rank - 1], by_span[span].item(rank)
            )
            for span, rank in places
            if span in by_span
        ]
        return candidates, numbered

    def _say_outside(self) -> None:
        """Say that the answer cites what its turn did not retrieve, and others were outside of turns."""
        self._flags["retrievals_outside_turn"] = None
        guard.warn_once(
            "retrievals outside a turn",
            "an answer cites a chunk that its turn did not retrieve, while retrievals were recorded outside "
            "of every turn. If they belong to it, they ran in a thread, task or generator that does "
            "not know the turn: pass turn.run or turn.bind (docs/streaming.md, Streaming and threads).",
        )

    # what retrievals call

    @property
    def in_generator(self) -> bool:
        """Whether a generator holds the turn's block."""
        return bool(self._holders)

    def holder(self, scope: scopes.Scope) -> FrameType | None:
        """Return the frame of the generator that holds this block."""
        return self._holders.get(scope)

    def add(self, retrieval: Retrieval) -> None:
        """Remember a retrieval that has begun."""
        self.retrievals.append(retrieval)
        if len(self.retrievals) > FIRST_KEPT + LAST_KEPT:
            self.query = self.query if self.query is not None else self.retrievals[0].query
            self._flags["long_turn"] = None
            del self.retrievals[FIRST_KEPT]

    def keep(self, retrieval: Retrieval, items: list[Any]) -> None:
        """Keep the app's objects of a retrieval until the turn ends."""
        if not self.ended:
            retrieval.keep(items)

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
        record = self._record
        rt.write_turn(
            records.TurnRecord(
                span_id=self.span_id,
                trace_id=self.trace_id,
                parent_id=self.parent_id,
                revision=self._revision,
                app=rt.settings.app,
                query=query,
                answer=record.get("answer"),
                session_id=self.session_id,
                user_id=self.user_id,
                start_ns=self._start_ns,
                duration_ns=self._duration_ns,
                prompted=record.get("prompted"),
                shown=record.get("shown"),
                citations=record.get("citations"),
                error=self._error,
                flags=(*self._flags, *self._examples),
                reasoning=record.get("reasoning"),
            )
        )

    def enter_scope(self, caller: FrameType) -> scopes.Scope:
        """Make this the turn of the code that ``caller`` runs from now on, until :meth:`leave_scope`."""
        scope, holder = scopes.enter(self, caller)
        if holder is not None:
            self._holders[scope] = holder
        return scope

    def leave_scope(self, scope: scopes.Scope) -> None:
        """End what :meth:`enter_scope` began, in whatever context this is called."""
        scopes.leave(scope)
        self._holders.pop(scope, None)

    def __enter__(self) -> Turn:
        self.ended = False
        try:
            self._open.append(self.enter_scope(sys._getframe(1)))
        except Exception as exc:
            guard.caught("entering a turn", exc)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._open:  # it may be left without having been entered
            scope = self._open[-1]
            try:
                scope = scopes.to_leave(self._open, self._holders, sys._getframe(1))
                self._open.remove(scope)
                self.leave_scope(scope)
            except Exception as exc:
                guard.caught("leaving a turn", exc)
            finally:  # also when a signal handler of the app raised in there
                scope.open = False
                if scope in self._open:
                    self._open.remove(scope)
        if self._open:
            return
        self.ended = True
        with guard("recording a turn"):
            self._duration_ns = time.perf_counter_ns() - self._started_ns
            self._error = None if kind is None else kind.__name__
            self._write()
        try:
            for retrieval in self.retrievals:
                retrieval.release()
        except Exception as exc:
            guard.caught("releasing the chunks of a turn", exc)

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
