"""Numbers for rows that are the same in every store: made from what a row is, not from where it is kept.

A row number of SQLite means something in its own file only. The label stage and exported partitions use these
64-bit numbers instead, so that the rows of many stores form one set, and one traffic gives the same rows
whether one store captured it or ten.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Final

__all__ = ["chunk_number", "id_hash", "judgment_number", "span_number", "text_number", "text_prefix"]

_POSITIVE: Final = 2**63 - 1


def chunk_number(source: str, chunk_id: str, content_hash: bytes) -> int:
    """Return the number of a chunk version: positive, 63 bits of a hash of what identifies it."""
    content = f"{source}\0{chunk_id}\0".encode("utf-8", "surrogatepass") + content_hash
    return int.from_bytes(blake2b(content, digest_size=8).digest(), "big") & _POSITIVE


def text_number(content_hash: bytes) -> int:
    """Return the number of a text: the first eight bytes of its content hash, as a signed integer."""
    return int.from_bytes(content_hash[:8], "big", signed=True)


def text_prefix(number: int) -> bytes:
    """Return the first eight bytes of the content hash that has this number."""
    return number.to_bytes(8, "big", signed=True)


def id_hash(value: str | None) -> str | None:
    """Return the hash of a user's or session's id, by which a lake remembers who was erased."""
    if value is None:
        return None
    return blake2b(
        value.encode("utf-8", "surrogatepass"), digest_size=16, person=b"ragwheel-erase"
    ).hexdigest()


def span_number(span_id: bytes) -> int:
    """Return the number of a span: its id as a signed integer."""
    return int.from_bytes(span_id[:8], "big", signed=True)


def judgment_number(query: str, source: str, chunk_id: str, judge: str) -> int:
    """Return the number of a judgment; a judge has one for a query and chunk."""
    content = f"{query}\0{source}\0{chunk_id}\0{judge}".encode("utf-8", "surrogatepass")
    return int.from_bytes(blake2b(content, digest_size=8).digest(), "big") & _POSITIVE
