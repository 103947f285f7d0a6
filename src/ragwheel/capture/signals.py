"""Signals: what people did about a retrieval, a chunk, an answer or a query."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ragwheel import handles, runtime
from ragwheel.capture.context import current_turn
from ragwheel.capture.recorder import Retrieval, ids_of
from ragwheel.capture.remarks import reason_code, remark
from ragwheel.capture.turn import Turn
from ragwheel.guard import guard
from ragwheel.host import safe
from ragwheel.host.items import plain_id
from ragwheel.ids import new_span_id
from ragwheel.journal import records
from ragwheel.kinds import SignalKind, kinds

if TYPE_CHECKING:
    from ragwheel.runtime import Runtime

__all__ = ["signal"]

MAX_ID_CHARS = 1000


class _Refused(Exception):
    """The reason why a signal is not taken."""


def signal(  # noqa: PLR0913 - public, all but two by keyword
    handle: str,
    kind: str,
    *,
    chunk: object = None,
    rank: int | None = None,
    value: float | None = None,
    query: str | None = None,
    other: object = None,
    subject: str | None = None,
    event_id: str | None = None,
    at: datetime | float | None = None,
    comment: str | None = None,
    reason: str | None = None,
) -> bool:
    """Record that somebody did something. Never raises; once it has returned True, a kill loses nothing.

    Args:
        handle: ``turn.handle`` or ``retrieval.handle``, from any process, also weeks later.
        kind: a built-in kind (``click``, ``dwell``, ``delete``, …) or one from :func:`ragwheel.signal_kind`.
        chunk: what it is about: the app's id (str or int) or the object that the retriever returned.
        rank: the same by 1-based rank, for a retrieval's handle or a turn with one retrieval.
        value: as the kind says: seconds for ``dwell``, 0-5 for ``rating``.
        query: ``reformulate``: the new text.
        other: ``prefer``: the chunk that lost; ``reformulate``: the handle of the new turn or retrieval;
            ``retract``: the event id of the signal to take back, or a kind: every earlier signal of that kind
            by the same subject about the same chunk, or about the answer.
        subject: who did it, pseudonymous; from the handle when that is signed.
        event_id: the sender's id of the event: sent twice, it is stored once.
        at: when it happened (aware datetime, or Unix seconds); now by default.
        comment: the person's own words, redacted like every text.
        reason: why, as a short code such as ``"outdated"``, at most 100 characters.

    Returns:
        False when it was not taken: not configured, bad handle, unknown kind or chunk, value out of range,
        or it could not be written. The reason is counted in ``ragwheel.stats().refused``.
    """
    rt = runtime.active()
    if rt is None:
        return False
    try:
        arguments = _Said(chunk, rank, value, query, other, subject, event_id, at, comment, reason)
        record = _record(rt, handle, kind, arguments)
    except (handles.BadHandle, _Refused) as exc:
        rt.refuse(f"{'handle: ' if isinstance(exc, handles.BadHandle) else ''}{exc}")
        return False
    except Exception as exc:
        guard.caught("recording a signal", exc)
        rt.refuse("broken")
        return False
    return rt.write_signal(record)


@dataclass(frozen=True)
class _Said:
    """The optional arguments of a call, as they came."""

    chunk: Any
    rank: Any
    value: Any
    query: Any
    other: Any
    subject: Any
    event_id: Any
    at: Any
    comment: Any
    reason: Any


def _record(rt: Runtime, handle: Any, kind: Any, arguments: _Said) -> records.SignalRecord:
    """The signal, checked against its kind and against what this process knows of its target."""
    spec = kinds().get(kind) if isinstance(kind, str) else None
    if spec is None:
        raise _Refused("unknown kind")
    about = _About(rt, handle)
    chunk, rank = about.chunk(spec, arguments.chunk, arguments.rank)
    query, flags = _query(rt, spec, arguments)
    comment, comment_flags = remark(arguments.comment, rt.settings.max_text_chars)
    now_ns = time.time_ns()
    target = about.target
    return records.SignalRecord(
        span_id=new_span_id(),
        trace_id=target.trace_id,
        event_id=_id(arguments.event_id),
        kind=spec.name,
        target=target.kind,
        target_id=target.span_id,
        chunk=chunk,
        rank=rank,
        value=_value(spec, arguments.value),
        query=query,
        other=about.other(spec, arguments.other, chunk),
        subject=target.subject or _id(arguments.subject),
        at_ns=_at(arguments.at, now_ns),
        received_ns=now_ns,
        flags=(*flags, *comment_flags),
        comment=comment,
        reason=_reason(arguments.reason),
    )


class _About:
    """What a signal is about: the target that its handle names, and what is known of it here."""

    def __init__(self, rt: Runtime, handle: Any) -> None:
        self.rt = rt
        self.keys = rt.settings.signing_keys
        self.target = self._parsed(handle)
        self._served = rt.served(self.target.kind, self.target.span_id)
        """Chunk ids of the retrieval, or of each retrieval of the turn; None: this process can't tell."""
        turn = handle if isinstance(handle, Turn) else current_turn()
        self._retrievals = [handle] if isinstance(handle, Retrieval) else turn.retrievals if turn else []

    def _parsed(self, handle: Any) -> handles.Target:
        text = handle.handle if isinstance(handle, (Turn, Retrieval)) else handle
        return handles.parse(text, self.keys, require_signed=bool(self.keys))

    def chunk(self, spec: SignalKind, chunk: Any, rank: Any) -> tuple[str | None, int | None]:
        """The app id and rank of the chunk, refused when this process knows better."""
        if spec.about in {"query", "turn"}:
            if chunk is not None or rank is not None:
                raise _Refused("takes no chunk")
            return None, None
        if rank is not None and (type(rank) is not int or not 1 <= rank < 2**31):
            raise _Refused("rank out of range")
        if chunk is not None:
            return self._app_id(chunk, rank), rank
        if rank is not None:
            return self._at_rank(rank), rank
        if spec.about in {"chunk or answer", "signal"}:
            return None, None
        raise _Refused("chunk missing")

    def _at_rank(self, rank: int) -> str | None:
        if self._served is None:
            return None
        if len(self._served) != 1:
            raise _Refused("rank of a turn with several retrievals")
        if rank > len(self._served[0]):
            raise _Refused("rank out of range")
        return self._served[0][rank - 1]

    def _app_id(self, chunk: Any, rank: int | None = None) -> str:
        """The id of a chunk given by id or as an object; unknown here only when this process can tell."""
        holder = next((r for r in reversed(self._retrievals) if r.holds(chunk) is not None), None)
        wanted = (
            [holder.chunk_ids[(holder.holds(chunk) or 1) - 1]]
            if holder is not None
            else [
                text for text in (safe.text(each, MAX_ID_CHARS)[0] for each in ids_of(chunk, self.rt)) if text
            ]
        )
        if not wanted:
            raise _Refused("unknown chunk")
        if self._served is None:
            return wanted[0]
        made_anew = [r.recorded_id(each) for each in wanted for r in self._retrievals]
        for app_id in dict.fromkeys(wanted + made_anew):
            if any(app_id in ids for ids in self._served):
                if rank is not None and not any(ids[rank - 1 : rank] == (app_id,) for ids in self._served):
                    raise _Refused("another chunk at that rank")
                self._decide_source(app_id, holder)
                return app_id
        raise _Refused("unknown chunk")

    def _decide_source(self, app_id: str, holder: Retrieval | None) -> None:
        """Refuse an id that several sources of the turn served, unless an object says which is meant."""
        target = self.target
        if len(self.rt.sources_of(target.kind, target.span_id, app_id)) < 2:
            return
        if holder is None:
            raise _Refused("ambiguous chunk: pass the object in its turn, or the handle of the retrieval")
        self.target = target._replace(kind=handles.RETRIEVAL, span_id=holder.span_id)
        self._served = self.rt.served(handles.RETRIEVAL, holder.span_id)

    def other(self, spec: SignalKind, other: Any, chunk: str | None) -> str | None:
        """The chunk that lost, the span id of the query that came next, or what a retraction takes back."""
        if spec.about == "comparison":
            if other is None:
                raise _Refused("other missing")
            loser = self._app_id(other)
            if loser == chunk:
                raise _Refused("a chunk over itself")
            return loser
        if spec.about == "signal":
            retracted = _id(other)
            if not retracted or retracted == spec.name:
                raise _Refused("other missing" if not retracted else "a retraction of a retraction")
            return retracted
        if other is None:
            return None
        if spec.about != "query":
            raise _Refused("takes no other")
        return self._parsed(other).span_id.hex()


def _query(rt: Runtime, spec: SignalKind, arguments: _Said) -> tuple[str | None, tuple[str, ...]]:
    if spec.about != "query":
        if arguments.query is not None:
            raise _Refused("takes no query")
        return None, ()
    if arguments.query is None:
        if arguments.other is None:
            raise _Refused("query missing")
        return None, ()
    query, flags = safe.text(arguments.query, rt.settings.max_text_chars)
    if not query.strip():
        raise _Refused("query missing")
    return query, flags


def _value(spec: SignalKind, value: Any) -> float | None:
    number = safe.number(value) if value is not None else None
    if value is not None and number is None:
        raise _Refused("value out of range")
    if not spec.accepts(number):
        raise _Refused("value out of range" if value is not None else "value missing")
    return number


def _reason(value: Any) -> str | None:
    """The short code, None for an empty one."""
    try:
        return reason_code(value)
    except ValueError as exc:
        raise _Refused(str(exc)) from None


def _id(value: Any) -> str | None:
    """A subject or event id as text, cut at 1,000 characters: of a str, int or UUID."""
    plain = plain_id(value)
    return None if plain is None else safe.text(plain, MAX_ID_CHARS)[0]


def _at(at: Any, now_ns: int) -> int:
    """Unix nanoseconds of an aware datetime or of Unix seconds."""
    if at is None:
        return now_ns
    if isinstance(at, datetime):
        if at.tzinfo is None:
            raise _Refused("time without a zone")
        at = at.timestamp()
    seconds = safe.number(at)
    if seconds is None or not 0 <= seconds < 2**33:
        raise _Refused("time out of range")
    return int(seconds * 1e9)
