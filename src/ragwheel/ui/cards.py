"""Source cards as HTML, with the attributes that the browser beacon reads."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape
from typing import Any

__all__ = ["cards", "identity"]


def identity(chunk: Any) -> tuple[str, str, str | None]:
    """Return id, text and link of a chunk: a mapping with ``id``, ``text`` and perhaps ``url`` or ``source``.

    An object with attributes of these names, or a LangChain document (``page_content``), does as well.
    """
    if isinstance(chunk, Mapping):
        read = chunk.get
    else:

        def read(name: str, default: Any = None) -> Any:
            return getattr(chunk, name, default)

    metadata = read("metadata") or {}
    identifier = read("id") if read("id") is not None else metadata.get("id", "")
    text = read("text") or read("page_content") or read("content") or ""
    link = read("url") or metadata.get("url") or metadata.get("source")
    linked = link if isinstance(link, str) and link.startswith(("https://", "http://", "/")) else None
    return str(identifier), str(text), linked


def cards(handle: str, chunks: Iterable[Any], *, max_chars: int = 600) -> str:
    """Return the HTML of one card per chunk.

    Args:
        handle: of the turn or the retrieval that found them.
        chunks: as :func:`identity` reads them.
        max_chars: longer texts are cut and end with an ellipsis.
    """
    parts = []
    for rank, chunk in enumerate(chunks, 1):
        identifier, text, link = identity(chunk)
        shown = text if len(text) <= max_chars else text[: max_chars - 1] + "…"
        title = (
            f'<a href="{escape(link or "")}" target="_blank" rel="noopener">{rank}. {escape(identifier)}</a>'
        )
        parts.append(
            f'<article data-ragwheel-chunk="{escape(identifier)}" style="border:1px solid #8886;'
            f'border-radius:8px;padding:8px 12px;margin:8px 0;overflow-wrap:anywhere">'
            f"<strong>{title if link else f'{rank}. {escape(identifier)}'}</strong>"
            f'<p style="margin:4px 0 0">{escape(shown)}</p></article>'
        )
    return f'<div data-ragwheel-handle="{escape(handle)}">{"".join(parts)}</div>'
