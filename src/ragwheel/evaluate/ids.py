"""Ids of documents in a collection of one's own traces."""

from __future__ import annotations

from urllib.parse import quote

__all__ = ["document_id"]


def document_id(source: str, chunk_id: str) -> str:
    """The id of a chunk in a collection: ``source/id``, without blanks, for TREC's files cannot hold them."""
    return "/".join(quote(part, safe=":;,.-_@+=()[]{}!*'#?&~$^|<>") for part in (source, chunk_id))
