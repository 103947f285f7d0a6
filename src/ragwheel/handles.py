"""Handles: strings that name a turn or a retrieval, for signals that come later.

::

    u1.<body>.<check>           unsigned: for code that trusts its caller
    s1.<key id>.<body>.<mac>    signed: HMAC-SHA256, first 16 bytes, over everything before the last dot

``body`` is the target (one letter, ``r`` or ``t``), 8 bytes of span id and 16 of trace id, in a signed
handle also the expiry (Unix seconds, 5 bytes) and the app and subject; both parts in URL-safe base64
without padding. Lengths: unsigned 44 characters; signed 69, the key id, and 4 characters for every 3 bytes
of app and subject; at most 765. Where keys are configured an unsigned handle is refused.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import time
import zlib
from collections.abc import Sequence
from typing import Final, NamedTuple

__all__ = ["RETRIEVAL", "TURN", "BadHandle", "Target", "make", "parse", "peek"]

RETRIEVAL: Final = 0
TURN: Final = 1
MAC_BYTES: Final = 16
LIFETIME_S: Final = 90 * 24 * 3600
MAX_CHARS: Final = 1000
MAX_NAME_BYTES: Final = 255
_LETTERS: Final = {RETRIEVAL: b"r", TURN: b"t"}


class Target(NamedTuple):
    """The turn or retrieval that a handle names.

    Only a signed handle has ``subject``, ``app`` and the time of issue.
    """

    kind: int
    span_id: bytes
    trace_id: bytes
    subject: str | None = None
    app: str | None = None
    signed: bool = False
    issued_s: int | None = None


class BadHandle(ValueError):
    """A handle is malformed, has an unknown key or a bad signature, has expired, or is not signed."""


def make(
    target: Target, keys: Sequence[str], *, now_s: float | None = None, lifetime_s: int = LIFETIME_S
) -> str:
    """Return the handle of ``target``, signed with the first of ``keys`` (``<key id>:<hex>``) if any."""
    body = _LETTERS[target.kind] + target.span_id + target.trace_id
    if not keys:
        return f"u1.{_text(body)}.{_text(_check(body))}"
    key_id, secret = keys[0].split(":", 1)
    expiry = int(time.time() if now_s is None else now_s) + lifetime_s
    app, subject = _short(target.app), _short(target.subject)
    body += expiry.to_bytes(5, "big") + bytes((len(app),)) + app + subject
    head = f"s1.{key_id}.{_text(body)}"
    return f"{head}.{_text(_mac(secret, head))}"


def parse(
    handle: object, keys: Sequence[str] = (), *, require_signed: bool = False, now_s: float | None = None
) -> Target:
    """Return the turn or retrieval that ``handle`` names.

    Args:
        handle: a handle that :func:`make` returned.
        keys: the keys that may have signed it, in any order.
        require_signed: whether to refuse an unsigned handle, as the collector does.
        now_s: the Unix time to check the expiry against.

    Raises:
        BadHandle: the handle is refused; the message says why.
    """
    if not isinstance(handle, str) or len(handle) > MAX_CHARS or not handle.isascii():
        raise BadHandle("malformed")
    parts = handle.split(".")
    if parts[0] == "u1" and len(parts) == 3:
        body = _bytes(parts[1])
        if len(body) != 25 or not hmac.compare_digest(_check(body), _bytes(parts[2])):
            raise BadHandle("malformed")
        if require_signed:
            raise BadHandle("not signed")
        return Target(_kind(body), body[1:9], body[9:25])
    if parts[0] != "s1" or len(parts) != 4:
        raise BadHandle("malformed")
    return _signed(parts, keys, time.time() if now_s is None else now_s)


def peek(handle: object) -> Target:
    """Return what a handle names, without checking its signature or expiry.

    Use this only for a handle that was checked when it arrived, never to decide who may send a signal.

    Raises:
        BadHandle: the handle is malformed.
    """
    if not isinstance(handle, str) or len(handle) > MAX_CHARS or not handle.isascii():
        raise BadHandle("malformed")
    parts = handle.split(".")
    if parts[0] != "s1" or len(parts) != 4:
        return parse(handle)
    return _opened(_bytes(parts[2]))


def _signed(parts: list[str], keys: Sequence[str], now_s: float) -> Target:
    head, mac, body = ".".join(parts[:3]), _bytes(parts[3]), _bytes(parts[2])
    secrets = [secret for key_id, _, secret in (key.partition(":") for key in keys) if key_id == parts[1]]
    if not secrets:
        raise BadHandle("unknown key")
    if not any(hmac.compare_digest(_mac(secret, head), mac) for secret in secrets):
        raise BadHandle("bad signature")
    target = _opened(body)
    if int.from_bytes(body[25:30], "big") < now_s:
        raise BadHandle("expired")
    return target


def _opened(body: bytes) -> Target:
    """Return the target in the body of a signed handle."""
    if len(body) < 31 or len(body) < 31 + body[30]:
        raise BadHandle("malformed")
    app, subject = body[31 : 31 + body[30]], body[31 + body[30] :]
    return Target(
        _kind(body),
        body[1:9],
        body[9:25],
        subject.decode(errors="replace") or None,
        app.decode(errors="replace"),
        True,
        int.from_bytes(body[25:30], "big") - LIFETIME_S,
    )


def _short(name: str | None) -> bytes:
    """Encode a name as UTF-8.

    A name longer than 255 bytes is replaced by its hash, so that names stay distinct.
    """
    raw = (name or "").encode(errors="replace")
    return raw if len(raw) <= MAX_NAME_BYTES else b"sha256:" + hashlib.sha256(raw).hexdigest().encode()


def _kind(body: bytes) -> int:
    for kind, letter in _LETTERS.items():
        if body[:1] == letter:
            return kind
    raise BadHandle("malformed")


def _check(body: bytes) -> bytes:
    return zlib.crc32(body).to_bytes(4, "big")


def _mac(secret: str, head: str) -> bytes:
    return hmac.new(bytes.fromhex(secret), head.encode(), hashlib.sha256).digest()[:MAC_BYTES]


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _bytes(text: str) -> bytes:
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise BadHandle("malformed") from None
    if _text(raw) != text:  # a non-canonical encoding of the same bytes
        raise BadHandle("malformed")
    return raw
