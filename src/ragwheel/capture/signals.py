"""Signals: what people did about a retrieval, a chunk, an answer or a query."""

from __future__ import annotations

import math
import time
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ragwheel import runtime
from ragwheel.capture import handles, safe
from ragwheel.capture.columns import identity
from ragwheel.capture.context import the_turn
from ragwheel.capture.kinds import SignalKind, kinds
from ragwheel.capture.recorder import Retrieval
from ragwheel.capture.turn import Turn
from ragwheel.guard import guard
from ragwheel.ids import new_span_id
from ragwheel.journal import records

if TYPE_CHECKING:
    from ragwheel.runtime import Runtime

__all__ = ["signal"]

MAX_ID_CHARS = 1000


class _Refused(Exception):
    """The reason why a signal is not taken."""


def signal(
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
) -> bool:
    """Record that somebody did something. Never raises; once it has returned True, a kill loses nothing.

    Args:
        handle: ``turn.handle`` or ``retrieval.handle``, from any process, also weeks later.
        kind: a built-in kind (``click``, ``dwell``, ``delete``, …) or one from :func:`ragwheel.signal_kind`.
        chunk: what it is about: the app's id (str or int) or the object that the retriever returned.
        rank: the same by 1-based rank, for a retrieval's handle or a turn with one retrieval.
        value: as the kind says: seconds for ``dwell``, 0-5 for ``rating``.
        query: ``reformulate``: the new text.
        other: ``prefer``: the chunk that lost; ``reformulate``: the handle of the new turn or retrieval.
        subject: who did it, pseudonymous; from the handle when that is signed.
        event_id: the sender's id of the event: sent twice, it is stored once.
        at: when it happened (aware datetime, or Unix seconds); now by default.

    Returns:
        False when it was not taken: not configured, bad handle, unknown kind or chunk, value out of range,
        or it could not be written. The reason is counted in ``ragwheel.stats().refused``.
    """
    rt = runtime.active()
    if rt is None:
        return False
    try:
        target = handles.parse(_handle(handle), rt.settings.signing_keys)
        record = _record(rt, target, kind, chunk, rank, value, query, other, subject, event_id, at)
    except (handles.BadHandle, _Refused) as exc:
        rt.refuse(f"{'handle: ' if isinstance(exc, handles.BadHandle) else ''}{exc}")
        return False
    except Exception as exc:
        rt.refuse("broken")
        guard.caught("recording a signal", exc)
        return False
    return rt.write_signal(record)


def _record(
    rt: Runtime, target: handles.Target, kind: Any, chunk: Any, rank: Any, value: Any, query: Any, other: Any,
    subject: Any, event_id: Any, at: Any,
) -> records.Signal:  # fmt: skip
    spec = kinds().get(kind) if isinstance(kind, str) else None
    if spec is None:
        raise _Refused("unknown kind")
    app_id, rank = _chunk(rt, target, spec, chunk, rank)
    now_ns = time.time_ns()
    flags: tuple[str, ...] = ()
    if query is not None:
        query, flags = safe.text(query, rt.settings.max_text_chars)
    return records.Signal(
        new_span_id(), target.trace_id, _id(event_id), spec.name, target.kind, target.span_id, app_id, rank,
        _value(spec, value), query, _other(rt, target, spec, other), target.subject or _id(subject),
        _at(at, now_ns), now_ns, flags,
    )  # fmt: skip


def _handle(handle: Any) -> str:
    return str(handle.handle) if isinstance(handle, (Turn, Retrieval)) else handle


def _chunk(rt: Runtime, target: handles.Target, spec: SignalKind, chunk: Any, rank: Any) -> tuple[str | None, Any]:
    """The app id and rank of what the signal is about, refused when this process knows better."""
    if spec.about in {"query", "turn"}:
        if chunk is not None or rank is not None:
            raise _Refused("takes no chunk")
        return None, None
    if chunk is None and rank is None:
        if spec.about == "chunk or answer":
            return None, None
        raise _Refused("chunk missing")
    if rank is not None and (type(rank) is not int or rank < 1):
        raise _Refused("rank out of range")
    served = rt.served(target.kind, target.span_id)
    if chunk is None:
        if served is not None and (len(served) != 1 or rank > len(served[0])):
            raise _Refused("rank out of range" if len(served) == 1 else "rank of a turn with several retrievals")
        return (served[0][rank - 1] if served is not None else None), rank
    app_id = _app_id(chunk)
    if served is not None and not any(app_id in ids for ids in served):
        raise _Refused("unknown chunk")
    if served is not None and rank is not None and not any(ids[rank - 1 : rank] == (app_id,) for ids in served):
        raise _Refused("another chunk at that rank")
    return app_id, rank


def _app_id(chunk: Any) -> str:
    if type(chunk) is int:
        return str(chunk)
    if not isinstance(chunk, str):
        turn = the_turn.get()
        for retrieval in reversed(turn.retrievals if turn is not None else []):
            rank = retrieval.rank_of(chunk)
            if rank is not None:
                return retrieval.chunk_ids[rank - 1]
        chunk = identity(chunk)
    found = _id(chunk)
    if not found:
        raise _Refused("unknown chunk")
    return found


def _other(rt: Runtime, target: handles.Target, spec: SignalKind, other: Any) -> str | None:
    if spec.about == "comparison":
        if other is None:
            raise _Refused("other missing")
        app_id = _app_id(other)
        served = rt.served(target.kind, target.span_id)
        if served is not None and not any(app_id in ids for ids in served):
            raise _Refused("unknown chunk")
        return app_id
    if other is None:
        return None
    if spec.about != "query":
        raise _Refused("takes no other")
    return handles.parse(_handle(other), rt.settings.signing_keys).span_id.hex()


def _value(spec: SignalKind, value: Any) -> float | None:
    number = safe.number(value) if value is not None else None
    if value is not None and number is None:
        raise _Refused("value out of range")
    if not spec.accepts(number):
        raise _Refused("value out of range" if value is not None else "value missing")
    return number


def _id(value: Any) -> str | None:
    """An id as text: str, or a whole number; cut at 1,000 characters."""
    if value is None:
        return None
    if type(value) is int:
        return str(value)
    return safe.text(value, MAX_ID_CHARS)[0] or None


def _at(at: Any, now_ns: int) -> int:
    if at is None:
        return now_ns
    seconds = at.timestamp() if isinstance(at, datetime) else safe.number(at)
    if seconds is None or not math.isfinite(seconds) or not 0 <= seconds < 2**33:
        raise _Refused("time out of range")
    return int(seconds * 1e9)
