"""Validate the signals of a request and turn each into a record, or into the reason why it is refused.

The rules of :func:`ragwheel.signal` apply, and some more, since the senders are unknown: the handle must be
signed by one of our keys for one of our apps; the subject is taken from the handle only; an impossible time
is replaced by the time of arrival and flagged ``clock``. The result never depends on earlier signals.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from hashlib import blake2b
from typing import Final

import msgspec

from ragwheel import handles
from ragwheel.capture.remarks import reason_code, remark
from ragwheel.collector.wire import BadItem, Item
from ragwheel.host import safe
from ragwheel.ids import new_span_id
from ragwheel.journal.records import SignalRecord
from ragwheel.kinds import SignalKind, kinds

__all__ = ["RejectedHandle", "Sender", "SignalValidator", "fingerprint", "printable"]

MAX_ID_CHARS: Final = 1000
MAX_EVENT_ID_CHARS: Final = 128
AHEAD_NS: Final = 2 * 10**9
"""Signals up to this many nanoseconds in the future are accepted; beyond, the sender's clock is wrong."""
OLDEST_NS: Final = handles.LIFETIME_S * 10**9
"""The longest lifetime of a handle: a signal cannot be older than that."""


class RejectedHandle(BadItem):
    """A signal is refused because of its handle."""


@dataclass(frozen=True)
class Sender:
    """The sender of a request: whether unsigned handles are accepted from it, and whether it is a robot."""

    local: bool = False
    bot: bool = False


@dataclass(frozen=True)
class SignalValidator:
    """Validates signals and makes records of them.

    Args:
        keys: the keys that may have signed a handle, each ``<key id>:<hex>``.
        apps: the apps whose handles are accepted; empty: all apps that sign with these keys.
        max_text_chars: longer texts are cut.
    """

    keys: Sequence[str]
    apps: Collection[str]
    max_text_chars: int

    def target(self, handle: str, sender: Sender) -> handles.Target:
        """Return the turn or retrieval that a handle names.

        Raises:
            BadHandle: the handle is refused; the message says why.
        """
        if not handle:
            raise RejectedHandle("handle: missing")
        try:
            parsed = handles.parse(handle, self.keys, require_signed=not sender.local)
        except handles.BadHandle as exc:
            raise RejectedHandle(f"handle: {exc}") from None
        if parsed.signed and self.apps and parsed.app not in self.apps:
            raise RejectedHandle("handle: foreign app")
        return parsed

    def record(self, item: Item, sender: Sender, now_ns: int) -> SignalRecord:
        """Return the record of a signal.

        Raises:
            BadHandle: the handle is refused.
            BadItem: another field is refused.
        """
        target = self.target(item.handle, sender)
        spec = kinds().get(item.kind)
        if spec is None:
            raise BadItem("unknown kind" if item.kind else "kind missing")
        chunk, rank = _about(spec, item)
        at_ns, flags = _at(item.at, now_ns, target.issued_s)
        if not spec.accepts(item.value):
            raise BadItem("value missing" if item.value is None else "value out of range")
        query = item.query
        if query is not None:
            query, flags_of_comment = safe.text(query, self.max_text_chars)
            flags += flags_of_comment
        if spec.about == "query" and item.other is None and not (query or "").strip():
            raise BadItem("query missing")
        comment, flags_of_comment = remark(item.comment, self.max_text_chars)
        flags += flags_of_comment
        subject = target.subject if target.signed else _id(item.subject)
        record = SignalRecord(
            new_span_id(), target.trace_id, None, spec.name, target.kind, target.span_id, chunk, rank,
            item.value, query, self._other(spec, item, sender), subject, at_ns, now_ns,
            (*flags, "bot") if sender.bot else flags, comment, _reason(item.reason),
        )  # fmt: skip
        record.event_id = _event_id(item, record)
        return record

    def _other(self, spec: SignalKind, item: Item, sender: Sender) -> str | None:
        if spec.about == "comparison":
            other_id = _id(item.other)
            if other_id is None:
                raise BadItem("other missing")
            return other_id
        if spec.about == "signal":
            return _retracted(spec, item)
        if item.other is None:
            return None
        if spec.about != "query":
            raise BadItem("takes no other")
        if not isinstance(item.other, str):
            raise RejectedHandle("other: malformed")
        try:
            return self.target(item.other, sender).span_id.hex()
        except RejectedHandle as exc:
            raise RejectedHandle(exc.reason.replace("handle:", "other:")) from None


def fingerprint(record: SignalRecord) -> bytes:
    """Return 16 bytes that identify an event by its content, without the time of arrival.

    The query is left out, because the stored one may be redacted.
    """
    content = (
        record.target_id, record.kind, record.chunk, record.rank, record.value, record.other, record.subject,
    )  # fmt: skip
    return blake2b(msgspec.msgpack.encode(content), digest_size=16).digest()


def _event_id(item: Item, record: SignalRecord) -> str:
    """Return the sender's id, else one made from the content, so that a repeated request is one event."""
    if item.event_id is None or item.event_id == "":
        rest = msgspec.msgpack.encode((item.query, item.at))
        return f"content-{blake2b(fingerprint(record) + rest, digest_size=16).hexdigest()}"
    event_id = printable(item.event_id)
    if event_id is None:
        raise BadItem("event_id malformed")
    return event_id


def printable(event_id: str | int | None) -> str | None:
    """Return an event id if it may be stored and sent back, else None."""
    text = "" if event_id is None else str(event_id)
    return text if 0 < len(text) <= MAX_EVENT_ID_CHARS and text.isprintable() else None


def _retracted(spec: SignalKind, item: Item) -> str:
    """Return the event id or the kind that a retraction takes back."""
    handle_or_id = _id(item.other)
    if handle_or_id is None or handle_or_id == spec.name:
        raise BadItem("other missing" if handle_or_id is None else "a retraction of a retraction")
    return handle_or_id


def _reason(value: str | None) -> str | None:
    try:
        return reason_code(value)
    except ValueError as exc:
        raise BadItem(str(exc)) from None


def _about(spec: SignalKind, item: Item) -> tuple[str | None, int | None]:
    """Return the chunk's id and rank if the kind is about a chunk."""
    chunk = _id(item.chunk)
    if spec.about in {"query", "turn"}:
        if chunk is not None or item.rank is not None:
            raise BadItem("takes no chunk")
    elif chunk is None and item.rank is None and spec.about not in {"chunk or answer", "signal"}:
        raise BadItem("chunk missing")
    if item.rank is not None and not 1 <= item.rank < 2**31:
        raise BadItem("rank out of range")
    return chunk, item.rank


def _id(value: str | int | None) -> str | None:
    if value is None:
        return None
    return safe.text(str(value), MAX_ID_CHARS)[0] or None


def _at(at: float | str | None, now_ns: int, issued_s: int | None = None) -> tuple[int, tuple[str, ...]]:
    """Return the time of the event, and the flag ``clock`` if the sender's clock must be wrong.

    An event cannot be later than its arrival, nor earlier than the issue of its handle.
    """
    if at is None:
        return now_ns, ()
    if isinstance(at, str):
        try:
            moment = datetime.fromisoformat(at[:-1] + "+00:00" if at[-1:] in "zZ" else at)
            seconds = (moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)).timestamp()
        except (ValueError, OverflowError):
            raise BadItem("time out of range") from None
    else:
        seconds = at
    if not math.isfinite(seconds) or not 0 <= seconds < 2**33:
        raise BadItem("time out of range")
    at_ns = int(seconds * 1e9)
    earliest_ns = now_ns - OLDEST_NS if issued_s is None else issued_s * 10**9 - AHEAD_NS
    if at_ns > now_ns + AHEAD_NS or at_ns < earliest_ns:
        return now_ns, ("clock",)
    return min(at_ns, now_ns), ()
