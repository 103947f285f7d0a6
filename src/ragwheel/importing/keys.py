"""Span ids (8 bytes) and trace ids (16 bytes) from the ids of other tools.

Tools write the same id in several ways: as hex, hex with ``0x``, base64 (protobuf's JSON, MLflow), a decimal
number (TruLens, Datadog), a UUID (LangSmith, Opik), or with a prefix (MLflow's ``tr-``). All spellings give
the same bytes, so spans and feedback join across files. Any other id is hashed.
"""

from __future__ import annotations

import base64
import binascii
import re
from hashlib import blake2b
from typing import Any, Final

__all__ = ["other_key", "span_key", "trace_key", "turn_key"]

_HEX: Final = re.compile(r"[0-9a-fA-F]+").fullmatch
_UUID: Final = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}").fullmatch
_NOTHING: Final = frozenset({"", "0", "none", "null", "nan", "undefined"})


def span_key(value: Any) -> bytes | None:
    """Return the span id for a tool's id of a span, run or observation; None if it has none."""
    return _key(value, 8)


def trace_key(value: Any) -> bytes | None:
    """Return the trace id for a tool's id of a trace; None if it has none."""
    return _key(value, 16)


def turn_key(trace: bytes) -> bytes:
    """Return the id of the turn of a trace.

    It is derived from the trace id alone, so spans, trace rows and feedback name the same turn in any order
    of arrival, even if the tool has no root span.
    """
    return blake2b(b"turn" + trace, digest_size=8).digest()


def other_key(*parts: Any) -> bytes:
    """Return 8 bytes that are derived from the parts."""
    return blake2b("\0".join(map(str, parts)).encode("utf-8", "replace"), digest_size=8).digest()


def _key(value: Any, size: int) -> bytes | None:
    if isinstance(value, (bytes, bytearray, memoryview)):
        raw = bytes(value)
        return _sized(raw, size) if any(raw) else None
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, float):
        if not value.is_integer():
            return None
        value = int(value)
    if isinstance(value, int):
        return _from_int(value, size) if value > 0 else None
    text = str(value).strip()
    if text.lower() in _NOTHING:
        return None
    raw = _spelled(text, size)
    return raw if any(raw) else None


def _spelled(text: str, size: int) -> bytes:
    text = text.removeprefix("0x").removeprefix("tr-")
    if _UUID(text):
        return _sized(bytes.fromhex(text.replace("-", "")), size)
    if len(text) in {16, 32} and _HEX(text):
        return _sized(bytes.fromhex(text), size)
    if text.isascii() and text.isdigit() and int(text) < 1 << (8 * size):
        return _from_int(int(text), size)
    if len(text) in {12, 24} and text.endswith("="):
        try:
            return _sized(base64.b64decode(text, validate=True), size)
        except (binascii.Error, ValueError):
            pass  # it only looked like base64, so it is hashed below like any other text
    return blake2b(text.encode("utf-8", "replace"), digest_size=size).digest()


def _from_int(value: int, size: int) -> bytes:
    return value.to_bytes(size, "big") if value < 1 << (8 * size) else other_key(value).rjust(size, b"\0")


def _sized(raw: bytes, size: int) -> bytes:
    """Return exactly ``size`` bytes: a shorter id is padded on the left, as 64-bit trace ids; else hashed."""
    if len(raw) == size:
        return raw
    return raw.rjust(size, b"\0") if len(raw) < size else blake2b(raw, digest_size=size).digest()
