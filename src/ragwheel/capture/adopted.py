"""The ids of chunks that a compressor or re-ranker made anew without them.

Such a chunk is the one that it was made from: the same text stands in a retrieval inside the one that is
recorded or, for a re-ranking, before it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from ragwheel.host import safe
from ragwheel.host.columns import Columns, row

__all__ = ["adopted_ids", "any_of_text", "is_of_text"]

_PREFIX: Final = "text:"


def is_of_text(chunk_id: str) -> bool:
    """Return whether an id was made from the chunk's text, for want of one of the app's."""
    return chunk_id.startswith(_PREFIX)


def any_of_text(ids: list[str]) -> bool:
    """Return whether any of these ids was made from a text; asked of all of them at once, as one string."""
    return _PREFIX in "".join(ids) and any(map(is_of_text, ids))


def adopted_ids(
    columns: Columns, nested: Iterable[Columns], earlier: Iterable[tuple[list[str], Iterable[Any]]]
) -> dict[str, str]:
    """Return the id of the app for each id of a text, as far as the text is known.

    Args:
        columns: what is being recorded.
        nested: what the retrievals inside it gave.
        earlier: ids and objects of the retrievals before it.
    """
    id_of_text: dict[str, str] = {}
    for ids, objects in earlier:
        if not all(map(is_of_text, ids)):
            texts = [safe.text(row(item, {}).text)[0] for item in objects]
            id_of_text.update(zip(texts, ids, strict=False))
    for inner in nested:
        id_of_text.update(zip(inner.texts, inner.ids, strict=True))
    pairs = zip(columns.ids, columns.texts, strict=True)
    return {chunk: id_of_text[text] for chunk, text in pairs if is_of_text(chunk) and text in id_of_text}
