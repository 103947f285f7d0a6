"""One retrieval, from the moment the retriever is called to the record in the journal."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from ragwheel import runtime
from ragwheel.capture import handles, safe
from ragwheel.capture.columns import Columns, columns, identity
from ragwheel.capture.context import origin, running, the_last, the_turn
from ragwheel.guard import guard
from ragwheel.ids import new_span_id
from ragwheel.journal import records

if TYPE_CHECKING:
    from ragwheel.capture.turn import Turn

__all__ = ["RERANK", "RETRIEVAL", "Retrieval", "start_retrieval"]

RETRIEVAL: Final = 0
RERANK: Final = 1
_KINDS: Final = {"retrieval": RETRIEVAL, "rerank": RERANK}
_CONTAINERS: Final = ("documents", "chunks", "results", "nodes", "source_nodes", "matches", "hits", "points")
"""Where a retriever that returns a mapping or a response object keeps its chunks."""


class Retrieval:
    """A retrieval under way or done. Made by :func:`start_retrieval`; nothing here ever raises.

    Attributes:
        query, source, name: as recorded.
        chunk_ids: the app's ids of the recorded chunks, in rank order, once finished.
        n_returned: how many chunks the app got.
        handle: names this retrieval to :func:`ragwheel.signal`, also later and from elsewhere.
    """

    __slots__ = (
        "_done", "_flags", "_items", "_rt", "app_span", "capture_k", "chunk_ids", "kind", "n_returned", "name", "outer",
        "parent_id", "query", "sampled", "source", "span_id", "start_ns", "started_ns", "top_k", "trace_id", "turn",
        "version",
    )  # fmt: skip

    def __init__(
        self, rt: runtime.Runtime, query: object, source: str, name: str, version: str, kind: int, top_k: int | None
    ) -> None:
        self._rt = rt
        self._done = False
        self._items: list[Any] = []
        self.start_ns = time.time_ns()
        self.started_ns = time.perf_counter_ns()
        self.query, self._flags = safe.text(query, rt.settings.max_text_chars)
        self.source, self.name, self.version, self.kind, self.top_k = source, name, version, kind, top_k
        self.capture_k = rt.settings.capture_k
        self.chunk_ids: list[str] = []
        self.n_returned = 0
        self.turn: Turn | None = None
        self.outer: Retrieval | None = None
        self.span_id = new_span_id()

    def place(self, turn: Turn | None, outer: Retrieval | None) -> None:
        """Take the place in the trace, under ``outer`` or ``turn`` or the app's current span."""
        self.outer, self.turn = outer, turn
        parent = outer or turn
        self.trace_id, self.parent_id, self.app_span = origin(parent)
        self.sampled = parent.sampled if parent is not None else self._rt.keeps(self.trace_id)
        if turn is not None and outer is None:
            turn.retrievals.append(self)

    @property
    def handle(self) -> str:
        """A URL-safe string for :func:`ragwheel.signal`; signed when signing keys are configured."""
        subject = self.turn.user_id if self.turn is not None else None
        target = handles.Target(handles.RETRIEVAL, self.span_id, self.trace_id, subject, self._rt.settings.app)
        return handles.make(target, self._rt.settings.signing_keys)

    def flag(self, word: str) -> None:
        """Note something that could not be recorded as it was."""
        if word not in self._flags:
            self._flags = (*self._flags, word)

    def finish(
        self, chunks: object, *, returned: int | None = None, adapter: Callable[[Any], Any] | None = None
    ) -> None:
        """The retriever gave ``chunks``; the app gets the first ``returned`` of them (None: all)."""
        if self._done:
            return
        self._done = True
        try:
            self._finish(chunks, returned, adapter)
        except Exception as exc:
            guard.caught("recording a retrieval", exc)

    def fail(self, error: BaseException) -> None:
        """The retriever raised ``error``."""
        if self._done:
            return
        self._done = True
        try:
            self._write(Columns([], [], None, None, ()), 0, type(error).__name__)
        except Exception as exc:
            guard.caught("recording a failed retrieval", exc)

    def rank_of(self, chunk: object) -> int | None:
        """The rank of an object that this retrieval returned, by identity, else by its id."""
        for rank, item in enumerate(self._items, 1):
            if item is chunk:
                return rank
        wanted = chunk if isinstance(chunk, str) else str(chunk) if type(chunk) is int else identity(chunk)
        return self.chunk_ids.index(wanted) + 1 if wanted in self.chunk_ids else None

    def item(self, rank: int) -> object:
        """The object at ``rank``, kept while the turn lives; None when it is not."""
        return self._items[rank - 1] if rank <= len(self._items) else None

    def _finish(self, chunks: object, returned: int | None, adapter: Callable[[Any], Any] | None) -> None:
        items, total = _items(chunks, self.capture_k, adapter, self.flag)
        self._items = items if self.turn is not None else []
        read = _columns(items, chunks, self.capture_k, adapter)
        total = max(total, len(read.ids))
        self._write(read, total if returned is None else min(returned, total), None)
        self._items = self._items[: len(self.chunk_ids)]
        if self.outer is None:
            the_last.set(self)

    def _write(self, read: Columns, n_returned: int, error: str | None) -> None:
        rt = self._rt
        duration_ns = time.perf_counter_ns() - self.started_ns
        self.chunk_ids = read.ids
        self.n_returned = n_returned
        in_ranks = self._in_ranks(read.ids) if self.kind == RERANK else None
        if not self.sampled:
            rt.count_unsampled()
            return
        turn, outer = self.turn, self.outer
        record = records.Retrieval(
            self.span_id,
            self.trace_id,
            self.parent_id,
            None if turn is None else turn.span_id,
            None if outer is None else outer.span_id,
            self.kind,
            self.source,
            self.name,
            self.version,
            rt.settings.app,
            self.query,
            None if turn is None else turn.session_id,
            None if turn is None else turn.user_id,
            self.start_ns,
            duration_ns,
            self.top_k,
            self.capture_k,
            n_returned,
            read.scores,
            read.metadata,
            in_ranks,
            error,
            self._flags + read.flags,
        )
        rt.write_retrieval(record, read.ids, read.texts)

    def _in_ranks(self, ids: list[str]) -> list[int | None] | None:
        """Where each chunk stood in the turn's latest retrieval before this re-ranking."""
        before = [r for r in (self.turn.retrievals if self.turn is not None else ()) if r is not self and r.chunk_ids]
        if not before:
            return None
        ranks = {chunk: rank for rank, chunk in enumerate(before[-1].chunk_ids, 1)}
        return [ranks.get(chunk) for chunk in ids]


def _columns(items: list[Any], chunks: object, capture_k: int, adapter: Callable[[Any], Any] | None) -> Columns:
    """Columns of the items; an adapter that cannot take a single item is given the whole result."""
    if adapter is None or items is chunks:
        return columns(items, adapter)
    try:
        for item in items[:1]:
            adapter(item)
    except Exception:
        whole = adapter(chunks)
        return columns(list(islice(iter(whole), capture_k)))
    return columns(items, adapter)


def _items(
    result: object, capture_k: int, adapter: Callable[[Any], Any] | None, flag: Callable[[str], None]
) -> tuple[list[Any], int]:
    """The chunks in what a retriever returned, at most ``capture_k``, and how many there are in all.

    Nothing is consumed that can be read only once.
    """
    if isinstance(result, (list, tuple)):
        return list(result[:capture_k]), len(result)
    if result is None:
        return [], 0
    if isinstance(result, (str, bytes)):
        return [result], 1
    if adapter is not None:
        whole = adapter(result)
        found = list(islice(iter(whole), capture_k))
        return found, len(whole) if isinstance(whole, Collection) else len(found)
    held = _held(result)
    if held is not None:
        return _items(held, capture_k, adapter, flag)
    if isinstance(result, Collection) and not isinstance(result, Mapping):
        return list(islice(iter(result), capture_k)), len(result)
    if hasattr(type(result), "__next__") or hasattr(type(result), "__anext__"):
        flag("iterator_not_read")
        return [], 0
    if hasattr(type(result), "__await__"):
        flag("awaitable_not_read")
        return [], 0
    return [result], 1


def _held(result: object) -> object | None:
    """The list of chunks inside a mapping or a response object, or None."""
    for name in _CONTAINERS:
        found = result.get(name) if isinstance(result, Mapping) else getattr(result, name, None)
        if isinstance(found, (list, tuple)):
            return found
    return None


def start_retrieval(
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
    try:
        found = Retrieval(rt, query, source, name or source, version or "", _KINDS[kind], top_k)
        inside = outer if isinstance(outer, Retrieval) else running.get()
        found.place(turn or (inside.turn if inside is not None else None) or the_turn.get(), inside)
    except Exception as exc:
        guard.caught("starting a retrieval", exc)
        return NOT_RECORDED
    return found


class NotRecorded:
    """Stands for a retrieval while ragwheel is not configured: accepts everything, keeps nothing."""

    handle = ""
    chunk_ids: tuple[str, ...] = ()

    def finish(self, chunks: object, *, returned: int | None = None, adapter: object = None) -> None:
        """Nothing is kept."""

    def fail(self, error: BaseException) -> None:
        """Nothing is kept."""

    def flag(self, word: str) -> None:
        """Nothing is kept."""


NOT_RECORDED: Final = NotRecorded()
