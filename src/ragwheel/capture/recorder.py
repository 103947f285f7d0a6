"""One retrieval, from the moment the retriever is called to the record in the journal."""

from __future__ import annotations

import time
import weakref
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from ragwheel import handles, runtime
from ragwheel.capture.adopted import adopted_ids, any_of_text
from ragwheel.capture.context import enclosing_spans, last_retrieval_var, running, span_parent
from ragwheel.guard import guard
from ragwheel.host import safe
from ragwheel.host.columns import Columns, identities, row
from ragwheel.host.items import plain_id
from ragwheel.host.queries import query_text
from ragwheel.host.results import read_result
from ragwheel.ids import new_span_id
from ragwheel.journal import records
from ragwheel.semconv import UNREADABLE_FLAG

if TYPE_CHECKING:
    from ragwheel.capture.turn import Turn

__all__ = ["RERANK", "RETRIEVAL", "NotRecorded", "Retrieval", "start_retrieval"]

RETRIEVAL: Final = 0
RERANK: Final = 1
_KINDS: Final = {"retrieval": RETRIEVAL, "rerank": RERANK}
_MAX_NAME_CHARS: Final = 200
_NOTHING: Final = Columns([], [], None, None, ())
_LOOK_BACK: Final = 100
"""So many retrievals of a turn are searched for the ranks before a re-ranking."""
_TEXTS_BACK: Final = 5
"""So many are searched for the texts of chunks that a re-ranker made anew."""
_MOST_NESTED: Final = 50
"""So many retrievals inside one are remembered by their texts."""
_RECORDING: Final = guard("recording a retrieval")
_FAILING: Final = guard("recording a failed retrieval")
_STARTING: Final = guard("starting a retrieval")


class Retrieval:
    """A retrieval under way or done. Made by :func:`start_retrieval`; nothing here ever raises.

    Attributes:
        query, source, name: as recorded.
        chunk_ids: the app's ids of the recorded chunks, in rank order, once finished.
        n_returned: how many chunks the app got.
        handle: names this retrieval to :func:`ragwheel.signal`, also later and from elsewhere.
    """

    __slots__ = (
        "_adopted", "_before", "_filed", "_flags", "_items", "_nested", "_rt", "_turn", "app_span",
        "capture_k", "chunk_ids", "done", "kind", "n_returned", "name", "outer", "parent_id", "query",
        "sampled", "source", "span_id", "start_ns", "started_ns", "top_k", "trace_id", "version",
    )  # fmt: skip

    def __init__(
        self, rt: runtime.Runtime, query: object, name: str, source: str | None, version: str, kind: int
    ) -> None:
        self._rt = rt
        self._items: list[Any] = []
        self._before: Retrieval | None = None
        self._nested: list[Columns] = []
        self._adopted: dict[str, str] = {}
        self.done = False
        self.start_ns = time.time_ns()
        self.started_ns = time.perf_counter_ns()
        self.query, self._flags = query_text(query, rt.settings.max_text_chars)
        self.name, self.source, self.version, self.kind = name, source or "", version, kind
        self.top_k: int | None = None
        self.capture_k = rt.settings.capture_k
        self.chunk_ids: list[str] = []
        self.n_returned = 0
        self._turn: Callable[[], Turn | None] | None = None
        self._filed: tuple[bytes | None, str | None, str | None] = (None, None, None)
        self.outer: Retrieval | None = None
        self.span_id = new_span_id()
        self.trace_id = b""
        self.parent_id: bytes | None = None
        self.app_span = 0
        self.sampled = False

    def place(self, turn: Turn | None, outer: Retrieval | None) -> None:
        """Take the place in the trace, under ``outer`` or ``turn`` or the app's current span."""
        self.outer = outer
        if turn is not None:
            self._turn = weakref.ref(turn)
            self._filed = (turn.span_id, turn.session_id, turn.user_id)
            if turn.query and "not_text" in self._flags:
                self.query = turn.query
                self.flag("query_of_turn")
        if outer is not None and not outer.source:
            outer.source = self.source  # one that passes on another's chunks has no ids of its own
        parent = outer or turn
        self.trace_id, self.parent_id, self.app_span = span_parent(parent)
        self.sampled = parent.sampled if parent is not None else self._rt.keeps(self.trace_id)
        if outer is None:
            if turn is not None:
                turn.add(self)
            else:
                self._rt.count_outside()

    @property
    def turn(self) -> Turn | None:
        """The turn that this belongs to, while anything keeps it; a retrieval does not."""
        return None if self._turn is None else self._turn()

    @property
    @guard("making a handle", returns="")
    def handle(self) -> str:
        """A URL-safe string for :func:`ragwheel.signal`; signed when signing keys are configured."""
        subject = self._filed[2]
        target = handles.Target(
            handles.RETRIEVAL, self.span_id, self.trace_id, subject, self._rt.settings.app
        )
        return handles.make(target, self._rt.settings.signing_keys)

    def enter(self) -> None:
        """Make retrievals that start in this context part of this one, until it is left or has ended."""
        self._before = running.get()
        running.set(self)

    def leave(self) -> None:
        """End what :meth:`enter` began. Safe to call from another context, or without having entered."""
        if running.get() is self:
            running.set(self._before)
        self._before = None

    def abandon(self) -> None:
        """Record nothing: what this was the retrieval of has ended, and nobody says how."""
        self.done = True

    def flag(self, word: str) -> None:
        """Note something that could not be recorded as it was."""
        if word not in self._flags:
            self._flags = (*self._flags, word)

    def finish(
        self,
        chunks: object,
        *,
        returned: int | None = None,
        total: int | None = None,
        adapter: Callable[[Any], Any] | None = None,
        given: Callable[[], Sequence[Any]] | None = None,
    ) -> None:
        """Record what the retriever gave: the first call of this or of :meth:`fail` counts.

        Args:
            chunks: its result, best first.
            returned: how many of the chunks, from rank 1, the app really gets (None: all).
            total: how many there were when ``chunks`` are only the first of them.
            adapter: as of :func:`ragwheel.retriever`.
            given: returns the lists that a re-ranker was given, of which its result may name positions only.
        """
        if self.done:
            return
        self.done = True
        self.leave()
        with _RECORDING:
            reading = read_result(chunks, self.capture_k, adapter, given)
            if reading.unreadable:
                self._refuse(reading.unreadable, chunks)
            turn = self.turn
            if turn is not None:
                turn.keep(self, reading.objects[: len(reading.columns.ids)])
            total = max(total or 0, reading.total)
            self._write(reading.columns, total if returned is None else max(0, min(returned, total)), None)
            if self.outer is None and (turn is None or not turn.in_generator):
                last_retrieval_var.set(self)

    def _refuse(self, reason: str, result: object) -> None:
        """Flag that nothing of the result can be told, and say once per source what to do."""
        self.flag(f"{UNREADABLE_FLAG}{reason}")
        source = self.source or self.name
        guard.warn_once(
            f"unreadable: {source}",
            f"{source}: a result of type {safe.type_name(result)} cannot be read ({reason}): its retrievals "
            "are kept without chunks and become no examples. See what is read of it: ragwheel probe "
            'MODULE:FUNCTION "a question". Then say how to read it: @ragwheel.retriever(adapter=...) or '
            "ragwheel.reads(TYPE, adapter)",
        )

    def fail(self, error: BaseException) -> None:
        """Record that the retriever raised ``error``."""
        if self.done:
            return
        self.done = True
        self.leave()
        with _FAILING:
            self._write(_NOTHING, 0, type(error).__name__)

    def keep(self, items: list[Any]) -> None:
        """Keep the app's objects, by which the turn knows its chunks again."""
        self._items = items

    def release(self) -> None:
        """Keep no object of the app alive: those that the app still has are known again, if they can be."""
        items, self._items = self._items, []
        if any(kind.__weakrefoffset__ for kind in set(map(type, items))):
            self._items = [weakref.ref(item) if type(item).__weakrefoffset__ else None for item in items]

    def holds(self, chunk: object) -> int | None:
        """Return the rank of this very object, kept while the turn lives; None: it is not from here."""
        for rank, item in enumerate(self._items, 1):  # what interrupts a generator's clean-up would be lost
            if item is chunk or _strong(item) is chunk:
                return rank
        return None

    def rank_of(self, chunk: object) -> int | None:
        """The rank of an object that this retrieval returned, or of an app id; None: it is not from here."""
        rank = self.holds(chunk)
        if rank is None:
            for wanted in ids_of(chunk, self._rt):
                recorded = self.recorded_id(wanted)
                if recorded in self.chunk_ids:
                    return self.chunk_ids.index(recorded) + 1
        return rank

    def recorded_id(self, chunk: str) -> str:
        """Return the id of a chunk that was made anew without it; ``chunk`` itself of any other."""
        return self._adopted.get(chunk, chunk)

    def item(self, rank: int) -> object:
        """The object at ``rank``, kept while the turn lives; None when it is not."""
        return _strong(self._items[rank - 1]) if rank <= len(self._items) else None

    def _write(self, columns: Columns, n_returned: int, error: str | None) -> None:
        rt = self._rt
        duration_ns = time.perf_counter_ns() - self.started_ns
        self.chunk_ids = ids = rt.recorded_ids(self._own_ids(columns), columns.texts)
        if ids is not columns.ids:
            columns = columns._replace(ids=ids)
        self.n_returned = n_returned
        in_ranks = self._in_ranks(ids) if self.kind == RERANK else None
        self.source = self.source or self.name
        if not self.sampled:
            rt.count_unsampled()
            return
        outer = self.outer
        if outer is not None and not outer.done and len(outer._nested) < _MOST_NESTED:
            outer._nested.append(columns)
        turn_id, session_id, user_id = self._filed
        record = records.RetrievalRecord(
            self.span_id,
            self.trace_id,
            self.parent_id,
            turn_id,
            None if outer is None else outer.span_id,
            self.kind,
            self.source,
            self.name,
            self.version,
            rt.settings.app,
            self.query,
            session_id,
            user_id,
            self.start_ns,
            duration_ns,
            self.top_k,
            self.capture_k,
            n_returned,
            columns.scores,
            columns.metadata,
            in_ranks,
            error,
            self._flags + columns.flags,
        )
        rt.write_retrieval(record, ids, columns.texts)

    def _own_ids(self, columns: Columns) -> list[str]:
        """Return the ids; a chunk that a compressor made anew without its id keeps the one it had."""
        nested, self._nested = self._nested, []
        if not any_of_text(columns.ids):
            return columns.ids
        turn = self.turn
        before = () if turn is None or self.kind != RERANK else turn.retrievals[-_TEXTS_BACK:]
        kept = [(each.chunk_ids, map(_strong, each._items)) for each in before if each is not self]
        self._adopted = adopted_ids(columns, nested, kept)
        return [self.recorded_id(chunk) for chunk in columns.ids]

    def _in_ranks(self, ids: list[str]) -> list[int | None] | None:
        """Where each chunk stood in the latest retrieval that had it; no source of our own: that one's."""
        turn = self.turn
        if turn is not None:
            before = [retrieval for retrieval in turn.retrievals[-_LOOK_BACK:] if retrieval is not self]
        else:
            last = last_retrieval_var.get()
            before = [last] if last is not None else []
        ranks: dict[str, int] = {}
        for earlier in reversed(before):
            if set(earlier.chunk_ids).isdisjoint(ids):
                continue
            self.source = self.source or earlier.source
            for rank, chunk in enumerate(earlier.chunk_ids, 1):
                ranks.setdefault(chunk, rank)
        return [ranks.get(chunk) for chunk in ids] if ranks else None


def _strong(item: Any) -> Any:
    return item() if type(item) is weakref.ref else item


def ids_of(chunk: object, rt: runtime.Runtime) -> list[str]:
    """The ids under which a chunk may be recorded, likeliest first: an app id, a text, or an object."""
    own = plain_id(chunk)
    keys = [*([own] if own is not None else []), *identities(chunk)]
    if rt.settings.redact is not None and any(key.startswith("text:") for key in keys):
        text = safe.text(row(chunk, {}).text)[0]
        keys = rt.recorded_ids(keys, [text] * len(keys))
    return list(dict.fromkeys(keys))


def start_retrieval(  # noqa: PLR0913 - public, all but the query by keyword
    query: object,
    *,
    source: str,
    name: str | None = None,
    version: str | None = None,
    top_k: int | None = None,
    outer: Retrieval | None = None,
    turn: Turn | None = None,
    kind: str = "retrieval",
) -> Retrieval | NotRecorded:
    """Begin recording a retrieval by hand, for code that a decorator cannot reach (callbacks, other SDKs).

    Args:
        query: what was asked.
        source: the index or data source.
        name: of the retriever; the source by default.
        version: of the retriever.
        top_k: how many chunks the app asked for.
        outer: the retrieval that this one runs inside; by default the decorated one running here.
        turn: the turn it belongs to; by default the current one.
        kind: ``"retrieval"`` or ``"rerank"``.

    Returns:
        A recorder: call ``finish(chunks, returned=None)`` or ``fail(error)`` once. When ragwheel is
        not configured it is one that does nothing. Never raises.
    """
    rt = runtime.active()
    if rt is None:
        return NOT_RECORDED
    with _STARTING:
        names = [safe.text(word, _MAX_NAME_CHARS)[0] for word in (name or source, source, version)]
        retrieval = Retrieval(rt, query, names[0], names[1] or None, names[2], _KINDS[kind])
        retrieval.top_k = top_k if type(top_k) is int and 0 <= top_k < 2**31 else None
        around, inside = enclosing_spans()
        if isinstance(outer, Retrieval):
            inside = outer
        retrieval.place(turn or (inside.turn if inside is not None else around), inside)
        return retrieval
    return NOT_RECORDED


class NotRecorded:
    """Stands for a retrieval while ragwheel is not configured: accepts everything, keeps nothing."""

    handle = ""
    chunk_ids: tuple[str, ...] = ()

    def finish(
        self,
        chunks: object,
        *,
        returned: int | None = None,
        total: int | None = None,
        adapter: object = None,
        given: object = None,
    ) -> None:
        """Nothing is kept."""

    def fail(self, error: BaseException) -> None:
        """Nothing is kept."""

    def flag(self, word: str) -> None:
        """Nothing is kept."""

    def abandon(self) -> None:
        """Nothing was begun."""

    def enter(self) -> None:
        """Nothing is entered."""

    def leave(self) -> None:
        """Nothing was entered."""


NOT_RECORDED: Final = NotRecorded()
