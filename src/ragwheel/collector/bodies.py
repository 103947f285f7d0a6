"""Reading request bodies from connections that may be slow or hostile.

Bytes are counted as they arrive, whatever ``Content-Length`` says. The body must be complete within
``body_timeout_s``. It is decompressed into a buffer of fixed size, and deep nesting is refused before a
parser sees it.
"""

from __future__ import annotations

import asyncio
import re
import zlib
from collections.abc import AsyncIterator
from typing import Final

from ragwheel.collector.limits import RequestLimits

__all__ = ["BadBody", "check_depth", "read_body", "unpack"]

# A string (also an unterminated one, so that the scan stays linear), or a bracket.
_TOKENS: Final = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*(?:"|\\?\Z)|[\[\]{}]', re.DOTALL)


class BadBody(Exception):
    """A request is refused, with its HTTP status and the seconds after which to try again (0.0: never)."""

    def __init__(self, status: int, reason: str, retry_after_s: float = 0.0) -> None:
        super().__init__(reason)
        self.status, self.reason, self.retry_after_s = status, reason, retry_after_s


async def read_body(
    chunks: AsyncIterator[bytes], declared: str | None, encoding: str, limits: RequestLimits
) -> bytes:
    """Return the whole body, decompressed.

    Args:
        chunks: the parts of the body as they arrive.
        declared: the ``Content-Length`` header.
        encoding: the ``Content-Encoding`` header; ``""`` if there is none.
        limits: the limits, of which ``body_bytes`` and ``body_timeout_s`` are used.

    Raises:
        BadBody: 400, 408, 413 or 415.
    """
    if encoding.strip().lower() not in {"", "identity", "gzip"}:
        raise BadBody(415, "content encoding is not gzip")
    if declared is not None and (not declared.isascii() or not declared.isdigit()):
        raise BadBody(400, "content length is no number")
    if declared is not None and int(declared[:12]) > limits.body_bytes:
        raise BadBody(413, "body too large")
    try:
        body = await asyncio.wait_for(_gather(chunks, limits.body_bytes), limits.body_timeout_s)
    except asyncio.TimeoutError:
        raise BadBody(408, "body too slow") from None
    return unpack(body, limits.body_bytes) if encoding.strip().lower() == "gzip" else body


async def _gather(chunks: AsyncIterator[bytes], most: int) -> bytes:
    body = bytearray()
    async for chunk in chunks:
        body += chunk
        if len(body) > most:
            raise BadBody(413, "body too large")
    return bytes(body)


def unpack(body: bytes, most: int) -> bytes:
    """Decompress one gzip member to at most ``most`` bytes; memory stays within one byte of that.

    Raises:
        BadBody: the body is not gzip, is truncated, has data behind it, or is larger.
    """
    machine = zlib.decompressobj(wbits=31)
    try:
        plain = machine.decompress(body, most + 1)
    except zlib.error:
        raise BadBody(400, "body is not gzip") from None
    if len(plain) > most:
        raise BadBody(413, "body too large")
    if not machine.eof or machine.unused_data:
        raise BadBody(400, "body is not gzip")
    return plain


def check_depth(body: bytes, most: int) -> None:
    """Refuse JSON nested deeper than ``most`` before a parser recurses into it.

    Raises:
        BadBody: the nesting is deeper.
    """
    if body.count(b"[") + body.count(b"{") <= most:
        return
    depth = 0
    for token in _TOKENS.finditer(body):
        first = body[token.start()]
        if first in b"[{":
            depth += 1
            if depth > most:
                raise BadBody(400, "nested too deeply")
        elif first in b"]}":
            depth -= 1
