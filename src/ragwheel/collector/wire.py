"""Parsing of request bodies: JSON, forms and OpenSearch UBI events become :class:`Item` objects.

========================================  ====================================================
body                                      meaning
========================================  ====================================================
``{"signals": [...]}``                    the collector's own form; items may be UBI events
``[...]``                                 a bare list of such items
``{"handle": ..., "kind": ...}``          a single signal
``{"query_id": ..., "action_name": ...}`` a single UBI event
``handle=...&kind=...``                   a single signal as a form
``signals=<JSON>``                        the first two, inside a form
========================================  ====================================================

JSON is recognised by its first character, whatever the content type says: ``navigator.sendBeacon`` sends a
string as ``text/plain`` and ``URLSearchParams`` as ``application/x-www-form-urlencoded``, and neither needs a
CORS preflight.
"""

from __future__ import annotations

import re
from typing import Any, Final
from urllib.parse import parse_qsl

import msgspec

from ragwheel.collector.bodies import BadBody, check_depth
from ragwheel.collector.limits import RequestLimits
from ragwheel.kinds import UBI_ACTIONS

__all__ = ["BadItem", "Item", "decode", "items_of"]

TYPES: Final = frozenset({"", "application/json", "text/plain", "application/x-www-form-urlencoded"})
_NUMBER: Final = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_FORM_FIELDS: Final = 40
# A pair of surrogates; a lone one, which a JavaScript string may hold and a JSON parser refuses; any other
_ESCAPES: Final = re.compile(rb"\\(?:(u[dD][89abAB]..\\u[dD][c-fC-F]..)|(u[dD][89a-fA-F]..)|.)", re.DOTALL)


class BadItem(ValueError):
    """A signal is refused; ``event_id`` is set if it could be read."""

    def __init__(self, reason: str, event_id: str | None = None) -> None:
        super().__init__(reason)
        self.reason, self.event_id = reason, event_id


class Item(msgspec.Struct, frozen=True):
    """One signal as sent: fields as in :func:`ragwheel.signal`; ``at`` in Unix seconds or ISO 8601.

    ``subject`` counts only beside an unsigned handle.
    """

    handle: str = ""
    kind: str = ""
    chunk: str | int | None = None
    rank: int | None = None
    value: float | None = None
    query: str | None = None
    other: str | int | None = None
    event_id: str | int | None = None
    at: float | str | None = None
    subject: str | int | None = None
    comment: str | None = None
    reason: str | None = None


class _Envelope(msgspec.Struct):
    signals: list[msgspec.Raw] | msgspec.UnsetType = msgspec.UNSET


class _Object(msgspec.Struct):
    object_id: str | int | None = None


class _Position(msgspec.Struct):
    ordinal: int | None = None


class _Attributes(msgspec.Struct):
    object: _Object | None = None
    position: _Position | None = None
    value: float | None = None
    dwell_time: float | None = None


class _Ubi(msgspec.Struct):
    """The fields of an OpenSearch UBI 1.3 event that mean something here."""

    action_name: str | None = None
    query_id: str = ""
    timestamp: str | float | None = None
    event_attributes: _Attributes | None = None
    event_id: str | int | None = None


class _Name(msgspec.Struct):
    """The fields of an item that are needed to report on it."""

    kind: str | None = None
    event_id: str | int | None = None


_envelope = msgspec.json.Decoder(_Envelope)
_list = msgspec.json.Decoder(list[msgspec.Raw])
_item = msgspec.json.Decoder(Item)
_ubi = msgspec.json.Decoder(_Ubi)
_name = msgspec.json.Decoder(_Name)


def items_of(body: bytes, content_type: str, limits: RequestLimits) -> list[bytes]:
    """Return the signals in a body, each still encoded as JSON.

    Raises:
        BadBody: there are none or too many, or the body does not match its content type.
    """
    media = content_type.partition(";")[0].strip().lower()
    if media not in TYPES:
        raise BadBody(415, "content type is not application/json, text/plain or a URL-encoded form")
    body = body.strip()
    if media == "application/x-www-form-urlencoded" and body[:1] not in (b"{", b"["):
        body = _from_form(body)
    check_depth(body, limits.depth)
    if b"\\ud" in body or b"\\uD" in body:
        body = _ESCAPES.sub(lambda match: rb"\ufffd" if match[2] else match[0], body)
    try:
        signals: Any = _list.decode(body) if body[:1] == b"[" else _envelope.decode(body).signals
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        raise BadBody(400, "body is not the JSON of signals") from None
    items = [body] if signals is msgspec.UNSET else [bytes(raw) for raw in signals]
    if not items:
        raise BadBody(400, "no signals")
    if len(items) > limits.items:
        raise BadBody(413, "too many signals")
    return items


def decode(raw: bytes, limits: RequestLimits) -> Item:
    """Decode one signal.

    Raises:
        BadItem: it is too large, or a field has the wrong type.
    """
    if len(raw) > limits.item_bytes:
        raise BadItem("signal too large")
    try:
        fields = _item.decode(raw)
        return fields if fields.kind else _from_ubi(_ubi.decode(raw))
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        raise BadItem("malformed", _event_id(raw)) from None


def _event_id(raw: bytes) -> str | None:
    try:
        event_id = _name.decode(raw).event_id
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return None
    return None if event_id is None else str(event_id)


def _from_ubi(event: _Ubi) -> Item:
    """Convert a UBI event.

    ``position.ordinal`` is used as the rank only without an id, since it counts places on a page.
    """
    action = event.action_name or ""
    attributes = event.event_attributes or _Attributes()
    kind = UBI_ACTIONS.get(action, action)
    chunk = attributes.object.object_id if attributes.object else None
    rank = attributes.position.ordinal if attributes.position and chunk is None else None
    if kind == "convert":  # it is about the turn
        chunk = rank = None
    value = attributes.value if attributes.value is not None else attributes.dwell_time
    return Item(event.query_id, kind, chunk, rank, value, None, None, event.event_id, event.timestamp)


def _from_form(body: bytes) -> bytes:
    try:
        fields = dict(parse_qsl(body.decode("ascii"), strict_parsing=True, max_num_fields=_FORM_FIELDS))
    except ValueError:
        raise BadBody(400, "body is not a URL-encoded form") from None
    if "signals" in fields:
        return fields["signals"].encode("utf-8", "surrogatepass")
    typed: dict[str, Any] = dict(fields)
    for name in ("rank", "value", "at"):
        if _NUMBER.fullmatch(fields.get(name, "")):
            number = float(fields[name])
            typed[name] = int(number) if name == "rank" and number.is_integer() else number
    return msgspec.json.encode(typed)
